"""Routes of the files of the pages: styles, scripts, drawings."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from registry.server.kept_answers import keep
from registry.server.web.assets import FOREVER
from registry.server.web.rendering import assets


def asset(request: Request, name: str) -> Response:
    """Give a file, to be kept for ever; its address changes with its content."""
    keep(request)
    for asset in assets().values():
        if asset.address == f"/static/{name}":
            return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": FOREVER})
    raise HTTPException(404)


def favicon() -> Response:
    """Give the drawing to browsers that look where it always was."""
    drawing = assets()["favicon.svg"]
    return Response(drawing.content, media_type=drawing.media_type, headers={"Cache-Control": "public, max-age=86400"})
