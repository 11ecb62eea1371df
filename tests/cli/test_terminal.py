"""What is drawn on a terminal: wide, narrow, without colour; questions and Ctrl-C."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("typer")
pytest.importorskip("fcntl")

from .screen import Terminal

COMMAND = ("-m", "registry.cli")
_COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*3[0-9]")


def drawn(terminal: Terminal) -> list[str]:
    assert terminal.finish() == 0
    return [line.rstrip() for line in terminal.text.splitlines()]


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
def test_table_keeps_whole_ids_and_fits_the_width(columns: int, terminal: Callable[..., Terminal]) -> None:
    from registry import find_models

    lines = drawn(terminal("list", "--type", "sparse", columns=columns))

    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines[2:]] == [model.id for model in find_models(type="sparse")]


def test_id_that_is_too_wide_is_broken_into_lines(terminal: Callable[..., Terminal]) -> None:
    lines = drawn(terminal("list", "--family", "ColBERT", columns=12))

    first = lines.index("─" * 12) + 1
    assert "".join(line[:6].strip() for line in lines[first:]) == "colbert-v2colbert-v2-pylate"


def test_narrow_table_leaves_out_the_last_columns(terminal: Callable[..., Terminal]) -> None:
    assert drawn(terminal("list", "--type", "chat", columns=80))[0].split() == [
        "Model",
        "Type",
        "Params",
        "Context",
        "Dim",
    ]
    assert drawn(terminal("list", "--type", "chat", columns=200))[0].split()[-1] == "Family"


def test_table_reads_numbers_as_people_do(terminal: Callable[..., Terminal]) -> None:
    lines = drawn(terminal("list", "--family", "Qwen2.5-Coder", "--sort", "size", columns=120))

    assert lines[2].split()[:7] == ["qwen2.5-coder-1.5b-q4_k_m", "chat", "1.5B", "32,768", "-", "1.1", "GB"]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_table_without_colour_is_the_same_text(environment: dict[str, str], terminal: Callable[..., Terminal]) -> None:
    plain = terminal("families", environment=environment)
    lines = drawn(plain)

    coloured = terminal("families")
    assert lines == drawn(coloured)
    assert (_COLOUR.findall(plain.raw), _COLOUR.findall(coloured.raw) == []) == ([], False)


def test_table_without_colour_as_the_file_says(terminal: Callable[..., Terminal], home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("no_color = true\n")
    plain = terminal("families")
    drawn(plain)

    assert _COLOUR.findall(plain.raw) == []


def test_text_of_a_record_does_not_reach_the_terminal_as_an_order(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(
        "import sys; sys.path[:0] = " + repr([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]) + "\n"
        "import tiny\n"
        "from tests.cli.conftest import Registry\n"
        "MODEL_REGISTRY = Registry([tiny.dense_record(id='a', family='\\x1b]0;owned\\x07[bold]x')])\n"
    )
    screen = terminal("families", "--registry", "bad", folder=tmp_path)

    assert "\\x1b]0;owned\\x07[bold]x" in "".join(drawn(screen))
    assert "\x1b]0;" not in screen.raw


def test_select_on_a_terminal_explains_the_choice(terminal: Callable[..., Terminal]) -> None:
    lines = drawn(terminal("select", "--family", "Qwen2.5-Coder", "--ram", "12GB"))

    assert lines[0] == "model            qwen2.5-coder-7b-q5_k_m"
    assert lines[2] == "needs            10 GB (stated)"


def test_info_on_a_terminal_fits_80_columns(terminal: Callable[..., Terminal]) -> None:
    lines = drawn(terminal("info", "qwen2.5-coder-7b-q5_k_m", "--sources", columns=80))

    assert max(map(len, lines)) <= 80
    assert {"Files", "On this machine", "Memory", "Sources"} <= set(lines)


@pytest.mark.parametrize(("answer", "code", "kept"), [("n", 1, True), ("", 1, True), ("y", 0, False)])
def test_remove_asks_on_a_terminal(
    answer: str, code: int, kept: bool, terminal: Callable[..., Terminal], home: Path
) -> None:
    pytest.importorskip("filelock")
    path = home / "models" / "a-model.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")

    screen = terminal("remove", "a-model")
    screen.wait_for("Delete a-model (4 B)? [y/N] ")
    screen.type(f"{answer}\n")

    assert screen.finish() == code
    assert path.exists() is kept


def test_ctrl_c_ends_without_a_traceback(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("embed", "all-minilm-l6-v2")
    screen.wait_for("Reading texts, one a line, until Ctrl-D.")
    screen.type("\x03")

    assert screen.finish() == 130
    assert screen.text.splitlines()[-1] == "error: Stopped by Ctrl-C."
    assert "Traceback" not in screen.text


def test_output_to_a_file_from_a_terminal_has_no_colour(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("wb") as file:
        command = [sys.executable, *COMMAND, "families"]
        subprocess.run(command, stdout=file, env=os.environ | {"TERM": "xterm-256color"}, check=True, timeout=60)

    assert b"\x1b" not in (tmp_path / "out.txt").read_bytes()
