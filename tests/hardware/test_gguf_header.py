"""Headers of GGUF files, and of files that lie about themselves."""

import struct
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hardware.ggufs import header, model, tensor, text

pytest.importorskip("gguf")

from registry.errors import ModelLoadError
from registry.hardware import gguf_header
from registry.hardware.asked import CACHE_TYPES
from registry.hardware.gguf_header import GgufHeader, Strings, Tensor, block_size, read_gguf

MESSAGE = (
    "Cannot load `m` from `{path}`: header: expected a GGUF file of version 2 or 3, got {got}. "
    "The file is cut off or damaged. Fetch it again."
)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


def test_header_gives_values_and_tensors(tmp_path: Path) -> None:
    values = {"general.architecture": "llama", "n": 7, "f": 0.5, "b": True, "each": [1, 2], "flags": [True, False]}
    path = write(tmp_path, header(values, [tensor("a", (64, 2), 8, 0), tensor("b", (5,), 0, 136)]) + bytes(200))

    assert read_gguf("m", path) == GgufHeader(
        path,
        path.stat().st_size,
        {"general.architecture": "llama", "n": 7, "f": 0.5, "b": True, "each": (1, 2), "flags": (True, False)},
        (Tensor("a", (64, 2), "Q8_0", 136, 0), Tensor("b", (5,), "F32", 20, 136)),
    )


def test_vocabulary_is_kept_as_its_size(tmp_path: Path) -> None:
    path = write(tmp_path, header({"tokens": ["a", "bb", "\u00fc"]}))

    assert read_gguf("m", path).metadata["tokens"] == Strings(count=3, size_bytes=5)


def test_header_longer_than_the_first_read_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_header, "_FIRST_READ", 64)
    path = write(tmp_path, header({"tokens": ["word"] * 500, "scores": [0.5] * 500, "last": 1}))

    assert read_gguf("m", path).metadata["last"] == 1


def test_weights_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, header({"tokens": ["word"] * 100_000}, [tensor("a", (2**31,), 0, 0)]))
    with path.open("r+b") as file:
        file.truncate(2**34)
    read_gguf("m", path)  # what is imported and kept for later is no part of it

    tracemalloc.start()
    begin = time.perf_counter()
    read_gguf("m", path)
    seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2**24
    assert seconds < 10


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "a file that does not begin with `GGUF`"),
        (b"PK\x03\x04 and so on", "a file that does not begin with `GGUF`"),
        (b"GGUF", "a file that ends within its header"),
        (header({}, version=1), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "a file for big-endian machines"),
        (header({}, counts=(2**60, 0)), f"{2**60} tensors and 0 values"),
        (header({}, counts=(0, 2**60)), f"0 tensors and {2**60} values"),
        (header({}, counts=(0, 1)), "a file that ends within its header"),
        (header({"n": 1})[:-1], "a file that ends within its header"),
        (header({}, counts=(0, 1)) + struct.pack("<Q", 2**63), f"a text of {2**63} bytes"),
        (header({}, counts=(0, 1)) + text("k") + struct.pack("<I", 99), "a value of type 99"),
        (header({}, counts=(0, 1)) + text("k") + struct.pack("<IIQ", 9, 9, 1), "a list of type 9"),
        (header({}, counts=(0, 1)) + text("k") + struct.pack("<IIQ", 9, 8, 2**50), f"a list of {2**50} items"),
        (
            header({}, counts=(0, 1)) + text("k") + struct.pack("<IIQ", 9, 4, 2**20),
            "a file that ends within its header",
        ),
        (header({}, counts=(0, 1)) + text("k") + struct.pack("<IIQQ", 9, 8, 1, 2**62), f"a text of {2**62} bytes"),
        (header({}, [tensor("t", (1,) * 5, 0, 0)]), "a tensor of 5 dimensions"),
        (
            header({}, [tensor("t", (1,), 999, 0)]),
            "a tensor of type 999, which this version of `gguf` does not know",
        ),
        (header({}, [tensor("t", (2**40,), 0, 0)]), f"tensor `t` of {2**42} bytes beyond the end of the file"),
        (header({}, [tensor("t", (4,), 0, 2**40)]), "tensor `t` of 16 bytes beyond the end of the file"),
    ],
)
def test_damaged_file_is_refused(content: bytes, got: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)

    with pytest.raises(ModelLoadError) as raised:
        read_gguf("m", path)

    assert str(raised.value) == MESSAGE.format(path=path, got=got)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"

    with pytest.raises(ModelLoadError) as raised:
        read_gguf("m", path)

    assert str(raised.value) == MESSAGE.format(path=path, got="No such file or directory")


@given(data=st.data())
def test_any_change_of_bytes_gives_a_header_or_the_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = model(tmp_path_factory.mktemp("gguf") / "model.gguf")
    content = bytearray(path.read_bytes()[:1200])
    for place in data.draw(st.lists(st.integers(4, len(content) - 1), max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))

    with suppress(ModelLoadError):
        read_gguf("m", path)


def test_types_of_the_cache_have_the_sizes_of_the_package() -> None:
    assert {name: block_size(name.upper()) for name in CACHE_TYPES} == CACHE_TYPES
