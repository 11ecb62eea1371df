"""The three facts most code needs of an embedding model, as one small value."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Self

    from registry.records import EmbeddingModel


@dataclass(frozen=True)
class ModelConfig:
    """Which repository to load, how long its vectors are and how much text it takes.

    Attributes:
        huggingface_id: Repository on the Hugging Face hub, `org/model`.
        embedding_dim: Size of one vector in components.
        context_length: Longest input in tokens; `None` where it is not known.

    Example:
        >>> ModelConfig.from_registry("jina-colbert-v2", embedding_dim=64).embedding_dim
        64
    """

    huggingface_id: str
    embedding_dim: int
    context_length: int | None = None

    @classmethod
    def from_registry(cls, model: str | EmbeddingModel, *, embedding_dim: int | None = None) -> Self:
        """Take the configuration of an embedding model of a registry.

        Args:
            model: Id or alias of a model of this package, or a record of any generated registry.
            embedding_dim: Size to cut vectors to, one of the record's Matryoshka sizes.

        Raises:
            ModelNotFoundError: No record has this id or alias.
            UnsupportedDimensionError: The model cannot give vectors of this size, or none at all.
        """
        from registry.errors import UnsupportedDimensionError

        if isinstance(model, str):
            from registry import lookup_model

            record = lookup_model(model)
        elif hasattr(model, "huggingface_id"):
            record = model
        else:
            raise TypeError(f"expected the id of a model as a string, or a record, got {model!r}")
        full: int | None = getattr(record, "embedding_dim", None)
        sizes = {*getattr(record, "matryoshka_dims", ()), full} - {None}
        wanted = full if embedding_dim is None else embedding_dim
        if wanted is None or wanted not in sizes:
            raise UnsupportedDimensionError(record.id, wanted, tuple(sorted(sizes, reverse=True)))
        return cls(record.huggingface_id, wanted, record.context_length)

    @classmethod
    def colbert_v2(cls) -> Self:
        """ColBERT v2: 128 components a token."""
        return cls.from_registry("colbert-v2")

    @classmethod
    def colbert_small(cls) -> Self:
        """answerai-colbert-small-v1: 96 components a token."""
        return cls.from_registry("colbert-small")

    @classmethod
    def jina_colbert_v2(cls, embedding_dim: int = 128) -> Self:
        """Jina ColBERT v2, 128, 96 or 64 components a token."""
        return cls.from_registry("jina-colbert-v2", embedding_dim=embedding_dim)

    @classmethod
    def all_minilm_l6_v2(cls) -> Self:
        """all-MiniLM-L6-v2: 384 components."""
        return cls.from_registry("all-minilm-l6-v2")
