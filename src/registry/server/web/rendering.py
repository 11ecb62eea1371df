"""Templates and files of the pages, read once in a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry._extras import require
from registry.server.web.addresses import Asked, compare_address, model_address
from registry.server.web.assets import load_assets
from registry.server.web.facts import pieces_of, ticked, web_address
from registry.server.web.figures import count_text, moment_text, size_text, type_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

    from registry.server.web.assets import Asset

_FOLDER = Path(__file__).with_name("templates")


@cache
def assets() -> Mapping[str, Asset]:
    """Give the files of the pages by their names."""
    return load_assets()


def render(template: str, **values: Any) -> str:
    """Write a page. Whatever comes from outside is escaped.

    Raises:
        MissingExtraError: `jinja2` is not installed.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    require("jinja2", extra="server", purpose="Serving pages")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "asset": lambda name: assets()[name].address,
        "compare_address": compare_address,
        "list_address": lambda **changes: Asked().address(**changes),
        "model_address": model_address,
    }
    environment.filters |= {
        "count": count_text,
        "moment": moment_text,
        "pieces": pieces_of,
        "size": size_text,
        "ticked": ticked,
        "type": type_text,
        "web": web_address,
    }
    return environment
