"""Importing a CSV file into the catalogue store, against writing its rows when they are there already."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.catalog_stores import _COLUMNS, _models
from benchmarks.measure import Comparison, Line, Spread, Table, Target, in_turn, run
from benchmarks.workspace import Workspace

ROWS, MANY = 100_000, 1_000_000
SLOWER = Target(2)
_LEFT_OUT = ("id", "created_at", "updated_at")  # which the store gives
_MEGABYTE = 10**6

_IMPORT = """\
import json, resource, sys, time
from pathlib import Path
from registry.catalog import Catalog, import_models
for file in Path({store!r}).parent.glob(Path({store!r}).name + "*"):
    file.unlink()
took = []
with Catalog.open({store!r}) as catalog:
    for turn in range({turns}):
        start = time.perf_counter_ns()
        report = import_models(catalog, {table!r})
        took.append(time.perf_counter_ns() - start)
        assert (report.rows, report.bad_rows, report.unchanged) == ({rows}, 0, {rows} if turn else 0), report
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([*took, peak]))
"""
# The rows that an import made, in the tables that it made them in, with their indexes, counts and index of words.
_EXECUTEMANY = """\
import time
from pathlib import Path
from registry.catalog import Catalog
from registry.catalog.fields import COLUMNS
for file in Path({store!r}).parent.glob(Path({store!r}).name + "*"):
    file.unlink()
tables = {{
    "models": f"id, {{', '.join(COLUMNS)}}, source, edited, created_at, updated_at",
    "model_capabilities": "model_id, capability, position, source",
    "model_tags": "model_id, tag, position, source",
    "model_languages": "model_id, language, position, source",
}}
with Catalog.open({imported!r}) as catalog, catalog._reading() as connection:
    rows = {{name: connection.execute(f"SELECT {{names}} FROM {{name}}").fetchall() for name, names in tables.items()}}
with Catalog.open({store!r}) as catalog:
    start = time.perf_counter_ns()
    with catalog._writing() as connection:
        for name, names in tables.items():
            marks = ", ".join("?" * (names.count(",") + 1))
            connection.executemany(f"INSERT INTO {{name}} ({{names}}) VALUES ({{marks}})", rows[name])
    print(time.perf_counter_ns() - start)
    assert catalog.search(limit=0).total == {rows}
"""


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure the import of a file on disk, and with more than a few rounds that of a very long one."""
    folder = workspace.folder / "importing"
    folder.mkdir()
    table = Table(f"CSV of {ROWS:,} rows")
    file, imported, written = _file(folder, ROWS), folder / "imported.db", folder / "written.db"
    again: list[float] = []

    def ours(turn: int) -> float:  # noqa: ARG001 - every turn is the same
        first, second, _ = _imported(workspace, file, imported, ROWS, turns=2)
        again.append(second)
        return first

    def rival(turn: int) -> float:  # noqa: ARG001 - as above
        code = _EXECUTEMANY.format(store=str(written), imported=str(imported), rows=ROWS)
        return float(_run(workspace, code))

    found = in_turn(ours, rival, rounds)
    against = "`executemany` of the same rows, parsed and checked before"
    table.lines.append(Line.ratio("`import_models` of a file", against, found, SLOWER))
    unchanged = Comparison.of(again[1:], [found.rival.median] * rounds)  # the first is that of the round thrown away
    table.lines.append(Line.ratio("the same file once more: nothing to write", against, unchanged))
    table.remarks.append(
        "Every turn begins with an empty store, in one transaction, in a fresh process. Both sides pay for the "
        "indexes, the counts and the index of words. "
        f"The file has {file.stat().st_size / _MEGABYTE:.0f} MB and 21 columns."
    )
    return [table, *([_long(workspace, folder)] if rounds > 3 else [])]


def _long(workspace: Workspace, folder: Path) -> Table:
    """Import a very long file, once, and say how much memory that took."""
    table = Table(f"CSV of {MANY:,} rows")
    few_s, few = _long_import(workspace, folder, MANY // 100)
    many_s, many = _long_import(workspace, folder, MANY)
    sizes = f"{many / _MEGABYTE:.0f} MB / {few / _MEGABYTE:.0f} MB"
    against = f"that with {MANY // 100:,} rows"
    table.lines += [
        Line.measured("peak memory of the process", against, Spread.of([many / few]), "x", sizes),
        Line.measured("time", "", Spread.of([many_s]), "s", f"{MANY // 100:,} rows: {few_s:.1f} s"),
    ]
    return table


def _long_import(workspace: Workspace, folder: Path, rows: int) -> tuple[float, float]:
    """Give seconds and bytes."""
    file = _file(folder, rows)
    took, peak = _imported(workspace, file, folder / "long.db", rows, turns=1)
    file.unlink()
    return took / 1e9, peak


def _imported(workspace: Workspace, file: Path, store: Path, rows: int, turns: int) -> list[float]:
    """Give the time of each turn in ns, and at the end the peak memory in bytes."""
    code = _IMPORT.format(store=str(store), table=str(file), rows=rows, turns=turns)
    numbers: list[float] = json.loads(_run(workspace, code))
    return numbers


def _run(workspace: Workspace, code: str) -> str:
    return run(Path(sys.executable), code, [workspace.library])


def _file(folder: Path, rows: int) -> Path:
    """Write a table of models that look like what people publish."""
    path = folder / f"models_{rows}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(_cells(rows))
    return path


def _cells(rows: int) -> Iterator[list[object]]:
    columns = _COLUMNS.split(", ")
    kept = [place for place, name in enumerate(columns) if name not in _LEFT_OUT]
    lists = ("capabilities", "tags", "languages")
    yield [*(columns[place] for place in kept), *lists]
    for values, several in _models(rows):
        yield [*(values[place] for place in kept), *(",".join(several[name]) for name in lists)]
