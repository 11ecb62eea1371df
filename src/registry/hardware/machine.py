"""What a machine has: plain values that tests and callers can also make by hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cpu:
    """The processor.

    Attributes:
        name: Model name as the system gives it.
        architecture: `x86_64`, `arm64`, ...
        physical_cores: Cores without those that hyper-threading adds.
        usable_cores: Cores that this process may use: its affinity and the quota of its cgroup count.
        features: Instruction sets that matter to inference, such as `AVX2` or `NEON`, sorted. Empty where the system
            does not tell.
    """

    name: str | None
    architecture: str
    physical_cores: int | None
    usable_cores: int
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one slice of a GPU where it is partitioned (MIG).

    Attributes:
        index: Position in the driver's list; slices of a partitioned GPU count one by one.
        name: Model name.
        memory_total_bytes: Its memory. Of a GPU without its own: the main memory. `None`: the driver does not tell.
        memory_free_bytes: What of it is free.
        unified: True where the memory is the main memory, which GPU and processor share: one pool, counted once.
        driver: Version of the driver.
        compute_capability: CUDA's number for what it can do, such as `9.0`.
        uuid: The driver's own name for it, which `CUDA_VISIBLE_DEVICES` takes too.
    """

    index: int
    name: str
    memory_total_bytes: int | None
    memory_free_bytes: int | None
    unified: bool = False
    driver: str | None = None
    compute_capability: str | None = None
    uuid: str | None = None


@dataclass(frozen=True)
class Machine:
    """What there is to run models on. `None` means *not known*, never 0.

    Attributes:
        system: `Linux`, `Darwin` or `Windows`.
        python: Version of the interpreter.
        cpu: The processor.
        ram_total_bytes: Main memory, or the limit of this process's cgroup where that is less.
        ram_available_bytes: What can be allocated without swapping. File cache that can be dropped is available.
        swap_total_bytes: Swap space.
        swap_free_bytes: What of it is free.
        gpus: The GPUs that the drivers list.
        unified_memory: True where GPU and processor share the main memory: what one takes the other has not.
        disk_path: Folder whose disk was looked at.
        disk_free_bytes: Free space there for this user.
        notes: What could not be read, and what the numbers take into account, a sentence each.
        ram_limit_bytes: Limit of this process's cgroup, where that is less than what the machine has.
    """

    system: str
    python: str
    cpu: Cpu
    ram_total_bytes: int | None
    ram_available_bytes: int | None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    gpus: tuple[Gpu, ...] = ()
    unified_memory: bool = False
    disk_path: str | None = None
    disk_free_bytes: int | None = None
    notes: tuple[str, ...] = ()
    ram_limit_bytes: int | None = None

    @property
    def gpu_memory_free_bytes(self) -> int | None:
        """Free memory of all GPUs that have their own; `None` where there is none, or one does not tell."""
        own = [gpu.memory_free_bytes for gpu in self.gpus if not gpu.unified]
        return sum(free for free in own if free is not None) if own and None not in own else None

    def to_dict(self) -> dict[str, Any]:
        """Give the values as dicts, lists, strings and numbers, as JSON has them."""
        found = asdict(self)
        found["cpu"]["features"] = list(self.cpu.features)
        found["gpus"] = list(found["gpus"])
        found["notes"] = list(self.notes)
        return found
