"""What models state that a format has no way to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from registry.configs import llama_router, modelfile, server_options
from registry.configs.served import Served

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
    """
    notes = []
    for served in models:
        said = _SAID[format](served)
        if names := [f"`{name}`" for name in served.parameters if name not in said]:
            notes.append(f"`{served.record.id}`: {', '.join(names)} cannot be said in this format, and is left out.")
    return tuple(notes)
