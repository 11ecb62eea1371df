"""`registry import`, `registry export`: files and the catalogue store."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")

from registry.catalog import Catalog
from registry.catalog.columns import COLUMNS
from registry.cli import exchange

Run = Callable[..., Any]

REASON = (
    "`parameters`: expected a number from 0 to 1000000, or nothing, got '1,5'. "
    "Write it with a decimal point, and nothing between thousands."
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two good rows, and a bad one."""
    path = tmp_path / "models.csv"
    path.write_text('name,parameters,tags\na,7,"x,y"\nb,"1,5",\nc,,x\n')
    return path


def _names(path: Path | None = None) -> list[str]:
    with Catalog.open(path) as catalog:
        return [model.name for model in catalog.search(sort="name").models]


def test_import_says_what_it_did_and_names_bad_rows(run: Run, table: Path) -> None:
    assert run("import", table) == (0, f"{table}\t3\t2\t0\t0\t1\n", f"bad row: {table}: line 3 (b): {REASON}\n")
    assert run("import", table).out == f"{table}\t3\t0\t0\t2\t1\n"
    assert _names() == ["a", "c"]


def test_import_strict_imports_nothing_and_is_code_1(run: Run, table: Path) -> None:
    said = (
        f"bad row: {table}: line 3 (b): {REASON}\n"
        f"error: Nothing of `{table}` was imported, as it has bad rows.\n"
        "hint: Mend them, or leave out `--strict`.\n"
    )

    assert run("import", table, "--strict") == (1, "", said)
    assert _names() == []


def test_import_json_has_every_bad_row(run: Run, table: Path, tmp_path: Path) -> None:
    result = run("import", table, tmp_path / "none.csv", "--json")
    report = {"file": str(table), "rows": 3, "added": 2, "updated": 0, "unchanged": 0, "bad_rows": 1}
    missing = {"file": f"{tmp_path}/none.csv", "error": f"{tmp_path}/none.csv: No such file or directory", "hint": ""}

    assert result.code == 1
    assert result.json == {
        "files": [{**report, "bad": [{"line": 3, "name": "b", "reason": REASON}]}],
        "failed": [missing],
    }


def test_import_strict_json_has_the_problems(run: Run, table: Path) -> None:
    result = run("import", table, "--strict", "--json")

    assert (result.code, result.json["files"]) == (1, [])
    assert result.json["failed"][0]["problems"] == [f"line 3 (b): {REASON}"]


