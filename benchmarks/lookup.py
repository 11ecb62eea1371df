"""Looking up: `get_model` against a dict, queries at 10,000 against 100 records, attributes of a record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.measure import VERSIONS, Comparison, Line, Table, Target, find_python, run
from benchmarks.synthetic import Record
from benchmarks.workspace import Workspace

SMALL, LARGE = 100, 10_000
GET = Target(4)
PER_RESULT = Target(1.2)

# Prints [ours, rival] for each of 15 turns, in ns for one access; the loop itself is measured and subtracted.
_LOOPS = """
import time
def clock(loop):
    start = time.perf_counter_ns(); loop(); return time.perf_counter_ns() - start
def cost(loop, empty, turns):
    return (min(clock(loop) for _ in range(3)) - min(clock(empty) for _ in range(3))) / turns
"""
_GET = (
    _LOOPS
    + """
from bench_10000 import MODEL_REGISTRY, get_model
ids = tuple(MODEL_REGISTRY)[::500]
plain = {name: get_model(name) for name in MODEL_REGISTRY}
def ours():
    for _ in range(2500):
        for name in ids: get_model(name)
def rival():
    for _ in range(2500):
        for name in ids: plain[name]
def empty():
    for _ in range(2500):
        for name in ids: pass
turns = 2500 * len(ids)
print([[cost(ours, empty, turns), cost(rival, empty, turns)] for _ in range(15)])
"""
)
_ATTRIBUTE = (
    _LOOPS
    + """
import dataclasses
from bench_10000 import MODEL_REGISTRY, get_model
from registry.records import ModelInfo
record = get_model(next(iter(MODEL_REGISTRY)))
names = [field.name for field in dataclasses.fields(record)]
Plain = dataclasses.make_dataclass("Plain", names, frozen=True)
plain = Plain(*(getattr(record, name) for name in names))
def ours():
    for _ in range(20000): record.{name}; record.{name}; record.{name}; record.{name}; record.{name}
def rival():
    for _ in range(20000): plain.{name}; plain.{name}; plain.{name}; plain.{name}; plain.{name}
def empty():
    for _ in range(20000): pass
