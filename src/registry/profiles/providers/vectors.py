"""Vectors that services give: asked for in batches, with the prompts of the record, and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from registry.errors import InvalidOptionError, ProviderModelError
from registry.loaders.texts import check_texts
from registry.records import EmbeddingModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.profiles.protocol import Target, TextKind

# Each batch has a time-out of its own: a large number of texts shall not look like a service that hangs.
AT_ONCE = 32


def embedded(
    ask: Callable[[list[str]], Any],
    texts: Sequence[str],
    *,
    provider: str,
    model: Target,
    kind: TextKind | None,
    dimensions: int | None,
) -> NDArray[Any]:
    """Turn texts into vectors, float32 of shape (texts, dimensions).

    Args:
        ask: Turns some texts into vectors, lists of numbers.
        texts: The texts.
        provider: Name of the provider, for errors.
        model: The model; the prompts of its record are put in front of the texts.
        kind: What the texts are; `None` for no prompt.
        dimensions: Size that was asked for; `None` for the model's own.

    Raises:
        InvalidInputError: One of the texts is none.
        ProviderModelError: The vectors are not those that were asked for.
    """
    import numpy as np

    check_dimensions(dimensions)
    prompted = _prompted(texts, model, kind)
    if not prompted:
        size = dimensions or (model.record.embedding_dim if isinstance(model.record, EmbeddingModel) else 0)
        return np.empty((0, size), np.float32)
    found: list[Any] = []
    for start in range(0, len(prompted), AT_ONCE):
        asked = prompted[start : start + AT_ONCE]
        given = ask(asked)
        if len(given) != len(asked):
            raise _wrong(provider, model, f"{len(asked)} vectors", str(len(given)))
        found.extend(given)
    return _checked(found, provider, model, dimensions)


def _checked(found: Sequence[Any], provider: str, model: Target, dimensions: int | None) -> NDArray[Any]:
    """Give vectors as an array, if that is what they are."""
    import numpy as np

    if not all(isinstance(vector, list | tuple) and vector for vector in found):
        raise _wrong(provider, model, "lists of numbers", "others")
    sizes = {len(vector) for vector in found}
    if len(sizes) != 1 or (dimensions is not None and sizes != {dimensions}):
        expected = f"vectors of {dimensions} components" if dimensions else "vectors of one size"
        raise _wrong(provider, model, expected, ", ".join(map(str, sorted(sizes))))
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and refused below
            vectors = np.asarray(found, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise _wrong(provider, model, "lists of numbers", "others") from error
    if vectors.ndim != 2:
        raise _wrong(provider, model, "lists of numbers", "others")
    if not np.isfinite(vectors).all():
        raise _wrong(provider, model, "finite numbers", "others")
    return vectors


def check_dimensions(dimensions: object) -> None:
    """Refuse what is no size of a vector.

    Raises:
        InvalidOptionError: It is none.
    """
    if dimensions is not None and not (type(dimensions) is int and dimensions >= 1):
        raise InvalidOptionError("dimensions", "an integer of at least 1", dimensions)


def _prompted(texts: Sequence[str], model: Target, kind: TextKind | None) -> list[str]:
    record = model.record
    prompt = ""
    if kind is not None and isinstance(record, EmbeddingModel):
        prompt = (record.query_prompt if kind == "query" else record.document_prompt) or ""
    return [prompt + text for text in check_texts(texts)]


def _wrong(provider: str, model: Target, expected: str, got: str) -> ProviderModelError:
    problem = f"It gives wrong vectors: expected {expected}, got {got}."
    return ProviderModelError(provider, model.name, problem, "Choose another model, or update the service.")
