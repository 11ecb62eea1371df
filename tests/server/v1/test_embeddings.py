"""Embeddings, through the official client, against the loader."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("sentence_transformers")
import tiny  # noqa: E402 - after it is known that it can be imported

from registry.loaders import load  # noqa: E402
from registry.server.v1.embeddings import _decimals  # noqa: E402
from server.v1.served import Serve, Served  # noqa: E402

TEXTS = ["the cat", "a dog and the cat", "hello"]
PROMPTS = {"query_prompt": "hello ", "document_prompt": "the "}
SIZES = {"matryoshka_dims": (8, 16)}
Direct = Callable[..., Any]


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(serve.encoder(tiny.dense, tiny.dense_record(**PROMPTS, **SIZES)))


def ask(served: Served, given: Any = TEXTS, **options: Any) -> Any:
    return served.client.embeddings.create(model=options.pop("model", "tiny-dense"), input=given, **options)


@pytest.fixture
def direct(home: Path) -> Direct:
    """Encode without the server."""

    def encode(served: Served, method: str = "encode", texts: Any = TEXTS, **options: Any) -> Any:
        record = served.services.registry["tiny-dense"]
        with load(record, path=home / "models" / "tiny-dense", **options) as encoder:
            return getattr(encoder, method)(texts)

    return encode


def vectors(answer: Any) -> Any:
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return np.array([item.embedding for item in answer.data], np.float32)


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_vectors_are_those_of_the_loader_bit_for_bit(encoding_format: str, served: Served, direct: Direct) -> None:
    answer = ask(served, encoding_format=encoding_format)
    found = answer.data
    if encoding_format == "base64":
        import base64

        rows = [np.frombuffer(base64.b64decode(item.embedding), "<f4") for item in found]
        assert np.array_equal(np.array(rows), direct(served))
    else:
        assert np.array_equal(vectors(answer), direct(served))


def test_client_that_chooses_the_format_itself_gets_the_same(served: Served, direct: Direct) -> None:
    assert np.array_equal(vectors(ask(served)), direct(served))


def test_answer_has_the_shape_of_openais(served: Served) -> None:
    answer = ask(served, "the cat", encoding_format="float").to_dict()
    assert answer == {
        "object": "list",
        "model": "tiny-dense",
        "data": [{"object": "embedding", "index": 0, "embedding": answer["data"][0]["embedding"]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
        "truncated": [],
    }
    assert len(answer["data"][0]["embedding"]) == 32


@pytest.mark.parametrize(
    ("input_type", "method"),
    [
        ("query", "encode_query"),
        ("search_query", "encode_query"),
        ("document", "encode_document"),
        ("search_document", "encode_document"),
        (None, "encode"),
    ],
)
def test_input_type_chooses_the_prompt(input_type: str | None, method: str, served: Served, direct: Direct) -> None:
    expected = direct(served, method)
    answer = ask(served, extra_body={"input_type": input_type})
    assert np.array_equal(vectors(answer), expected)
    assert answer.usage.prompt_tokens == sum(expected.token_counts)


@pytest.mark.parametrize("dim", [8, 16, 32])
def test_dimensions_give_what_loading_with_that_size_gives(dim: int, served: Served, direct: Direct) -> None:
    expected = direct(served, truncate_dim=dim)
    found = vectors(ask(served, dimensions=dim))
    assert found.shape == (3, dim)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_vectors_that_are_not_of_length_1_are_only_cut(serve: Serve) -> None:
    record = tiny.dense_record(id="tiny-long", normalize=False, similarity="dot", **SIZES)
    served = serve(serve.encoder(tiny.dense, record, normalize=False))
    whole, cut = (vectors(ask(served, model="tiny-long", dimensions=dim)) for dim in (32, 8))
    assert np.array_equal(whole[:, :8], cut)


def test_dimensions_that_the_model_has_not_are_refused(served: Served) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(served, dimensions=5)
    body: Any = caught.value.body
    assert body["message"] == (
        "`tiny-dense` cannot give embeddings of 5 components: expected one of its own sizes, 32, 16, 8. "
        "Leave the size out for the full one."
    )


def test_order_is_kept_over_many_texts(served: Served, direct: Direct) -> None:
    texts = [f"{'the ' * (number % 7)}cat {'dog ' * (number % 3)}" for number in range(600)]
    assert np.allclose(vectors(ask(served, texts)), direct(served, texts=texts), atol=1e-6)


def test_long_texts_are_cut_and_told_or_refused(served: Served) -> None:
    texts = ["cat", "the " * 100, "dog"]
    answer = ask(served, texts)
    assert answer.truncated == [1]
    assert ask(served, ["cat"] * 300 + ["the " * 100]).truncated == [300]
    assert answer.usage.prompt_tokens == 3 + 64 + 3
    with pytest.raises(openai.BadRequestError) as caught:
        ask(served, texts, extra_body={"truncate": False})
    body: Any = caught.value.body
    assert (body["param"], body["message"]) == (
        "input[1]",
        "`input[1]`: expected at most 64 tokens, got 102. Split it, or leave `truncate` out.",
    )


@pytest.mark.parametrize(
    ("given", "place", "told"),
    [
        ("", "input", "String should have at least 1 character"),
        ([], "input", "List should have at least 1 item"),
        (["a", ""], "input[1]", "String should have at least 1 character"),
        ([1, 2, 3], "input", "expected texts, got token ids"),
        ([[1, 2], [3]], "input", "expected texts, got token ids"),
        (["a", 5], "input[1]", "Input should be a valid string, got 5"),
        (["a"] * 2049, "input", "List should have at most 2048 items"),
    ],
)
def test_input_that_is_none_is_refused(given: Any, place: str, told: str, served: Served) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(served, given)
    body: Any = caught.value.body
    assert body["param"] == place
    assert body["message"].startswith(f"`{place}`: {told}")


@pytest.mark.parametrize(
    "options", [{"encoding_format": "int8"}, {"dimensions": 0}, {"extra_body": {"input_type": "x"}}]
)
def test_option_that_is_wrong_is_refused(options: Any, served: Served) -> None:
    with pytest.raises(openai.BadRequestError):
        ask(served, **options)


@pytest.mark.parametrize(
    ("record", "kind"),
    [(tiny.colbert_record(), "colbert"), (tiny.splade_record(), "sparse"), (tiny.reranker_record(), "reranker")],
)
def test_model_without_one_vector_for_a_text_is_refused(record: Any, kind: str, serve: Serve) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(serve(record), model=record.id)
    body: Any = caught.value.body
    assert body["message"] == (
        f"`{record.id}`: it is of type `{kind}` and does not give one vector for a text. Choose a dense model."
    )


def test_numbers_are_written_with_no_more_digits_than_tell_them_apart(served: Served) -> None:
    body = json.dumps({"model": "tiny-dense", "input": "the cat"}).encode()
    with urllib.request.urlopen(f"{served.url}/v1/embeddings", body) as answer:
        text = answer.read().decode()
    numbers = text.partition("[[")[2] or text.partition('"embedding":[')[2].partition("]")[0]
    assert max(len(number.strip("-0.").replace(".", "").partition("e")[0]) for number in numbers.split(",")) <= 9


def test_decimals_are_read_back_as_the_same_float32() -> None:
    random = np.random.default_rng(0)
    edges = [0.0, -0.0, 1.0, 0.1, 0.99999994, 1e-13, 1e-14, 3e-39, 1e9, 123456789.0, 3.4e38, 2**-126]
    found = [*edges, *random.standard_normal(5000), *10.0 ** random.uniform(-38, 38, 5000)]
    values = np.array(found, np.float32).reshape(1, -1)
    assert np.array_equal(np.array(json.loads(json.dumps(_decimals(values).tolist())), np.float32), values)
