"""What encoders give: arrays that know which embedding space they are in and what was cut off."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, cast, overload

import numpy as np

from registry.errors import InvalidOptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array


class Embeddings(np.ndarray[tuple[int, int], np.dtype[Any]]):
    """Dense embeddings, one row a text: a NumPy array with three attributes more.

    float32 of shape (texts, dim); int8 of the same shape, or uint8 of shape (texts, dim / 8), in those precisions.
    Slices and copies keep `space_id` and forget the other two, which are about the whole call.

    Attributes:
        space_id: Identity of the embedding space. Never mix rows of two spaces in one index.
        token_counts: Tokens of each text with its prompt and special tokens, before anything was cut.
        truncated: Positions of the texts that were cut because they are longer than the model reads.
    """

    space_id: str
    token_counts: tuple[int, ...]
    truncated: tuple[int, ...]

    @classmethod
    def of(
        cls, values: NDArray[Any], space_id: str, token_counts: Iterable[int] = (), truncated: Iterable[int] = ()
    ) -> Embeddings:
        """View an array, (texts, dim), as embeddings of a space."""
        made = values.view(cls)
        made.space_id, made.token_counts, made.truncated = space_id, tuple(token_counts), tuple(truncated)
        return made

    def __array_finalize__(self, origin: object) -> None:
        self.space_id = getattr(origin, "space_id", "")
        self.token_counts = self.truncated = ()

    def __reduce__(self) -> tuple[Any, ...]:  # or pickle, and every process pool, would lose the attributes
        made = super().__reduce__()
        assert isinstance(made, tuple)
        make, arguments, state = made
        return make, arguments, (state, self.space_id, self.token_counts, self.truncated)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        array, self.space_id, self.token_counts, self.truncated = state
        super().__setstate__(array)


class TokenEmbeddings(list["NDArray[np.float32]"]):
    """Embeddings of a late-interaction model: a list with one float32 array, (tokens, dim), for each text.

    The arrays are views into one matrix, so that MaxSim need not copy them together.

    Attributes:
        space_id: Identity of the embedding space.
        token_counts: Tokens of each text with its prompt and special tokens, before anything was cut, masked or pooled.
        truncated: Positions of the texts that were cut.
    """

    def __init__(
        self,
        tokens: NDArray[np.float32],
        lengths: Sequence[int],
        space_id: str,
        token_counts: Iterable[int] = (),
        truncated: Iterable[int] = (),
    ) -> None:
        """Cut `tokens`, (sum of lengths, dim), into one array a text."""
        ends = np.cumsum(lengths, dtype=np.intp)
        super().__init__(tokens[end - length : end] for end, length in zip(ends, lengths, strict=True))
        self._tokens = tokens
        self._views = tuple(self)
        self.space_id = space_id
        self.token_counts = tuple(token_counts)
        self.truncated = tuple(truncated)

    @property
    def tokens(self) -> NDArray[np.float32]:
        """Token vectors of all texts one below the other, (sum of lengths, dim), float32."""
        return self._tokens if self._is_whole() else stack(self)

    def _is_whole(self) -> bool:
        """Say whether the list is as it was made; as a list, it can be changed."""
        return len(self) == len(self._views) and all(map(operator.is_, self, self._views))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of vectors of each text."""
        return tuple(map(len, self))

    @overload
    def __getitem__(self, index: SupportsIndex) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> TokenEmbeddings: ...
    def __getitem__(self, index: SupportsIndex | slice) -> NDArray[np.float32] | TokenEmbeddings:
        """Give one text's vectors, or those of a slice of the texts, which are in the same space."""
        if not isinstance(index, slice):
            return super().__getitem__(index)
        found = super().__getitem__(index)
        start, stop, step = index.indices(len(self))
        if step == 1 and self._is_whole():
            begin, end = (sum(map(len, self._views[:place])) for place in (start, max(start, stop)))
            tokens = self._tokens[begin:end]
        else:
            tokens = stack(found) if found else self._tokens[:0]
        return TokenEmbeddings(tokens, [len(each) for each in found], self.space_id)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tokens, self.lengths, self.space_id, self.token_counts, self.truncated)


class SparseVector(NamedTuple):
    """Weights over the vocabulary that are not 0.

    Attributes:
        indices: Entries of the vocabulary, ascending, int32.
        weights: Their weights, float32.
    """

    indices: NDArray[np.int32]
    weights: NDArray[np.float32]


class SparseEmbeddings(Sequence[SparseVector]):
    """Sparse embeddings, one a text: a sequence of (indices, weights), over one SciPy CSR matrix.

    Attributes:
        csr: Weights, (texts, vocabulary), float32.
        space_id: Identity of the embedding space.
        token_counts: Tokens of each text with special tokens, before anything was cut.
        truncated: Positions of the texts that were cut.
    """

    def __init__(
        self, csr: csr_array, space_id: str, token_counts: Iterable[int] = (), truncated: Iterable[int] = ()
    ) -> None:
        self.csr = csr
        self.space_id = space_id
        self.token_counts = tuple(token_counts)
        self.truncated = tuple(truncated)

    def __len__(self) -> int:
        return len(self.csr.indptr) - 1

    @overload
    def __getitem__(self, index: SupportsIndex) -> SparseVector: ...
    @overload
    def __getitem__(self, index: slice) -> SparseEmbeddings: ...
    def __getitem__(self, index: SupportsIndex | slice) -> SparseVector | SparseEmbeddings:
        if isinstance(index, slice):
            return SparseEmbeddings(cast("csr_array", self.csr[index]), self.space_id)
        row = range(len(self))[index]
        part = slice(self.csr.indptr[row], self.csr.indptr[row + 1])
        return SparseVector(np.asarray(self.csr.indices[part], np.int32), np.asarray(self.csr.data[part], np.float32))


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document and its score for a query.

    Attributes:
        index: Position of the document in what was given.
        score: The higher the better.
    """

    index: int
    score: float


def ranked(scores: Iterable[float], top_k: int | None) -> list[Ranked]:
    """Give scores best first; equal scores in the order of the documents.

    Raises:
        InvalidOptionError: `top_k` is no number of documents.
    """
    check_top_k(top_k)
    order = sorted((Ranked(index, float(score)) for index, score in enumerate(scores)), key=lambda r: -r.score)
    return order[:top_k]


def check_top_k(top_k: int | None) -> None:
    """Refuse what is no number of results.

    Raises:
        InvalidOptionError: It is none.
    """
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise InvalidOptionError("top_k", "an integer of at least 1", top_k)


def stack(vectors: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Put token matrices one below the other, float32."""
    return (
        np.concatenate([np.asarray(each, np.float32) for each in vectors]) if vectors else np.empty((0, 0), np.float32)
    )
