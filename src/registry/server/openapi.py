"""The description of the interface: what the framework knows of the routes, and what the front adds to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

import registry
from registry.server.admin.shapes import SCHEMAS as ADMIN_SCHEMAS
from registry.server.rest.shapes import SCHEMAS as CATALOG_SCHEMAS
from registry.server.schemas import reference
from registry.server.security import ADMIN, OPEN_TO_ALL

Described = dict[str, Any]

_TEXT = """
The catalogue under `/api`, models in the shape of OpenAI's API under `/v1`.

Writes under `/api` need the API key. So does all of `/v1` where the server has a key, and everything but `/health` and
`/ready` where it listens to other machines. What is under `/api/v1` needs the admin token instead, and is only there
where the server has one. `HEAD` and `OPTIONS` are answered for every path; each answer has an `X-Request-ID`,
`X-Content-Type-Options`, `Content-Security-Policy`, `Cross-Origin-Resource-Policy` and `Cache-Control` header.
"""
_SCHEMES = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The API key."},
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The API key."},
    "AdminToken": {"type": "http", "scheme": "bearer", "description": "The admin token."},
}
_KEY: list[dict[str, list[str]]] = [{"Bearer": []}, {"ApiKey": []}]
_TOKEN: list[dict[str, list[str]]] = [{"AdminToken": []}]
_STRING = {"type": "string"}
_HEADERS: Mapping[str, Described] = {
    "X-Request-ID": {"description": "Id of the request: the client's own, or a new one.", "schema": _STRING},
    "Cache-Control": {"description": "Who may keep the answer.", "schema": _STRING},
    "ETag": {"description": "Tag of this state, for `If-None-Match` and `If-Match`.", "schema": _STRING},
    "Vary": {"description": "Headers of the request that the answer depends on.", "schema": _STRING},
    "Link": {"description": "Addresses of other pages (RFC 8288).", "schema": _STRING},
    "Location": {"description": "Address of what was added.", "schema": _STRING},
    "WWW-Authenticate": {"description": "How to send the key.", "schema": _STRING},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
}
_ALWAYS = ("X-Request-ID", "Cache-Control")
_BY_STATUS: Mapping[str, tuple[str, ...]] = {
    "201": ("Location",),
    "304": ("ETag", "Vary"),
    "401": ("WWW-Authenticate",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
_OF_ALL = {
    "400": "The request cannot be read, or a parameter is wrong.",
    "401": "The API key is missing or wrong.",
    "403": "The server has no key and is read-only, the page of another site asks, or the host is not this one.",
    "500": "Something broke in the server.",
    "503": "The store, or the server, cannot do this now.",
}
_OF_ADMINISTRATION = {"401": "The admin token is missing or wrong."}
_OF_MODELS = {"404": "There is no such model."}
_OF_BODIES = {"408": "The body did not arrive in time.", "413": "The body is too long."}
_OF_FIELDS = {"422": "A field cannot have its value."}
_OF_READS = {"304": "The client has this answer already."}
_OF_NAMES = {"409": "There is a model of this name already."}
_OF_CHANGES = {"412": "The model is not in the state that `If-Match` names."}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETag of an answer that the client has: 304 where it is still right.",
    "schema": _STRING,
}


def describe(app: FastAPI) -> None:
    """Let the application give the whole description, at `/openapi.json`."""
    made: Described = {}

    def openapi() -> Described:
        if not made:
            made.update(description_of(app))
        return made

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way


def description_of(app: FastAPI) -> Described:
    """Make the OpenAPI document: the same one for the same routes."""
    made = get_openapi(
        title="typed-model-registry",
        version=getattr(registry, "__version__", "0"),
        description=_TEXT.strip(),
        routes=app.routes,
    )
    components: Described = made.setdefault("components", {})
    schemas: Described = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for made_here in (CATALOG_SCHEMAS, ADMIN_SCHEMAS):
        if taken := sorted(set(schemas) & set(made_here)):
            raise ValueError(f"two schemas have the names {', '.join(taken)}")
        schemas.update(made_here)
    components["schemas"] = dict(sorted(schemas.items()))
    components["securitySchemes"] = _SCHEMES
    components["headers"] = dict(_HEADERS)
    for path, method, operation in _operations(made):
        _complete(path, method, operation)
    _whole_bounds(made)
    return made


def _whole_bounds(node: Any) -> None:
    """Write the bounds of whole numbers as such: the framework makes them floats, which do not hold 2**63 - 1."""
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _whole_bounds(inner)
    if not isinstance(node, dict) or node.get("type") != "integer":
        return
    for bound, inclusive, step in (("exclusiveMaximum", "maximum", -1), ("exclusiveMinimum", "minimum", 1)):
        if bound in node:
            node[inclusive] = int(node.pop(bound)) + step
    for bound in ("minimum", "maximum"):
        if bound in node:
            node[bound] = int(node[bound])


def _operations(document: Described) -> Iterator[tuple[str, str, Described]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _complete(path: str, method: str, operation: Described) -> None:
    """Add what the front may answer, before or instead of the route."""
    responses: Described = operation["responses"]
    if path.startswith("/v1") and method != "GET":
        responses.pop("422", None)  # the framework's: these routes answer 400
    failure = reference("ErrorAnswer" if path.startswith("/v1") else "CatalogFailure")
    for status, meaning in _failures(path, method).items():
        known = responses.get(status, {})
        if "HTTPValidationError" in str(known) or "content" not in known:
            content = {} if status == "304" else {"content": {"application/json": {"schema": failure}}}
            responses[status] = {"description": meaning, **content}
    if method == "GET" and _has_tag(path):
        operation["parameters"] += [_IF_NONE_MATCH]
    for status, response in responses.items():
        response["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"} for name in _headers(path, method, status)
        }
    operation["responses"] = dict(sorted(responses.items()))
    operation["security"] = _security(path, method)


def _has_tag(path: str) -> bool:
    """Say whether reads are answered with an entity tag, and with 304 where the client has that."""
    return path.startswith("/api") and not path.startswith(ADMIN)


def _failures(path: str, method: str) -> dict[str, str]:
    found = dict(_OF_ALL)
    if path.startswith(ADMIN):
        found |= _OF_ADMINISTRATION
        return found if method == "GET" else found | _OF_BODIES | _OF_FIELDS
    if path.startswith("/v1"):
        found |= {} if method == "GET" else _OF_BODIES
        return found | ({"422": "A parameter cannot have its value."} if method == "GET" else {})
    is_model = "{model}" in path
    found |= _OF_MODELS if is_model else {}
    if method == "GET":
        return found | (_OF_READS if _has_tag(path) else {})
    found |= _OF_BODIES
    found |= _OF_CHANGES if method in ("PATCH", "DELETE") else {}
    found |= _OF_FIELDS if method in ("POST", "PATCH") else {}
    return found | (_OF_NAMES if not is_model or method == "PATCH" else {})


def _headers(path: str, method: str, status: str) -> tuple[str, ...]:
    names = (*_ALWAYS, *_BY_STATUS.get(status, ()))
    if status == "200" and method == "GET" and not path.startswith(ADMIN):
        names += ("ETag", "Vary")
    if path in ("/api/models", "/api/models/{model}/metrics") and method == "GET" and status in ("200", "304"):
        names += ("Link",)
    return names


def _security(path: str, method: str) -> list[dict[str, list[str]]]:
    if path in OPEN_TO_ALL:
        return []
    if path.startswith(ADMIN):
        return _TOKEN
    return _KEY if method != "GET" and not path.startswith("/v1") else [{}, *_KEY]
