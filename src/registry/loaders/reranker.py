"""Rerankers (cross-encoders): a score for a query and a document read together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from registry.errors import ModelLoadError
from registry.loaders.dense import limit_of
from registry.loaders.embeddings import Ranked, ranked
from registry.loaders.handle import Handle, closing_on_error
from registry.loaders.layout import tensor_names
from registry.loaders.texts import check_text, check_texts, cut_texts
from registry.loaders.transformer import Transformer, check_files
from registry.records import RerankerModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.loaders.layout import Layout
    from registry.loaders.locate import Located
    from registry.loaders.options import LoadOptions

# How the tensors of a classification head are called, by architecture.
_HEADS = ("classifier", "score", "classification_head", "head", "logits_proj")


class Reranker(Handle[RerankerModel]):
    """A loaded cross-encoder.

    Attributes:
        max_tokens: Longest pair of query and document in tokens; longer ones are cut.
    """

    def __init__(self, model: RerankerModel, located: Located, layout: Layout, options: LoadOptions) -> None:
        super().__init__(model, located)
        if layout.kind != "reranker":
            remedy = "Loading it would add a head of random numbers."
            raise ModelLoadError(model.id, str(located.path), "layout", "a reranker", layout, remedy)
        check_files(model, layout, options)
        if "ForSequenceClassification" in layout.form:
            _check_head(model, located, layout)
        self._transformer = Transformer("CrossEncoder", model, located.path, options)
        library = self._transformer.model
        with closing_on_error(self._transformer):
            if library.num_labels != 1:
                raise ModelLoadError(model.id, str(located.path), "labels", "1, a score", library.num_labels)
            self.max_tokens = limit_of(model, library, options)
        library.max_seq_length = self.max_tokens
        self.footprint_bytes = self._transformer.footprint_bytes

    def rank(self, query: str, documents: Sequence[str], top_k: int | None = None) -> list[Ranked]:
        """Order documents by how well they answer a query.

        Args:
            query: The query.
            documents: The documents.
            top_k: Give the best so many only.

        Returns:
            Position and score of each document, best first.

        Raises:
            InvalidInputError: A text is no string, or has half of a surrogate pair.
            ModelClosedError: The model is closed.

        Warns:
            TruncationWarning: Pairs were cut.
        """
        return ranked(self.score(query, documents), top_k)

    def score(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Give the score of each document, float32 (documents,), in their order. Otherwise as `rank`."""
        check_text(query, "query")
        pairs = [(query, document) for document in check_texts(documents, "documents")]
        scores = np.zeros(len(pairs), np.float32)

        def keep(features: dict[str, Any], batch: list[int]) -> None:
            activation = self._transformer.model.activation_fn
            found = features["scores"].float()
            scores[batch] = (activation(found) if activation else found).reshape(-1).cpu().numpy()

        with self._turn():
            counts = self._transformer.count_tokens(pairs)
            cut_texts(counts, self.max_tokens, self.model.id, "pairs of query and document")
            lengths = [min(count, self.max_tokens or count) for count in counts]
            self._transformer.run(pairs, lengths, keep)
        return scores

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give the tokens of each text with special tokens, however long it is."""
        checked = check_texts(texts)
        with self._turn():
            return self._transformer.count_tokens(checked)

    def _free(self) -> None:
        self._transformer.close()


def _check_head(model: RerankerModel, located: Located, layout: Layout) -> None:
    names = {name for file in layout.weights for name in tensor_names(file, model.id)}
    if not any(part in _HEADS for name in names for part in name.split(".")):
        remedy = "Loading it would add a head of random numbers."
        raise ModelLoadError(
            model.id, str(located.path), "head", "a classification head", "none in the weights", remedy
        )