print([[cost(ours, empty, 100000), cost(rival, empty, 100000)] for _ in range(15)])
"""
)
# Prints [ns of the first call in this process, ns of a repeated call, number of results].
_QUERY = """
import time
import {module} as registry
{before}
start = time.perf_counter_ns()
found = {call}
first = time.perf_counter_ns() - start
turns = max(3, 20000 // max(1, len(found)))
start = time.perf_counter_ns()
for _ in range(turns):
    {call}
print([first, (time.perf_counter_ns() - start) / turns, len(found)])
"""
# Loads the indexes and nothing else: no record has this value.
_WARM = """
for field in "type organization family language license capability tag quantization".split():
    registry.find_models(**{field: "no-such-value"})
registry.find_models(type="no-such-value", matryoshka=True)
registry.models_by_max_embedding_dim(0)
"""
_IN_DETAIL = ("`models_by_type`", "`models_by_organization`, rare value", "`find_models`, 3 conditions")
_TOUCH = "[record.context_length for record in {call}]"


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure on every supported Python that is here; queries on the oldest and the newest."""
    tables = []
    for version in VERSIONS:
        python = find_python(version)
        if python is None:
            tables.append(Table(f"Look-up, Python {version}", remarks=[f"Python {version} is not there."]))
            continue
        workspace.module(SMALL), workspace.module(LARGE)
        workspace.compile(python)
        tables.append(_one_record(workspace, python, version))
        if version in (VERSIONS[0], VERSIONS[-1]):
            tables += _queries(workspace, python, version, rounds)
    return tables


def _one_record(workspace: Workspace, python: Path, version: str) -> Table:
    table = Table(f"One record of 10,000, Python {version}")
    cases: Iterable[tuple[str, str, str, Target | None]] = (
        ("`get_model(id)`, hit", "`dict[id]`", _GET, GET),
        ("attribute of a touched record: `.name`", "frozen dataclass", _ATTRIBUTE.replace("{name}", "name"), None),
        ("attribute that is a default: `.version`", "frozen dataclass", _ATTRIBUTE.replace("{name}", "version"), None),
    )
    for what, rival, code, target in cases:
        pairs = json.loads(run(python, code, [workspace.library]))
        found = Comparison.of([ours for ours, _ in pairs], [dict_ for _, dict_ in pairs])
        table.lines.append(Line.ratio(what, rival, found, target))
    return table


def _queries(workspace: Workspace, python: Path, version: str, rounds: int) -> list[Table]:
    title = "time per result with 10,000 records against 100"
    first = Table(f"Queries, first call, indexes loaded: {title}, Python {version}")
    repeated = Table(f"Queries, repeated call: {title}, Python {version}")
    more = Table(f"Queries, other first calls: {title}, Python {version}")
    small, large = workspace.records(SMALL), workspace.records(LARGE)
    for what, *calls in [*((what, call, call) for what, call in _common(large)), *_rare(small, large)]:

        def compare(
            before: str, form: str, what: str = what, calls: list[str] = calls
        ) -> tuple[Comparison, Comparison, str]:
            codes = [
                _QUERY.format(module=workspace.module(count), before=before, call=form.format(call=call))
                for count, call in zip((SMALL, LARGE), calls, strict=True)
            ]
            once, again, counts = _per_result(python, codes, workspace.library, rounds)
            return once, again, f"{what}, {counts[1]} results / {counts[0]}"

        once, again, name = compare(_WARM, "{call}")
        first.lines.append(Line.ratio(name, "100 records", once, PER_RESULT))
        repeated.lines.append(Line.ratio(name, "100 records", again, PER_RESULT))
        if what in _IN_DETAIL:
            once, _, name = compare("", "{call}")
            more.lines.append(Line.ratio(f"{name}; first query of the process", "100 records", once))
            once, _, name = compare(_WARM, _TOUCH)
            more.lines.append(Line.ratio(f"{name}; and a field of each result", "100 records", once))
    return [repeated, first, more]


def _per_result(
    python: Path, codes: list[str], library: Path, rounds: int
) -> tuple[Comparison, Comparison, tuple[int, int]]:
    """Give first and repeated call, large against small, per result, and how many results each has."""
    times: list[list[tuple[float, float]]] = [[], []]
    counts = [0, 0]
    for turn in range(-1, rounds):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            first, repeated, count = json.loads(run(python, codes[side], [library]))
            counts[side] = count
            if turn >= 0:
                times[side].append((first / count, repeated / count))
    small, large = times
    first = Comparison.of([x for x, _ in large], [x for x, _ in small])
    repeated = Comparison.of([x for _, x in large], [x for _, x in small])
    return first, repeated, (counts[0], counts[1])


def _common(records: list[Record]) -> list[tuple[str, str]]:
    """Ask for the commonest value of each field: 100 times the records, about 100 times the results."""
    organization = _commonest(records, lambda record: [record["organization"]])
    tag = _commonest(records, lambda record: record.get("tags", ()))
    quantization = _commonest(records, lambda record: [record.get("quantization")])
    return [
        ("`models_by_type`", 'registry.models_by_type("dense")'),
        ("`models_by_organization`", f"registry.models_by_organization({organization!r})"),
        ("`models_by_language`", 'registry.models_by_language("en")'),
        ("`models_by_license`", 'registry.models_by_license("Apache-2.0")'),
        ("`models_by_tag`", f"registry.models_by_tag({tag!r})"),
        ("`models_by_quantization`", f"registry.models_by_quantization({quantization!r})"),
        ("`models_by_max_embedding_dim`", "registry.models_by_max_embedding_dim(512)"),
        ("`models_with_matryoshka`", "registry.models_with_matryoshka()"),
        ("`find_models`, 1 condition", 'registry.find_models(type="dense")'),
        (
            "`find_models`, 3 conditions",
            'registry.find_models(type="dense", language="en", license="Apache-2.0")',
        ),
    ]


def _rare(small: list[Record], large: list[Record]) -> list[tuple[str, str, str]]:
    """Ask for values that about as many records have in both registries: few results among many records."""
    fields: dict[str, tuple[str, Callable[[Record], Iterable[Any]]]] = {
        "`models_by_organization`, rare value": ("models_by_organization", lambda record: [record["organization"]]),
        "`models_by_family`, rare value": ("models_by_family", lambda record: [record["family"]]),
    }
    calls = []
    for what, (function, values) in fields.items():
        value, wanted = Counter(v for record in small for v in values(record)).most_common(1)[0]
        counts = Counter(v for record in large for v in values(record))
        other = min(sorted(counts), key=lambda name: abs(counts[name] - wanted))
        calls.append((what, f"registry.{function}({value!r})", f"registry.{function}({other!r})"))
    return calls


def _commonest(records: list[Record], values: Callable[[Record], Iterable[Any]]) -> Any:
    return Counter(v for record in records for v in values(record) if v is not None).most_common(1)[0][0]
