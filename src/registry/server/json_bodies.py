"""JSON that clients send: read strictly, whatever the Content-Type says."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from starlette.requests import Request

from registry.server.answers import refusal
from registry.server.failures import Failure

MOST_MEMBERS = 10_000  # of one object: each that is unknown is a problem to tell
_LONG_BYTES = 2**16  # to read more takes longer than the event loop should be kept from others


async def read_json(request: Request) -> Any:
    """Read the body of a request, a long one in another thread.

    Raises:
        HTTPException: 400: it is no JSON in UTF-8, names a member twice, has a number that JSON does not have, or is
            nested deeper or has larger objects than anything that can be asked.
    """
    body = await request.body()
    try:
        return await asyncio.to_thread(_read, body) if len(body) > _LONG_BYTES else _read(body)
    except RecursionError:
        problem = "it is nested too deeply"
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} is not UTF-8"
    except ValueError as error:
        problem = _problem(error) if body.strip() else "it is empty"
    hint = "Send it in UTF-8, with the quotes and escapes of JSON."
    raise refusal(Failure(400, "invalid_json", f"The body is not JSON: {problem}.", hint))


def _read(body: bytes) -> Any:
    return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=_unique)


def _problem(error: ValueError) -> str:
    """Say what is wrong; what Python says of long numbers is advice to programmers."""
    return "it has a number of too many digits" if "int_max_str_digits" in str(error) else str(error)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_MEMBERS:
        raise ValueError(f"an object has {len(pairs)} members, expected at most {MOST_MEMBERS}")
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{twice}` stands there twice")
    return found
