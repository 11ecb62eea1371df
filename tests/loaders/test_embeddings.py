import copy
import pickle
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from registry.errors import InvalidOptionError  # noqa: E402 - NumPy may be absent
from registry.loaders import Embeddings, Ranked, SparseEmbeddings, TokenEmbeddings  # noqa: E402
from registry.loaders.embeddings import ranked, stack  # noqa: E402


def dense() -> Embeddings:
    return Embeddings.of(np.arange(6, dtype=np.float32).reshape(3, 2), "a space", [4, 5, 6], [1])


def tokens() -> TokenEmbeddings:
    return TokenEmbeddings(np.arange(10, dtype=np.float32).reshape(5, 2), [2, 0, 3], "a space", [4, 5, 6], [1])


def facts(embeddings: Any) -> tuple[Any, ...]:
    return embeddings.space_id, embeddings.token_counts, embeddings.truncated


# Dense


def test_embeddings_are_an_array_that_knows_its_space() -> None:
    found = dense()
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert facts(found) == ("a space", (4, 5, 6), (1,))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_embeddings_keep_everything(protocol: int) -> None:
    found = pickle.loads(pickle.dumps(dense(), protocol))
    assert type(found) is Embeddings
    assert found.tolist() == dense().tolist()
    assert facts(found) == facts(dense())


@pytest.mark.parametrize(
    "take",
    [
        lambda e: e[1:],
        lambda e: e[[2, 0]],
        lambda e: e[0],
        lambda e: e[:, :1],
        lambda e: e.copy(),
        lambda e: copy.copy(e),
        lambda e: copy.deepcopy(e),
        lambda e: e.astype(np.float64),
        lambda e: e / 2,
    ],
)
def test_part_or_copy_keeps_the_space_and_forgets_what_is_about_the_call(take: Any) -> None:
    assert facts(take(dense())) == ("a space", (), ())


def test_plain_array_and_joined_embeddings_are_of_no_known_space() -> None:
    assert type(np.concatenate([dense(), dense()])) is np.ndarray
    assert type(np.asarray(dense())) is np.ndarray
    assert facts(np.zeros((1, 2)).view(Embeddings)) == ("", (), ())


def test_embeddings_view_the_array_that_they_are_made_of() -> None:
    values = np.zeros((1, 2), np.float32)
    Embeddings.of(values, "a space")[0, 0] = 7
    assert values[0, 0] == 7


# Late interaction


def test_token_embeddings_are_a_list_with_an_array_a_text() -> None:
    found = tokens()
    assert isinstance(found, list)
    assert [each.tolist() for each in found] == [[[0, 1], [2, 3]], [], [[4, 5], [6, 7], [8, 9]]]
    assert [each.shape for each in found] == [(2, 2), (0, 2), (3, 2)]
    assert found.lengths == (2, 0, 3)
    assert facts(found) == ("a space", (4, 5, 6), (1,))


def test_tokens_of_an_untouched_list_are_not_copied() -> None:
    matrix = np.zeros((5, 2), np.float32)
    found = TokenEmbeddings(matrix, [2, 0, 3], "a space")
    assert found.tokens is matrix
    found[0][0] = 7  # the arrays are views
    assert matrix[0].tolist() == [7, 7]
    assert found.tokens is matrix


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda e: e.append(np.ones((1, 2), np.float32)), [0, 2, 4, 6, 8, 1]),
        (lambda e: e.pop(), [0, 2]),
        (lambda e: e.reverse(), [4, 6, 8, 0, 2]),
        (lambda e: e.__setitem__(0, np.full((1, 2), 9.0)), [9, 4, 6, 8]),
        (lambda e: e.__setitem__(0, e[0].copy()), [0, 2, 4, 6, 8]),
        (lambda e: e.extend(e[:1]), [0, 2, 4, 6, 8, 0, 2]),
        (lambda e: e.clear(), []),
    ],
)
def test_tokens_and_lengths_of_a_changed_list_are_those_of_what_is_in_it(change: Any, expected: list[int]) -> None:
    found = tokens()
    change(found)
    assert found.tokens[:, :1].ravel().tolist() == expected
    assert found.tokens.dtype == np.float32
    assert found.lengths == tuple(len(each) for each in found)


def test_slice_of_token_embeddings_is_of_the_same_space_and_copies_nothing() -> None:
    found = tokens()
    part = found[1:]
    assert (type(part), part.space_id, part.truncated) == (TokenEmbeddings, found.space_id, ())
    assert [each.tolist() for each in part] == [each.tolist() for each in list(found)[1:]]
    assert np.shares_memory(part.tokens, found.tokens)


