"""The version of the NVIDIA driver, and of the CUDA that it can run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from registry.hardware.diagnosis import Driver
from registry.hardware.gpu import load_nvml, no_driver

_MAPS = Path("/proc/self/maps")


def probe_driver(load: Callable[[], Any] | None = None, maps: Path = _MAPS) -> Driver:
    """Ask the driver for its version.

    Args:
        load: Gives the module `pynvml`; for tests.
        maps: Where Linux lists the files that this process has loaded; for tests.
    """
    try:
        nvml = (load or load_nvml)()
    except ImportError:
        return Driver(problem="`nvidia-ml-py` is not installed: the NVIDIA driver was not asked.")
    try:
        nvml.nvmlInit()
    except (nvml.NVMLError, OSError) as error:
        if no_driver(nvml, error):
            return Driver(installed=False)
        return Driver(installed=True, problem=f"The NVIDIA driver gives no answer: {error}.")
    try:
        version, cuda = nvml.nvmlSystemGetDriverVersion(), int(nvml.nvmlSystemGetCudaDriverVersion())
    except (nvml.NVMLError, OSError) as error:
        return Driver(installed=True, problem=f"The NVIDIA driver does not tell its version: {error}.")
    finally:
        with suppress(nvml.NVMLError, OSError):
            nvml.nvmlShutdown()
    text = version.decode("utf-8", "replace") if isinstance(version, bytes) else version
    return Driver(
        installed=True, version=text, path=_place(nvml, maps), cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}"
    )


def _place(nvml: Any, maps: Path) -> str | None:
    """Give the driver's library: as Linux lists what this process has loaded, else as it was loaded by name."""
    try:
        lines = maps.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        lines = []
    loaded = (line.split(maxsplit=5)[-1] for line in lines if "libnvidia-ml.so" in line)
    return next(loaded, getattr(getattr(nvml, "nvmlLib", None), "_name", None))
