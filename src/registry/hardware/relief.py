"""What a diagnosis can re-apply in this process: caches given back, settings of the allocator, unsloth's patch."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any

from registry.hardware.diagnosis import Applied, Device, Unsloth
from registry.hardware.remedies import EXPANDABLE, has_segments, is_fragmented
from registry.hardware.torch_sensor import ALLOCATOR, stated_allocator


def relieve(devices: tuple[Device, ...], unsloth: Unsloth, *, cuda_available: bool) -> tuple[Applied, ...]:
    """Re-apply what can be, in this process only: caches and allocators belong to the process that uses them.

    Args:
        devices: As they were found.
        unsloth: As it was found. It is imported where it is installed and CUDA is there: that is what patches.
        cuda_available: Whether torch can use a GPU.
    """
    torch = sys.modules.get("torch")
    return (
        _collected(),
        _emptied(torch),
        _configured(torch, any(is_fragmented(device) and has_segments(device) for device in devices)),
        _patched(unsloth, cuda_available),
    )


def _collected() -> Applied:
    """Free what only circles of references keep, and give free heap back to the system."""
    gc.collect()
    try:
        trimmed = bool(ctypes.CDLL(None).malloc_trim(0))  # of glibc; others have none, and need none
    except (AttributeError, OSError, TypeError):  # Windows takes no None
        trimmed = False
    also = " Free heap went back to the system." if trimmed else ""
    return Applied("collect_garbage", True, f"Objects that nobody uses were freed.{also}")


def _emptied(torch: Any) -> Applied:
    code = "empty_cache"
    if torch is None:
        return Applied(code, False, "This process has not imported torch: there is no cache to empty.")
    emptied = [name for name in ("cuda", "xpu", "mps") if _empty(torch, name)]
    if not emptied:
        return Applied(code, False, "This process has not used a GPU through torch: there is no cache to empty.")
    return Applied(code, True, f"What torch kept unused was given back ({', '.join(emptied)}).")


def _empty(torch: Any, name: str) -> bool:
    """Empty a cache, of a backend that this process has used: to ask another would wake it."""
    backend = getattr(torch, name, None)
    in_use: Callable[[], bool] | None = getattr(backend, "is_initialized", None)
    try:
        if backend is None or not (in_use() if in_use else torch.backends.mps.is_available()):
            return False
        backend.empty_cache()
    except Exception:  # torch raises anything; nothing was emptied then
        return False
    return True


def _configured(torch: Any, fragmented: bool) -> Applied:
    """Tell the allocator again what the environment states, which it reads once: at the first use of a GPU."""
    code = "allocator_settings"
    stated = stated_allocator()
    wanted = stated or (EXPANDABLE if fragmented else None)
    if wanted is None:
        return Applied(code, False, "The environment states none, and the memory is in no pieces.")
    if torch is not None:
        try:
            _tell(torch, wanted)
        except Exception as error:  # it refuses words that it does not know, or has no such function at all
            return Applied(code, False, f"torch does not take `{wanted}`: {' '.join(str(error).split())}.")
    if stated is None:
        os.environ[ALLOCATOR] = wanted  # for what this process starts, and torch that is imported later
    if torch is None:
        return Applied(code, True, f"`{wanted}` is set for when this process imports torch.")
    return Applied(
        code, True, f"torch was told `{wanted}`{' again' if stated else ''}, for what it allocates on GPUs from now on."
    )


def _tell(torch: Any, settings: str) -> None:
    tell = getattr(torch._C, "_accelerator_setAllocatorSettings", None)
    if tell is None:  # an older torch
        tell = torch.cuda.memory._set_allocator_settings
    tell(settings)


def _patched(unsloth: Unsloth, cuda_available: bool) -> Applied:
    code = "unsloth_patch"
    if not unsloth.installed:
        return Applied(code, False, "unsloth is not installed.")
    if not cuda_available:
        return Applied(code, False, "unsloth needs a CUDA GPU that torch can use.")
    if unsloth.imported:
        return Applied(code, False, "unsloth is imported already: it patches once a process.")
    try:
        with redirect_stdout(sys.stderr):  # it greets
            import_module("unsloth")
    except (Exception, SystemExit) as error:
        return Applied(
            code, False, f"unsloth cannot be imported: {' '.join(f'{type(error).__name__}: {error}'.split())}."
        )
    return Applied(code, True, "unsloth was imported, which patches transformers for models loaded through it.")
