"""A model as options of `llama-server`, by their long names without the dashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from registry.configs.served import Served
from registry.records import ChatModel, EmbeddingModel, RerankerModel

Options: TypeAlias = dict[str, str | int | float | None]
"""Values by option; `None` for a switch."""

# More than any model has. `all`, and -1 for it, mean something in some versions only.
_ALL_LAYERS = 999
_POOLINGS = {"mean": "mean", "cls": "cls", "last-token": "last"}
# Names of this library, and whatever else a role may state -> options.
_SAMPLING = {
    "temperature": "temp",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
    "repeat_penalty": "repeat-penalty",
    "presence_penalty": "presence-penalty",
    "frequency_penalty": "frequency-penalty",
    "seed": "seed",
    "max_tokens": "n-predict",
}


def server_options(served: Served) -> Options:
    """Give the options that serve a model as this library would: its context, its sampling, its pooling."""
    options: Options = {"model": str(served.path)}
    record = served.record
    if isinstance(record, ChatModel):
        return options | _chat(record, served.parameters)
    context = served.parameters.get("context_length") or record.context_length
    if context:
        # An encoder attends to all tokens of a text at once: they must be in one physical batch.
        options |= {"ctx-size": context, "batch-size": context, "ubatch-size": context}
    if isinstance(record, RerankerModel):
        return options | {"reranking": None}
    options["embeddings"] = None
    if isinstance(record, EmbeddingModel):
        if record.pooling in _POOLINGS:
            options["pooling"] = _POOLINGS[str(record.pooling)]
        options["embd-normalize"] = -1 if record.normalize is False else 2
    return options


def _chat(record: ChatModel, parameters: Mapping[str, Any]) -> Options:
    runtime, defaults = record.runtime, record.defaults
    options: Options = {
        "ctx-size": parameters.get("context_length", runtime.context_length),
        "n-gpu-layers": _ALL_LAYERS if runtime.gpu_layers < 0 else runtime.gpu_layers,
        "batch-size": runtime.batch_size,
    }
    if runtime.threads is not None:
        options["threads"] = runtime.threads
    stated = {name: getattr(defaults, name) for name in ("temperature", "top_k", "top_p", "repeat_penalty")}
    # The server's own default would cut the tail that `top_p` is asked to keep.
    stated |= {"min_p": 0.0} | dict(parameters)
    return options | {option: stated[name] for name, option in _SAMPLING.items() if _is_number(stated.get(name))}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