def test_import_names_so_many_bad_rows_only(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_SHOWN", 2)
    path = tmp_path / "m.csv"
    path.write_text("name\n?\n?\n?\n")

    for options in ([], ["--strict"]):
        lines = run("import", path, *options).err.splitlines()
        assert [line[: len(f"bad row: {path}: line 2")] for line in lines[:2]] == [
            f"bad row: {path}: line 2",
            f"bad row: {path}: line 3",
        ]
        assert lines[2] == f"and 1 bad row more in {path}; `--json` has the first 1,000."


def test_import_of_a_wrong_file_goes_on_with_the_next(run: Run, table: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_bytes(b"name\n\xe9\n")
    result = run("import", wrong, table)

    assert (result.code, result.out) == (1, f"{table}\t3\t2\t0\t0\t1\n")
    assert result.err.splitlines()[:2] == [
        f"error: `{wrong}:2`: expected UTF-8, got the byte 0xe9 (invalid continuation byte).",
        "hint: Save the file as UTF-8.",
    ]


def test_import_reads_standard_input(run: Run) -> None:
    assert run("import", "-", stdin="name\na\n") == (0, "the stream\t1\t1\t0\t0\t0\n", "")
    assert run("import", "-", "--format", "jsonl", stdin='{"name": "b"}\n').code == 0
    assert _names() == ["a", "b"]


def test_import_and_export_take_another_store(run: Run, table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    run("import", table, "--catalog", other)

    assert (_names(), _names(other)) == ([], ["a", "c"])
    assert json.loads(run("export", "--format", "json", "--catalog", other).out)[0]["name"] == "a"


def test_import_of_an_unknown_ending_or_format_is_refused(run: Run, tmp_path: Path) -> None:
    said = (
        f"error: `{tmp_path}/m.txt`: expected an ending among .csv, .tsv, .json, .jsonl, .ndjson, got '.txt'.\n"
        "hint: Or name the format: csv, json, jsonl.\n"
    )

    assert run("import", tmp_path / "m.txt") == (1, "", said)
    assert run("import", "-", "--format", "xml").err.startswith("error: `format`: expected one of csv, json, jsonl")


def test_export_writes_to_standard_output(run: Run, table: Path) -> None:
    run("import", table)
    result = run("export")

    assert (result.code, result.err) == (0, "Standard output: 2 models.\n")
    assert [line.split(",")[0] for line in result.out.splitlines()] == ["name", "a", "c"]


def test_export_writes_what_import_reads(run: Run, table: Path, tmp_path: Path) -> None:
    run("import", table)
    for ending in ("csv", "json", "jsonl"):
        path, other = tmp_path / f"out.{ending}", tmp_path / f"{ending}.db"
        assert run("export", path) == (0, "", f"{path}: 2 models.\n")
        assert run("import", path, "--catalog", other).out == f"{path}\t2\t2\t0\t0\t0\n"
        assert _names(other) == ["a", "c"]


def test_export_json_says_what_was_written(run: Run, table: Path, tmp_path: Path) -> None:
    run("import", table)
    path = tmp_path / "out.jsonl"

    assert run("export", path, "--json").json == {"path": str(path), "models": 2}
    assert run("export", "--json").code == 2


def test_export_refuses_to_overwrite_unless_forced(run: Run, table: Path) -> None:
    before = table.read_text()

    assert run("export", table) == (
        2,
        "",
        f"error: `{table}` is there already.\nhint: Choose another name, or give `--force`.\n",
    )
    assert table.read_text() == before
    assert run("export", table, "--force").code == 0
    assert table.read_text("utf-8") == ",".join(COLUMNS) + "\n"


def test_export_of_an_empty_store_says_how_to_fill_it(run: Run) -> None:
    result = run("export", "--format", "jsonl")

    assert (result.code, result.out) == (0, "")
    assert result.err == (
        "Standard output: 0 models.\n"
        "hint: `--sync` brings the models of the registry in, `registry import FILE` those of a file.\n"
    )


def test_export_sync_has_the_models_of_the_registry(run: Run) -> None:
    lines = run("export", "--sync", "--format", "jsonl", "--type", "Colbert").out.splitlines()
    records = [json.loads(line) for line in lines]

    assert "colbert-v2" in {record["name"] for record in records}
    assert {(record["type"], record["source"]) for record in records} == {("colbert", "registry._registry")}


def test_export_chooses_models(run: Run) -> None:
    rows = "name,type,tags,model_family,license,languages,capabilities,ram_required_mb,description\n"
    rows += 'a,chat,"x,y",F,MIT,en,code,1000,red apples\nb,dense,x,G,ISC,de,,9000,\n'
    run("import", "-", stdin=rows)

    def names(*options: str) -> list[str]:
        return [json.loads(line)["name"] for line in run("export", "--format", "jsonl", *options).out.splitlines()]

    assert names("--tag", "X") == ["a", "b"]
    assert names("--tag", "x", "--tag", "y") == ["a"]
    assert names("--family", "f", "--family", "g") == ["a", "b"]
    assert names("--type", "dense", "--license", "isc", "--language", "DE") == ["b"]
    assert names("--capability", "code", "--search", "apple", "--max-ram", "2GB") == ["a"]
    assert names("--max-ram", "1GB") == ["a"]


def test_export_of_a_value_that_no_model_has_names_close_ones(run: Run) -> None:
    run("import", "-", stdin="name,tags\na,retrieval\n")

    assert run("export", "--tag", "retreival") == (
        2,
        "",
        "error: Invalid value for --tag: no model has `retreival`.\nhint: Did you mean retrieval?\n",
    )


def test_export_of_a_store_that_is_not_there_makes_none(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "none.db"

    assert run("export", "--catalog", path) == (
        1,
        "",
        f"error: There is no catalogue `{path}`.\nhint: `registry import` makes it.\n",
    )
    assert not path.exists()


def test_export_to_a_pipe_that_is_closed_ends_without_a_word(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("name,notes\n" + "".join(f"m{number},{'word ' * 100}\n" for number in range(2000)))
    command = [sys.executable, "-m", "registry.cli"]
    subprocess.run([*command, "import", str(path)], check=True, capture_output=True)
    with subprocess.Popen([*command, "export"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline().startswith(b"name,")
        child.stdout.close()
        err = child.stderr.read()

    assert (child.returncode, err) == (141, b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_import_that_is_stopped_says_that_nothing_was_imported(tmp_path: Path, terminal: Callable[..., Any]) -> None:
    pipe = tmp_path / "m.csv"
    os.mkfifo(pipe)
    screen = terminal("import", str(pipe), environment={"CI": "1"}, columns=200)
    with pipe.open("wb", buffering=0) as file:
        file.write(b"name\n" + b"".join(b"m%d\n" % number for number in range(5000)))
        screen.type("\x03")
        code = screen.finish()

    assert code == 130
    assert screen.text.endswith(
        f"error: Stopped by Ctrl-C.\nhint: Nothing of `{pipe}` was imported: the catalogue is as it was before it.\n"
    )
    assert _names() == []


def test_import_draws_progress_on_a_terminal(tmp_path: Path, terminal: Callable[..., Any]) -> None:
    path = tmp_path / "m.csv"
    path.write_text("name,notes\n" + "".join(f"m{number},{'word ' * 20}\n" for number in range(20_000)))
    screen = terminal("import", str(path), "--catalog", str(tmp_path / "c.db"), environment={"CI": ""}, columns=200)

    assert screen.finish() == 0
    assert f"Importing {path}" in screen.text
    assert "MB" in screen.text
    assert "20,000" in screen.text


def test_standard_output_keeps_ends_of_lines_and_is_utf8(
    home: Path, process: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes('name,notes\r\na,"é\nb\rc"\r\n'.encode())
    assert process("import", str(path)).returncode == 0
    assert process("import", "-", stdin="name\na\n").stdout == "standard input\t1\t0\t0\t1\t0\n"
    env = os.environ | {"PYTHONIOENCODING": "latin-1"}
    out = subprocess.run(
        [sys.executable, "-m", "registry.cli", "export"], capture_output=True, check=True, env=env
    ).stdout

    assert '"é\nb\rc"'.encode() in out
    assert out.count(b"\r\n") == 2
