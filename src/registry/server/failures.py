"""What goes wrong, as an answer: a status, a code for programs, a sentence and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import PurePath
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from registry import errors


class Failure(NamedTuple):
    """A failed request.

    Attributes:
        status: HTTP status.
        code: What went wrong, for programs: `model_not_found`.
        message: What went wrong, a sentence.
        hint: What to do; empty where there is nothing.
        param: Parameter or field that is to blame.
        headers: Headers that belong to the answer, such as `Retry-After`.
    """

    status: int
    code: str
    message: str
    hint: str = ""
    param: str | None = None
    headers: Mapping[str, str] = {}

    @property
    def is_for_the_log(self) -> bool:
        """True for what somebody who runs the server has to look at: not for a lack of time or memory."""
        return self.status in (500, 502, 507)

    def envelope(self) -> dict[str, object]:
        """Give the body under `/api`."""
        error = {"code": self.code, "message": self.message, "hint": self.hint}
        return {"success": False, "error": error | ({"param": self.param} if self.param else {})}

    def openai(self) -> dict[str, object]:
        """Give the body under `/v1`, in the shape of OpenAI's API."""
        message = f"{self.message} {self.hint}".strip()
        kind = _OPENAI_TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}


STOPPING = Failure(
    503, "stopping", "The server is being stopped.", "Ask again when it is back.", None, {"Retry-After": "1"}
)
_NO_ADAPTER = Failure(
    500, "adapter_missing", "The file of the adapter is not where the server runs.", "Its log says more."
)
DESCRIBED = "`/openapi.json` describes what may be sent."
_HINTS = {404: "`/openapi.json` lists what there is.", 405: "The header `Allow` names the methods that it has."}
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}

# The first class that an error is of decides.
_STATUSES: Sequence[tuple[type[BaseException], int, str]] = (
    (errors.ModelNotFoundError, 404, "model_not_found"),
    (errors.ProfileNotFoundError, 404, "profile_not_found"),
    (errors.RoleNotFoundError, 404, "role_not_found"),
    (errors.ModelNotDownloadedError, 404, "model_not_downloaded"),
    (errors.ModelExistsError, 409, "model_exists"),
    (errors.ContextOverflowError, 400, "context_length_exceeded"),
    (errors.InvalidFieldError, 422, "invalid_field"),
    (errors.InvalidOptionError, 400, "invalid_option"),
    (errors.InvalidInputError, 400, "invalid_input"),
    (errors.TemplateError, 400, "template_cannot"),
    (errors.UnsupportedDimensionError, 400, "unsupported_dimension"),
    (errors.UnsupportedModelError, 400, "unsupported_model"),
    (errors.ModelBusyError, 429, "model_busy"),
    (errors.CatalogBusyError, 503, "catalog_busy"),
    (errors.InsufficientMemoryError, 503, "insufficient_memory"),
    (errors.MissingExtraError, 501, "missing_extra"),
    (errors.DownloadError, 502, "download_failed"),
    (errors.CacheFullError, 507, "cache_full"),
    (errors.LicenseNotAllowedError, 403, "license_not_allowed"),
    (errors.UnpinnedModelError, 403, "unpinned_model"),
    (errors.RemoteCodeNotAllowedError, 403, "remote_code_not_allowed"),
    (errors.UnsafeWeightsError, 403, "unsafe_weights"),
    (errors.CatalogFileError, 500, "catalog_unusable"),
    (errors.RegistryError, 500, "failed"),
    (asyncio.TimeoutError, 504, "timeout"),
)
_PLACES: Sequence[tuple[type[BaseException], str]] = (
    (errors.CatalogModelNotFoundError, "registry"),
    (errors.ModelExistsError, "path"),
    (errors.CatalogBusyError, "path"),
    (errors.CatalogFileError, "path"),
)
_LONGEST = 2000  # characters of a problem
_OF_FILES = (errors.ChecksumMismatchError, errors.UnsafeWeightsError, errors.ModelLoadError)
_PARAMS: Sequence[tuple[type[BaseException], str]] = (
    (errors.InvalidFieldError, "field"),
    (errors.InvalidOptionError, "option"),
    (errors.InvalidInputError, "place"),
)


