"""The identity of an embedding space: vectors of two spaces must never meet in one index."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from registry.hub.proof import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from registry.records import EmbeddingModel


def weights_of(model: EmbeddingModel, weights: tuple[Path, ...], *, is_revision: bool) -> str:
    """Name the weights: by the pinned revision, or, where nobody has proven that they are its, by their bytes.

    A file that has the pinned sha256 is the pinned revision, wherever it lies. GGUF files are always named by their
    bytes: there are several of one revision, quantized differently. Naming by bytes reads the files.
    """
    one_of_several = any(file.suffix == ".gguf" for file in weights)
    if model.revision and is_revision and not one_of_several:
        return model.revision
    digests = sorted(map(sha256_of, weights))
    if model.revision and not one_of_several and {file.sha256 for file in model.files}.issuperset(digests):
        return model.revision
    return f"sha256:{'+'.join(digests)}"


def space_id(
    model: EmbeddingModel,
    *,
    weights: str,
    dim: int,
    pooling: str | None,
    normalize: bool,
    prompts: tuple[str, str],
    precision: str,
) -> str:
    """Give a stable identity of an embedding space.

    Args:
        model: The record.
        weights: Revision or digests of the weights.
        dim: Components of a vector.
        pooling: How token states become a vector; `None` for late interaction.
        normalize: Whether vectors are scaled to length 1.
        prompts: Texts in front of queries and of documents: both sides of a search are one space.
        precision: How vectors are stored: `float32`, `int8`, `binary`.

    Returns:
        `<repository>:<dim>:<precision>:<16 hexadecimal digits over everything above>`.
    """
    facts = [model.huggingface_id, weights, dim, pooling, normalize, prompts, precision]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return f"{model.huggingface_id}:{dim}:{precision}:{digest}"
