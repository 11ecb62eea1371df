"""Dense encoders: one vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

from registry.errors import EmbeddingSpaceError, InvalidInputError, InvalidOptionError, ModelLoadError
from registry.loaders.embeddings import Embeddings
from registry.loaders.handle import Handle, closing_on_error
from registry.loaders.space import space_id, weights_of
from registry.loaders.texts import check_texts, cut_texts
from registry.loaders.transformer import Transformer, check_files
from registry.records import DenseModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.loaders.layout import Layout
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions
    from registry.loaders.transformer import Task

Precision: TypeAlias = Literal["float32", "int8", "binary"]

# The registry's words for pooling -> those of sentence-transformers.
_POOLING = {
    "cls": "cls",
    "mean": "mean",
    "max": "max",
    "last-token": "lasttoken",
    "weighted-mean": "weightedmean",
    "mean-sqrt-len": "mean_sqrt_len_tokens",
}


class Backend(Protocol):
    """What computes the vectors: sentence-transformers, or llama.cpp.

    Attributes:
        dim: Components of a vector.
        limit: Tokens that the model reads.
        pooling: How token states become a vector.
        normalize: Whether the vectors that `embed` gives are to be scaled to length 1.
        prompts: Texts in front of queries and of documents.
        similarity: How two vectors are compared.
        footprint_bytes: Memory of the model.
    """

    dim: int
    limit: int | None
    pooling: str | None
    normalize: bool
    prompts: tuple[str, str]
    similarity: str
    footprint_bytes: int

    def count_tokens(self, texts: Sequence[str], prompt: str = "") -> list[int]:
        """Give the tokens of each text with its prompt and special tokens."""
        ...

    def embed(
        self, texts: Sequence[str], counts: Sequence[int], prompt: str, task: Task | None, /
    ) -> NDArray[np.float32]:
        """Give the vectors, (texts, dim)."""
        ...

    def close(self) -> None:
        """Free the memory."""
        ...


class DenseEncoder(Handle[DenseModel]):
    """A loaded dense embedding model.

    Attributes:
        embedding_dim: Components of a vector, after cutting.
        max_tokens: Longest text in tokens, with its prompt and special tokens; longer ones are cut.
        query_prompt: Text in front of queries.
        document_prompt: Text in front of documents.
        similarity_name: How vectors are compared: `cosine`, `dot`, `euclidean` or `manhattan`.
    """

    def __init__(
        self, model: DenseModel, located: Located, layout: Layout, options: LoadOptions, backend: Backend
    ) -> None:
        super().__init__(model, located)
        self._backend = backend
        self._weights = layout.weights
        with closing_on_error(backend):
            check_dim(model, located, backend.dim)
        self.embedding_dim = options.truncate_dim or backend.dim
        self.max_tokens = backend.limit
        self.query_prompt, self.document_prompt = backend.prompts
        self.similarity_name = backend.similarity
        self.footprint_bytes = backend.footprint_bytes

    def encode_query(self, texts: Sequence[str], *, precision: Precision = "float32") -> Embeddings:
        """Encode queries, with the query prompt of the record.

        Args:
            texts: The queries. An empty string is encoded like any other.
            precision: How components are stored: `float32`; `int8`, each vector scaled so that its largest component is
                127, which keeps cosines of any two; `binary`, the signs, 8 to a byte.

        Returns:
            float32 (texts, dim); int8 (texts, dim); uint8 (texts, dim / 8). No texts give no rows.

        Raises:
            InvalidInputError: A text is no string, or has half of a surrogate pair.
            ModelClosedError: The model is closed.

        Warns:
            TruncationWarning: Texts were cut; `truncated` of the result has their positions.
        """
        return self._encode(texts, self.query_prompt, "query", precision)

    def encode_document(self, texts: Sequence[str], *, precision: Precision = "float32") -> Embeddings:
        """Encode documents, with the document prompt of the record. Otherwise as `encode_query`."""
        return self._encode(texts, self.document_prompt, "document", precision)

    def encode(self, texts: Sequence[str], *, precision: Precision = "float32") -> Embeddings:
        """Encode texts as they are, without a prompt. Otherwise as `encode_query`."""
        return self._encode(texts, "", None, precision)

    def similarity(self, queries: NDArray[Any], documents: NDArray[Any]) -> NDArray[np.float32]:
        """Compare embeddings as the model was trained to: the higher the more alike.

        Args:
            queries: Embeddings, (n, dim), in any precision.
            documents: Embeddings, (m, dim), in the same precision.

        Returns:
            float32 (n, m). Distances are negative. For `binary`: the share of equal signs, scaled to -1 to 1.

        Raises:
            EmbeddingSpaceError: They are of two embedding spaces.
            InvalidInputError: They have other shapes, or two precisions.
        """
        check_space(queries, documents)
        return compare(np.atleast_2d(queries), np.atleast_2d(documents), self.similarity_name)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give the tokens of each text with special tokens and without a prompt, however long it is."""
        checked = check_texts(texts)
        with self._turn():
            return self._backend.count_tokens(checked)

    @property
    def space_id(self) -> str:
        """Identity of the space of this model's float32 embeddings. See `registry.loaders.space.space_id`."""
        return self._space("float32")

    @cached_property
    def _weights_name(self) -> str:
        return weights_of(self.model, self._weights, is_revision=self._is_revision)

    def _space(self, precision: Precision) -> str:
        return space_id(
            self.model,
            weights=self._weights_name,
            dim=self.embedding_dim,
            pooling=self._backend.pooling,
            normalize=self._backend.normalize,
            prompts=self._backend.prompts,
            precision=precision,
        )

    def _encode(self, texts: Sequence[str], prompt: str, task: Task | None, precision: Precision) -> Embeddings:
        self._check_precision(precision)
        checked = check_texts(texts)
        with self._turn():
            counts = self._backend.count_tokens(checked, prompt)
            cut = cut_texts(counts, self.max_tokens, self.model.id)
            vectors = np.zeros((0, self._backend.dim), np.float32)
            if checked:
                vectors = self._backend.embed(checked, counts, prompt, task)
        vectors = vectors[:, : self.embedding_dim]
        if self._backend.normalize:
            vectors = normalized(vectors)
        return Embeddings.of(stored_as(vectors, precision), self._space(precision), counts, cut)

    def _check_precision(self, precision: Precision) -> None:
        if precision not in ("float32", "int8", "binary"):
            raise InvalidOptionError("precision", "one of float32, int8, binary", precision)
        if precision == "int8" and self.similarity_name != "cosine":
            remedy = f"`{self.model.id}` compares by {self.similarity_name}, and int8 keeps directions only."
            raise InvalidOptionError("precision", "float32 or binary", precision, remedy)
        if precision == "binary" and self.embedding_dim % 8:
            raise InvalidOptionError("precision", "float32 or int8", precision, "The dimension is no multiple of 8.")

    def _free(self) -> None:
        self._backend.close()


