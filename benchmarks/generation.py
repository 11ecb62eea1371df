"""Generating a registry inside one process: reading, validating and writing 100, 1,000 and 10,000 records."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Line, Spread, Table, Target
from benchmarks.workspace import Workspace

TARGETS = {100: Target(100, "ms"), 1000: None, 10_000: Target(4000, "ms")}
LINEAR = Target(1.2)


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure the whole pipeline, then its phases."""
    from registry_build import build

    build(workspace.json(1))  # imports of jsonschema-rs, jinja2 and langcodes are no part of it
    whole = Table("Generating, this process, imports done")
    times: dict[int, list[float]] = {count: [] for count in TARGETS}
    for turn in range(rounds):
        for count in TARGETS:
            if count < 10_000 or turn < max(3, rounds // 2):
                times[count].append(_ms(partial(build, workspace.json(count))))
    for count, target in TARGETS.items():
        whole.lines.append(Line.measured(f"{count} records", "", Spread.of(times[count]), "ms", target=target))
    linear = [large / small / 10 for large, small in zip(times[10_000], times[1000], strict=False)]
    whole.lines.append(Line.measured("10,000 records, per record", "1,000 records", Spread.of(linear), "x", "", LINEAR))
    phases = Table("Generating: the phases")
    for count in TARGETS:
        found = [_phases(workspace.json(count)) for _ in range(3)]
        for phase in found[0]:
            spread = Spread.of([run[phase] for run in found])
            phases.lines.append(Line.measured(f"{count} records: {phase}", "", spread, "ms"))
    return [whole, phases]


def _ms(call: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def _phases(path: Path) -> dict[str, float]:
    """Time each step of `registry_build.build` by itself."""
    from registry_build.emit import emit
    from registry_build.plan import plan
    from registry_build.schema import check, load_schema
    from registry_build.source import read
    from registry_build.validate import validate

    kept: dict[str, Any] = {}

    def keep(name: str, call: Callable[[], Any]) -> float:
        return _ms(lambda: kept.__setitem__(name, call()))

    times = {
        "read": keep("source", lambda: read(path)),
        "load the schema": keep("schema", load_schema),
        "hold against the schema": keep("found", lambda: list(check(kept["source"].data, kept["schema"]))),
    }
    times["rules"] = keep("problems", lambda: validate(kept["source"], []))
    times["plan"] = keep("plan", lambda: plan(kept["source"]))
    times["emit"] = keep("files", lambda: emit(kept["plan"]))
    return times
