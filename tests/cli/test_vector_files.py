"""Vectors in files: what is written is what was there."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("numpy")
import numpy as np
import tiny

from registry.cli._vector_files import check_output, write_vectors
from registry.loaders import Embeddings, TokenEmbeddings

TEXTS = ["one", "zwei"]
DENSE = Embeddings.of(np.array([[1, 2, 3], [4, 5, 6]], np.float32), "a:3")
TOKENS = TokenEmbeddings(np.arange(10, dtype=np.float32).reshape(5, 2), [2, 3], "b:2")


def sparse() -> Any:
    scipy = pytest.importorskip("scipy.sparse")
    from registry.loaders import SparseEmbeddings

    return SparseEmbeddings(scipy.csr_array(np.array([[0, 2, 0], [1, 0, 3]], np.float32)), "c:3")


def test_npy_is_the_array(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.npy", TEXTS, DENSE)

    np.testing.assert_array_equal(np.load(tmp_path / "v.npy", allow_pickle=False), np.asarray(DENSE))


def test_npz_of_dense_vectors_names_the_space(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.npz", TEXTS, DENSE)

    with np.load(tmp_path / "v.npz", allow_pickle=False) as found:
        assert sorted(found) == ["space_id", "vectors"]
        assert str(found["space_id"]) == "a:3"
        np.testing.assert_array_equal(found["vectors"], np.asarray(DENSE))


def test_npz_of_token_vectors_makes_them_again(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.npz", TEXTS, TOKENS)

    with np.load(tmp_path / "v.npz", allow_pickle=False) as found:
        again = TokenEmbeddings(found["tokens"], found["lengths"].tolist(), str(found["space_id"]))
    assert (again.lengths, again.space_id) == (TOKENS.lengths, "b:2")
    np.testing.assert_array_equal(again.tokens, TOKENS.tokens)


def test_npz_of_sparse_vectors_makes_the_matrix_again(tmp_path: Path) -> None:
    vectors = sparse()
    write_vectors(tmp_path / "v.npz", TEXTS, vectors)

    with np.load(tmp_path / "v.npz", allow_pickle=False) as found:
        parts = (found["data"], found["indices"], found["indptr"])
        again = type(vectors.csr)(parts, shape=tuple(found["shape"]))
    np.testing.assert_array_equal(again.toarray(), vectors.csr.toarray())


def test_json_lines_have_text_and_vector(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.jsonl", TEXTS, DENSE)

    lines = (tmp_path / "v.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "one", "embedding": [1, 2, 3]},
        {"text": "zwei", "embedding": [4, 5, 6]},
    ]


def test_json_lines_of_sparse_vectors_have_indices_and_weights(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.jsonl", TEXTS, sparse())

    lines = (tmp_path / "v.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[1]) == {"text": "zwei", "indices": [0, 2], "weights": [1, 3]}


def test_parquet_has_a_row_a_text(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_vectors(tmp_path / "v.parquet", TEXTS, DENSE)

    table = parquet.read_table(tmp_path / "v.parquet")
    assert table.to_pylist() == [
        {"text": "one", "embedding": [1, 2, 3]},
        {"text": "zwei", "embedding": [4, 5, 6]},
    ]
    assert table.schema.metadata[b"space_id"] == b"a:3"
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[3]"


def test_parquet_of_token_vectors_has_a_list_a_text(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_vectors(tmp_path / "v.parquet", TEXTS, TOKENS)

    assert parquet.read_table(tmp_path / "v.parquet").to_pylist() == [
        {"text": "one", "embedding": [[0, 1], [2, 3]]},
        {"text": "zwei", "embedding": [[4, 5], [6, 7], [8, 9]]},
    ]


def test_parquet_of_sparse_vectors_has_indices_and_weights(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_vectors(tmp_path / "v.parquet", TEXTS, sparse())

    assert parquet.read_table(tmp_path / "v.parquet").to_pylist() == [
        {"text": "one", "indices": [1], "weights": [2]},
        {"text": "zwei", "indices": [0, 2], "weights": [1, 3]},
    ]


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.jsonl"])
def test_no_text_is_written_as_an_empty_file(name: str, tmp_path: Path) -> None:
    write_vectors(tmp_path / name, [], DENSE[:0])

    assert (tmp_path / name).exists()


def test_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text("old")

    with pytest.raises(ValueError, match="zip"):
        write_vectors(path, TEXTS, DENSE[:1])

    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["v.jsonl"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("v.txt", "expected a file that ends in .npy, .npz, .parquet, .jsonl, got `{}`"),
        ("there.npy", "`{}` is there already; `--force` overwrites it"),
        ("none/v.npy", "there is no folder `{parent}`"),
    ],
)
def test_output_that_cannot_be_is_refused(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "there.npy").touch()
    path = tmp_path / name

    import typer

    with pytest.raises(typer.BadParameter) as error:
        check_output(path, tiny.dense_record(), force=False)

    assert error.value.message == problem.format(path, parent=path.parent)


def test_array_of_token_vectors_is_refused(tmp_path: Path) -> None:
    import typer

    with pytest.raises(typer.BadParameter, match=r"Write a \.npz, \.parquet or \.jsonl"):
        check_output(tmp_path / "v.npy", tiny.colbert_record(), force=False)
