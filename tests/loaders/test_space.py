import hashlib
from pathlib import Path
from typing import Any

import pytest
import tiny

from registry.loaders.space import space_id, weights_of
from registry.records import ModelFile

FACTS: dict[str, Any] = {
    "weights": tiny.REVISION,
    "dim": 32,
    "pooling": "mean",
    "normalize": True,
    "prompts": ("query: ", ""),
    "precision": "float32",
}
BYTES = b"weights"
SHA256 = hashlib.sha256(BYTES).hexdigest()


def test_space_is_this_text_for_ever() -> None:
    # Indexes store it. A change of this value makes every one of them refuse its model.
    assert space_id(tiny.dense_record(), **FACTS) == "tiny/dense:32:float32:ed5f348ae91dd38b"


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "f" * 40},
        {"dim": 16},
        {"pooling": "cls"},
        {"pooling": None},
        {"normalize": False},
        {"prompts": ("", "query: ")},
        {"prompts": ("query: ", "passage: ")},
        {"precision": "int8"},
        {"precision": "binary"},
    ],
)
def test_space_differs_by_each_fact(change: dict[str, Any]) -> None:
    assert space_id(tiny.dense_record(), **(FACTS | change)) != space_id(tiny.dense_record(), **FACTS)


def test_space_differs_by_repository_and_not_by_what_a_registry_calls_it() -> None:
    first = space_id(tiny.dense_record(), **FACTS)
    assert space_id(tiny.dense_record(huggingface_id="tiny/other"), **FACTS) != first
    assert space_id(tiny.dense_record(id="renamed", name="Other", aliases=("x",)), **FACTS) == first


def put(folder: Path, *contents: bytes) -> tuple[Path, ...]:
    paths = tuple(folder / f"{index}.safetensors" for index in range(len(contents)))
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def record(*digests: str, revision: str | None = tiny.REVISION) -> Any:
    files = tuple(ModelFile(f"{i}.safetensors", "safetensors", digest) for i, digest in enumerate(digests))
    return tiny.dense_record(files=files, revision=revision)


def test_weights_that_were_found_are_named_by_the_revision_and_not_read(tmp_path: Path) -> None:
    assert weights_of(record(SHA256), (tmp_path / "not there",), is_revision=True) == tiny.REVISION


def test_given_weights_with_the_pinned_digest_are_the_revision(tmp_path: Path) -> None:
    assert weights_of(record(SHA256), put(tmp_path, BYTES), is_revision=False) == tiny.REVISION


def test_given_weights_with_other_bytes_are_named_by_them(tmp_path: Path) -> None:
    other = hashlib.sha256(b"other").hexdigest()
    assert weights_of(record(SHA256), put(tmp_path, b"other"), is_revision=False) == f"sha256:{other}"
    both = "+".join(sorted([SHA256, other]))
    assert weights_of(record(SHA256), put(tmp_path, BYTES, b"other"), is_revision=False) == f"sha256:{both}"
    assert weights_of(record(), put(tmp_path, BYTES), is_revision=False) == f"sha256:{SHA256}"


def test_weights_of_an_unpinned_record_are_named_by_their_bytes_wherever_they_lie(tmp_path: Path) -> None:
    model = record(SHA256, revision=None)
    names = {weights_of(model, put(tmp_path, BYTES), is_revision=proven) for proven in (True, False)}
    assert names == {f"sha256:{SHA256}"}
    assert weights_of(model, put(tmp_path, b"other"), is_revision=True) not in names
