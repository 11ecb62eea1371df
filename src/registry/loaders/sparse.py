"""Sparse encoders (SPLADE): weights over the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from registry.errors import InvalidInputError, ModelLoadError
from registry.loaders.dense import check_dim, check_space, limit_of, prompts_of
from registry.loaders.embeddings import SparseEmbeddings, SparseVector, check_top_k
from registry.loaders.handle import Handle, closing_on_error
from registry.loaders.space import space_id, weights_of
from registry.loaders.texts import check_texts, cut_texts
from registry.loaders.transformer import Transformer, check_files
from registry.records import SparseModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.loaders.layout import Layout
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions
    from registry.loaders.transformer import Task


class SparseEncoder(Handle[SparseModel]):
    """A loaded sparse model.

    Attributes:
        embedding_dim: Entries of the vocabulary.
        max_tokens: Longest text in tokens; longer ones are cut.
        query_prompt: Text in front of queries.
        document_prompt: Text in front of documents.
    """

    def __init__(self, model: SparseModel, located: Located, layout: Layout, options: LoadOptions) -> None:
        super().__init__(model, located)
        if layout.kind not in ("sparse", "bare masked language model"):
            raise ModelLoadError(model.id, str(located.path), "layout", "a sparse encoder", layout)
        check_files(model, layout, options)
        self._weights = layout.weights
        self._transformer = Transformer("SparseEncoder", model, located.path, options)
        library = self._transformer.model
        # The library knows the size of a SPLADE vector only once it has made one.
        self.embedding_dim = self._transformer.measure()
        with closing_on_error(self._transformer):
            check_dim(model, located, self.embedding_dim)
            self.max_tokens = limit_of(model, library, options)
        self.query_prompt, self.document_prompt = prompts_of(model, library)
        library.max_seq_length = self.max_tokens
        self.footprint_bytes = self._transformer.footprint_bytes

    def encode_query(self, texts: Sequence[str]) -> SparseEmbeddings:
        """Encode queries.

        Args:
            texts: The queries. An empty string is encoded like any other.

        Returns:
            Indices and weights of each query; `csr` has them as one matrix, float32 (texts, vocabulary).

        Raises:
            InvalidInputError: A text is no string, or has half of a surrogate pair.
            ModelClosedError: The model is closed.

        Warns:
            TruncationWarning: Texts were cut; `truncated` of the result has their positions.
        """
        return self._encode(texts, self.query_prompt, "query")

    def encode_document(self, texts: Sequence[str]) -> SparseEmbeddings:
        """Encode documents. Otherwise as `encode_query`."""
        return self._encode(texts, self.document_prompt, "document")

    def similarity(self, queries: SparseEmbeddings, documents: SparseEmbeddings) -> NDArray[np.float32]:
        """Compare embeddings by their dot product, float32 (queries, documents).

        Raises:
            EmbeddingSpaceError: They are of two embedding spaces.
            InvalidInputError: They are something else.
        """
        for name, side in (("queries", queries), ("documents", documents)):
            if not isinstance(side, SparseEmbeddings):
                remedy = "Of one row, take `embeddings[i : i + 1]`."
                raise InvalidInputError(name, f"expected SparseEmbeddings, got {type(side).__name__}. {remedy}")
        check_space(queries, documents)
        return cast("NDArray[np.float32]", (queries.csr @ documents.csr.T).toarray())

    def decode(self, vector: SparseVector, top_k: int | None = None) -> list[tuple[str, float]]:
        """Give the words that a vector is made of, heaviest first.

        Args:
            vector: One row of what `encode_query` or `encode_document` gave.
            top_k: Give the heaviest so many only.
        """
        check_top_k(top_k)
        heaviest = np.argsort(-vector.weights, kind="stable")[:top_k]
        with self._turn():
            words = self._transformer.model.tokenizer.convert_ids_to_tokens(vector.indices[heaviest].tolist())
        return list(zip(words, vector.weights[heaviest].tolist(), strict=True))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give the tokens of each text with special tokens and without a prompt, however long it is."""
        checked = check_texts(texts)
        with self._turn():
            return self._transformer.count_tokens(checked)

    @cached_property
    def space_id(self) -> str:
        """Identity of the space of this model's vectors, the same for queries and documents."""
        return space_id(
            self.model,
            weights=weights_of(self.model, self._weights, is_revision=self._is_revision),
            dim=self.embedding_dim,
            pooling=self.model.pooling,
            normalize=False,
            prompts=(self.query_prompt, self.document_prompt),
            precision="float32",
        )

    def _encode(self, texts: Sequence[str], prompt: str, task: Task) -> SparseEmbeddings:
        from scipy.sparse import csr_array

        checked = check_texts(texts)
        found: list[SparseVector] = [SparseVector(np.empty(0, np.int32), np.empty(0, np.float32))] * len(checked)

        def keep(features: dict[str, Any], batch: list[int]) -> None:
            for index, row in zip(batch, features["sentence_embedding"].float().cpu().numpy(), strict=True):
                indices = np.flatnonzero(row).astype(np.int32)
                found[index] = SparseVector(indices, row[indices])

        with self._turn():
            counts = self._transformer.count_tokens(checked, prompt)
            cut = cut_texts(counts, self.max_tokens, self.model.id)
            lengths = [min(count, self.max_tokens or count) for count in counts]
            self._transformer.run(checked, lengths, keep, prompt=prompt or None, task=task)
        starts = np.cumsum([0, *(len(vector.indices) for vector in found)], dtype=np.int32)
        weights = np.concatenate([vector.weights for vector in found]) if found else np.empty(0, np.float32)
        indices = np.concatenate([vector.indices for vector in found]) if found else np.empty(0, np.int32)
        rows = csr_array((weights, indices, starts), shape=(len(found), self.embedding_dim))
        return SparseEmbeddings(rows, self.space_id, counts, cut)

    def _free(self) -> None:
        self._transformer.close()
