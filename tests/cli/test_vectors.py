"""`registry embed`, `registry similarity` with tiny encoders."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("sentence_transformers")
import numpy as np
import tiny

from registry.loaders import load

Run = Callable[..., Any]
TEXTS = ["the heart moves blood", "bread", "a train"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "tiny-dense": tiny.dense(folder / "dense"),
        "tiny-colbert": tiny.native_colbert(folder / "colbert"),
        "tiny-sparse": tiny.splade(folder / "splade"),
        "tiny-reranker": tiny.reranker(folder / "reranker"),
    }


@pytest.fixture
def records() -> dict[str, Any]:
    made = [tiny.dense_record(), tiny.colbert_record(), tiny.splade_record(), tiny.reranker_record()]
    return {record.id: record for record in made}


@pytest.fixture
def vectors(run: Run, small: Callable[..., str], folders: dict[str, Path], records: dict[str, Any]) -> Run:
    module = small(*records.values())
    return lambda command, model, *words, **how: run(
        command, model, *words, "--path", folders[model], "--registry", module, **how
    )


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "documents.txt"
    path.write_text("\n".join(TEXTS) + "\n", "utf-8")
    return path


def test_embed_of_standard_input_prints_json_lines(vectors: Run, folders: dict[str, Path]) -> None:
    result = vectors("embed", "tiny-dense", stdin="\n".join(TEXTS))
    with load(tiny.dense_record(), path=folders["tiny-dense"]) as encoder:
        expected = encoder.encode_document(TEXTS)

    found = [json.loads(line) for line in result.out.splitlines()]
    assert [line["text"] for line in found] == TEXTS
    np.testing.assert_allclose([line["embedding"] for line in found], expected, atol=1e-6)


def test_embed_writes_an_array(vectors: Run, documents: Path, tmp_path: Path) -> None:
    result = vectors("embed", "tiny-dense", documents, "-o", tmp_path / "v.npy")

    array = np.load(tmp_path / "v.npy", allow_pickle=False)
    assert (result.code, result.out, array.shape, array.dtype) == (0, "", (3, 32), np.float32)
    assert result.err.startswith(f"{tmp_path / 'v.npy'}: 3 texts, space tiny/dense:32:float32:")


def test_embed_query_and_document_use_their_prompts(
    vectors: Run, small: Callable[..., str], run: Run, folders: dict[str, Path]
) -> None:
    module = small(tiny.dense_record(query_prompt="blood ", document_prompt=""))
    words = ("embed", "tiny-dense", "--path", folders["tiny-dense"], "--registry", module)
    query, document, neither = (run(*words, *side, stdin="bread").out for side in (["--query"], ["--document"], []))

    assert query != document
    assert document == neither


def test_embed_as_query_and_document_is_wrong_usage(vectors: Run) -> None:
    result = vectors("embed", "tiny-dense", "--query", "--document", stdin="bread")

    assert (result.code, result.err.splitlines()[0]) == (
        2,
        "error: Invalid value for --query: either `--query` or `--document`.",
    )


def test_embed_json_says_the_space_and_what_was_cut(vectors: Run, documents: Path, tmp_path: Path) -> None:
    document = vectors("embed", "tiny-dense", documents, "-o", tmp_path / "v.npz", "--json").json

    assert {name: document[name] for name in ("model", "texts", "truncated", "output")} == {
        "model": "tiny-dense",
        "texts": 3,
        "truncated": [],
        "output": str(tmp_path / "v.npz"),
    }
    assert document["space_id"] == str(np.load(tmp_path / "v.npz")["space_id"])


def test_embed_json_without_a_file_has_the_vectors(vectors: Run) -> None:
    document = vectors("embed", "tiny-dense", "--json", stdin="bread").json

    assert [(each["text"], len(each["embedding"])) for each in document["embeddings"]] == [("bread", 32)]


def test_embed_does_not_overwrite(vectors: Run, documents: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(b"mine")

    result = vectors("embed", "tiny-dense", documents, "-o", path)

    assert (result.code, path.read_bytes()) == (2, b"mine")
    assert vectors("embed", "tiny-dense", documents, "-o", path, "--force").code == 0
    assert np.load(path).shape == (3, 32)


def test_embed_says_what_was_cut(vectors: Run) -> None:
    result = vectors("embed", "tiny-dense", stdin="bread " * 200)

    assert result.code == 0
    assert result.err.startswith("warning: 1 of 1 texts")


def test_embed_with_a_reranker_is_an_error(vectors: Run) -> None:
    assert vectors("embed", "tiny-reranker", stdin="bread") == (
        1,
        "",
        "error: `tiny-reranker`: it gives no vectors.\nhint: Choose an embedding model.\n",
    )


def test_embed_of_no_such_file_is_an_error(vectors: Run, tmp_path: Path) -> None:
    path = tmp_path / "none.txt"

    assert vectors("embed", "tiny-dense", path) == (1, "", f"error: {path}: No such file or directory\n")


@pytest.mark.parametrize("model", ["tiny-dense", "tiny-colbert", "tiny-sparse"])
def test_similarity_is_the_models_own(
    model: str, vectors: Run, folders: dict[str, Path], records: dict[str, Any]
) -> None:
    with load(records[model], path=folders[model]) as encoder:
        expected = encoder.similarity(encoder.encode_query(["bread"]), encoder.encode_document(TEXTS))[0]

    rows = vectors("similarity", model, "bread", *TEXTS).rows

    order = sorted(range(3), key=lambda index: -float(expected[index]))
    assert rows == [[f"{float(expected[index]):.4f}", str(index), TEXTS[index]] for index in order]


def test_similarity_of_a_reranker_is_its_score(vectors: Run, folders: dict[str, Path], records: dict[str, Any]) -> None:
    with load(records["tiny-reranker"], path=folders["tiny-reranker"]) as reranker:
        expected = [(each.index, pytest.approx(each.score, abs=1e-4)) for each in reranker.rank("bread", TEXTS)]

    rows = vectors("similarity", "tiny-reranker", "bread", *TEXTS).rows

    assert [(int(index), float(score)) for score, index, _ in rows] == expected


def test_similarity_json_names_the_measure(vectors: Run) -> None:
    document = vectors("similarity", "tiny-dense", "bread", "bread", "--json").json

    assert (document["model"], document["query"], document["similarity"]) == ("tiny-dense", "bread", "cosine")
    assert document["scores"] == [{"index": 0, "score": pytest.approx(1), "text": "bread"}]


def test_similarity_reads_a_file_and_gives_the_best(vectors: Run, documents: Path) -> None:
    rows = vectors("similarity", "tiny-dense", "bread", "--file", documents, "-k", "1").rows

    assert [row[1:] for row in rows] == [["1", "bread"]]


def test_similarity_reads_standard_input_where_no_text_is_given(vectors: Run) -> None:
    assert len(vectors("similarity", "tiny-dense", "bread", stdin="\n".join(TEXTS)).rows) == 3


def test_similarity_with_a_chat_model_is_an_error(run: Run) -> None:
    result = run("similarity", "qwen2.5-coder-3b-q4_k_m", "a", "b")

    assert (result.code, result.err) == (
        1,
        "error: `qwen2.5-coder-3b-q4_k_m`: it compares no texts.\nhint: Choose an embedding model or a reranker.\n",
    )
