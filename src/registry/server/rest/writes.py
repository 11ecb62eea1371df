"""What is written under `/api`. Writes take turns in one thread: no request waits for the lock of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from registry.catalog import FIELDS
from registry.catalog.fields import METRIC_FIELDS, Field
from registry.errors import CatalogBusyError, InvalidFieldError
from registry.server.answers import enveloped, json_answer, json_bytes, refusal
from registry.server.failures import Failure
from registry.server.json_bodies import read_json
from registry.server.representation import matches
from registry.server.rest.parameters import NOTHING
from registry.server.rest.query_strings import read_query
from registry.server.rest.reads import model_of
from registry.server.rest.shapes import MAX_METRICS
from registry.server.rest.texts import ModelTexts, metrics_text

if TYPE_CHECKING:
    from registry.catalog import CatalogModel
    from registry.server.services import Services

T = TypeVar("T")

MOST_WAIT_S = 30.0  # for another process that writes, and for those that asked before; then the answer is 503

_CHANGED = Failure(
    412, "precondition_failed", "The model has changed since it was read.", "Read it again, and send its new ETag."
)


class Writes:
    """The writing routes.

    Args:
        services: What the routes share.
        texts: Writes models as JSON.
    """

    def __init__(self, services: Services, texts: ModelTexts) -> None:
        self._catalog = services.catalog
        self._file = services.store_file
        self._texts = texts
        self._turns = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalogue-writes")

    async def add(self, request: Request) -> Response:
        """Add a model. Its name must be new."""
        read_query(request.scope["query_string"], NOTHING)
        fields = _object(await read_json(request), FIELDS)
        if fields.get("name") is None:
            raise InvalidFieldError("name", "the name of the new model", None)
        model = await self._in_turn(lambda: self._catalog.add(**fields))
        return self._written(model, 201, {"location": _address(request, f"/{quote(model.name)}")})

    async def change(self, request: Request) -> Response:
        """Change fields of a model; `null` empties one. With `If-Match` only the state that was read."""
        read_query(request.scope["query_string"], NOTHING)
        changes, wanted = _object(await read_json(request), FIELDS), model_of(request)

        def change() -> CatalogModel:
            self._check(request, wanted)
            return self._catalog.update(wanted, **changes)

        return self._written(await self._in_turn(change), 200, {})

    async def remove(self, request: Request) -> Response:
        """Remove a model and its measurements. With `If-Match` only the state that was read."""
        read_query(request.scope["query_string"], NOTHING)
        wanted = model_of(request)

        def remove() -> CatalogModel:
            model = self._check(request, wanted)
            self._catalog.remove(model.id)
            return model

        model = await self._in_turn(remove)
        return json_answer(enveloped(json_bytes({"id": model.id, "name": model.name})))

    async def measure(self, request: Request) -> Response:
        """Add a measurement of a model, or a list of them: all or none."""
        read_query(request.scope["query_string"], NOTHING)
        sent, model = await read_json(request), model_of(request)
        rows = [_object(row, METRIC_FIELDS) for row in (sent if isinstance(sent, list) else [sent])]
        if not 1 <= len(rows) <= MAX_METRICS:
            raise InvalidFieldError("metrics", f"1 to {MAX_METRICS} measurements", len(rows))
        added = await self._in_turn(lambda: self._catalog.add_metrics(model, rows))
        return json_answer(enveloped(metrics_text(added), len(added)), 201, {"location": _address(request)})

    async def _in_turn(self, work: Callable[[], T]) -> T:
        asked_at = time.monotonic()

        def when_it_is_its_turn() -> T:
            waited_s = time.monotonic() - asked_at
            if waited_s > MOST_WAIT_S:  # those before it waited for another process, and so would this one
                raise CatalogBusyError(str(self._catalog.path), round(waited_s))
            self._file.check()
            return work()

        return await asyncio.get_running_loop().run_in_executor(self._turns, when_it_is_its_turn)

    def _check(self, request: Request, wanted: int | str) -> CatalogModel:
        """Refuse where the model is not in the state that the client has read."""
        model = self._catalog.get(wanted)
        match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
        if match is None and none_match is None:
            return model
        etag = self._texts.etag(model)
        if match is not None and not matches(match.encode("latin-1"), etag):
            raise refusal(_CHANGED)
        if none_match is not None and matches(none_match.encode("latin-1"), etag):
            raise refusal(_CHANGED)
        return model

    def _written(self, model: CatalogModel, status: int, headers: Mapping[str, str]) -> Response:
        etag = self._texts.etag(model).decode()
        return json_answer(self._texts.answer(model), status, {**headers, "etag": etag})


def _object(sent: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Take a JSON object; a text in it is as long as it was sent, blanks at its ends included."""
    if not isinstance(sent, dict):
        raise InvalidFieldError("body", "a JSON object", sent)
    for name, value in sent.items():
        if name in fields and any(len(text) > fields[name].max_length for text in _texts(value, fields[name])):
            raise InvalidFieldError(name, fields[name].expected, value)
    return sent


def _texts(value: Any, field: Field) -> list[str]:
    if isinstance(value, str):
        return value.split(",") if field.kind == "list" else [value]
    found = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return [each for each in found if isinstance(each, str)]


def _address(request: Request, more: str = "") -> str:
    return quote(request.scope["path"].rstrip("/")) + more
