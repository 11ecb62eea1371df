"""A made-up `/proc` and `/sys`, and a made-up NVIDIA driver."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def files(folder: Path, contents: Mapping[str, str]) -> Path:
    """Write text files, by their paths below a folder."""
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


class NVMLError(Exception):
    """An error of the driver."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return {3: "Not Supported", 4: "Insufficient Permissions", 9: "Driver Not Loaded", 12: "Not Found"}[self.value]


@dataclass
class FakeGpu:
    """A GPU as the driver knows it; an int in place of a value is the error that the question gives."""

    name: Any = "NVIDIA H100"
    memory: Any = (80_000, 70_000)
    capability: Any = (9, 0)
    slices: list["FakeGpu"] = field(default_factory=list)
    uuid: Any = 3


class FakeDriver:
    """The module `pynvml` on a machine with these GPUs."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_DEVICE_MIG_ENABLE = 1

    def __init__(self, *gpus: FakeGpu | int, fails: int | None = None) -> None:
        self.gpus, self.fails, self.is_open = gpus, fails, False

    def nvmlInit(self) -> None:  # noqa: N802 - the driver's name, as all below
        if self.fails:
            raise NVMLError(self.fails)
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.1"

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return 13_020

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:  # noqa: N802
        return _answer(self.gpus[index])

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> Any:  # noqa: N802
        return _answer(gpu.name)

    def nvmlDeviceGetCudaComputeCapability(self, gpu: FakeGpu) -> Any:  # noqa: N802
        return _answer(gpu.capability)

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> Any:  # noqa: N802
        return _answer(gpu.uuid)

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> Any:  # noqa: N802
        total, free = _answer(gpu.memory)
        return SimpleNamespace(total=total, free=free)

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> Any:  # noqa: N802
        return _answer((1, 1) if gpu.slices else 3)

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: FakeGpu) -> int:  # noqa: ARG002, N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: FakeGpu, index: int) -> Any:  # noqa: N802
        return _answer(gpu.slices[index] if index < len(gpu.slices) else 12)


def _answer(value: Any) -> Any:
    if isinstance(value, int):
        raise NVMLError(value)
    return value
