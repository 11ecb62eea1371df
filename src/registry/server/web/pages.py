"""The pages: the list at `/`, a model, models side by side, and their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from registry.catalog import SORTS
from registry.errors import CatalogModelNotFoundError, ModelNotFoundError
from registry.server.web.addresses import FACETS, PAGE_SIZE, Asked, asked_of, compare_address, is_tidy, model_address
from registry.server.web.comparison import MOST_MODELS, compared
from registry.server.web.measured import measured_of, measurement_charts
from registry.server.web.memory_chart import PARTS
from registry.server.web.model_page import model_view
from registry.server.web.narrowing import chips_of, choices_of, facet_of, sizes_of, sorts_of
from registry.server.web.page_files import asset, favicon
from registry.server.web.rendering import render
from registry.server.web.this_machine import ThisMachine
from registry.server.web.views import ListView, columns_of, machine_text, pages_of, row_of

if TYPE_CHECKING:
    from registry.catalog import CatalogModel, Metric, Page, ValueCount
    from registry.records import ModelInfo
    from registry.server.failures import Failure
    from registry.server.services import Services
    from registry.server.web.model_page import Related
    from registry.server.web.this_machine import Seen

# What fits and what is here is decided model by model: among so many at most.
_MOST_JUDGED = 5000
_TOO_MANY = (
    "So many models are not judged one by one: these need little enough by what is stated of them, "
    "or by the size of their weights and a quarter more."
)
_FIRST_JUDGED = (
    f"Only the first {_MOST_JUDGED:,} of these models were looked for on this machine. Narrow the list further."
)
_MOST_METRICS = 100
_MOST_FAMILY = 200
_MOST_CHARTED = 12
_MOST_FOUND = 8
_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - looked for, not listened on


def router(services: Services, machine: ThisMachine | None = None) -> APIRouter:
    """Give the routes of the pages.

    Args:
        services: What the routes share.
        machine: What says what this machine has. Left out: it is looked at.
    """
    pages = _Pages(services, machine or ThisMachine())
    routes = APIRouter(include_in_schema=False)
    addresses: Mapping[str, Callable[..., Response]] = {
        "/": pages.models,
        "/models/{name}": pages.model,
        "/compare": pages.compare,
        "/static/{name}": asset,
        "/favicon.ico": favicon,
    }
    for address, answer in addresses.items():
        routes.add_api_route(address, answer, methods=["GET", "HEAD"], response_model=None)
    return routes


def failed(request: Request, failure: Failure) -> HTMLResponse:  # noqa: ARG001 - others may need to know who asked
    """Give the page that says what went wrong."""
    return _failed(failure.status, failure.message, failure.hint, failure.headers)


def _failed(
    status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None, close: Sequence[str] = ()
) -> HTMLResponse:
    found = status != 404  # what is not there is no fault of the reader's
    title = "Something went wrong" if found else "Not found"
    page = render("error.html", status=status, title=title, message=message, hint=hint, close_matches=close)
    return HTMLResponse(page, status, dict(headers or {}))


class _Values(NamedTuple):
    """What can be chosen in the list, as of one revision of the store."""

    revision: str
    models: int
    by_facet: Mapping[str, Sequence[ValueCount]]


class _Pages:
    """What the pages of one application share."""

    def __init__(self, services: Services, machine: ThisMachine) -> None:
        self._catalog = services.catalog
        self._registry = services.registry
        self._options = services.options
        self._machine = machine
        self._kept_values: _Values | None = None

    def models(self, request: Request) -> Response:
        """Give the list of models."""
        pairs = request.query_params.multi_items()
        asked = asked_of(pairs, SORTS)
        if not is_tidy(pairs):  # a form sends its empty fields too: nobody should have to share those
            return RedirectResponse(asked.address(page=asked.page), 303)
        return _page("list.html", view=self._list(asked, self._machine.now()))

    def model(self, name: str) -> Response:
        """Give the page of a model; other names of it lead there."""
        try:
            model = self._get(name)
        except ModelNotFoundError as error:
            return _failed(404, f"There is no model `{name}` in the catalogue.", close=error.close_matches)
        if name != model.name:
            return RedirectResponse(model_address(model.name), 308)
        return self._model_page(model)

    def compare(self, request: Request) -> Response:
        """Give models side by side, and a search for more of them."""
        asked = list(dict.fromkeys(filter(None, request.query_params.getlist("model"))))
        models, missing = self._find(asked)
        kept = models[:MOST_MODELS]
        text = request.query_params.get("add", "").strip()[:200]
        names = [model.name for model in kept]
        view = compared([(model, self._record(model)) for model in kept], self._machine.now())
        return _page(
            "compare.html",
            view=view,
            charts=self._compared_charts(kept),
            names=names,
            only=request.query_params.get("only") == "differences",
            text=text,
            found=self._more(text, names),
            missing=missing,
            left_out=[model.name for model in models[MOST_MODELS:]],
            most=MOST_MODELS,
        )

    # The list

    def _list(self, asked: Asked, seen: Seen) -> ListView:
        found, note = self._searched(asked, seen)
        values = self._values()
        return ListView(
            asked=asked,
            rows=tuple(row_of(model, self._record(model), seen) for model in found.models),
            columns=columns_of(asked, SORTS),
            facets=tuple(facet_of(name, values.by_facet[name], asked) for name in FACETS),
            sizes=sizes_of(asked),
            sorts=sorts_of(asked, SORTS),
            chips=chips_of(asked),
            pages=pages_of(asked, found.total),
            total=found.total,
            first=found.offset + 1 if found.models else 0,
            all_models=values.models,
            machine=machine_text(seen),
            note=note,
        )

    def _values(self) -> _Values:
        """Give what can be chosen; a large store has many families, and they seldom change."""
        revision = self._catalog.revision()
        if (kept := self._kept_values) is None or kept.revision != revision:
            catalog = self._catalog
            lists = (catalog.types, catalog.families, catalog.capabilities, catalog.tags, catalog.languages)
            counts = [choices_of(values()) for values in (*lists, catalog.licenses)]
            kept = _Values(revision, catalog.stats().models, dict(zip(FACETS, counts, strict=True)))
            self._kept_values = kept
        return kept

    def _searched(self, asked: Asked, seen: Seen) -> tuple[Page, str]:
        """Give a page of what is asked for, and what has to be known of how it was found."""
        offset = (asked.page - 1) * PAGE_SIZE
        if not asked.needs_machine:
            return self._search(asked, limit=PAGE_SIZE, offset=offset), ""
        many = self._search(asked, limit=1).total > _MOST_JUDGED
        if many and (most := _most_bytes(asked, seen)) is not None:
            return self._search(asked, limit=PAGE_SIZE, offset=offset, max_ram_bytes=most), _TOO_MANY
        every = self._search(asked, limit=_MOST_JUDGED)
        kept = tuple(model for model in every.models if self._holds(asked, model, seen))
        page = replace(every, models=kept[offset : offset + PAGE_SIZE], total=len(kept), offset=offset)
        return page, _FIRST_JUDGED if many else ""

    def _holds(self, asked: Asked, model: CatalogModel, seen: Seen) -> bool:
        """Say whether a model is what this machine is asked about."""
        record = self._record(model)
        if asked.here and seen.path(record) is None:
            return False
        if not asked.fits and asked.max_ram_bytes is None:
            return True
        verdict = seen.verdict(model, record)
        most = asked.max_ram_bytes
        small_enough = most is None or (verdict.need_bytes is not None and verdict.need_bytes <= most)
        return small_enough and (not asked.fits or verdict.state == "fits")

    def _search(self, asked: Asked, *, limit: int, offset: int = 0, max_ram_bytes: int | None = None) -> Page:
        conditions: dict[str, Any] = {name: getattr(asked, name) or None for name in FACETS}
        conditions["max_ram_bytes"] = max_ram_bytes
        return self._catalog.search(asked.search, **conditions, sort=asked.sort or None, limit=limit, offset=offset)

    # One model

    def _model_page(self, model: CatalogModel) -> Response:
        record = self._record(model)
        view = model_view(
            model,
            record,
            sources=self._registry.get_sources(record) if record is not None else {},
            family=self._family(model),
            seen=self._machine.now(),
            base_url=self._base_url(),
            needs_key=self._options.api_key is not None,
        )
        metrics = self._catalog.metrics(model.id, limit=_MOST_METRICS)
        return _page(
            "model.html",
            view=view,
            metrics=measured_of(metrics),
            charts=self._charts(model, metrics, [*view.quantizations, *view.siblings]),
            parts_of_memory=PARTS,
        )

    def _charts(self, model: CatalogModel, metrics: Sequence[Metric], related: Sequence[Related]) -> Sequence[str]:
        """Draw what was measured of a model, beside the same of its relatives."""
        if not metrics:
            return ()
        kinds = {(metric.metric_type, metric.hardware_name) for metric in metrics}
        names, found = {model.id: model.name}, list(metrics)
        for other in related[:_MOST_CHARTED]:
            of_other = self._catalog.metrics(other.name, limit=_MOST_METRICS)
            found += [metric for metric in of_other if (metric.metric_type, metric.hardware_name) in kinds]
            names |= {metric.model_id: other.name for metric in of_other}
        return measurement_charts(found, names)

    def _compared_charts(self, models: Sequence[CatalogModel]) -> Sequence[str]:
        """Draw what was measured of models that stand side by side."""
        found = [metric for model in models for metric in self._catalog.metrics(model.id, limit=_MOST_METRICS)]
        return measurement_charts(found, {model.id: model.name for model in models}) if len(models) > 1 else ()

    def _family(self, model: CatalogModel) -> list[tuple[CatalogModel, ModelInfo | None]]:
        if model.model_family is None:
            return []
        found = self._catalog.search(family=model.model_family, limit=_MOST_FAMILY)
        return [(other, self._record(other)) for other in found.models]

    def _base_url(self) -> str:
        """Give where this server answers. What a request says of it is not believed: pages may be kept for others."""
        host = "127.0.0.1" if self._options.host in _ANYWHERE else self._options.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._options.port}"

    # Looking up

    def _get(self, name: str) -> CatalogModel:
        """Give a model by number, name or alias.

        Raises:
            CatalogModelNotFoundError: There is none.
        """
        try:
            return self._catalog.get(int(name) if name.isascii() and name.isdigit() and len(name) < 19 else name)
        except CatalogModelNotFoundError:
            record = self._registry.find_model(name)
            if record is None or record.id == name:
                raise
            return self._catalog.get(record.id)

    def _find(self, names: Sequence[str]) -> tuple[list[CatalogModel], list[str]]:
        """Give the models that there are, each once, and the names that none has."""
        found: dict[int, CatalogModel] = {}
        missing = []
        for name in names[: 3 * MOST_MODELS]:
            try:
                model = self._get(name)
            except CatalogModelNotFoundError:
                missing.append(name)
            else:
                found[model.id] = model
        return list(found.values()), missing

    def _more(self, text: str, names: Sequence[str]) -> list[tuple[CatalogModel, str]] | None:
        """Give models that can be added, each with the address that adds it; `None` where none are searched for."""
        if not text:
            return None
        found = self._catalog.search(text, limit=_MOST_FOUND + MOST_MODELS).models
        other = [model for model in found if model.name not in names][:_MOST_FOUND]
        return [(model, compare_address([*names, model.name])) for model in other]

    def _record(self, model: CatalogModel) -> Any:
        """Give the typed record of a model that is a registry's."""
        return None if model.source == "user" else self._registry.find_model(model.name)


def _most_bytes(asked: Asked, seen: Seen) -> int | None:
    """Give the most memory that the store alone can be asked for; `None` where it cannot decide."""
    if asked.here or (asked.fits and seen.free_bytes is None):
        return None
    wanted = (asked.max_ram_bytes, seen.free_bytes if asked.fits else None)
    return min(size for size in wanted if size is not None)


def _page(template: str, **values: Any) -> HTMLResponse:
    # How much memory is free changes without anything in the store having changed: nobody keeps a page unasked.
    return HTMLResponse(render(template, **values), headers={"Cache-Control": "no-cache"})
