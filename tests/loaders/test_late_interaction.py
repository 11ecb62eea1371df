import pickle
import sys
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
    UnsupportedDimensionError,
)
from registry.loaders import (  # noqa: E402
    LateInteractionEncoder,
    Ranked,
    TokenEmbeddings,
    TruncationWarning,
    load,
)

pytestmark = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")

TEXTS = ["the cat chase the mouse", "", "the tiger is a large cat", "bread, and milk!", "Ж 日本 🎉", "!!! ... ?"]
LAYOUTS = [tiny.stanford_colbert, tiny.pylate_colbert, tiny.native_colbert]


def theirs(folder: Path, **options: Any) -> Any:
    from sentence_transformers import MultiVectorEncoder

    return MultiVectorEncoder(str(folder), local_files_only=True, device="cpu", **options)


def assert_equal(found: Any, expected: Any, *, atol: float = 1e-5) -> None:
    assert [len(each) for each in found] == [len(each) for each in expected]
    for mine, other in zip(found, expected, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, other, rtol=0, atol=atol)


@pytest.fixture
def encoder(made: Callable[..., Path], opened: Callable[..., Any]) -> LateInteractionEncoder:
    found: LateInteractionEncoder = opened(tiny.colbert_record(), path=made(tiny.stanford_colbert))
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vectors_of_each_layout_are_those_of_sentence_transformers(
    made: Callable[..., Path], opened: Callable[..., Any], layout: Callable[..., Path]
) -> None:
    folder = made(layout)
    mine, other = opened(tiny.colbert_record(), path=folder), theirs(folder)
    queries, documents = mine.encode_query(TEXTS), mine.encode_document(TEXTS)
    assert_equal(queries, other.encode_query(TEXTS, batch_size=1, convert_to_numpy=True))
    assert_equal(documents, other.encode_document(TEXTS, batch_size=1, convert_to_numpy=True))
    scores = other.similarity(other.encode_query(TEXTS), other.encode_document(TEXTS))
    np.testing.assert_allclose(mine.similarity(queries, documents), scores.numpy(), rtol=0, atol=1e-4)
    assert all(np.allclose(np.linalg.norm(each, axis=1), 1, atol=1e-5) for each in (*queries, *documents))
    assert queries.lengths == (16,) * len(TEXTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_markers_count_and_cut_texts_are_reported_right(
    made: Callable[..., Path], opened: Callable[..., Any], layout: Callable[..., Path]
) -> None:
    mine = opened(tiny.colbert_record(), path=made(layout))
    assert (mine.query_length, mine.document_length) == (16, 32)
    fit, over = "cat " * 29, "cat " * 30  # and [CLS], the marker, [SEP]
    assert mine.encode_document([fit]).truncated == ()
    assert mine.encode_document([fit]).token_counts == (32,)
    with pytest.warns(TruncationWarning, match="1 of 2 documents are longer than the 32 tokens that `tiny-colbert`"):
        found = mine.encode_document([fit, over])
    assert (found.truncated, found.token_counts, found.lengths) == ((1,), (32, 33), (32, 32))
    assert mine.encode_query(["cat " * 13]).truncated == ()
    with pytest.warns(TruncationWarning) as caught:
        line, queries = sys._getframe().f_lineno, mine.encode_query(["cat", "cat " * 14])
    assert (queries.truncated, queries.lengths) == ((1,), (16, 16))
    assert (Path(caught[0].filename), caught[0].lineno) == (Path(__file__), line)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lengths_are_those_of_the_record(
    made: Callable[..., Path], opened: Callable[..., Any], layout: Callable[..., Path]
) -> None:
    mine = opened(tiny.colbert_record(query_length=24, document_length=48), path=made(layout))
    assert (mine.query_length, mine.document_length) == (24, 48)
    other = theirs(made(layout, query_length=24, document_length=48))
    texts = [*TEXTS, "cat " * 40]
    with pytest.warns(TruncationWarning):
        queries = mine.encode_query(texts)
    assert_equal(queries, other.encode_query(texts, convert_to_numpy=True))
    assert_equal(mine.encode_document(texts), other.encode_document(texts, convert_to_numpy=True))
    assert queries.lengths == (24,) * len(texts)


def test_lengths_that_the_record_leaves_out_are_those_of_the_checkpoint(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    record = tiny.colbert_record(query_length=None, document_length=None)
    mine = opened(record, path=made(tiny.pylate_colbert, query_length=8, document_length=20))
    assert (mine.query_length, mine.document_length) == (8, 20)
    assert mine.encode_query(["cat"]).lengths == (8,)


def test_queries_that_are_not_expanded_keep_their_length(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    folder = made(tiny.pylate_colbert, query_expansion=False)
    mine, other = opened(tiny.colbert_record(), path=folder), theirs(folder)
    found = mine.encode_query(["cat", "the cat"])
    assert found.lengths == (4, 5)
    assert_equal(found, other.encode_query(["cat", "the cat"], convert_to_numpy=True))


def test_punctuation_is_left_out_where_the_model_was_trained_so(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    masked = opened(tiny.colbert_record(), path=made(tiny.stanford_colbert))
    whole = opened(tiny.colbert_record(), path=made(tiny.stanford_colbert, mask_punctuation=False))
    for mine, expected in ((masked, 4), (whole, 7)):
        found = mine.encode_document(["cat!!!"])
        assert (found.lengths, found.token_counts) == ((expected,), (7,))


def test_caller_may_cut_documents_and_no_further_than_the_model_reads(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    folder = made(tiny.stanford_colbert)
    short = opened(tiny.colbert_record(), path=folder, context_length=10)
    with pytest.warns(TruncationWarning):
        assert short.encode_document(["cat " * 20]).lengths == (10,)
    assert short.encode_query(["cat"]).lengths == (16,)
    longer = opened(tiny.colbert_record(), path=folder, context_length=100)
    assert longer.encode_document(["cat " * 60]).lengths == (63,)
    with pytest.raises(InvalidOptionError) as caught:
        load(tiny.colbert_record(), path=folder, context_length=513)
    assert str(caught.value) == ("`context_length`: expected at most 512, the maximum of `tiny-colbert`, got 513.")


# Ranking and comparing


def test_rank_orders_texts_and_encoded_documents_the_same(encoder: LateInteractionEncoder) -> None:
    found = encoder.rank("tiger cat", TEXTS)
    assert found[0].index == 2
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    encoded = encoder.encode_document(TEXTS)
    assert encoder.rank("tiger cat", encoded) == pytest.approx(found)
    scores = encoder.similarity(encoder.encode_query(["tiger cat"]), encoded)[0]
    assert {each.index: each.score for each in found} == pytest.approx(dict(enumerate(scores.tolist())), abs=1e-5)
    assert encoder.rank("tiger cat", encoded, top_k=2) == encoder.rank("tiger cat", encoded)[:2]
    assert len(encoder.rank("tiger cat", encoded, 100)) == len(TEXTS)


def test_rank_of_no_documents_is_empty(encoder: LateInteractionEncoder) -> None:
    assert encoder.rank("cat", []) == encoder.rank("cat", encoder.encode_document([])) == []


def test_rank_refuses_what_is_no_query_and_no_documents(encoder: LateInteractionEncoder) -> None:
    given: list[tuple[Any, Any, str]] = [
        (["cat"], TEXTS, "`query`: expected a string, got ['cat']."),
        (None, TEXTS, "`query`: expected a string, got None."),
        ("cat", "dog", "`texts`: expected a list of strings, got one str. Write it as `[text]`."),
        ("cat", ["a", 5], "`texts[1]`: expected a string, got 5."),
    ]
    for query, documents, message in given:
        with pytest.raises(InvalidInputError) as caught:
            encoder.rank(query, documents)
        assert str(caught.value) == message


def test_rank_gives_plain_values(encoder: LateInteractionEncoder) -> None:
    (found,) = encoder.rank("cat", ["the cat"])
    assert (type(found), type(found.index), type(found.score)) == (Ranked, int, float)


def test_similarity_takes_changed_lists_and_plain_lists(encoder: LateInteractionEncoder) -> None:
    queries, documents = encoder.encode_query(["cat", "milk"]), encoder.encode_document(TEXTS)
    whole = encoder.similarity(queries, documents)
    np.testing.assert_allclose(encoder.similarity(queries[:1], documents[2:4]), whole[:1, 2:4], atol=1e-5)
    documents.reverse()
    np.testing.assert_allclose(encoder.similarity(queries, documents), whole[:, ::-1], atol=1e-5)
    assert encoder.similarity([], documents).shape == (0, len(TEXTS))
    assert encoder.similarity(queries, []).shape == (2, 0)


# Sizes, pooling, space


def test_cut_vectors_are_the_first_components_scaled_anew(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    folder = made(tiny.stanford_colbert)
    mine = opened(tiny.colbert_record(matryoshka_dims=(8,)), path=folder, truncate_dim=8)
    expected = [each[:, :8] for each in theirs(folder).encode_document(TEXTS, convert_to_numpy=True)]
    found = mine.encode_document(TEXTS)
    assert_equal(found, [each / np.linalg.norm(each, axis=1, keepdims=True) for each in expected])
    assert (mine.embedding_dim, found.tokens.shape[1], mine.encode_query([]).tokens.shape) == (8, 8, (0, 8))
    with pytest.raises(UnsupportedDimensionError):
        load(tiny.colbert_record(), path=folder, truncate_dim=8)


@pytest.mark.parametrize("factor", [2, 3, 1000])
def test_pooled_documents_are_those_of_sentence_transformers(
    encoder: LateInteractionEncoder, made: Callable[..., Path], factor: int
) -> None:
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    found = encoder.encode_document(TEXTS, pool_factor=factor)
    pooling = HierarchicalTokenPooling(pool_factor=factor)
    expected = theirs(made(tiny.stanford_colbert)).encode_document(
        TEXTS, token_pooling=pooling, batch_size=1, convert_to_numpy=True
    )
    assert_equal(found, expected)
    whole = encoder.encode_document(TEXTS)
    assert sum(found.lengths) < sum(whole.lengths)
    assert (found.space_id, found.token_counts) == (whole.space_id, whole.token_counts)
    assert found.tokens.shape == (sum(found.lengths), 16)


def test_factor_of_one_pools_nothing_and_no_documents_can_be_pooled(encoder: LateInteractionEncoder) -> None:
    one, plain = encoder.encode_document(TEXTS, pool_factor=1), encoder.encode_document(TEXTS)
    assert one.tokens.tolist() == plain.tokens.tolist()
    assert encoder.encode_document([], pool_factor=2) == []


@pytest.mark.parametrize("factor", [0, -1, 1.5, True, "2", None])
def test_factor_that_is_no_count_is_refused(encoder: LateInteractionEncoder, factor: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        encoder.encode_document(["cat"], pool_factor=factor)
    assert str(caught.value) == f"`pool_factor`: expected an integer of at least 1, got {factor!r}."


def test_space_is_one_for_queries_and_documents_and_differs_by_model(
    encoder: LateInteractionEncoder, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    assert encoder.encode_query(["a"]).space_id == encoder.encode_document([]).space_id == encoder.space_id
    assert encoder.space_id.startswith("tiny/colbert:16:float32:")
    record = tiny.colbert_record(matryoshka_dims=(8,))
    cut = opened(record, path=made(tiny.stanford_colbert), truncate_dim=8)
    other = opened(tiny.colbert_record(), path=made(tiny.pylate_colbert))
    same = opened(tiny.colbert_record(), path=made(tiny.stanford_colbert), dtype="bfloat16", batch_size=3)
    assert len({encoder.space_id, cut.space_id, other.space_id}) == 3
    assert same.space_id == encoder.space_id
    with pytest.raises(EmbeddingSpaceError):
        encoder.similarity(encoder.encode_query(["a"]), other.encode_document(["a"]))
    with pytest.raises(EmbeddingSpaceError):
        encoder.rank("a", other.encode_document(["a"]))


def test_result_is_a_list_over_one_matrix_that_pickles(encoder: LateInteractionEncoder) -> None:
    found = encoder.encode_document(TEXTS)
    assert type(found) is TokenEmbeddings
    assert found.tokens.flags.c_contiguous
    assert all(np.shares_memory(each, found.tokens) for each in found)
    again = pickle.loads(pickle.dumps(found))
    assert (again.space_id, again.tokens.tolist()) == (found.space_id, found.tokens.tolist())


# Batches, threads, the end


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (40, 2), (10**6, 1)])
def test_batches_change_no_result_and_no_order(
    made: Callable[..., Path], opened: Callable[..., Any], batch_size: int, threads: int
) -> None:
    folder = made(tiny.stanford_colbert)
    texts = [" ".join(tiny.WORDS[i : i + (i * 7) % 25]) for i in range(20)]
    mine = opened(tiny.colbert_record(), path=folder, batch_size=batch_size, threads=threads)
    other = theirs(folder)
    with pytest.warns(TruncationWarning):  # of queries
        queries = mine.encode_query(texts)
    assert_equal(queries, other.encode_query(texts, batch_size=1, convert_to_numpy=True))
    assert_equal(mine.encode_document(texts), other.encode_document(texts, batch_size=1, convert_to_numpy=True))


def test_eight_threads_may_use_one_encoder(encoder: LateInteractionEncoder) -> None:
    expected = encoder.rank("tiger cat", TEXTS)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: encoder.rank("tiger cat", TEXTS), range(16)))
    assert [[each.index for each in one] for one in found] == [[each.index for each in expected]] * 16


def test_use_after_close_is_refused(made: Callable[..., Path]) -> None:
    with load(tiny.colbert_record(), path=made(tiny.stanford_colbert)) as mine:
        documents = mine.encode_document(TEXTS)
    uses: list[Callable[[], Any]] = [
        lambda: mine.encode_query(["a"]),
        lambda: mine.encode_document([]),
        lambda: mine.count_tokens(["a"]),
        lambda: mine.rank("a", documents),
    ]
    for use in uses:
        with pytest.raises(ModelClosedError):
            use()
    assert mine.similarity(documents, documents).shape == (len(TEXTS), len(TEXTS))


def test_texts_of_any_shape_are_refused_or_encoded(encoder: LateInteractionEncoder) -> None:
    assert encoder.encode_query([]) == encoder.encode_document([]) == []
    assert encoder.encode_query([]).tokens.shape == (0, 16)
    assert encoder.count_tokens(["", "the cat"]) == [2, 4]
    for method in (encoder.encode_query, encoder.encode_document, encoder.count_tokens):
        with pytest.raises(InvalidInputError, match="expected a list of strings, got one str"):
            method("cat")
        with pytest.raises(InvalidInputError, match="half of a surrogate pair"):
            method(["\ud800"])
    with pytest.warns(TruncationWarning, match="the longest has 100003"):
        assert encoder.encode_document(["cat " * 100_000]).lengths == (32,)


def test_dimension_that_the_record_does_not_say_is_refused(made: Callable[..., Path]) -> None:
    folder = made(tiny.stanford_colbert, dim=8)
    with pytest.raises(ModelLoadError) as caught:
        load(tiny.colbert_record(), path=folder)
    assert str(caught.value) == (
        f"Cannot load `tiny-colbert` from `{folder}`: embedding_dim: expected 16, got 8. "
        "These are the files of another model, or the record is wrong."
    )
