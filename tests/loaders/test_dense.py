import json
import shutil
import sys
import threading
import time
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
    UnsafeWeightsError,
    UnsupportedDimensionError,
)
from registry.loaders import DenseEncoder, Embeddings, TruncationWarning, load  # noqa: E402
from registry.loaders.dense import compare, normalized, stored_as  # noqa: E402

needs_llama = pytest.mark.skipif(
    find_spec("llama_cpp") is None or find_spec("gguf") is None, reason="needs llama-cpp-python and gguf"
)
pytestmark = pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="needs sentence-transformers")

TEXTS = ["the cat chase the mouse", "", "the tiger is a large cat", "bread and milk!", "Ж 日本 🎉", "cat " * 50]
PROMPTS = {"query": "find: ", "document": "read: "}


def theirs(folder: Path, texts: list[str] = TEXTS, **options: Any) -> Any:
    """Encode with sentence-transformers itself, one text at a time."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), local_files_only=True, device="cpu")
    return model.encode(texts, batch_size=1, **options)


def cosines(one: Any, other: Any) -> Any:
    return (normalized(np.asarray(one, np.float32)) * normalized(np.asarray(other, np.float32))).sum(axis=1)


@pytest.fixture
def encoder(made: Callable[..., Path], opened: Callable[..., Any]) -> DenseEncoder:
    found: DenseEncoder = opened(tiny.dense_record(), path=made(tiny.dense))
    return found


# The vectors


@pytest.mark.parametrize(
    ("options", "record"),
    [
        ({}, {}),
        ({"pooling": "cls"}, {"pooling": "cls"}),
        ({"pooling": "max"}, {"pooling": "max"}),
        ({"pooling": "lasttoken"}, {"pooling": "last-token"}),
        ({"pooling": "weightedmean"}, {"pooling": "weighted-mean"}),
        ({"pooling": "mean_sqrt_len_tokens"}, {"pooling": "mean-sqrt-len"}),
        ({"normalize": False, "similarity": "dot"}, {"normalize": False, "similarity": "dot"}),
        ({"dim": 16, "projection": True}, {"embedding_dim": 16}),
        ({"pooling": "cls", "normalize": False}, {"pooling": None, "normalize": None, "similarity": None}),
    ],
)
def test_vectors_are_those_of_sentence_transformers(
    made: Callable[..., Path], opened: Callable[..., Any], options: dict[str, Any], record: dict[str, Any]
) -> None:
    folder = made(tiny.dense, **options)
    with pytest.warns(TruncationWarning):  # one text is longer than the 64 tokens
        found = opened(tiny.dense_record(**record), path=folder, context_length=32).encode(TEXTS)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), local_files_only=True, device="cpu")
    model.max_seq_length = 32
    assert (found.dtype, type(found)) == (np.float32, Embeddings)
    np.testing.assert_allclose(found, model.encode(TEXTS, batch_size=1), rtol=0, atol=1e-5)


def test_vectors_of_the_layout_of_the_hub_are_those_of_the_new_one(
    encoder: DenseEncoder, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    old = opened(tiny.dense_record(), path=made(tiny.hub_dense))
    assert old.encode(TEXTS).tolist() == encoder.encode(TEXTS).tolist()


@pytest.mark.parametrize(
    ("saved", "stated", "expected"),
    [
        ({}, {}, ("", "")),
        (PROMPTS, {}, ("find: ", "read: ")),
        ({}, {"query_prompt": "q: ", "document_prompt": "d: "}, ("q: ", "d: ")),
        (PROMPTS, {"query_prompt": "q: ", "document_prompt": ""}, ("q: ", "")),
    ],
)
def test_prompts_are_the_records_and_where_it_is_silent_the_checkpoints(
    made: Callable[..., Path],
    opened: Callable[..., Any],
    saved: dict[str, str],
    stated: dict[str, str],
    expected: tuple[str, str],
) -> None:
    folder = made(tiny.dense, prompts=saved)
    mine = opened(tiny.dense_record(**stated), path=folder)
    assert (mine.query_prompt, mine.document_prompt) == expected
    texts = TEXTS[:-1]
    queries, documents, plain = mine.encode_query(texts), mine.encode_document(texts), mine.encode(texts)
    for found, prompt in ((queries, expected[0]), (documents, expected[1]), (plain, "")):
        np.testing.assert_allclose(found, theirs(folder, texts, prompt=prompt), rtol=0, atol=1e-5)
    extra = [a - b for a, b in zip(queries.token_counts, plain.token_counts, strict=True)]
    assert extra == [{"": 0, "q: ": 2, "find: ": 2}[expected[0]]] * len(texts)


def test_prompt_that_pooling_leaves_out_is_left_out(
    copied: Callable[..., Path], made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    folder = copied(tiny.dense, prompts=PROMPTS)
    settings = json.loads((folder / "1_Pooling" / "config.json").read_text())
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings | {"include_prompt": False}))
    found = opened(tiny.dense_record(), path=folder).encode_query(TEXTS[:-1])
    np.testing.assert_allclose(found, theirs(folder, TEXTS[:-1], prompt="find: "), rtol=0, atol=1e-5)
    with_prompt = opened(tiny.dense_record(), path=made(tiny.dense, prompts=PROMPTS)).encode_query(TEXTS[:-1])
    assert abs(found - with_prompt).max() > 1e-3


def test_record_that_normalizes_makes_up_for_a_checkpoint_that_does_not(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    folder = made(tiny.dense, normalize=False)
    found = opened(tiny.dense_record(), path=folder).encode(TEXTS[:-1])
    np.testing.assert_allclose(found, normalized(theirs(folder, TEXTS[:-1])), rtol=0, atol=1e-5)


def test_cut_vectors_are_the_first_components_scaled_anew(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    folder, record = made(tiny.dense), tiny.dense_record(matryoshka_dims=(8, 16, 32))
    mine = opened(record, path=folder, truncate_dim=8)
    assert mine.embedding_dim == 8
    found = mine.encode(TEXTS[:-1])
    np.testing.assert_allclose(found, normalized(theirs(folder, TEXTS[:-1])[:, :8]), rtol=0, atol=1e-5)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert mine.encode([]).shape == (0, 8)
    assert mine.encode(TEXTS[:2], precision="binary").shape == (2, 1)


@pytest.mark.parametrize("dim", [1, 8, 31, 33, 64])
def test_size_that_is_none_of_the_records_is_refused_before_loading(tmp_path: Path, dim: int) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnsupportedDimensionError) as caught:
        load(tiny.dense_record(matryoshka_dims=(16, 32)), path=tmp_path, truncate_dim=dim)
    assert (caught.value.embedding_dim, caught.value.supported) == (dim, (32, 16))


def test_unnormalized_vectors_are_cut_and_left_as_they_are(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    folder = made(tiny.dense, normalize=False, similarity="dot")
    record = tiny.dense_record(matryoshka_dims=(16,), normalize=False, similarity="dot")
    found = opened(record, path=folder, truncate_dim=16).encode(TEXTS[:-1])
    np.testing.assert_allclose(found, theirs(folder, TEXTS[:-1])[:, :16], rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last-token"])
def test_bare_checkpoint_is_pooled_as_the_record_says(
    made: Callable[..., Path], opened: Callable[..., Any], pooling: str
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = made(tiny.bare)
    mode = {"last-token": "lasttoken"}.get(pooling, pooling)
    by_hand = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(32, pooling_mode=mode)], device="cpu")
    expected = by_hand.encode(TEXTS[:-1], batch_size=1)
    raw = opened(tiny.dense_record(pooling=pooling, normalize=False), path=folder).encode(TEXTS[:-1])
    np.testing.assert_allclose(raw, expected, rtol=0, atol=1e-5)
    found = opened(tiny.dense_record(pooling=pooling), path=folder).encode(TEXTS[:-1])
    np.testing.assert_allclose(found, normalized(expected), rtol=0, atol=1e-5)


def test_bare_checkpoint_without_pooling_in_the_record_is_refused(made: Callable[..., Path]) -> None:
    folder = made(tiny.bare)
    with pytest.raises(ModelLoadError) as caught:
        load(tiny.dense_record(pooling=None), path=folder)
    assert str(caught.value) == (
        f"Cannot load `tiny-dense` from `{folder}`: layout: expected a dense encoder, got bare (BertModel). "
        "The record must name the pooling, or the files must."
    )


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"pooling": "cls"}, "pooling: expected cls, got mean."),
        ({"normalize": False}, "normalize: expected False, got a module that normalizes."),
        (
            {"embedding_dim": 64},
            "embedding_dim: expected 64, got 32. These are the files of another model, or the record is wrong.",
        ),
    ],
)
def test_checkpoint_that_contradicts_the_record_is_refused(
    made: Callable[..., Path], record: dict[str, Any], message: str
) -> None:
    folder = made(tiny.dense)
    with pytest.raises(ModelLoadError) as caught:
        load(tiny.dense_record(**record), path=folder)
    assert str(caught.value) == f"Cannot load `tiny-dense` from `{folder}`: {message}"


def test_pickled_weights_are_refused_unread(copied: Callable[..., Path]) -> None:
    folder = copied(tiny.dense)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UnsafeWeightsError) as caught:
        load(tiny.dense_record(), path=folder)
    assert caught.value.path == str(folder / "pytorch_model.bin")


# Precision


def test_int8_keeps_cosines_whatever_else_is_in_the_batch(encoder: DenseEncoder) -> None:
    texts = TEXTS[:-1]
    exact, small = encoder.encode(texts), encoder.encode(texts, precision="int8")
    assert (small.dtype, small.shape) == (np.int8, exact.shape)
    assert abs(small).max(axis=1).tolist() == [127] * len(texts)
    assert cosines(exact, small).min() > 0.9999
    assert encoder.encode(texts[:1], precision="int8").tolist() == small[:1].tolist()
    np.testing.assert_allclose(encoder.similarity(small, small), encoder.similarity(exact, exact), atol=0.01)


def test_binary_is_the_signs_eight_to_a_byte(encoder: DenseEncoder) -> None:
    exact, small = encoder.encode(TEXTS[:-1]), encoder.encode(TEXTS[:-1], precision="binary")
    assert (small.dtype, small.shape) == (np.uint8, (len(TEXTS) - 1, 4))
    assert np.unpackbits(np.asarray(small), axis=1).tolist() == (exact > 0).astype(int).tolist()
    scores = encoder.similarity(small, small)
    signs = np.where(np.asarray(exact) > 0, 1, -1)
    np.testing.assert_allclose(scores, signs @ signs.T / 32, atol=1e-6)
    assert scores.dtype == np.float32


def test_zero_vectors_stay_zero_in_every_precision() -> None:
    zeros = np.zeros((2, 8), np.float32)
    assert normalized(zeros).tolist() == zeros.tolist()
    assert stored_as(zeros, "int8").tolist() == zeros.tolist()
    assert stored_as(zeros, "binary").tolist() == [[0], [0]]
    assert stored_as(zeros[:0], "int8").shape == (0, 8)


@pytest.mark.parametrize("precision", ["int4", "ubinary", "", None, np.float32])
def test_unknown_precision_is_refused(encoder: DenseEncoder, precision: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        encoder.encode(["a"], precision=precision)
    assert str(caught.value) == f"`precision`: expected one of float32, int8, binary, got {precision!r}."


def test_int8_is_refused_where_lengths_matter(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    record = tiny.dense_record(normalize=False, similarity="dot")
    mine = opened(record, path=made(tiny.dense, normalize=False, similarity="dot"))
    with pytest.raises(InvalidOptionError) as caught:
        mine.encode_query(["a"], precision="int8")
    assert str(caught.value) == (
        "`precision`: expected float32 or binary, got 'int8'. "
        "`tiny-dense` compares by dot, and int8 keeps directions only."
    )


def test_binary_is_refused_where_bits_do_not_fill_bytes(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    mine = opened(tiny.dense_record(matryoshka_dims=(12,)), path=made(tiny.dense), truncate_dim=12)
    with pytest.raises(InvalidOptionError) as caught:
        mine.encode(["a"], precision="binary")
    assert str(caught.value) == (
        "`precision`: expected float32 or int8, got 'binary'. The dimension is no multiple of 8."
    )


# Similarity


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_is_that_of_sentence_transformers(name: str) -> None:
    from sentence_transformers.util import SimilarityFunction

    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((n, 8)).astype(np.float32) for n in (3, 5))
    expected = SimilarityFunction.to_similarity_fn(name)(one, other).numpy()
    found = compare(one, other, name)
    assert (found.dtype, type(found)) == (np.float32, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert compare(one[:0], other, name).shape == (0, 5)
    assert compare(one, other[:0], name).shape == (3, 0)


def test_euclidean_of_equal_vectors_is_a_number() -> None:
    found = compare(same := np.full((2, 8), 1 / 3, np.float32), same, "euclidean")
    assert np.isfinite(found).all()
    assert abs(found).max() < 1e-3


def test_similarity_takes_one_vector_and_arrays_of_no_known_space(encoder: DenseEncoder) -> None:
    found = encoder.encode(TEXTS[:3])
    assert encoder.similarity(found[0], np.asarray(found)).shape == (1, 3)


def test_similarity_refuses_two_spaces(
    encoder: DenseEncoder, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    other = opened(tiny.dense_record(), path=made(tiny.dense, seed=1))
    mine, theirs_ = encoder.encode_query(["cat"]), other.encode_document(["cat"])
    with pytest.raises(EmbeddingSpaceError) as caught:
        encoder.similarity(mine, theirs_[:1])
    assert str(caught.value) == (
        f"Embeddings of two spaces cannot be compared: expected `{mine.space_id}`, got `{theirs_.space_id}`. "
        "Encode both sides with one model, one dimension and one precision."
    )
    with pytest.raises(EmbeddingSpaceError):
        encoder.similarity(mine, encoder.encode_document(["cat"], precision="int8"))


# The space


def test_space_is_one_for_both_sides_and_the_encoder(encoder: DenseEncoder) -> None:
    found = {each(["cat"]).space_id for each in (encoder.encode, encoder.encode_query, encoder.encode_document)}
    assert found == {encoder.space_id}
    assert encoder.space_id.startswith("tiny/dense:32:float32:")
    assert encoder.encode([]).space_id == encoder.space_id


def test_space_does_not_depend_on_how_it_is_computed(
    encoder: DenseEncoder, made: Callable[..., Path], opened: Callable[..., Any], tmp_path: Path
) -> None:
    options: list[dict[str, Any]] = [
        {"device": "cpu"},
        {"dtype": "bfloat16"},
        {"threads": 1, "batch_size": 7},
        {"context_length": 8},
    ]
    record = tiny.dense_record(id="renamed", name="Renamed", description="Other.")
    copy = shutil.copytree(made(tiny.dense), tmp_path / "copy")
    found = {opened(record, path=copy, **option).space_id for option in options}
    assert found == {encoder.space_id}


def test_space_depends_on_what_the_vectors_are(
    encoder: DenseEncoder, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    found = [
        encoder.space_id,
        encoder.encode(["a"], precision="int8").space_id,
        encoder.encode(["a"], precision="binary").space_id,
        opened(tiny.dense_record(matryoshka_dims=(8,)), path=made(tiny.dense), truncate_dim=8).space_id,
        opened(tiny.dense_record(query_prompt="q: "), path=made(tiny.dense)).space_id,
        opened(tiny.dense_record(document_prompt="q: "), path=made(tiny.dense)).space_id,
        opened(tiny.dense_record(huggingface_id="tiny/other"), path=made(tiny.dense)).space_id,
        opened(tiny.dense_record(pooling="cls"), path=made(tiny.dense, pooling="cls")).space_id,
        opened(tiny.dense_record(), path=made(tiny.dense, seed=1)).space_id,
    ]
    assert len(set(found)) == len(found)


def test_given_path_with_the_pinned_bytes_is_the_pinned_space_and_with_others_another(
    home: Path, made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    folder = made(tiny.dense)
    record = tiny.dense_record(files=(tiny.model_file(folder / "model.safetensors", "safetensors"),))
    shutil.copytree(folder, home / "models" / "tiny-dense")
    found = opened(record)
    assert found.origin == "home"
    assert opened(record, path=folder).space_id == found.space_id
    assert opened(record, path=made(tiny.dense, seed=1)).space_id != found.space_id
    moved = tiny.dense_record(files=record.files, revision="f" * 40)
    assert opened(moved, path=folder).space_id != found.space_id


# Input


@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document", "count_tokens"])
def test_what_is_no_list_of_texts_is_refused(encoder: DenseEncoder, method: str) -> None:
    for given, message in [
        ("cat", "`texts`: expected a list of strings, got one str. Write it as `[text]`."),
        (None, "`texts`: expected a list of strings, got None. Write it as `[text]`."),
        (["cat", None], "`texts[1]`: expected a string, got None."),
    ]:
        with pytest.raises(InvalidInputError) as caught:
            getattr(encoder, method)(given)
        assert str(caught.value) == message
    with pytest.raises(InvalidInputError, match=r"^`texts\[1\]`: expected text, got half of a surrogate pair"):
        getattr(encoder, method)(["cat", "\ud83d"])


@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
def test_no_texts_give_no_rows(encoder: DenseEncoder, precision: Any) -> None:
    found = encoder.encode([], precision=precision)
    assert found.shape == (0, 4 if precision == "binary" else 32)
    assert (found.token_counts, found.truncated) == ((), ())
    assert encoder.count_tokens([]) == []
    assert encoder.similarity(found, found).shape == (0, 0)


def test_empty_string_is_encoded_like_any_other(encoder: DenseEncoder) -> None:
    found = encoder.encode(["", " ", "\0\n"])
    assert np.isfinite(found).all()
    assert found.token_counts[0] == 2  # [CLS] [SEP]


def test_tokens_are_counted_with_specials_and_prompt_and_whatever_the_limit(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    mine = opened(tiny.dense_record(query_prompt="find: "), path=made(tiny.dense))
    assert mine.count_tokens(["the cat", "", "cat " * 1000]) == [4, 2, 1002]
    assert mine.encode_query(["the cat"]).token_counts == (6,)


def test_cut_texts_are_reported_at_the_callers_line(encoder: DenseEncoder) -> None:
    assert encoder.max_tokens == 64
    long = "cat " * 100_000
    with pytest.warns(TruncationWarning) as caught:
        line, found = sys._getframe().f_lineno, encoder.encode_query(["cat", long, "cat " * 62, "cat " * 63])
    assert found.truncated == (1, 3)
    assert found.token_counts == (3, 100_002, 64, 65)
    assert str(caught[0].message) == (
        "2 of 4 texts are longer than the 64 tokens that `tiny-dense` reads and were cut; the longest has 100002. "
        "Split them, or look at `.truncated` of the result."
    )
    assert (Path(caught[0].filename), caught[0].lineno, len(caught)) == (Path(__file__), line, 1)
    assert found[1].tolist() == found[3].tolist()


def test_prompt_counts_towards_the_limit(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    mine = opened(tiny.dense_record(query_prompt="find: "), path=made(tiny.dense))
    assert mine.encode_document(["cat " * 62]).truncated == ()
    with pytest.warns(TruncationWarning):
        assert mine.encode_query(["cat " * 62]).truncated == (0,)


@pytest.mark.parametrize(("record", "expected"), [(16, 16), (64, 64), (512, 64), (None, 64)])
def test_limit_is_the_smaller_of_record_and_checkpoint(
    made: Callable[..., Path], opened: Callable[..., Any], record: int | None, expected: int
) -> None:
    assert opened(tiny.dense_record(context_length=record), path=made(tiny.dense)).max_tokens == expected


def test_caller_may_read_up_to_the_larger_of_record_and_checkpoint(
    made: Callable[..., Path], opened: Callable[..., Any]
) -> None:
    record = tiny.dense_record(context_length=512)
    assert opened(record, path=made(tiny.dense), context_length=512).encode(["cat " * 500]).truncated == ()
    with pytest.raises(InvalidOptionError) as caught:
        load(record, path=made(tiny.dense), context_length=513)
    assert str(caught.value) == ("`context_length`: expected at most 512, the maximum of `tiny-dense`, got 513.")


# Batches and threads

MANY = [" ".join((tiny.WORDS * 2)[i % 7 : i % 7 + (i * 37) % 60]) for i in range(30)]


@pytest.fixture(scope="module")
def one_by_one(made: Callable[..., Path]) -> Any:
    with load(tiny.dense_record(), path=made(tiny.dense), threads=1) as encoder:
        return np.concatenate([encoder.encode([text]) for text in MANY])


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (3, 2), (64, 1), (200, 5), (10**6, 2)])
def test_batches_change_no_result_and_no_order(
    made: Callable[..., Path], opened: Callable[..., Any], one_by_one: Any, batch_size: int, threads: int
) -> None:
    mine = opened(tiny.dense_record(), path=made(tiny.dense), batch_size=batch_size, threads=threads)
    found = mine.encode(MANY)
    np.testing.assert_allclose(found, one_by_one, rtol=0, atol=2e-6)
    assert found.token_counts == tuple(mine.count_tokens(MANY))


def test_threads_of_torch_are_what_they_were(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    import torch

    before = torch.get_num_threads()
    opened(tiny.dense_record(), path=made(tiny.dense), threads=1).encode(MANY)
    opened(tiny.dense_record(), path=made(tiny.dense), threads=3, batch_size=64).encode(MANY)
    assert torch.get_num_threads() == before


def test_eight_threads_may_use_one_encoder(encoder: DenseEncoder) -> None:
    expected = encoder.encode(MANY)

    def work(start: int) -> float:
        part = MANY[start:] + MANY[:start]
        found = encoder.encode_query(part) if start % 2 else encoder.encode_document(part)
        return float(abs(found - np.roll(np.asarray(expected), -start, axis=0)).max())

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(work, range(16))) < 2e-6


# The end


@pytest.mark.parametrize("method", ["encode", "encode_query", "encode_document", "count_tokens"])
def test_use_after_close_is_refused(made: Callable[..., Path], method: str) -> None:
    with load(tiny.dense_record(), path=made(tiny.dense)) as mine:
        space = mine.space_id
    for given in (["cat"], []):
        with pytest.raises(ModelClosedError) as caught:
            getattr(mine, method)(given)
        assert str(caught.value) == ("`tiny-dense` is closed. Load it again, and use it inside the `with` block.")
    with pytest.raises(ModelClosedError), mine:
        pass
    mine.close()
    assert (mine.closed, mine.space_id, repr(mine)) == (True, space, "<DenseEncoder tiny-dense: closed>")


def test_similarity_needs_no_open_model(made: Callable[..., Path]) -> None:
    with load(tiny.dense_record(), path=made(tiny.dense)) as mine:
        found = mine.encode(["cat"])
    assert mine.similarity(found, found)[0, 0] == pytest.approx(1)


def test_close_waits_for_the_call_of_another_thread(made: Callable[..., Path]) -> None:
    mine = load(tiny.dense_record(), path=made(tiny.dense))
    expected = mine.encode(MANY).tolist()
    busy, results = threading.Event(), []
    embed = mine._backend.embed  # type: ignore[attr-defined]

    def slow(*given: Any) -> Any:
        busy.set()
        time.sleep(0.1)  # long enough for the other thread to reach `close`
        return embed(*given)

    mine._backend.embed = slow  # type: ignore[attr-defined]
    thread = threading.Thread(target=lambda: results.append(mine.encode(MANY).tolist()))
    thread.start()
    assert busy.wait(10)
    mine.close()
    thread.join(10)
    assert results == [expected]
    with pytest.raises(ModelClosedError):
        mine.encode(["cat"])


def test_error_in_a_call_leaves_the_encoder_usable(encoder: DenseEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **options: Any) -> Any:
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(encoder._backend, "embed", fail)
        with pytest.raises(RuntimeError, match="out of luck"):
            encoder.encode(["cat"])
    assert encoder.encode(["cat"]).shape == (1, 32)


def test_handle_says_what_it_is(encoder: DenseEncoder, made: Callable[..., Path]) -> None:
    assert repr(encoder) == "<DenseEncoder tiny-dense: from path>"
    assert (encoder.path, encoder.origin, encoder.closed) == (made(tiny.dense), "path", False)
    assert encoder.load_seconds > 0
    weights = (made(tiny.dense) / "model.safetensors").stat().st_size
    assert 0.9 * weights < encoder.footprint_bytes < 1.2 * weights
    assert (encoder.embedding_dim, encoder.similarity_name) == (32, "cosine")


# GGUF


@needs_llama
@pytest.mark.parametrize(("pooling", "name"), [("mean", "mean"), ("cls", "cls"), ("last-token", "last")])
def test_gguf_model_gives_the_vectors_of_its_torch_twin(
    made: Callable[..., Path], opened: Callable[..., Any], pooling: str, name: str
) -> None:
    torch_name = {"last-token": "lasttoken"}.get(pooling, pooling)
    record = tiny.dense_record(pooling=pooling, query_prompt="find: ", matryoshka_dims=(16,))
    twin = opened(record, path=made(tiny.dense, pooling=torch_name), truncate_dim=16)
    mine = opened(record, path=made(tiny.embedding_gguf, pooling=name), truncate_dim=16, threads=1)
    texts = [*MANY, "", "Cat! mouse?"]
    for found, expected in (
        (mine.encode(texts), twin.encode(texts)),
        (mine.encode_query(texts), twin.encode_query(texts)),
    ):
        assert (found.shape, found.dtype) == ((len(texts), 16), np.float32)
        assert cosines(found, expected).min() > 0.999
        assert found.token_counts == expected.token_counts
    assert mine.space_id != twin.space_id  # other weights
    assert (mine.max_tokens, mine.query_prompt) == (64, "find: ")


@needs_llama
def test_gguf_model_that_contradicts_the_record_is_refused(made: Callable[..., Path]) -> None:
    path = made(tiny.embedding_gguf)
    with pytest.raises(ModelLoadError) as caught:
        load(tiny.dense_record(embedding_dim=64), path=path)
    assert str(caught.value) == (
        f"Cannot load `tiny-dense` from `{path}`: embedding_dim: expected 64, got 32. "
        "These are the files of another model, or the record is wrong."
    )
    with pytest.raises(UnsupportedDimensionError):
        load(tiny.dense_record(), path=path, truncate_dim=16)


@needs_llama
def test_gguf_model_cuts_and_reports_long_texts(made: Callable[..., Path], opened: Callable[..., Any]) -> None:
    mine = opened(tiny.dense_record(), path=made(tiny.embedding_gguf), context_length=16, threads=1)
    with pytest.warns(TruncationWarning, match="1 of 2 texts are longer than the 16 tokens that `tiny-dense` reads"):
        found = mine.encode(["cat", "cat " * 100_000])
    assert (found.truncated, found.token_counts) == ((1,), (3, 100_002))
    assert cosines(found[1:], mine.encode(["cat " * 14])) > 0.9999


@needs_llama
@pytest.mark.parametrize("option", [{"device": "cpu"}, {"dtype": "bfloat16"}, {"allow_remote_code": True}])
def test_gguf_model_refuses_the_options_of_torch(made: Callable[..., Path], option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=r"which is a GGUF embedding model\. Its options are batch_size, cont"):
        load(tiny.dense_record(), path=made(tiny.embedding_gguf), **option)


@needs_llama
def test_gguf_model_closed_is_refused_and_does_not_crash(made: Callable[..., Path]) -> None:
    with load(tiny.dense_record(), path=made(tiny.embedding_gguf), threads=1) as mine:
        assert mine.encode([]).shape == (0, 32)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda text: mine.encode([text])[0].tolist(), MANY[:24]))
        assert found == [mine.encode([text])[0].tolist() for text in MANY[:24]]
    with pytest.raises(ModelClosedError):
        mine.encode(["cat"])
