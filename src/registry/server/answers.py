"""The form of answers: the envelope, failures, and the links from page to page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from registry.server.failures import Failure

_DATA_PATHS = ("/api", "/health", "/ready", "/metrics")
_OPENAI_PATHS = "/v1"


def json_bytes(value: object) -> bytes:
    """Write JSON. A lone surrogate, which UTF-8 has no bytes for, stands there as its escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def json_answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Give an answer of JSON that is written already."""
    return Response(body, status, headers, media_type="application/json")


def enveloped(data: bytes, total: int | None = None, links: Mapping[str, str] | None = None) -> bytes:
    """Put data, which is JSON, into the envelope of a success.

    Args:
        data: What was asked for.
        total: Number of all that there is, of which a list may be a part.
        links: Relation, such as `next`, to address.
    """
    parts = [b'{"success":true,"data":', data]
    if total is not None:
        parts.append(b',"total":%d' % total)
    if links is not None:
        parts += [b',"links":', json_bytes(links)]
    return b"".join((*parts, b"}"))


def refusal(failure: Failure) -> HTTPException:
    """Give what a route raises to answer with a failure."""
    return HTTPException(failure.status, failure)  # type: ignore[arg-type] # the handler takes it as it is


def answer_of(request: Request, failure: Failure) -> Response:
    """Give a failure in the form that its address speaks: OpenAI's, the catalogue's, or a page."""
    path = request.url.path
    if path.startswith(_OPENAI_PATHS):
        return json_answer(json_bytes(failure.openai()), failure.status, failure.headers)
    if not path.startswith(_DATA_PATHS) and "text/html" in request.headers.get("accept", ""):
        from registry.server.web import pages  # which are not needed to speak JSON

        return pages.failed(request, failure)
    return json_answer(json_bytes(failure.envelope()), failure.status, failure.headers)


def page_links(path: str, query: Iterable[tuple[str, str]], *, total: int, limit: int, offset: int) -> dict[str, str]:
    """Give the addresses of the first, previous, next and last page, as far as there are any.

    Args:
        path: Path that was asked for.
        query: What was asked for there; `limit` and `offset` in it are left out.
        total: Number of all that there is.
        limit: Most on a page.
        offset: Where this page begins.
    """
    last = max(0, (total - 1) // limit * limit) if limit else 0
    offsets = {"first": 0, "last": last}
    if offset > 0:
        offsets["prev"] = max(0, min(offset - limit, last))
    if offset + limit < total and limit:
        offsets["next"] = offset + limit
    kept = [(name, value) for name, value in query if name not in ("limit", "offset")]
    base = quote(path, safe="/:@!$&'()*+,;=~")
    return {
        name: f"{base}?{urlencode([*kept, ('limit', limit), ('offset', start)])}" for name, start in offsets.items()
    }


def link_header(links: Mapping[str, str]) -> str:
    """Give the links as the `Link` header has them (RFC 8288)."""
    return ", ".join(f'<{address}>; rel="{relation}"' for relation, address in links.items())


def joined(fragments: Sequence[bytes]) -> bytes:
    """Make a JSON array of values that are written already."""
    return b"[" + b",".join(fragments) + b"]"
