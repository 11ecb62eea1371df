"""The version of the NVIDIA driver, and of the CUDA that it can run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from registry.hardware.diagnosis import Driver
from registry.hardware.gpu import load_nvml, no_driver


def probe_driver(load: Callable[[], Any] | None = None) -> Driver:
    """Ask the driver for its version.

    Args:
        load: Gives the module `pynvml`; for tests.
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
        nvml.nvmlShutdown()
    text = version.decode("utf-8", "replace") if isinstance(version, bytes) else version
    return Driver(installed=True, version=text, cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}")
