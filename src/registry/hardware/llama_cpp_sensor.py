"""What llama.cpp says of itself, what it was built with, and the GPUs that it sees."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from registry.hardware.torch_sensor import asked

# `libggml-cuda.so`, `ggml-vulkan.dll`, ...: a backend that is a file of its own.
_LIBRARY = re.compile(r"(?:lib)?ggml-([a-z0-9_-]+)\.(?:so|dll|dylib)")
_GPU_LIBRARIES = {"cuda", "hip", "musa", "vulkan", "metal", "sycl", "opencl", "cann", "webgpu"}
_GPU_KINDS = (1, 2)  # GGML_BACKEND_DEVICE_TYPE_GPU, and _IGPU: one that shares the main memory


def read(llama_cpp: Any, *, gpu: bool, measure: bool) -> dict[str, Any]:
    """Ask llama.cpp.

    Args:
        llama_cpp: The module.
        gpu: Whether backends that compute on GPUs may be woken.
        measure: Whether the memory of GPUs shall be asked for.

    Returns:
        The fields of `LlamaCpp`, and `devices` as the sensor of torch gives them.
    """
    libraries = backends(Path(getattr(llama_cpp, "__file__", "") or "").parent / "lib")
    library = asked(lambda: import_module(f"{llama_cpp.__name__}._ggml").libggml)
    facts: dict[str, Any] = {
        "version": getattr(llama_cpp, "__version__", None),
        "libraries": list(libraries),
        "ggml_version": _said(library, "ggml_version"),
        "ggml_commit": _said(library, "ggml_commit"),
    }
    if not gpu and _GPU_LIBRARIES & {*libraries}:  # to ask what it was built with is to wake them
        return facts | {"gpu_offload": True, "devices": []}
    described = asked(lambda: llama_cpp.llama_print_system_info().decode("utf-8", "replace")) or ""
    return facts | {
        "gpu_offload": asked(lambda: bool(llama_cpp.llama_supports_gpu_offload())),
        "build_flags": parse_system_info(described),
        "devices": [*_devices(library)] if gpu and measure and library is not None else [],
    }


def backends(folder: Path) -> tuple[str, ...]:
    """Give the backends whose libraries lie in a folder, sorted."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return ()
    found = {match[1] for name in names if (match := _LIBRARY.fullmatch(name))}
    return tuple(sorted(found - {"base"}))


def parse_system_info(text: str) -> dict[str, dict[str, str]]:
    """Read llama.cpp's line about itself, `CUDA : ARCHS = 900 | CPU : SSE3 = 1 | AVX = 1 | `, by backend."""
    found: dict[str, dict[str, str]] = {}
    backend: dict[str, str] = {}
    for part in text.split("|"):
        name, colon, rest = part.partition(" : ")
        if colon:
            backend = found.setdefault(name.strip(), {})
        key, equals, value = (rest if colon else part).partition("=")
        if equals:
            backend[key.strip()] = value.strip()
    return found


def _said(library: Any, function: str) -> str | None:
    """Call a function of C that gives a text."""

    def call() -> str | None:
        found = getattr(library, function)
        found.restype, found.argtypes = ctypes.c_char_p, []
        text = found()
        return text.decode("utf-8", "replace") if text else None

    said: str | None = asked(call)
    return said


def _devices(library: Any) -> Iterator[dict[str, Any]]:
    """Give the GPUs that the backends see: AMD's and Intel's too, where torch and NVIDIA's driver know nothing."""
    counted = asked(lambda: int(library.ggml_backend_dev_count())) or 0
    for index, device in enumerate(_gpus(library, counted)):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        library.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_size_t)] * 2]
        library.ggml_backend_dev_memory.restype = None
        library.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        name = _text_of(library, "ggml_backend_dev_name", device)
        yield {
            "kind": re.sub(r"\d+$", "", name).lower() or "gpu",
            "index": index,
            "name": _text_of(library, "ggml_backend_dev_description", device) or name,
            "total_bytes": total.value or None,
            "free_bytes": free.value if total.value else None,
            "unified": _type(library, device) == _GPU_KINDS[1],
        }


def _gpus(library: Any, counted: int) -> Iterator[int]:
    library.ggml_backend_dev_get.restype = ctypes.c_void_p
    library.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    for position in range(counted):
        device = library.ggml_backend_dev_get(position)
        if device and _type(library, device) in _GPU_KINDS:
            yield device


def _type(library: Any, device: int) -> int:
    library.ggml_backend_dev_type.restype = ctypes.c_int
    library.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    return int(library.ggml_backend_dev_type(device))


def _text_of(library: Any, function: str, device: int) -> str:
    found = getattr(library, function)
    found.restype, found.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    return (found(device) or b"").decode("utf-8", "replace")
