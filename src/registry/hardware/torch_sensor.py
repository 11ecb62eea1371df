"""What torch says of itself and of the devices that it sees."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

ALLOCATOR = "PYTORCH_ALLOC_CONF"
_ALLOCATOR_BEFORE = "PYTORCH_CUDA_ALLOC_CONF"  # its older name, which torch still reads


def read(torch: Any, *, gpu: bool, measure: bool) -> dict[str, Any]:
    """Ask torch.

    Args:
        torch: The module.
        gpu: Whether CUDA may be asked.
        measure: Whether total and free memory shall be asked for where this process has not used the device yet, which
            takes some hundred megabytes of it until the process ends.

    Returns:
        The fields of `Torch`, and `devices`: a dict for each device, with `kind`, `index`, `name` and what is known of
        its memory.
    """
    version = getattr(torch, "version", None)
    cuda, hip = getattr(version, "cuda", None), getattr(version, "hip", None)
    facts = {
        "version": str(getattr(torch, "__version__", "")) or None,
        "cuda_compiled": cuda is not None,
        "cuda_version": cuda,
        "hip_version": hip,
        "allocator": stated_allocator(),
    }
    if not gpu:
        return facts | {"devices": []}
    sensors = (_cuda(torch, "rocm" if hip else "cuda", measure), _metal(torch), _xpu(torch, measure))
    return facts | {
        "cudnn_version": asked(lambda: torch.backends.cudnn.version()),
        "cuda_available": asked(lambda: bool(torch.cuda.is_available())),
        "gpu_architectures": asked(lambda: list(torch.cuda.get_arch_list())) or [],
        "devices": [device for sensor in sensors for device in asked(partial(list, sensor)) or ()],
    }


def wakes_gpus(torch: Any) -> bool:
    """True where to ask torch about GPUs makes this process begin to use them: none that it forks could any more.

    So it is with a build for GPUs that have a process of their own to be used in, as long as none is in use here.
    """
    version = getattr(torch, "version", None)
    built = any(getattr(version, name, None) for name in ("cuda", "hip", "xpu"))
    return built and not any(_is_in_use(getattr(torch, name, None)) for name in ("cuda", "xpu"))


def stated_allocator() -> str | None:
    """Give what the environment states about torch's allocator."""
    return next((os.environ[name] for name in (ALLOCATOR, _ALLOCATOR_BEFORE) if os.environ.get(name)), None)


def asked(question: Callable[[], Any]) -> Any:
    """Give an answer, or `None` where this build or this machine has none: torch raises anything then."""
    try:
        return question()
    except Exception:
        return None


def _is_in_use(backend: Any) -> bool:
    return bool(asked(lambda: backend.is_initialized()))


def _cuda(torch: Any, kind: str, measure: bool) -> Iterator[dict[str, Any]]:
    if not asked(torch.cuda.is_available):
        return
    in_use = asked(torch.cuda.is_initialized)
    for index in range(asked(torch.cuda.device_count) or 0):
        # To ask for properties makes torch begin to use GPUs: a process that forks later could not use them any more.
        wakes = measure or in_use
        properties = asked(partial(torch.cuda.get_device_properties, index)) if wakes else None
        uuid = getattr(properties, "uuid", None)
        yield {
            "kind": kind,
            "index": index,
            "name": getattr(properties, "name", kind),
            "uuid": None if uuid is None else str(uuid),
            **_memory(torch.cuda, index, in_use=in_use, measure=measure),
        }


def _xpu(torch: Any, measure: bool) -> Iterator[dict[str, Any]]:
    xpu = getattr(torch, "xpu", None)
    if xpu is None or not asked(xpu.is_available):
        return
    in_use = asked(xpu.is_initialized)
    for index in range(asked(xpu.device_count) or 0):
        name = (asked(partial(xpu.get_device_name, index)) if measure or in_use else None) or "Intel GPU"
        yield {"kind": "xpu", "index": index, "name": name, **_memory(xpu, index, in_use=in_use, measure=measure)}


def _metal(torch: Any) -> Iterator[dict[str, Any]]:
    if not asked(lambda: torch.backends.mps.is_available()):
        return
    yield {
        "kind": "metal",
        "index": 0,
        "name": "Apple GPU",
        "total_bytes": asked(lambda: int(torch.mps.recommended_max_memory())),
        "reserved_bytes": asked(lambda: int(torch.mps.driver_allocated_memory())),
        "allocated_bytes": asked(lambda: int(torch.mps.current_allocated_memory())),
    }


def _memory(backend: Any, index: int, *, in_use: bool | None, measure: bool) -> dict[str, int | None]:
    """Ask for memory without waking a device that this process does not use, unless it must be measured."""
    free, total = (asked(lambda: backend.mem_get_info(index)) if measure or in_use else None) or (None, None)
    return {
        "total_bytes": total,
        "free_bytes": free,
        "reserved_bytes": asked(lambda: int(backend.memory_reserved(index))) if in_use else 0,
        "allocated_bytes": asked(lambda: int(backend.memory_allocated(index))) if in_use else 0,
    }
