"""What the entry point does where typer is not there, and in processes of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_main_without_typer_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from registry.cli import main

    monkeypatch.setitem(sys.modules, "typer", None)

    assert main(["list"]) == 1
    assert capsys.readouterr().err == (
        "error: The command `registry` needs `typer`, which is not installed.\n"
        'hint: Install it with `pip install "typed-model-registry[cli]"`.\n'
    )


def test_process_prints_one_line_a_model(process: Callable[..., Any]) -> None:
    pytest.importorskip("typer")
    from registry import MODEL_REGISTRY

    done = process("list")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        record.id for record in MODEL_REGISTRY.values() if not record.deprecated
    ]


def test_process_gives_the_exit_code(process: Callable[..., Any]) -> None:
    pytest.importorskip("typer")

    assert process("info", "nothing-like-it-xyz").returncode == 1


def test_closed_pipe_ends_quietly() -> None:
    pytest.importorskip("typer")
    command = [sys.executable, "-m", "registry.cli", "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        err = child.stderr.read()

    assert (child.returncode, err) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes the streams")
@pytest.mark.parametrize("words", ["list", "list --json", "diagnose --no-cuda --min-free-gib 0 --min-free-ratio 0"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_streams_that_are_closed_end_no_command(words: str, closed: str) -> None:
    pytest.importorskip("typer")
    command = ["/bin/sh", "-c", f'"$0" -m registry.cli {words} {closed}', sys.executable]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "2>&-" not in closed or ("note:" not in done.stdout and not done.stderr)


@pytest.mark.parametrize("words", [["select", "--ram"], ["cluster", "config", "--out"]])
def test_option_without_its_value_points_to_the_help_of_its_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("typer")
    from registry.cli import main

    assert main(words) == 2
    assert capsys.readouterr().err == (
        f"error: Option '{words[-1]}' requires an argument.\n"
        f"hint: `registry {' '.join(words[:-1])} --help` shows how it is used.\n"
    )


def test_package_runs_as_the_command() -> None:
    pytest.importorskip("typer")
    command = [sys.executable, "-m", "registry", "list", "--type", "nothing-like-it"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr.partition("\n")[0]) == (
        2,
        "error: Invalid value for --type: no model has `nothing-like-it`.",
    )


def test_output_that_has_no_such_letters_gets_them_escaped(
    process: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("typer")
    tests = Path(__file__).parents[1]
    (tmp_path / "mine.py").write_text(
        f"import sys; sys.path[:0] = {[str(tests), str(tests.parent)]!r}\n"
        "import tiny\n"
        "from tests.cli.conftest import Registry\n"
        "MODEL_REGISTRY = Registry([tiny.dense_record(id='a', family='Gr\\u00f6\\u00dfe')])\n"
    )
    monkeypatch.chdir(tmp_path)

    table, document = (
        process("families", "--registry", "mine", *more, PYTHONIOENCODING="ascii") for more in ([], ["--json"])
    )

    assert table.stdout == "Gr\\xf6\\xdfe\t1\tdense\tTiny\n"
    assert json.loads(document.stdout)["families"][0]["family"] == "Größe"
