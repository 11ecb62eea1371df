"""What is read under `/api`. The front keeps the answers, so that each is made once for a state of the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

import registry
from registry.server.answers import enveloped, joined, json_answer, json_bytes, link_header, page_links
from registry.server.kept_answers import keep
from registry.server.rest.parameters import METRICS, METRICS_PAGE_SIZE, NOTHING, PAGE_SIZE, SEARCH
from registry.server.rest.query_strings import read_query
from registry.server.rest.texts import ModelTexts, metrics_text
from registry.server.rest.turns import QuickOrNot

if TYPE_CHECKING:
    from registry.catalog import Catalog, ValueCount
    from registry.server.services import Services

_NUMBER_DIGITS = 18  # a number of more is that of no model
_RENAMED = {"search": "text", "max_ram": "max_ram_bytes"}


class Reads:
    """The reading routes.

    Args:
        services: What the routes share.
        texts: Writes models as JSON.
    """

    def __init__(self, services: Services, texts: ModelTexts) -> None:
        self._catalog = services.catalog
        self._file = services.store_file
        self._texts = texts
        self._turns = QuickOrNot()

    async def search(self, request: Request) -> Response:
        """Find models: by words, by filters, which ignore case, or all of them; a page at a time."""
        asked = read_query(request.scope["query_string"], SEARCH)
        asked = {_RENAMED.get(name, name): value for name, value in asked.items()}
        asked.setdefault("limit", PAGE_SIZE)

        def find() -> tuple[bytes, int]:
            page = self._catalog.search(**asked)
            return joined([self._texts.of(model) for model in page.models]), page.total

        kind = f"search {' '.join(sorted(asked))} {asked['limit'] > PAGE_SIZE}"
        data, total = await self._turns.run(kind, find)
        return _paged(request, data, total, asked["limit"], asked.get("offset", 0))

    async def get(self, request: Request) -> Response:
        """Give one model."""
        read_query(request.scope["query_string"], NOTHING)
        model = self._catalog.get(model_of(request))  # microseconds: not worth a thread
        keep(request)
        return json_answer(self._texts.answer(model))

    async def metrics(self, request: Request) -> Response:
        """Give what was measured of a model, the newest first."""
        asked = read_query(request.scope["query_string"], METRICS)
        limit, offset = asked.pop("limit", METRICS_PAGE_SIZE), asked.pop("offset", 0)
        model = model_of(request)

        def read() -> tuple[bytes, int]:
            found = self._catalog.metrics(model, **asked, limit=limit, offset=offset)
            return metrics_text(found), self._catalog.count_metrics(model, **asked)

        data, total = await self._turns.run("metrics", read)
        return _paged(request, data, total, limit, offset)

    async def stats(self, request: Request) -> Response:
        """Count models by size, family and type, and their bytes."""
        read_query(request.scope["query_string"], NOTHING)
        found = await self._turns.run("stats", self._catalog.stats)
        keep(request)
        return json_answer(enveloped(json_bytes(asdict(found))))

    def values(
        self, name: str, values_of: Callable[[Catalog], tuple[ValueCount, ...]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Make a route that lists the values of a field with the number of models that have each."""

        async def listed(request: Request) -> Response:
            read_query(request.scope["query_string"], NOTHING)
            found = await self._turns.run(name, lambda: values_of(self._catalog))
            keep(request)
            return json_answer(enveloped(json_bytes([asdict(each) for each in found]), len(found)))

        return listed

    async def health(self, request: Request) -> Response:
        """Say that the server answers, and that its store can be read."""
        read_query(request.scope["query_string"], NOTHING)
        self._file.check()
        models = (await self._turns.run("stats", self._catalog.stats)).models
        version = getattr(registry, "__version__", "unknown")
        state = {"status": "ok", "version": version, "models": models}
        return json_answer(enveloped(json_bytes(state)), headers={"cache-control": "no-store"})


def model_of(request: Request) -> int | str:
    """Give the number or the name of the model that a path means."""
    said: str = request.path_params["model"]
    return int(said) if said.isascii() and said.isdigit() and len(said) <= _NUMBER_DIGITS else said


def _paged(request: Request, data: bytes, total: int, limit: int, offset: int) -> Response:
    keep(request)
    query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    path: str = request.scope["path"]
    links = page_links(path, query, total=total, limit=limit, offset=offset)
    return json_answer(enveloped(data, total, links), headers={"link": link_header(links)})
