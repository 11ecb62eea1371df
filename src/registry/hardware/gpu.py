"""NVIDIA GPUs through their driver (`nvidia-ml-py`), whatever it does not support."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from registry.hardware.machine import Gpu


class Pool(NamedTuple):
    """Main memory, which GPUs without their own use."""

    total_bytes: int | None
    free_bytes: int | None


def probe_gpus(pool: Pool, load: Callable[[], Any] | None = None) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """List the NVIDIA GPUs.

    Args:
        pool: Main memory, the memory of a GPU whose driver says that it has none of its own.
        load: Gives the module `pynvml`; for tests.

    Returns:
        The GPUs, and what could not be read, a sentence each. Where there is no driver, neither.
    """
    try:
        nvml = (load or load_nvml)()
    except ImportError:
        return (), ("`nvidia-ml-py` is not installed: NVIDIA GPUs were not looked for.",)
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError, OSError) as error:
        return (), (() if no_driver(nvml, error) else (f"The NVIDIA driver gives no answer: {error}.",))
    try:
        return _list(nvml, pool)
    except (nvml.NVMLError, OSError) as error:
        return (), (f"The NVIDIA driver gives no answer: {error}.",)
    finally:
        _asked(nvml, nvml.nvmlShutdown)


def load_nvml() -> Any:
    """Give the driver's library; it asks nothing yet."""
    import pynvml

    return pynvml


def no_driver(nvml: Any, error: Exception) -> bool:
    """True where there is no NVIDIA driver, or no GPU that it drives: nothing is wrong with that."""
    absent = (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED)
    return getattr(error, "value", None) in absent


def _list(nvml: Any, pool: Pool) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    driver = _text(_asked(nvml, nvml.nvmlSystemGetDriverVersion))
    gpus: list[Gpu] = []
    notes: list[str] = []
    for position in range(nvml.nvmlDeviceGetCount()):
        device = _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, position)
        if device is None:
            notes.append(f"GPU {position} cannot be opened: it is lost, or this user may not use it.")
            continue
        for part in _slices(nvml, device) or [device]:
            gpu = _gpu(nvml, part, device, len(gpus), driver, pool)
            gpus.append(gpu)
            if gpu.unified:
                notes.append(f"`{gpu.name}` has no memory of its own: it shares the main memory.")
            elif gpu.memory_total_bytes is None:
                notes.append(f"The driver does not tell the memory of `{gpu.name}`.")
    return tuple(gpus), tuple(notes)


def _gpu(nvml: Any, part: Any, device: Any, index: int, driver: str | None, pool: Pool) -> Gpu:
    """Describe a GPU, or a slice of it."""
    name = _text(_asked(nvml, nvml.nvmlDeviceGetName, part)) or _text(_asked(nvml, nvml.nvmlDeviceGetName, device))
    capability = _asked(nvml, nvml.nvmlDeviceGetCudaComputeCapability, device)
    memory, unified = _memory(nvml, part)
    return Gpu(
        index=index,
        name=name or "NVIDIA GPU",
        memory_total_bytes=pool.total_bytes if unified else memory and memory[0],
        memory_free_bytes=pool.free_bytes if unified else memory and memory[1],
        unified=unified,
        driver=driver,
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
        uuid=_text(_asked(nvml, nvml.nvmlDeviceGetUUID, part)),
    )


def _memory(nvml: Any, part: Any) -> tuple[tuple[int, int] | None, bool]:
    """Give total and free memory of its own, and whether it has none: GB10 and Jetson say "Not Supported"."""
    try:
        found = nvml.nvmlDeviceGetMemoryInfo(part)
    except nvml.NVMLError as error:
        return None, getattr(error, "value", None) == nvml.NVML_ERROR_NOT_SUPPORTED
    if not found.total:
        return None, True
    return (int(found.total), int(found.free)), False


def _slices(nvml: Any, device: Any) -> list[Any]:
    """Give the slices of a GPU that is partitioned (MIG): it cannot be used as a whole."""
    mode = _asked(nvml, nvml.nvmlDeviceGetMigMode, device)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return []
    most = _asked(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, device) or 0
    slices: Iterator[Any] = (
        _asked(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, device, position) for position in range(most)
    )
    return [part for part in slices if part is not None]


def _asked(nvml: Any, call: Callable[..., Any], *given: Any) -> Any:
    """Ask the driver; `None` where it does not support the question."""
    try:
        return call(*given)
    except (nvml.NVMLError, OSError):
        return None


def _text(found: str | bytes | None) -> str | None:
    """Older drivers' bindings give bytes."""
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found
