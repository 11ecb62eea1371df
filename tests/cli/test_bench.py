"""`registry bench` with tiny models."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("filelock")
pytest.importorskip("llama_cpp")
import tiny

from registry.catalog import Catalog

Run = Callable[..., Any]
TESTS = Path(__file__).parents[1]
TYPES = ["load_time", "time_to_first_token", "prompt_tokens_per_second", "tokens_per_second", "peak_memory"]
UNITS = ["s", "ms", "tokens/s", "tokens/s", "bytes"]


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return tiny.chat_gguf(tmp_path / "tiny.gguf")


@pytest.fixture
def bench(run: Run, small: Callable[..., str], gguf: Path) -> Run:
    module = small(tiny.chat_record(gguf))
    return lambda *words: run("bench", "tiny-chat", "--path", gguf, "--registry", module, "--runs", 1, *words)


def stored(path: Path | None = None) -> list[Any]:
    with Catalog.open(path) as catalog:
        return [*reversed(catalog.metrics())]


def test_bench_prints_and_stores_what_it_measured(bench: Run) -> None:
    result = bench()
    rows = stored()

    assert result.code == 0
    assert [(line[0], line[2]) for line in result.rows] == list(zip(TYPES, UNITS, strict=True))
    assert [(row.metric_type, row.metric_value, row.unit) for row in rows] == [
        (line[0], float(line[1]), line[2]) for line in result.rows
    ]
    assert {(row.hardware_type, row.hardware_name, row.context_size) for row in rows} == {
        (line[6], line[7], int(line[8])) for line in result.rows
    }
    assert result.err == "Stored as numbers 1 to 5; `registry metrics list tiny-chat` shows them.\n"


def test_bench_brings_a_model_of_the_registry_into_the_store(bench: Run) -> None:
    bench()
    with Catalog.open() as catalog:
        model = catalog.get("tiny-chat")

    assert (model.display_name, model.source) == ("Tiny chat", "small")


def test_bench_without_store_touches_no_store(bench: Run, home: Path) -> None:
    result = bench("--no-store")

    assert (result.code, len(result.rows), result.err) == (0, 5, "")
    assert not (home / "catalog.db").exists()


def test_bench_stores_where_it_is_told(bench: Run, tmp_path: Path, home: Path) -> None:
    bench("--catalog", tmp_path / "mine.db")

    assert [row.metric_type for row in stored(tmp_path / "mine.db")] == TYPES
    assert not (home / "catalog.db").exists()


def test_bench_json_has_what_was_measured_and_the_numbers_of_the_rows(bench: Run) -> None:
    document = bench("--json", "--context-length", 256).json

    assert [each["metric_type"] for each in document["measurements"]] == TYPES
    assert (document["model_id"], document["context_size"], document["notes"]) == ("tiny-chat", 256, [])
    assert document["stored"] == [row.id for row in stored()] == [1, 2, 3, 4, 5]


def test_bench_says_what_could_not_be_measured(run: Run, small: Callable[..., str], tmp_path: Path) -> None:
    path = tiny.chat_gguf(tmp_path / "silent.gguf", script="")
    module = small(tiny.chat_record(path))

    result = run("bench", "tiny-chat", "--path", path, "--registry", module, "--runs", 1, "--no-store")

    assert [line[0] for line in result.rows] == ["load_time", "peak_memory"]
    assert result.err == (
        "note: Tokens/s could not be measured: the model ended every answer before its first token.\n"
    )


def test_bench_measures_as_often_as_asked(bench: Run) -> None:
    assert [line[5] for line in bench("--runs", 2).rows] == ["2", "2", "2", "2", "1"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--runs", 0], 2, "error: Invalid value for '--runs': Input should be greater than or equal to 1."),
        (["--context-length", 10**6], 2, "error: `--context-length`: expected at most 512, the maximum"),
        (["--device", "cpu"], 2, "error: `--device`: expected to be left out, got 'cpu'."),
        (["--path", "missing.gguf"], 1, "error: The files of `tiny-chat` are not on this machine."),
    ],
)
def test_bench_that_cannot_be_done_says_why_and_stores_nothing(
    bench: Run, home: Path, words: list[Any], code: int, error: str
) -> None:
    result = bench(*words)

    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(error)
    assert not (home / "catalog.db").exists() or stored() == []


def test_bench_of_an_unknown_model_names_close_ones(run: Run) -> None:
    result = run("bench", "colbert-v2x")

    assert (result.code, result.err) == (
        1,
        (
            "error: Model `colbert-v2x` is not in the registry.\n"
            "hint: Did you mean `colbert-v2`, `jina-colbert-v2` or `colbert-v2-pylate`?\n"
        ),
    )


def test_damaged_store_is_found_before_anything_is_measured(
    bench: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "catalog.db").write_bytes(b"not a database" * 100)
    monkeypatch.setattr("registry.loaders.measuring._run", None)

    result = bench()

    assert (result.code, (home / "catalog.db").read_bytes()) == (1, b"not a database" * 100)
    assert result.err.startswith(f"error: `{home / 'catalog.db'}` ")


# On a terminal


@pytest.fixture
def on_terminal(terminal: Run, gguf: Path, tmp_path: Path) -> Run:
    """Run `registry bench` on a terminal, with a registry of one model."""
    (tmp_path / "one.py").write_text(
        f"import sys\nsys.path += [{str(TESTS)!r}]\nimport tiny\nfrom pathlib import Path\n"
        "from cli.conftest import Registry\n"
        f"MODEL_REGISTRY = Registry([tiny.chat_record(Path({str(gguf)!r}))])\n",
        "utf-8",
    )
    words = ("bench", "tiny-chat", "--registry", "one", "--path", str(gguf))
    return lambda *more: terminal(*words, *more, folder=tmp_path, columns=100)


def test_bench_on_a_terminal_draws_a_table(on_terminal: Run) -> None:
    shown = on_terminal("--runs", "1")

    assert shown.finish() == 0
    lines = [line.split() for line in shown.text.splitlines()]
    table = [line for line in lines if line[:2] in (["Load", "time"], ["Answer", "speed"], ["Peak", "memory"])]
    assert [line[-1] for line in table] == ["1", "1", "1"]
    assert ["tokens/s" in line for line in table] == [False, True, False]
    assert ["context", "512"] in lines


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_on_a_terminal_ends_bench_and_its_child(on_terminal: Run) -> None:
    psutil = pytest.importorskip("psutil")
    shown = on_terminal("--runs", "1000000")
    shown.wait_for("Answering")
    children = psutil.Process(shown.process.pid).children()
    shown.type("\x03")

    assert shown.finish() == 130
    assert shown.text.splitlines()[-1] == "error: Stopped by Ctrl-C."
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert stored() == []


def test_interrupt_of_the_command_alone_ends_its_child_too(on_terminal: Run) -> None:
    psutil = pytest.importorskip("psutil")
    shown = on_terminal("--runs", "1000000")
    shown.wait_for("Answering")
    children = psutil.Process(shown.process.pid).children()
    shown.process.send_signal(signal.SIGINT)

    assert shown.finish() == 130
    assert psutil.wait_procs(children, timeout=60)[1] == []
