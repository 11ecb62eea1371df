"""Names of the parameters that the provider `transformers` knows, by what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.records import EmbeddingModel

if TYPE_CHECKING:
    from registry.records import ModelInfo

SAMPLING = ("temperature", "top_p", "top_k", "repeat_penalty")
ANSWERING = (
    *SAMPLING,
    "min_p",
    "max_tokens",
    "stop",
    "seed",
    "tools",
    "tool_choice",
    "template_options",
    "response_format",
)
"""They say how to answer."""

PLACING = (
    "load_in_4bit",
    "max_seq_length",
    "context_length",
    "offload_threshold",
    "dtype",
    "device",
    "revision",
    "allow_unpinned",
)
"""They say how a model is loaded."""

ENCODING = ("dimensions",)
"""They say how vectors are made."""


def known_to_transformers(record: ModelInfo | None) -> frozenset[str]:
    """Give the names of the parameters that mean something to a model: an encoder's record, or what generates text."""
    return frozenset((*PLACING, *(ENCODING if isinstance(record, EmbeddingModel) else ANSWERING)))
