"""How requests under `/v1` are read: JSON whatever they say they are, checked, and faults named by place."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from registry.server.answers import refusal
from registry.server.failures import DESCRIBED, Failure
from registry.server.json_bodies import read_json
from registry.server.v1.fair_queue import Client

_MOST_PROBLEMS = 5
_LONGEST_NAME = 200  # characters
_LONGEST_SHOWN = 80  # characters of a wrong value
_REASONS = {
    "extra_forbidden": "there is no such parameter",
    "model_attributes_type": "expected a JSON object",
}
_SAID = ("missing", "extra_forbidden", "cannot_be_honoured", "token_ids")  # problems that say all there is to say
_TOKENS = (
    "expected texts, got token ids, which only the model's own tokenizer can give. Send the texts "
    "(LangChain: `OpenAIEmbeddings(check_embedding_ctx_length=False)`)."
)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Integers as JSON Schema has them, where 1.0 is one.
AtLeast1: TypeAlias = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
AtLeast0: TypeAlias = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
Int64: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63), BeforeValidator(_whole)]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_NAME)]
Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]


class Shape(BaseModel):
    """What a request may say: no value is made into one of another type, and no name is passed over."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class JsonRoute(APIRoute):
    """A route that reads JSON from any body, as `curl -d` sends it, and answers 400 to what is not of its shape."""

    def get_route_handler(self) -> Handler:
        """Give what handles a request."""
        handle = super().get_route_handler()

        async def read_as_json(request: Request) -> Response:
            headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
            scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
            inner = _JsonRequest(scope, request.receive)
            inner.sent = await read_json(inner)
            try:
                return await handle(inner)
            except RequestValidationError as error:
                raise refusal(_invalid(error)) from error

        return read_as_json


class _JsonRequest(Request):
    sent: Any = None

    async def json(self) -> Any:
        """Give the body, which was read already."""
        return self.sent


def items(most: int) -> tuple[Any]:
    """Give what bounds a list in a request: its length, and the problems told of it to those of the first bad item."""
    return (Field(max_length=most, fail_fast=True),)


def kind_of(value: object) -> str:
    """Tell a list from a text: which of two alternatives a value is to be checked against."""
    return "<list>" if isinstance(value, list) else "<text>"


def no_tokens(value: object) -> object:
    """Refuse token ids in place of texts, which OpenAI's API takes: a validator of pydantic."""
    if isinstance(value, list) and value and isinstance(value[0], int | list):
        raise PydanticCustomError("token_ids", "{text}", {"text": _TOKENS})
    return value


def client_of(request: Request, *users: str | None) -> Client:
    """Say who asks: the address, and the first user that the request names."""
    return Client(request.client.host if request.client else "", next(filter(None, users), ""))


def only(*values: object, remedy: str = "") -> Any:
    """Give the type of a parameter that OpenAI's API has, and of which nothing but these values can be honoured.

    Args:
        values: The values that change nothing; `None` is one in any case.
        remedy: What to do instead.
    """
    shown = " or ".join(json.dumps(value) for value in values)
    expected = f"expected it to be left out{f', or {shown}' if shown else ''}: this server cannot honour it."

    def check(value: object) -> object:
        if value is None or any(_is_same(value, allowed) for allowed in values):
            return value
        raise PydanticCustomError("cannot_be_honoured", "{text}", {"text": f"{expected} {remedy}".strip()})

    return BeforeValidator(check), WithJsonSchema({"enum": [*values, None]})


def _is_same(value: object, allowed: object) -> bool:
    return value == allowed and isinstance(value, bool) == isinstance(allowed, bool)


def _invalid(error: RequestValidationError) -> Failure:
    problems = error.errors()
    told = list(dict.fromkeys(_told(problem, error.body) for problem in problems))
    more = f"; and {len(told) - _MOST_PROBLEMS} more problems" if len(told) > _MOST_PROBLEMS else ""
    message = "; ".join(told[:_MOST_PROBLEMS])
    named = _place(problems[0]["loc"], error.body) if problems else ""
    return Failure(400, "invalid_request", f"{message}{more}.", DESCRIBED, named or None)


def _told(problem: Mapping[str, Any], body: object) -> str:
    place = _place(problem["loc"], body)
    reason = _REASONS.get(problem["type"]) or problem["msg"].rstrip(".")
    got = problem.get("input")
    if problem["type"] not in _SAID and (got is None or isinstance(got, bool | int | float | str)):
        reason += f", got {json.dumps(got)[:_LONGEST_SHOWN]}"
    return f"`{place}`: {reason}" if place else f"The body: {reason}"


def _place(location: Sequence[str | int], body: object) -> str:
    """Write where a problem is as `messages[0].content`; names of alternatives, which the body lacks, are left out."""
    place, here = "", body
    for number, step in enumerate(location[1:], start=2):
        if isinstance(here, list) and isinstance(step, int):
            place, here = f"{place}[{step}]", here[step]
        elif isinstance(here, dict) and (step in here or number == len(location)):
            place, here = f"{place}.{step}" if place else f"{step}", here.get(step)
    return place
