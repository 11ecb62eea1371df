"""Late-interaction encoders (ColBERT): one vector a token, compared by MaxSim."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from registry.errors import InvalidOptionError, ModelLoadError
from registry.loaders.dense import check_dim, check_space, normalized
from registry.loaders.embeddings import Ranked, TokenEmbeddings, ranked, stack
from registry.loaders.handle import Handle, closing_on_error
from registry.loaders.maxsim import maxsim
from registry.loaders.space import space_id, weights_of
from registry.loaders.texts import check_text, check_texts, cut_texts
from registry.loaders.transformer import Transformer, check_files
from registry.records import MultiVectorModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.loaders.layout import Layout
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions
    from registry.loaders.transformer import Task


class LateInteractionEncoder(Handle[MultiVectorModel]):
    """A loaded late-interaction model, from a checkpoint of Stanford ColBERT, PyLate or sentence-transformers.

    Attributes:
        embedding_dim: Components of a token's vector, after cutting.
        query_length: Tokens that queries are expanded to with mask tokens, or cut to.
        document_length: Tokens that documents are cut to.
        query_prompt: Marker or text in front of queries.
        document_prompt: Marker or text in front of documents.
    """

    def __init__(self, model: MultiVectorModel, located: Located, layout: Layout, options: LoadOptions) -> None:
        super().__init__(model, located)
        if layout.kind != "late interaction":
            remedy = "Loading it would add a projection of random numbers."
            raise ModelLoadError(model.id, str(located.path), "layout", "a late-interaction encoder", layout, remedy)
        if model.normalize is False:
            remedy = "MaxSim compares vectors of length 1 here."
            raise ModelLoadError(model.id, str(located.path), "normalize", "True or None", False, remedy)
        check_files(model, layout, options)
        self._weights = layout.weights
        self._transformer = Transformer("MultiVectorEncoder", model, located.path, options)
        library = self._transformer.model
        self._full_dim = int(library.get_embedding_dimension())
        with closing_on_error(self._transformer):
            check_dim(model, located, self._full_dim)
            self.query_length, self.document_length = _set_lengths(model, library, options)
        self.embedding_dim = options.truncate_dim or self._full_dim
        # Markers such as `[unused0]` are part of the checkpoint; a record's prompt of text would replace them.
        saved = library.prompts or {}
        self.query_prompt: str = saved.get("query") or model.query_prompt or ""
        self.document_prompt: str = saved.get("document") or model.document_prompt or ""
        self.footprint_bytes = self._transformer.footprint_bytes

    def encode_query(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Encode queries: marked, expanded with mask tokens where the model was trained so, scaled to length 1.

        Args:
            texts: The queries. An empty string gives the vectors of its markers and mask tokens.

        Returns:
            One float32 array, (tokens, dim), for each query.

        Raises:
            InvalidInputError: A text is no string, or has half of a surrogate pair.
            ModelClosedError: The model is closed.

        Warns:
            TruncationWarning: Texts were cut; `truncated` of the result has their positions.
        """
        return self._encode(texts, "query", self.query_prompt, self.query_length, 1)

    def encode_document(self, texts: Sequence[str], *, pool_factor: int = 1) -> TokenEmbeddings:
        """Encode documents; punctuation is left out where the model was trained so. Otherwise as `encode_query`.

        Args:
            texts: The documents.
            pool_factor: Keep one vector for so many tokens: likes are clustered (Ward) and averaged. 1 keeps all. 2
                costs next to no quality, 4 a little (Clavié et al., arXiv 2409.14683).
        """
        if type(pool_factor) is not int or pool_factor < 1:
            raise InvalidOptionError("pool_factor", "an integer of at least 1", pool_factor)
        return self._encode(texts, "document", self.document_prompt, self.document_length, pool_factor)

    def similarity(
        self, queries: Sequence[NDArray[np.float32]], documents: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Compare queries with documents by MaxSim: for each query token its best match, summed.

        Args:
            queries: Token vectors of each query, (tokens, dim).
            documents: Token vectors of each document, (tokens, dim).

        Returns:
            float32 (queries, documents). A document without a token scores 0.

        Raises:
            EmbeddingSpaceError: They are of two embedding spaces.
        """
        check_space(queries, documents)
        return maxsim(_tokens(queries), _lengths(queries), _tokens(documents), _lengths(documents))

    def rank(self, query: str, documents: Sequence[str] | TokenEmbeddings, top_k: int | None = None) -> list[Ranked]:
        """Order documents by how well they answer a query.

        Args:
            query: The query.
            documents: Texts, or what `encode_document` gave for them.
            top_k: Give the best so many only.

        Returns:
            Position and MaxSim score of each document, best first.
        """
        check_text(query, "query")
        encoded = documents if isinstance(documents, TokenEmbeddings) else self.encode_document(documents)
        return ranked(self.similarity(self.encode_query([query]), encoded)[0], top_k)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give the tokens of each text with special tokens and without markers, however long it is."""
        checked = check_texts(texts)
        with self._turn():
            return self._transformer.count_tokens(checked)

    @cached_property
    def space_id(self) -> str:
        """Identity of the space of this model's vectors, the same for queries and documents, pooled or not."""
        return space_id(
            self.model,
            weights=weights_of(self.model, self._weights, is_revision=self._is_revision),
            dim=self.embedding_dim,
            pooling=None,
            normalize=True,
            prompts=(self.query_prompt, self.document_prompt),
            precision="float32",
        )

    def _encode(
        self, texts: Sequence[str], task: Task, prompt: str, limit: int | None, pool_factor: int
    ) -> TokenEmbeddings:
        checked = check_texts(texts)
        found: list[NDArray[np.float32]] = [np.zeros((0, self._full_dim), np.float32)] * len(checked)

        def keep(features: dict[str, Any], batch: list[int]) -> None:
            vectors = features["token_embeddings"].float().cpu().numpy()
            masks = features["attention_mask"].bool().cpu().numpy()
            for index, vector, mask in zip(batch, vectors, masks, strict=True):
                found[index] = vector[mask]

        with self._turn():
            counts = self._transformer.count_tokens(checked, prompt)
            cut = cut_texts(counts, limit, self.model.id, "queries" if task == "query" else "documents")
            width = self.query_length if task == "query" else None
            lengths = [max(min(count, limit or count), width or 0) for count in counts]
            self._transformer.run(checked, lengths, keep, prompt=prompt or None, task=task)
        vectors = normalized(
            (stack(found) if found else np.empty((0, self._full_dim), np.float32))[:, : self.embedding_dim]
        )
        result = TokenEmbeddings(vectors, [len(each) for each in found], self.space_id, counts, cut)
        return _pooled(result, pool_factor) if pool_factor > 1 and found else result

    def _free(self) -> None:
        self._transformer.close()


def _set_lengths(model: MultiVectorModel, library: Any, options: LoadOptions) -> tuple[int | None, int | None]:
    """Give the backbone the lengths of the record, and the caller's limit for documents; give what then holds."""
    backbone = library[0]
    most = library.max_seq_length
    expansion = backbone.query_expansion
    if model.query_length is not None:
        if expansion is None:
            backbone.query_length = model.query_length
        else:
            backbone.query_length = None  # the width is the expansion's, and the library refuses two of them
            backbone.query_expansion = expansion = {**expansion, "length": model.query_length}
    if options.context_length is not None:
        if options.context_length > (model.context_length or most):
            expected = f"at most {model.context_length or most}, the maximum of `{model.id}`"
            raise InvalidOptionError("context_length", expected, options.context_length)
        backbone.document_length = options.context_length
    else:
        longest = model.document_length or backbone.document_length or most
        backbone.document_length = min(filter(None, (longest, model.context_length)), default=None)
    query = expansion["length"] if expansion is not None else backbone.query_length
    return query or most, backbone.document_length or most


def _pooled(embeddings: TokenEmbeddings, factor: int) -> TokenEmbeddings:
    """Cluster the token vectors of each document and average them; the first, of `[CLS]`, stays."""
    import torch
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    pooling = HierarchicalTokenPooling(pool_factor=factor)
    found = [pooling.pool_one(torch.from_numpy(np.array(each))).numpy() for each in embeddings]
    lengths = [len(each) for each in found]
    return TokenEmbeddings(stack(found), lengths, embeddings.space_id, embeddings.token_counts, embeddings.truncated)


def _tokens(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return vectors.tokens if isinstance(vectors, TokenEmbeddings) else stack(vectors)


def _lengths(vectors: Sequence[NDArray[np.float32]]) -> Sequence[int]:
    return [len(each) for each in vectors]
