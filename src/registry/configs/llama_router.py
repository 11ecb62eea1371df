"""The presets of llama.cpp's own router: `llama-server --models-preset FILE`."""

from __future__ import annotations

from collections.abc import Sequence

from registry.configs.plain import checked
from registry.configs.served import Served
from registry.configs.server_options import said as server_options_said
from registry.configs.server_options import server_options

_HEAD = """\
; Made by `registry export --format llama-router`. Change the records or the profile, and make it anew.
; llama-server --models-preset FILE
"""
# A value ends where a comment begins, also within a word, and there are no quotes.
_ENDS_VALUE = (";", "#")
_ENDS_NAME = ("]",)
_RESERVED = ("*", "default")  # settings for all models, and those before the first section


def llama_router_preset(models: Sequence[Served]) -> str:
    """Write presets for llama.cpp's router, a section for each model.

    There is no `version` in front: versions of the router that read one take it for a model called `default`.

    Raises:
        UnsupportedModelError: An id, an alias or a path has something that the format has no way to say.
    """
    return "\n".join([_HEAD, *map(_section, models)])


def said(served: Served) -> frozenset[str]:
    """Name the parameters that a preset can say: of an option that is given several times, it keeps the last."""
    return server_options_said(served) - ({"stop"} if several_stops(served) else set())


def several_stops(served: Served) -> tuple[str, ...]:
    """Give the stop sequences, as they would be written, where there are more than a preset has room for."""
    stops = server_options(served).get("reverse-prompt")
    return stops if isinstance(stops, tuple) and _is_several(stops) else ()


def _is_several(value: object) -> bool:
    return isinstance(value, tuple) and len(value) > 1


def _value(value: str | int | float | tuple[str, ...] | None) -> str:
    if value is None:
        return "true"
    return value[0] if isinstance(value, tuple) else str(value)


def _section(served: Served) -> str:
    model_id = served.record.id
    checked(model_id, model_id, "the id", without=_ENDS_NAME)
    if model_id in _RESERVED:
        checked(model_id, model_id, "the id", without=(model_id,))
    values = {name: _value(value) for name, value in server_options(served).items() if not _is_several(value)}
    if served.aliases:
        aliases = [checked(alias, model_id, "an alias", without=(*_ENDS_VALUE, ",")) for alias in served.aliases]
        values["alias"] = ",".join(aliases)
    for name, value in values.items():
        checked(value, model_id, "the path" if name == "model" else f"`{name}`", without=_ENDS_VALUE)
    return "".join([f"[{model_id}]\n", *(f"{name} = {value}\n" for name, value in values.items())])
