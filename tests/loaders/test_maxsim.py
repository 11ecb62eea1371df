from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

np = pytest.importorskip("numpy")

from registry.loaders import maxsim as module  # noqa: E402 - NumPy may be absent
from registry.loaders.maxsim import maxsim  # noqa: E402

needs_torch = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
LENGTHS = st.lists(st.integers(0, 7), max_size=12)


def matrix(tokens: int, seed: int, dim: int = 4) -> Any:
    return np.random.default_rng(seed).standard_normal((tokens, dim)).astype(np.float32)


def cut(tokens: Any, lengths: Sequence[int]) -> list[Any]:
    return np.split(tokens, np.cumsum(lengths)[:-1]) if lengths else []


def naive(queries: Any, query_lengths: Sequence[int], documents: Any, lengths: Sequence[int]) -> list[list[float]]:
    return [
        [sum(max(float(q @ d) for d in document) for q in query) if len(document) else 0.0 for document in found]
        for found in [cut(documents, lengths)]
        for query in cut(queries, query_lengths)
    ]


@given(LENGTHS, LENGTHS, st.sampled_from([1, 2, 3, 5, 16, 10**6]), st.integers(0, 3))
def test_maxsim_is_the_sum_of_the_best_products(
    query_lengths: list[int], lengths: list[int], block: int, seed: int
) -> None:
    queries, documents = matrix(sum(query_lengths), seed), matrix(sum(lengths), seed + 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        found = maxsim(queries, query_lengths, documents, lengths)
    assert (found.shape, found.dtype) == ((len(query_lengths), len(lengths)), np.float32)
    expected = np.array(naive(queries, query_lengths, documents, lengths), np.float32).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_documents_and_queries_without_tokens_score_nothing() -> None:
    ones = np.ones((2, 3), np.float32)
    assert maxsim(ones, [0, 2, 0], -ones, [0, 1, 0, 1, 0]).tolist() == [[0] * 5, [0, -6, 0, -6, 0], [0] * 5]
    assert maxsim(ones[:0], [], ones, [2]).shape == (0, 1)
    assert maxsim(ones, [2], ones[:0], []).shape == (1, 0)
    assert maxsim(np.empty((0, 0), np.float32), [0], np.empty((0, 0), np.float32), [0, 0]).tolist() == [[0, 0]]


def test_blocks_are_taken_in_turn_and_bound_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [3, 0, 4, 1, 9, 2, 0, 0, 5]
    queries, documents = matrix(2, 0), matrix(sum(lengths), 1)
    whole = maxsim(queries, [2], documents, lengths)
    monkeypatch.setattr(module, "_BLOCK", 2 * 5)
    sizes = []

    def spy(products: Any, *rest: Any, **options: Any) -> Any:
        sizes.append(products.shape[1])
        return reduceat(products, *rest, **options)

    reduceat = np.maximum.reduceat
    monkeypatch.setattr(module.np, "maximum", type("_", (), {"reduceat": staticmethod(spy)}))
    assert maxsim(queries, [2], documents, lengths).tolist() == whole.tolist()
    assert sum(sizes) == sum(lengths)
    assert max(sizes) < 5 + max(lengths)


@needs_torch
def test_maxsim_is_that_of_sentence_transformers() -> None:
    import torch
    from sentence_transformers.util import maxsim as theirs

    lengths, query_lengths = [20, 3, 300, 1], [32, 5]
    queries, documents = matrix(sum(query_lengths), 0, 16), matrix(sum(lengths), 1, 16)
    expected = theirs(
        [torch.from_numpy(each) for each in cut(queries, query_lengths)],
        [torch.from_numpy(each) for each in cut(documents, lengths)],
    )
    np.testing.assert_allclose(maxsim(queries, query_lengths, documents, lengths), expected.numpy(), rtol=1e-5)