class TransformerBackend:
    """Dense vectors through sentence-transformers."""

    def __init__(self, model: DenseModel, located: Located, layout: Layout, options: LoadOptions) -> None:
        if layout.kind != "dense" and not (layout.kind.startswith("bare") and model.pooling):
            remedy = "The record must name the pooling, or the files must." if layout.kind.startswith("bare") else ""
            raise ModelLoadError(model.id, str(located.path), "layout", "a dense encoder", layout, remedy)
        check_files(model, layout, options)
        self._transformer = Transformer("SentenceTransformer", model, located.path, options)
        library = self._transformer.model
        modules = {type(module).__name__: module for module in library}
        pooling = modules.get("Pooling")
        stated = _POOLING.get(str(model.pooling))
        if pooling is not None and layout.kind.startswith("bare"):
            pooling.pooling_mode = stated
        if pooling is not None and stated not in (None, pooling.pooling_mode):
            self.close()
            raise ModelLoadError(model.id, str(located.path), "pooling", stated, pooling.pooling_mode)
        if "Normalize" in modules and model.normalize is False:
            self.close()
            raise ModelLoadError(model.id, str(located.path), "normalize", False, "a module that normalizes")
        self.pooling = str(pooling.pooling_mode) if pooling is not None else model.pooling
        self.normalize = "Normalize" in modules if model.normalize is None else model.normalize
        self.prompts = prompts_of(model, library)
        self.similarity = str(model.similarity or library.similarity_fn_name or "cosine")
        # Static embeddings read texts of any length, and have no place to set one.
        self.limit = None if "StaticEmbedding" in modules else limit_of(model, library, options)
        if self.limit is not None:
            library.max_seq_length = self.limit
        self.dim = int(library.get_embedding_dimension())
        self.footprint_bytes = self._transformer.footprint_bytes

    def count_tokens(self, texts: Sequence[str], prompt: str = "") -> list[int]:
        """Give the tokens of each text with its prompt and special tokens."""
        return self._transformer.count_tokens(texts, prompt)

    def close(self) -> None:
        """Free the memory."""
        self._transformer.close()

    def embed(
        self, texts: Sequence[str], counts: Sequence[int], prompt: str, task: Task | None, /
    ) -> NDArray[np.float32]:
        """Give the vectors, (texts, dim)."""
        vectors = np.empty((len(texts), self.dim), np.float32)

        def keep(features: dict[str, Any], batch: list[int]) -> None:
            vectors[batch] = features["sentence_embedding"].float().cpu().numpy()

        lengths = [min(count, self.limit or count) for count in counts]
        self._transformer.run(texts, lengths, keep, prompt=prompt or None, task=task)
        return vectors


