import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny

np = pytest.importorskip("numpy")

from registry.errors import (  # noqa: E402 - NumPy may be absent
    EmbeddingSpaceError,
    InvalidInputError,
    InvalidOptionError,
    ModelClosedError,
    ModelLoadError,
)
from registry.loaders import SparseEmbeddings, SparseEncoder, TruncationWarning, load  # noqa: E402

pytestmark = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")

TEXTS = ["the cat chase the mouse", "", "the tiger is a large cat", "bread, and milk!", "cat " * 50]


@pytest.fixture
def encoder(made: Callable[..., Path], opened: Callable[..., Any]) -> SparseEncoder:
    found: SparseEncoder = opened(tiny.splade_record(), path=made(tiny.splade))
    return found


def theirs(folder: Path) -> Any:
    from sentence_transformers import SparseEncoder as Theirs

    return Theirs(str(folder), local_files_only=True, device="cpu")


@pytest.mark.parametrize("layout", [tiny.splade, tiny.bare_splade])
def test_weights_are_those_of_sentence_transformers(
    made: Callable[..., Path], opened: Callable[..., Any], layout: Callable[..., Path]
) -> None:
    folder = made(layout)
    mine, other = opened(tiny.splade_record(), path=folder), theirs(folder)
    assert mine.embedding_dim == len(tiny.BERT_VOCAB)
    expected = other.encode_document(TEXTS, batch_size=1, convert_to_sparse_tensor=False).numpy()
    for found in (mine.encode_query(TEXTS), mine.encode_document(TEXTS)):
        assert (found.csr.dtype, found.csr.shape) == (np.float32, expected.shape)
        np.testing.assert_allclose(found.csr.toarray(), expected, rtol=0, atol=1e-5)
        for vector, row in zip(found, expected, strict=True):
            assert vector.indices.tolist() == np.flatnonzero(row).tolist()
            np.testing.assert_allclose(vector.weights, row[row != 0], rtol=0, atol=1e-5)
    scores = other.similarity(expected, expected).numpy()
    np.testing.assert_allclose(mine.similarity(found, found), scores, rtol=1e-4)
    assert mine.similarity(found, found).dtype == np.float32


def test_decoded_words_are_those_of_sentence_transformers_heaviest_first(
    encoder: SparseEncoder, made: Callable[..., Path]
) -> None:
    (vector,) = encoder.encode_query(["the cat chase the mouse"])
    other = theirs(made(tiny.splade))
    (expected,) = other.decode(other.encode(["the cat chase the mouse"]))
    found = encoder.decode(vector)
    assert [word for word, _ in found] == [word for word, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected], abs=1e-5)
    assert {"cat", "mouse"} <= {word for word, _ in encoder.decode(vector, top_k=6)}
    assert encoder.decode(vector, 2) == found[:2]
    assert all(type(word) is str and type(weight) is float for word, weight in found)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, True])
def test_top_k_that_is_no_number_of_words_is_refused(encoder: SparseEncoder, top_k: Any) -> None:
    (vector,) = encoder.encode_query(["cat"])
    with pytest.raises(InvalidOptionError) as caught:
        encoder.decode(vector, top_k)
    assert str(caught.value) == f"`top_k`: expected an integer of at least 1, got {top_k!r}."


def test_vector_without_weights_has_no_words(encoder: SparseEncoder) -> None:
    assert encoder.decode(type(encoder.encode_query(["a"])[0])(np.empty(0, np.int32), np.empty(0, np.float32))) == []


def test_no_texts_give_no_rows(encoder: SparseEncoder) -> None:
    found = encoder.encode_document([])
    assert (len(found), found.csr.shape, list(found)) == (0, (0, len(tiny.BERT_VOCAB)), [])
    assert encoder.similarity(found, encoder.encode_query(["cat"])).shape == (0, 1)
    assert encoder.count_tokens([]) == []


