"""MaxSim over contiguous token matrices: one matrix product, one segmented maximum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Token scores held at once: 64 MiB of float32. A large corpus must not need memory of its own size again.
_BLOCK = 16 * 1024 * 1024


def maxsim(
    queries: NDArray[np.float32], query_lengths: Sequence[int], documents: NDArray[np.float32], lengths: Sequence[int]
) -> NDArray[np.float32]:
    """Score queries against documents: for each token of the query its best match in the document, summed.

    Args:
        queries: Token vectors of all queries, one below the other, (sum of query_lengths, dim).
        query_lengths: Tokens of each query.
        documents: Token vectors of all documents, (sum of lengths, dim).
        lengths: Tokens of each document.

    Returns:
        Scores, (queries, documents). A document or query without a token scores 0.

    Source: Khattab and Zaharia, ColBERT, arXiv 2004.12832, equation 3.
    """
    scores = np.zeros((len(query_lengths), len(lengths)), np.float32)
    query_ends = np.cumsum(query_lengths, dtype=np.intp)
    ends = np.cumsum(lengths, dtype=np.intp)
    starts = ends - np.asarray(lengths, np.intp)
    filled = np.flatnonzero(starts < ends)  # a segment without elements has no maximum
    for query in np.flatnonzero(query_lengths).tolist():
        tokens = queries[query_ends[query] - query_lengths[query] : query_ends[query]]
        for block in _blocks(filled, ends, max(1, _BLOCK // len(tokens))):
            first = starts[block[0]]
            products = tokens @ documents[first : ends[block[-1]]].T
            scores[query, block] = np.maximum.reduceat(products, starts[block] - first, axis=1).sum(axis=0)
    return scores


def _blocks(filled: NDArray[np.intp], ends: NDArray[np.intp], tokens: int) -> Iterator[NDArray[np.intp]]:
    """Cut the documents into runs of about so many tokens."""
    if len(filled):
        yield from np.split(filled, np.flatnonzero(np.diff(ends[filled] // tokens)) + 1)