def prompts_of(model: Any, library: Any) -> tuple[str, str]:
    """Give the prompts of queries and documents: the record's, and where it is silent the checkpoint's."""
    saved = library.prompts or {}
    query = saved.get("query") if model.query_prompt is None else model.query_prompt
    document = saved.get("document") if model.document_prompt is None else model.document_prompt
    return query or "", document or ""


def limit_of(model: Any, library: Any, options: LoadOptions) -> int | None:
    """Give the longest input in tokens: the caller's, else the smaller of the record's and the checkpoint's.

    Raises:
        InvalidOptionError: The caller wants more than the model can read.
    """
    saved = library.max_seq_length
    known = [length for length in (saved, model.context_length) if length and length < 10**9]
    most = max(known, default=None)
    if options.context_length is None:
        return min(known, default=None)
    if most is not None and options.context_length > most:
        raise InvalidOptionError(
            "context_length", f"at most {most}, the maximum of `{model.id}`", options.context_length
        )
    return options.context_length


def check_dim(model: Any, located: Located, dim: int) -> None:
    """Refuse a model whose vectors have another size than its record says.

    Raises:
        ModelLoadError: They have.
    """
    if dim != model.embedding_dim:
        remedy = "These are the files of another model, or the record is wrong."
        raise ModelLoadError(model.id, str(located.path), "embedding_dim", model.embedding_dim, dim, remedy)


def check_space(queries: object, documents: object) -> None:
    """Refuse to compare embeddings that are known to be of two spaces.

    Raises:
        EmbeddingSpaceError: They are.
    """
    first, second = getattr(queries, "space_id", ""), getattr(documents, "space_id", "")
    if first and second and first != second:
        raise EmbeddingSpaceError(first, second)


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)


def stored_as(vectors: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Give vectors, (n, dim), in the precision that they are to be stored in."""
    if precision == "int8":
        largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True, initial=0), np.finfo(np.float32).tiny)
        return np.asarray(np.rint(vectors / largest * 127), np.int8)
    if precision == "binary":
        return np.asarray(np.packbits(vectors > 0, axis=1))
    return np.ascontiguousarray(vectors, np.float32)


def compare(queries: NDArray[Any], documents: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Compare rows with rows; the result, (n, m), is higher for rows that are more alike."""
    widths = {side.shape[-1] for side in (queries, documents)}
    if (
        queries.ndim != 2
        or documents.ndim != 2
        or len(widths) != 1
        or (queries.dtype == np.uint8) != (documents.dtype == np.uint8)
    ):
        got = " and ".join(f"{side.dtype} {side.shape}" for side in (queries, documents))
        raise InvalidInputError("embeddings", f"expected (n, dim) and (m, dim) in one precision, got {got}.")
    if queries.dtype == np.uint8:
        signs = [np.unpackbits(np.asarray(side), axis=1).astype(np.float32) * 2 - 1 for side in (queries, documents)]
        return np.asarray(signs[0] @ signs[1].T / signs[0].shape[1], np.float32)
    first, second = np.asarray(queries, np.float32), np.asarray(documents, np.float32)
    if name == "cosine":
        return np.asarray(normalized(first) @ normalized(second).T)
    if name == "euclidean":
        squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * (first @ second.T)
        return np.asarray(-np.sqrt(np.maximum(squares, 0)), np.float32)
    if name == "manhattan":
        rows = [-np.abs(second - row).sum(1) for row in first]
        return np.asarray(rows, np.float32).reshape(len(first), len(second))
    return np.asarray(first @ second.T)
