"""Headers of safetensors files, and of files that only look like one."""

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from registry.errors import ModelLoadError
from registry.hardware.safetensors_header import read_safetensors, stored_bytes


def write(path: Path, header: Any, data: int = 0, length: int | None = None) -> Path:
    """Write a file with this header and so many bytes of data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(data))
    return path


def tensor(dtype: str = "F32", *shape: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, 0]}


def test_numbers_are_counted_by_type_over_all_files(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, "a": tensor("F32", 2, 3), "b": tensor("I64")}
    write(tmp_path / "model-00001-of-00002.safetensors", header, 100)
    write(tmp_path / "model-00002-of-00002.safetensors", {"c": tensor("F32", 5)}, 100)
    write(tmp_path / "1_Dense/model.safetensors", {"d": tensor("F16", 4)}, 100)

    found = read_safetensors("m", tmp_path)

    assert found == Counter(F32=11, F16=4, I64=1)
    assert stored_bytes(found) == 44 + 8 + 8


def test_folder_without_files_has_nothing_to_count(tmp_path: Path) -> None:
    assert read_safetensors("m", tmp_path) == Counter()


@pytest.mark.parametrize(
    ("header", "length", "got"),
    [
        ({}, 10**12, "a header of 1000000000000 bytes in a file of 110"),
        (b"{", None, "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ([], None, "a list"),
        ({"a": 5}, None, "tensor `a`: 5"),
        ({"a": tensor("F99", 1)}, None, "tensor `a`: {'dtype': 'F99', 'shape': [1], 'data_offsets': [0, 0]}"),
        ({"a": tensor("F32", -1)}, None, "tensor `a`: {'dtype': 'F32', 'shape': [-1], 'data_offsets': [0, 0]}"),
        (
            {"a": tensor("F32", 10**9)},
            None,
            "tensor `a`: {'dtype': 'F32', 'shape': [1000000000], 'data_offsets': [0, 0]}",
        ),
    ],
)
def test_damaged_header_is_refused(header: Any, length: int | None, got: str, tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", header, 100, length)

    with pytest.raises(ModelLoadError) as raised:
        read_safetensors("m", tmp_path)

    assert str(raised.value) == (
        f"Cannot load `m` from `{path}`: header: expected that of a safetensors file, got {got}. "
        "The file is cut off or damaged. Fetch it again."
    )


def test_deeply_nested_header_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model.safetensors", b"[" * 10**6)

    with pytest.raises(ModelLoadError, match="header"):
        read_safetensors("m", tmp_path)


def test_file_of_a_few_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"abc")

    with pytest.raises(ModelLoadError, match="in a file of 3"):
        read_safetensors("m", tmp_path)
