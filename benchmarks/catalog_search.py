"""Search in a store of 1,000,000 models against one of 10,000: the same kinds of queries, with as many results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.catalog_stores import fill
from benchmarks.measure import Line, Spread, Table, Target
from benchmarks.workspace import Workspace
from registry.catalog import Catalog

SMALL, LARGE = 10_000, 1_000_000
RATIO, P95 = Target(3), Target(20, "ms")
_QUERIES = 60  # of each kind
_MOST, _LEAST = 200, 3  # models that a query of the mix finds
_PAGE = 20
_SORTS = ("-parameters", "size", "-updated", "name", "-context", "released")
Query = dict[str, Any]


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Fill both stores, which takes some minutes, and search them in turn."""
    paths = {count: fill(workspace.folder / f"catalog_{count}.db", count) for count in (SMALL, LARGE)}
    return [_mix(paths, max(2, rounds // 3)), _broad(paths[LARGE]), _disk(paths)]


def _mix(paths: dict[int, Path], rounds: int) -> Table:
    """Search for a few models in many ways."""
    table = Table(f"A mix of queries that find {_LEAST} to {_MOST} models, {LARGE:,} against {SMALL:,} models")
    times: dict[int, dict[str, list[float]]] = {}
    for count, path in paths.items():
        with Catalog.open(path) as catalog:
            queries = {name: list(islice(make(catalog), _QUERIES)) for name, make in _KINDS.items()}
        times[count] = {name: [] for name in queries}
        for _ in range(rounds):
            with Catalog.open(path) as catalog:  # afresh: nothing is remembered
                for name, some in queries.items():
                    times[count][name] += [_timed(catalog, query) for query in some]
    for name in _KINDS:
        table.lines.append(_line(name, times[LARGE][name], times[SMALL][name]))
    every = {count: [each for some in found.values() for each in some] for count, found in times.items()}
    table.lines.append(_line("all of them", every[LARGE], every[SMALL]))
    p95_ms = _p95(every[LARGE])
    table.lines.append(Line.measured("all of them, p95", "", Spread.of([p95_ms]), "ms", "", P95))
    table.remarks.append(
        f"Ratio of the 95th percentiles; {_QUERIES} queries of each kind, each asked {rounds} times, always of a store "
        "that was just opened: totals are counted anew. Pages of 50 models."
    )
    return table


def _line(name: str, large: list[float], small: list[float]) -> Line:
    detail = (
        f"p95 {_p95(large):.1f} ms / {_p95(small):.1f} ms; median {_median(large):.1f} ms / {_median(small):.1f} ms"
    )
    return Line.measured(name, f"{SMALL:,} models", Spread.of([_p95(large) / _p95(small)]), "x", detail, RATIO)


def _broad(path: Path) -> Table:
    """Search for what a large part of the models has: no result of the same size exists among fewer models."""
    table = Table(f"Broad queries in {LARGE:,} models: asked first, and again")
    for name, query in _BROAD.items():
        with Catalog.open(path) as catalog:
            first_ms, again_ms = _timed(catalog, query), min(_timed(catalog, query) for _ in range(5))
            total = catalog.search(**query).total
        table.lines.append(
            Line.measured(name, "", Spread.of([first_ms]), "ms", f"again {again_ms:.1f} ms; finds {total:,}")
        )
    for name, ask in {"`stats()`": Catalog.stats, "`families()`": Catalog.families, "`tags()`": Catalog.tags}.items():
        with Catalog.open(path) as catalog:
            times_ms = [_milliseconds(lambda ask=ask, catalog=catalog: ask(catalog)) for _ in range(3)]  # type: ignore[misc]
        table.lines.append(Line.measured(name, "", Spread.of(times_ms[:1]), "ms", f"again {min(times_ms):.1f} ms"))
    table.remarks.append("Totals are exact: what triggers do not count already is counted when it is asked for first.")
    return table


def _disk(paths: dict[int, Path]) -> Table:
    table = Table("Size of a store")
    for count, path in paths.items():
        each = path.stat().st_size / count
        table.lines.append(Line.measured(f"{count:,} models", "", Spread.of([each]), "bytes a model"))
    return table


def _words(catalog: Catalog) -> Iterator[list[str]]:
    """Give the words of titles of models by chance."""
    with catalog._reading() as connection:
        (last,) = connection.execute("SELECT max(id) FROM models").fetchone()
    random = Random(last)
    while True:
        yield catalog.get(random.randint(1, last)).display_name.split()


def _found(catalog: Catalog, queries: Iterator[Query]) -> Iterator[Query]:
    """Give those of the queries that find neither too few nor too many."""
    return (query for query in queries if _LEAST <= catalog.search(**query).total <= _MOST)


def _names(catalog: Catalog) -> Iterator[Query]:
    return _found(catalog, ({"text": " ".join(words[:2])} for words in _words(catalog)))


def _beginnings(catalog: Catalog) -> Iterator[Query]:
    return _found(catalog, ({"text": f"{words[0][:4]} {words[1][:-2]}"} for words in _words(catalog)))


def _narrow_and_broad(catalog: Catalog) -> Iterator[Query]:
    return _found(catalog, ({"text": f"{words[1]} {words[-1]}"} for words in _words(catalog)))


def _filters(catalog: Catalog) -> Iterator[Query]:
    rare = [family.value for family in catalog.families() if _LEAST <= family.models <= _MOST]
    return ({"family": family} for family in _shuffled(rare))


def _several_filters(catalog: Catalog) -> Iterator[Query]:
    rare = _shuffled([tag.value for tag in catalog.tags() if tag.models <= 5 * _MOST])
    return _found(catalog, ({"tag": tag, "type": "chat", "capability": "code"} for tag in rare))


def _text_and_filters(catalog: Catalog) -> Iterator[Query]:
    types = ("chat", "dense")
    queries = ({"text": words[1], "type": types, "max_ram_bytes": 64 * 10**9} for words in _words(catalog))
    return _found(catalog, queries)


def _sorted(catalog: Catalog) -> Iterator[Query]:
    queries = zip(_names(catalog), _filters(catalog), strict=False)
    for number, pair in enumerate(queries):
        yield {**pair[number % 2], "sort": _SORTS[number % len(_SORTS)]}


def _later_pages(catalog: Catalog) -> Iterator[Query]:
    some = [tag.value for tag in catalog.tags() if 2 * _PAGE < tag.models <= _MOST]
    return ({"tag": tag, "limit": _PAGE, "offset": 2 * _PAGE} for tag in _shuffled(some))


def _every_model(_: Catalog) -> Iterator[Query]:
    while True:
        yield from ({"sort": sort, "offset": offset} for sort in _SORTS for offset in (0, 50, 500))


def _shuffled(values: list[str]) -> list[str]:
    Random(len(values)).shuffle(values)
    return values


_KINDS: dict[str, Callable[[Catalog], Iterator[Query]]] = {
    "two words of a name": _names,
    "two beginnings of words": _beginnings,
    "a rare word and one that many have": _narrow_and_broad,
    "a family": _filters,
    "a tag, a type and a capability": _several_filters,
    "a word, two types and memory": _text_and_filters,
    "words or a family, sorted": _sorted,
    "later pages of a tag": _later_pages,
    "all models, sorted, pages 1 to 10": _every_model,
}
_BROAD: dict[str, Query] = {
    "nothing asked": {},
    "nothing asked, from the 500,000th on": {"offset": 500_000},
    "a type": {"type": "chat"},
    "a tag, from the 20,000th on": {"tag": "retrieval", "offset": 20_000},
    "a type and a capability": {"type": "chat", "capability": "code"},
    "a type, sorted by size": {"type": "chat", "sort": "-size"},
    "memory": {"max_ram_bytes": 8 * 10**9},
    "memory and a type": {"max_ram_bytes": 8 * 10**9, "type": "chat"},
    "a word that every model has": {"text": "inputs"},
    "a word that most have": {"text": "chat"},
    "two such words": {"text": "chat law"},
    "one letter": {"text": "q"},
    "a word that many have, sorted": {"text": "law", "sort": "-parameters"},
}


def _timed(catalog: Catalog, query: Query) -> float:
    return _milliseconds(lambda: catalog.search(**query))


def _milliseconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1e3


def _p95(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.95)]


def _median(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]