@pytest.mark.parametrize("part", [slice(None, None, -1), slice(0, None, 2), slice(5, 2), slice(-2, None)], ids=str)
def test_any_slice_of_token_embeddings_is_that_of_the_list(part: slice) -> None:
    found = tokens()
    assert [each.tolist() for each in found[part]] == [each.tolist() for each in list(found)[part]]
    assert len(found[part].tokens) == sum(found[part].lengths)


def test_slice_of_changed_token_embeddings_is_that_of_the_changed_list() -> None:
    found = tokens()
    del found[0]
    assert [each.tolist() for each in found[:2]] == [each.tolist() for each in list(found)[:2]]


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copied_token_embeddings_keep_everything(take: Any) -> None:
    found = take(tokens())
    assert type(found) is TokenEmbeddings
    assert [each.tolist() for each in found] == [each.tolist() for each in tokens()]
    assert facts(found) == facts(tokens())


def test_pickled_changed_token_embeddings_are_the_changed_ones() -> None:
    found = tokens()
    found[1] = np.ones((2, 2), np.float32)
    again = pickle.loads(pickle.dumps(found))
    assert (again.lengths, again.tokens.tolist()) == ((2, 2, 3), found.tokens.tolist())


def test_pickled_token_embeddings_are_stored_once() -> None:
    big = TokenEmbeddings(np.zeros((1000, 64), np.float32), [10] * 100, "a space")
    assert len(pickle.dumps(big)) < 1.1 * big.tokens.nbytes


def test_lengths_that_do_not_fit_the_tokens_are_seen() -> None:
    assert TokenEmbeddings(np.zeros((0, 4), np.float32), [], "a space").tokens.shape == (0, 4)
    assert TokenEmbeddings(np.zeros((0, 4), np.float32), [0, 0], "a space").lengths == (0, 0)


# Sparse


def sparse() -> SparseEmbeddings:
    matrix = pytest.importorskip("scipy.sparse").csr_array(np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 0]], "f4"))
    return SparseEmbeddings(matrix, "a space", [4, 5, 6], [1])


def test_sparse_embeddings_are_a_sequence_of_indices_and_weights() -> None:
    found = sparse()
    assert [(v.indices.tolist(), v.weights.tolist()) for v in found] == [([1, 3], [2, 1]), ([], []), ([0], [3])]
    assert (len(found), found[-1].indices.tolist()) == (3, [0])
    assert (found[0].indices.dtype, found[0].weights.dtype) == (np.int32, np.float32)
    assert facts(found) == ("a space", (4, 5, 6), (1,))


@pytest.mark.parametrize("index", [3, -4])
def test_sparse_position_that_is_not_there_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError):
        sparse()[index]


def test_slice_of_sparse_embeddings_keeps_the_space() -> None:
    part = sparse()[1:]
    assert type(part) is SparseEmbeddings
    assert facts(part) == ("a space", (), ())
    assert [vector.indices.tolist() for vector in part] == [[], [0]]
    assert len(sparse()[3:]) == 0


def test_pickled_sparse_embeddings_keep_everything() -> None:
    found = pickle.loads(pickle.dumps(sparse()))
    assert facts(found) == facts(sparse())
    assert found.csr.toarray().tolist() == sparse().csr.toarray().tolist()


# Rankings


def test_ranked_is_best_first_and_stable() -> None:
    assert ranked(np.array([1, 3, 1, 2], np.float32), None) == [Ranked(1, 3), Ranked(3, 2), Ranked(0, 1), Ranked(2, 1)]
    assert type(ranked([np.float32(1)], None)[0].score) is float
    assert ranked([], None) == []


def test_top_k_gives_the_best_so_many() -> None:
    assert ranked([1.0, 3.0, 2.0], 2) == [Ranked(1, 3.0), Ranked(2, 2.0)]
    assert len(ranked([1.0, 3.0, 2.0], 99)) == 3


@pytest.mark.parametrize("top_k", [0, -1, 1.0, True, "2"])
def test_top_k_that_is_no_number_of_documents_is_refused(top_k: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        ranked([1.0], top_k)
    assert str(caught.value) == f"`top_k`: expected an integer of at least 1, got {top_k!r}."


def test_stack_is_float32_and_of_nothing_is_empty() -> None:
    found = stack([np.ones((1, 2)), np.zeros((2, 2), np.float16)])
    assert (found.dtype, found.shape) == (np.float32, (3, 2))
    assert stack([]).shape == (0, 0)