def failure_of(error: BaseException) -> Failure:
    """Give the answer to an error; one that is no fault of the request says nothing of what is inside."""
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _refused(error)
    if isinstance(error, errors.ModelClosedError):  # models are closed when the server is
        return STOPPING
    if isinstance(error, errors.InvalidOptionError) and error.option == "adapter":  # requests have no such option
        return _NO_ADAPTER
    for kind, status, code in _STATUSES:
        if isinstance(error, kind):
            message, hint = _told(error)
            return Failure(status, code, message, hint, _param(error), _headers(error, status))
    return Failure(500, "internal_error", "Something went wrong in the server.", "Its log has the request id.")


def _told(error: BaseException) -> tuple[str, str]:
    """Give problem and remedy; where files and the store lie on this machine is nothing for those who ask."""
    if not isinstance(error, errors.RegistryError):
        return "It took too long.", ""
    problem, remedy = error.explained()
    if len(problem) > _LONGEST:  # what was sent stands in it
        problem = f"{problem[: _LONGEST // 2]} ... {problem[-_LONGEST // 2 :]}"
    if isinstance(error, errors.ModelNotFoundError) and not error.close_matches:
        is_stored = isinstance(error, errors.CatalogModelNotFoundError)
        remedy = f"`{'/api/models' if is_stored else '/v1/models'}` lists all there are."
    if isinstance(error, errors.ModelNotDownloadedError):
        fetch = f"Fetch them with `registry download {error.model_id}` where the server runs"
        return problem.partition(" Looked in:")[0], f"{fetch}, or start it with `--allow-download`."
    if isinstance(error, _OF_FILES):
        return _named(problem, error.path), _named(remedy, error.path)
    place = next((getattr(error, name) for kind, name in _PLACES if isinstance(error, kind)), None)
    if place is None:
        return problem, remedy
    problem = problem.replace(f"catalogue `{place}`", "catalogue").replace(f"`{place}`", "the catalogue")
    return problem[0].upper() + problem[1:], remedy


def _named(text: str, path: str) -> str:
    """Write the name of a file for its path."""
    return text.replace(path, PurePath(path).name) if path else text


def _param(error: BaseException) -> str | None:
    if isinstance(error, errors.ModelNotFoundError):
        return "model"
    if isinstance(error, errors.RoleNotFoundError):
        return "roles"
    return next((getattr(error, name, None) for kind, name in _PARAMS if isinstance(error, kind)), None)


def _headers(error: BaseException, status: int) -> dict[str, str]:
    after = error.retry_after_s if isinstance(error, errors.ModelBusyError) else 1 if status == 503 else None
    return {} if after is None else {"Retry-After": str(after)}


def _refused(error: HTTPException) -> Failure:
    """Give the answer to what the framework, or a route, refuses; a route may give a `Failure` as the detail."""
    headers = dict(error.headers or {})
    if isinstance(error.detail, Failure):
        return error.detail._replace(headers={**error.detail.headers, **headers})
    phrase = HTTPStatus(error.status_code).phrase
    said = str(error.detail)
    message = f"{phrase}." if said == phrase else said
    hint = _HINTS.get(error.status_code, "")
    return Failure(error.status_code, phrase.lower().replace(" ", "_"), message, hint, headers=headers)


def _invalid(error: RequestValidationError) -> Failure:
    problems = error.errors()
    told = "; ".join(dict.fromkeys(_problem(problem) for problem in problems))
    named = next((_place(problem) for problem in problems if _place(problem)), None)
    return Failure(422, "invalid_request", f"{told}.", DESCRIBED, named)


def _place(problem: Mapping[str, Any]) -> str:
    """Name the parameter or field; where it was, such as in the query, is left out."""
    return ".".join(map(str, problem["loc"][1:]))


def _problem(problem: Mapping[str, Any]) -> str:
    place = _place(problem)
    return f"`{place}`: {problem['msg']}" if place else f"The {problem['loc'][0]}: {problem['msg']}"
