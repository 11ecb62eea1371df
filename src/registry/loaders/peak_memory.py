"""The most memory that this process has had at any time."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_memory_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Give the peak of this process's resident memory, all of it; `None` where the system does not tell.

    That is the interpreter, its packages, the weights (of a mapped file the pages that were read), the context and all
    that computing took. Pages of files and libraries that other processes have mapped too count in full.
    """
    if sys.platform == "linux":
        # Not `ru_maxrss`: it survives `exec`, and so would be that of the parent where the parent was larger.
        return _high_water_mark(status)
    if sys.platform == "win32":
        return _peak_of_windows()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def gpu_peak_memory_bytes() -> int | None:
    """Give what torch had reserved of GPUs at its peak; `None` where torch has used none.

    CUDA's own context comes on top of it. What llama.cpp takes of a GPU, nobody counts.
    """
    torch = sys.modules.get("torch")  # whoever has not imported it has not used it
    if torch is None or not torch.cuda.is_initialized():
        return None
    peak = sum(torch.cuda.max_memory_reserved(device) for device in range(torch.cuda.device_count()))
    return peak or None


def _high_water_mark(status: Path) -> int | None:
    try:
        lines = status.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    found = next((line.split() for line in lines if line.startswith("VmHWM:")), None)
    return int(found[1]) * 1024 if found else None  # the kernel writes kB for 1024 bytes


def _peak_of_windows() -> int | None:
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.Process().memory_info().peak_wset)