def test_prompts_of_the_record_are_put_in_front(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    mine = opened(tiny.splade_record(query_prompt="find: "), path=made(tiny.splade))
    plain = opened(tiny.splade_record(), path=made(tiny.splade))
    found = mine.encode_query(["the cat"])
    assert found.csr.toarray().tolist() == plain.encode_query(["find: the cat"]).csr.toarray().tolist()
    assert (found.token_counts, mine.encode_document(["the cat"]).token_counts) == ((6,), (4,))
    assert mine.space_id != plain.space_id


def test_cut_texts_are_reported(encoder: SparseEncoder) -> None:
    with pytest.warns(TruncationWarning, match="1 of 2 texts are longer than the 64 tokens that `tiny-sparse` reads"):
        found = encoder.encode_document(["cat", "cat " * 63])
    assert (found.truncated, found.token_counts) == ((1,), (3, 65))
    with pytest.warns(TruncationWarning, match="the longest has 100002"):
        encoder.encode_document(["cat " * 100_000])


def test_batches_change_no_result_and_no_order(
    encoder: SparseEncoder, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    texts = [" ".join(tiny.WORDS[i : i + (i * 7) % 25]) for i in range(20)]
    expected = encoder.encode_document(texts).csr.toarray()
    for options in ({"batch_size": 1, "threads": 2}, {"batch_size": 50, "threads": 1}):
        found = opened(tiny.splade_record(), path=made(tiny.splade), **options).encode_document(texts)
        np.testing.assert_allclose(found.csr.toarray(), expected, rtol=0, atol=1e-5)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: encoder.encode_document(texts), range(8)):
            np.testing.assert_allclose(found.csr.toarray(), expected, rtol=0, atol=1e-5)


def test_space_is_one_for_both_sides_and_others_are_refused(
    encoder: SparseEncoder, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    queries, documents = encoder.encode_query(["cat"]), encoder.encode_document(["cat"])
    assert queries.space_id == documents.space_id == documents[:1].space_id == encoder.space_id
    other = opened(tiny.splade_record(huggingface_id="tiny/other"), path=made(tiny.splade))
    with pytest.raises(EmbeddingSpaceError):
        encoder.similarity(queries, other.encode_document(["cat"]))


def test_result_pickles(encoder: SparseEncoder) -> None:
    found = encoder.encode_query(["cat"])
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is SparseEmbeddings
    assert encoder.similarity(again, found) == encoder.similarity(found, found)


def test_what_is_no_list_of_texts_is_refused(encoder: SparseEncoder) -> None:
    for method in (encoder.encode_query, encoder.encode_document, encoder.count_tokens):
        with pytest.raises(InvalidInputError, match="expected a list of strings, got one str"):
            method("cat")
        with pytest.raises(InvalidInputError, match=r"`texts\[1\]`: expected a string, got None"):
            method(["a", None])  # type: ignore[list-item]


def test_use_after_close_is_refused(made: Callable[..., Path]) -> None:
    with load(tiny.splade_record(), path=made(tiny.splade)) as mine:
        found = mine.encode_query(["cat"])
    uses: list[Callable[[], Any]] = [
        lambda: mine.encode_query(["a"]),
        lambda: mine.encode_document([]),
        lambda: mine.count_tokens(["a"]),
        lambda: mine.decode(found[0]),
    ]
    for use in uses:
        with pytest.raises(ModelClosedError):
            use()
    assert mine.similarity(found, found).shape == (1, 1)


def test_vocabulary_of_another_size_is_refused(made: Callable[..., Path]) -> None:
    folder = made(tiny.splade)
    with pytest.raises(ModelLoadError) as caught:
        load(tiny.splade_record(embedding_dim=30522), path=folder)
    assert str(caught.value) == (
        f"Cannot load `tiny-sparse` from `{folder}`: embedding_dim: expected 30522, got {len(tiny.BERT_VOCAB)}. "
        "These are the files of another model, or the record is wrong."
    )


@pytest.mark.parametrize("option", [{"truncate_dim": 16}, {"seed": 1}, {"gpu_layers": 0}])
def test_option_that_means_nothing_is_refused(made: Callable[..., Path], option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match="It means nothing to `tiny-sparse`, which is a sparse embedding mod"):
        load(tiny.splade_record(), path=made(tiny.splade), **option)
