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
