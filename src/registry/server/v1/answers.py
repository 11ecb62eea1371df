"""How answers under `/v1` are described in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str = Field(description="What is wrong, and what to do.")
    type: str = Field(description="`invalid_request_error`, `not_found_error`, `rate_limit_error`, `server_error`, ...")
    param: str | None = Field(description="The parameter that is to blame, such as `messages[0].content`.")
    code: str | None = Field(description="What went wrong, for programs: `model_not_found`, `model_busy`, ...")


class ErrorAnswer(BaseModel):
    """Every failure, in the shape of OpenAI's API."""

    error: ErrorDetail


_MEANINGS = {
    400: "The request is not of this shape, or asks for what the model cannot do.",
    401: "The API key is missing or wrong.",
    403: "A page of another site asks, or the model may not be used here.",
    404: "There is no such model, or its files are not on this machine.",
    413: "The body is too long.",
    429: "The model is busy. `Retry-After` says when to try again.",
    500: "Something broke.",
    501: "A package that the model needs is not installed.",
    502: "The files of the model could not be fetched.",
    503: "There is not enough memory, or the server is being stopped.",
    504: "It took too long.",
    507: "There is no room on the disk for the files of the model.",
}

FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": meaning} for status, meaning in _MEANINGS.items()
}


def streamed(answer: type[BaseModel]) -> dict[str, Any]:
    """Describe an answer that is one object, or with `stream` events."""
    chunks = '`data: {...}` for each chunk, `data: [DONE]` at the end; `data: {"error": ...}` where it breaks off.'
    events = {"text/event-stream": {"schema": {"description": chunks}}}
    return {"model": answer, "description": "The answer.", "content": events}
