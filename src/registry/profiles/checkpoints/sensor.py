"""What a device has and what of it is in use, as torch and the system tell."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, Protocol


class DeviceMemory(NamedTuple):
    """Memory of one device.

    Attributes:
        used_bytes: What is in use, by other programs too.
        total_bytes: What there is.
    """

    used_bytes: int
    total_bytes: int

    @property
    def free_bytes(self) -> int:
        """What is not in use."""
        return max(0, self.total_bytes - self.used_bytes)

    @property
    def share(self) -> float:
        """Share that is in use, 0 to 1."""
        return self.used_bytes / self.total_bytes if self.total_bytes else 1.0


class Sensor(Protocol):
    """Looks at the devices of a machine."""

    def has_cuda(self) -> bool:
        """Tell whether torch can compute on an NVIDIA GPU here."""
        ...

    def memory(self, device: str) -> DeviceMemory | None:
        """Give the memory of a device by torch's name, such as `cuda:1` or `cpu`; `None` where nobody tells."""
        ...


class TorchSensor:
    """The sensor of a real machine. Imports torch when it is first asked."""

    def has_cuda(self) -> bool:
        """Tell whether torch is installed, was built with CUDA, and finds a GPU."""
        return find_spec("torch") is not None and bool(import_module("torch").cuda.is_available())

    def memory(self, device: str) -> DeviceMemory | None:
        """Give the memory of a GPU as its driver tells it, and main memory within the limits of control groups.

        What torch keeps for itself and does not use counts as free: the next tensor goes there.
        """
        if device.startswith("cuda"):
            cuda = import_module("torch").cuda
            free, total = cuda.mem_get_info(device)
            kept = cuda.memory_reserved(device) - cuda.memory_allocated(device)
            return DeviceMemory(total - free - kept, total)
        if device == "mps":
            mps = import_module("torch").mps
            return DeviceMemory(mps.current_allocated_memory(), mps.recommended_max_memory())
        from registry.hardware import probe

        machine = probe(gpus=())
        if machine.ram_total_bytes is None or machine.ram_available_bytes is None:
            return None
        return DeviceMemory(machine.ram_total_bytes - machine.ram_available_bytes, machine.ram_total_bytes)
