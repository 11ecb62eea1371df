"""10,000 records: import and one look-up against `json.load` and a dict by id, and what untouched records weigh."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.measure import (
    VERSIONS,
    Line,
    Spread,
    Table,
    Target,
    find_python,
    processes,
    run,
    timed,
)
from benchmarks.workspace import Workspace

COUNT = 10_000
OURS = """\
from {module} import get_model
get_model({id!r}).context_length
"""
RIVAL = """\
import json
with open({path!r}, encoding="utf-8") as file:
    data = json.load(file)
by_id = {{record["id"]: record for record in data["models"]}}
by_id[{id!r}]["specs"]["context_length"]
"""
# What either side takes from the standard library.
BEFOREHAND = "import json, dataclasses, enum, bisect, collections.abc"

# Growth of the Python heap and of the process, in bytes; on Linux the peak as well.
MEMORY = """\
import gc
def resident(field):
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
trace = {trace}
if trace:
    import tracemalloc
    tracemalloc.start()
gc.collect()
before = resident("VmRSS:")
{statement}
gc.collect()
heap = tracemalloc.get_traced_memory()[0] if trace else 0
print([heap, resident("VmRSS:") - before, resident("VmHWM:") - before])
"""


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure on every supported Python that is here."""
    tables = []
    for version in VERSIONS:
        python = find_python(version)
        if python is None:
            tables.append(Table(f"10,000 records, Python {version}", remarks=[f"Python {version} is not there."]))
            continue
        workspace.module(COUNT), workspace.module(1)
        workspace.compile(python)
        tables += [_speed(workspace, python, version, rounds), _memory(workspace, python, version, max(3, rounds // 4))]
    return tables


def _code(workspace: Workspace, turn: int, count: int = COUNT) -> tuple[str, str]:
    """Give our statement and the rival's; every turn asks for another record."""
    records = workspace.records(count)
    model_id = records[turn * 7919 % count]["id"]
    ours = OURS.format(module=workspace.module(count), id=model_id)
    return ours, RIVAL.format(path=str(workspace.json(count)), id=model_id)


def _speed(workspace: Workspace, python: Path, version: str, rounds: int) -> Table:
    table = Table(f"10,000 records: import and one look-up, Python {version}")
    forms = {
        "everything included": "",
        "standard library imported before": BEFOREHAND,
    }
    for form, setup in forms.items():

        def side(number: int, setup: str = setup) -> Callable[[int], str]:
            return lambda turn: timed(setup, _code(workspace, turn)[number])

        found = processes(python, side(0), side(1), rounds, [workspace.library])
        target = Target(10, at_least=True, unit="x faster")
        table.lines.append(
            Line.ratio(f"import + `get_model`, {form}", "`json.load` + dict by id", found, target, faster=True)
        )
    return table


def _memory(workspace: Workspace, python: Path, version: str, rounds: int) -> Table:
    table = Table(f"10,000 records: memory of a record nobody touched, Python {version}")
    target = Target(512, "B")
    kinds = ("Python heap (tracemalloc)", "resident set", "peak of the resident set")
    for number, kind in enumerate(kinds):
        if number == 2 and not sys.platform.startswith("linux"):
            continue
        ours, rival = [], []
        for turn in range(rounds):
            ours.append(_growth(workspace, python, turn, 0, trace=number == 0)[number])
            rival.append(_growth(workspace, python, turn, 1, trace=number == 0)[number])
        table.lines.append(
            Line.measured(
                kind,
                "`json.load` + dict by id",
                Spread.of(ours),
                "B",
                f"{median(ours):.0f} B / {median(rival):.0f} B",
                target if number < 2 else None,
            )
        )
    return table


def _growth(workspace: Workspace, python: Path, turn: int, side: int, *, trace: bool) -> list[float]:
    """Give bytes a record: growth with 10,000 records less growth with one, for heap, resident set and peak."""
    grown = []
    for count in (COUNT, 1):
        statement = _code(workspace, turn, count)[side]
        code = MEMORY.format(trace=trace, statement=f"import gc, json, dataclasses, enum\n{statement}")
        grown.append(json.loads(run(python, code, [workspace.library])))
    return [(many - one) / (COUNT - 1) for many, one in zip(*grown, strict=True)]
