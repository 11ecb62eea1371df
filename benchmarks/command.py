"""`registry list` in a fresh process, on a terminal and piped, against Typer apps that do as little as they can."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Line, Table, Target, environment, in_turn, missing
from benchmarks.workspace import Workspace

LIMIT = Target(1.3)
COLUMNS = 120

_OURS = "import sys; sys.path.insert(0, {path!r}); from registry.cli import main; sys.exit(main({words!r}))"
_RIVAL = "import sys; sys.path.insert(0, {path!r}); import {module}; {module}.app()"

# The same table, as somebody would write it who has the cells: two commands, Rich imported at the top.
_TABLE_APP = """\
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

app = typer.Typer()
COLUMNS = {columns!r}
ROWS = {rows!r}


@app.command("list")
def list_models() -> None:
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for title, justify in COLUMNS:
        table.add_column(title, style="" if table.columns else "cyan", justify=justify, no_wrap=True)
    for row in ROWS:
        table.add_row(*row)
    Console(markup=False, highlight=False, emoji=False).print(table)


@app.command()
def nothing() -> None:
    pass
"""
_EMPTY_APP = """\
import typer

app = typer.Typer()


@app.command("list")
def list_models() -> None:
    pass


@app.command()
def nothing() -> None:
    pass
"""


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure whole processes, from their start to their end."""
    table = Table("`registry list`")
    if absent := missing("typer", "rich"):
        table.remarks.append(absent)
        return [table]
    python = Path(sys.executable)
    folder = workspace.folder / "apps"
    folder.mkdir()
    (folder / "table_app.py").write_text(_table_app(), "utf-8")
    (folder / "empty_app.py").write_text(_EMPTY_APP, "utf-8")
    workspace.compile(python)
    ours = _command(_OURS.format(path=str(workspace.library), words=["list"]))
    same = _command(_RIVAL.format(path=str(folder), module="table_app"), "list")
    empty = _command(_RIVAL.format(path=str(folder), module="empty_app"), "list")
    bare, typer = _command("pass"), _command("import typer")
    _check(_draw(ours)[1], _draw(same)[1])
    found = in_turn(lambda _: _draw(ours)[0], lambda _: _draw(same)[0], rounds)
    what = "a Typer app with two commands that prints the same Rich table"
    table.lines.append(Line.ratio(f"on a terminal, {COLUMNS} columns", what, found, LIMIT))
    for rival, command, target in (
        ("an empty Typer app", empty, LIMIT),
        ("`import typer` and nothing else", typer, None),
        ("`python -c pass`", bare, None),
    ):
        found = in_turn(lambda _: _pipe(ours), lambda _, command=command: _pipe(command), rounds)  # type: ignore[misc]
        table.lines.append(Line.ratio("piped", rival, found, target))
    return [table]


def _table_app() -> str:
    """Write the app with the cells that `registry list` shows on a terminal of this width."""
    from registry import MODEL_REGISTRY
    from registry.cli import _output, models

    records = [record for record in MODEL_REGISTRY.values() if not record.deprecated]
    cells = _output.cells(models.COLUMNS, models.rows(records))
    kept = _output.columns_that_fit(models.COLUMNS, cells, COLUMNS)
    columns = [(models.COLUMNS[place].title, "right" if models.COLUMNS[place].right else "left") for place in kept]
    return _TABLE_APP.format(columns=columns, rows=[tuple(row[place] for place in kept) for row in cells])


def _command(code: str, *words: str) -> list[str]:
    return [sys.executable, "-I", "-c", code, *words]


def _environment() -> dict[str, str]:
    left_out = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CI")
    kept = {name: value for name, value in environment().items() if name not in left_out}
    return {**kept, "TERM": "xterm-256color", "REGISTRY_HOME": os.devnull}


def _pipe(command: Sequence[str]) -> float:
    """Run a command and read what it prints; give the time in ns."""
    start = time.perf_counter_ns()
    subprocess.run(command, env=_environment(), stdout=subprocess.PIPE, check=True)
    return time.perf_counter_ns() - start


def _draw(command: Sequence[str]) -> tuple[float, bytes]:
    """Run a command on a terminal; give the time in ns and what it drew."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    drawn = bytearray()
    start = time.perf_counter_ns()
    with subprocess.Popen(command, env=_environment(), stdin=writer, stdout=writer, stderr=writer) as process:
        os.close(writer)
        while data := _read(reader):
            drawn += data
    stop = time.perf_counter_ns()
    os.close(reader)
    if process.returncode:
        raise RuntimeError(f"`{' '.join(command)[:200]}` failed:\n{drawn.decode(errors='replace')}")
    return stop - start, bytes(drawn)


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:  # Linux says so when the other side is closed
        return b""


def _check(ours: bytes, rival: bytes) -> None:
    """See that both draw the same.

    Raises:
        RuntimeError: They do not, and comparing them would mean nothing.
    """
    if ours != rival:
        different = next(
            (pair for pair in zip(ours.splitlines(), rival.splitlines(), strict=False) if pair[0] != pair[1]),
            (len(ours), len(rival)),
        )
        raise RuntimeError(f"the tables differ: {different}")
