"""Which HTTP methods an address has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Match

if TYPE_CHECKING:
    from starlette.types import Scope

_OF_ROUTES = ("GET", "POST", "PUT", "PATCH", "DELETE")
_KNOWN = frozenset({*_OF_ROUTES, "HEAD", "OPTIONS"})


def allowed_methods(scope: Scope) -> tuple[str, ...]:
    """Give the methods of an address; none where there is no such address.

    The router itself names those of one route only, and an address may have several.
    """
    asked: dict[str, Any] = {name: scope[name] for name in ("type", "path", "headers", "query_string", "app")}
    asked["root_path"] = scope.get("root_path", "")
    found = [method for method in _OF_ROUTES if _is_routed({**asked, "method": method})]
    if not found:
        return ()
    reads = ["GET", "HEAD"] if found[0] == "GET" else []
    return (*reads, *(method for method in found if method != "GET"), "OPTIONS")


def counted_as(method: str) -> str:
    """Give the name that a method is counted under: what clients make up shall not fill the memory."""
    return method if method in _KNOWN else "OTHER"


def _is_routed(scope: Scope) -> bool:
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)
