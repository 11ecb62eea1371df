"""JSON that clients send: read strictly, whatever the Content-Type says."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.requests import Request

from registry.server.answers import refusal
from registry.server.failures import Failure


async def read_json(request: Request) -> Any:
    """Read the body of a request.

    Raises:
        HTTPException: 400: it is no JSON in UTF-8, names a member twice, or has a number that JSON does not have.
    """
    body = await request.body()
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:  # no UTF-8 and no JSON are both of this kind
        problem = str(error) if body.strip() else "it is empty"
    hint = "Send it in UTF-8, with the quotes and escapes of JSON."
    raise refusal(Failure(400, "invalid_json", f"The body is not JSON: {problem}.", hint))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{twice}` stands there twice")
    return found
