"""Reranking, by plain HTTP, against the loaders."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("sentence_transformers")
import tiny  # noqa: E402 - after it is known that it can be imported

from registry.loaders import load  # noqa: E402
from registry.server.v1.rerank import RerankRequest, Scored, _answer  # noqa: E402
from server.v1.served import Serve, Served  # noqa: E402

QUERY = "the cat"
DOCUMENTS = ["a dog", "the cat and the dog", "hello", "the cat"]
MODELS: list[tuple[Callable[..., Path], Callable[..., Any]]] = [
    (tiny.reranker, tiny.reranker_record),
    (tiny.stanford_colbert, tiny.colbert_record),
    (tiny.dense, tiny.dense_record),
]


def ask(served: Served, **given: Any) -> tuple[int, Any]:
    body = json.dumps({"query": QUERY, "documents": DOCUMENTS} | given).encode()
    try:
        with urllib.request.urlopen(f"{served.url}/v1/rerank", body) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def expected(record: Any, path: Path) -> list[float]:
    with load(record, path=path) as model:
        if hasattr(model, "score"):
            return model.score(QUERY, DOCUMENTS).tolist()  # type: ignore[no-any-return]
        return model.similarity(model.encode_query([QUERY]), model.encode_document(DOCUMENTS))[0].tolist()


@pytest.mark.parametrize(("maker", "record"), MODELS)
def test_documents_are_ordered_by_the_scores_of_the_loader(
    maker: Any, record: Any, serve: Serve, made: Callable[..., Path]
) -> None:
    model = record()
    status, answer = ask(serve(serve.encoder(maker, model)), model=model.id)
    scores = expected(model, made(maker))
    assert status == 200
    assert (answer["object"], answer["model"]) == ("list", model.id)
    assert [result["index"] for result in answer["results"]] == np.argsort(-np.array(scores), kind="stable").tolist()
    for result in answer["results"]:
        assert set(result) == {"index", "relevance_score"}
        assert result["relevance_score"] == pytest.approx(scores[result["index"]], abs=1e-5)


@pytest.mark.parametrize(("maker", "record"), MODELS)
def test_usage_counts_the_query_and_each_document_once(maker: Any, record: Any, serve: Serve) -> None:
    model = record()
    _, answer = ask(serve(serve.encoder(maker, model)), model=model.id, documents=["hello", "the cat"])
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 6


def test_best_are_given_with_their_texts_when_asked_for(serve: Serve) -> None:
    served = serve(serve.encoder(tiny.dense, tiny.dense_record()))
    documents = [{"text": "a dog"}, "the cat", {"text": "hello"}]
    _, answer = ask(served, model="tiny-dense", documents=documents, top_n=1, return_documents=True)
    (best,) = answer["results"]
    assert (best["index"], best["document"]) == (1, {"text": "the cat"})


def test_equal_scores_keep_the_order_of_the_request() -> None:
    asked = RerankRequest(model="m", query="q", documents=["a", "b", "c", "d"], top_n=3)
    answer = _answer(Scored([1.0, 2.0, 1.0, 2.0], 9), "m", ["a", "b", "c", "d"], asked)
    assert [result["index"] for result in answer["results"]] == [1, 3, 0]


def test_many_documents_are_read_in_parts_and_long_ones_cut(serve: Serve) -> None:
    served = serve(serve.encoder(tiny.reranker, tiny.reranker_record()))
    documents = ["hello " * (number % 200) + "cat" for number in range(150)]
    status, answer = ask(served, model="tiny-reranker", documents=documents)
    assert (status, sorted(result["index"] for result in answer["results"])) == (200, list(range(150)))


@pytest.mark.parametrize(
    ("given", "param", "told"),
    [
        ({"documents": []}, "documents", "List should have at least 1 item"),
        ({"documents": [5]}, "documents[0]", "expected a JSON object"),
        ({"documents": [{"content": "x"}]}, "documents[0].text", "Field required"),
        ({"query": ""}, "query", "String should have at least 1 character"),
        ({"top_n": 0}, "top_n", "Input should be greater than or equal to 1, got 0"),
        ({"max_chunks_per_doc": 3}, "max_chunks_per_doc", "there is no such parameter"),
    ],
)
def test_request_that_is_wrong_is_told_by_place(given: Any, param: str, told: str, serve: Serve) -> None:
    status, error = ask(serve(tiny.dense_record()), model="tiny-dense", **given)
    assert (status, error["param"]) == (400, param)
    assert error["message"].startswith(f"`{param}`: {told}")


def test_model_that_orders_nothing_is_refused(serve: Serve) -> None:
    status, error = ask(serve(tiny.splade_record()), model="tiny-sparse")
    assert (status, error["code"], error["message"]) == (
        400,
        "unsupported_model",
        "`tiny-sparse`: it is of type `sparse` and orders no documents. Choose a reranker, or an embedding model.",
    )
