"""What the queries under `/api` may say."""

from __future__ import annotations

from collections.abc import Mapping

from registry.catalog import SORTS
from registry.server.rest.query_strings import Parameter, choice, integer, size, text

_MAX_OFFSET = 10**9


def _by_name(*parameters: Parameter) -> Mapping[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


def _paging(default: int, most: int) -> tuple[Parameter, Parameter]:
    return (
        integer("limit", "Most to give at once.", least=1, most=most, default=default),
        integer("offset", "How many to pass over.", least=0, most=_MAX_OFFSET, default=0),
    )


PAGE_SIZE, METRICS_PAGE_SIZE = 50, 100

SEARCH = _by_name(
    text("search", "Words, or their beginnings, that a model has in its names, tags, capabilities or description."),
    text("family", "Family; any of those given.", repeats=True),
    text("type", "Kind of model; any of those given.", repeats=True),
    text("capability", "Capability; all of those given.", repeats=True),
    text("tag", "Tag; all of those given.", repeats=True),
    text("language", "Language, a BCP-47 tag; all of those given.", repeats=True),
    text("license", "Licence; any of those given.", repeats=True),
    size("max_ram", "Most memory that a model may need: `8GB` (10^9 bytes each), `8GiB` (2^30) or bytes."),
    choice("sort", "How to sort; `-` in front: descending.", [*SORTS, *(f"-{each}" for each in SORTS)]),
    *_paging(PAGE_SIZE, 500),
)
METRICS = _by_name(
    text("metric_type", "What was measured."),
    text("hardware_type", "`cpu`, `cuda`, `metal`."),
    text("hardware_name", "Processor or graphics card."),
    *_paging(METRICS_PAGE_SIZE, 1000),
)
NOTHING: Mapping[str, Parameter] = {}
