"""A model as options of `llama-server`, by their long names without the dashes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from registry.configs.served import Served
from registry.records import ChatModel, EmbeddingModel, RerankerModel

Options: TypeAlias = dict[str, str | int | float | tuple[str, ...] | None]
"""Values by option; `None` for a switch, a tuple for an option that is given once for each of its values."""

# More than any model has. `all`, and -1 for it, mean something in some versions only.
_ALL_LAYERS = 999
_PLAIN = "!%&()*+,-./:<=>?@[]^_{|}~"
_POOLINGS = {"mean": "mean", "cls": "cls", "last-token": "last"}
# Names of this library, and whatever else a role may state -> options.
_SAMPLING = {
    "temperature": "temp",
    "top_k": "top-k",
    "top_p": "top-p",
    "min_p": "min-p",
    "typical_p": "typical-p",
    "repeat_last_n": "repeat-last-n",
    "repeat_penalty": "repeat-penalty",
    "presence_penalty": "presence-penalty",
    "frequency_penalty": "frequency-penalty",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat-ent",
    "mirostat_eta": "mirostat-lr",
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
        options["ctx-size"] = context
        if not (isinstance(record, EmbeddingModel) and record.pooling == "last-token"):
            # All tokens of a text are attended to at once: they must be in one physical batch. One that looks back
            # only is read in pieces; a batch as long as the contexts of such models would take gigabytes.
            options |= {"batch-size": context, "ubatch-size": context}
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
    options |= {option: stated[name] for name, option in _SAMPLING.items() if is_number(stated.get(name))}
    if stops := parameters.get("stop"):
        options["reverse-prompt"] = tuple(_escaped(stop) for stop in stops)
    return options


def said(served: Served) -> frozenset[str]:
    """Name the parameters that options can say."""
    if not isinstance(served.record, ChatModel):
        return frozenset({"context_length"})
    numbers = (name for name in _SAMPLING if is_number(served.parameters.get(name)))
    return frozenset({"context_length", "stop", *numbers})


def _escaped(text: str) -> str:
    """Write a text with the escapes of C, which the server reads: so nothing else takes a sign of it for its own."""
    return "".join(
        sign if sign.isalnum() or sign in _PLAIN else "".join(f"\\x{byte:02x}" for byte in sign.encode())
        for sign in text
    )


def is_number(value: object) -> bool:
    """True for what can be written as a number; a JSON document may have one that is infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
