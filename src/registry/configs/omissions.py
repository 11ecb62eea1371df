"""What models state that a format has no way to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from registry.configs import llama_router, modelfile, server_options
from registry.configs.served import Served
from registry.errors import InvalidOptionError

_SAID: Mapping[str, Callable[[Served], frozenset[str]]] = {
    "llama-swap": server_options.said,
    "llama-router": llama_router.said,
    "modelfile": modelfile.said,
}


def omitted(models: Iterable[Served], format: str) -> tuple[str, ...]:
    """Name the parameters that are stated and not written, a sentence for each model that has some.

    Args:
        models: The models.
        format: `llama-swap`, `llama-router` or `modelfile`.

    Raises:
        InvalidOptionError: There is no such format.
    """
    if format not in _SAID:
        raise InvalidOptionError("format", f"one of {', '.join(_SAID)}", format)
    notes = []
    for served in models:
        said = _SAID[format](served)
        names = [name for name in served.parameters if name not in said]
        if format == "llama-router" and (stops := llama_router.several_stops(served)):
            names.remove("stop")
            why = f"a preset holds one stop sequence, {len(stops)} are stated, and none is written"
            remedy = "send them with each request (`stop`), or use llama-swap"
            notes.append(f"`{served.record.id}`: {why}: {remedy}.")
        if names:
            is_ = "is" if len(names) == 1 else "are"
            listed = ", ".join(f"`{name}`" for name in names)
            notes.append(f"`{served.record.id}`: {listed} cannot be said in this format, and {is_} left out.")
    return tuple(notes)
