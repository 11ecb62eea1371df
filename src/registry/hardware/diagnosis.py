"""What a diagnosis says: plain values that tests and callers can also make by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Risk: TypeAlias = Literal["unknown", "low", "medium", "high"]
"""How near a device is to running out of memory, the lesser first."""

# What llama.cpp keeps free of a GPU by default when it fits a model itself
# (https://github.com/ggml-org/llama.cpp/blob/master/tools/fit-params/README.md).
MIN_FREE_GIB = 1.0
MIN_FREE_RATIO = 0.05
_MOST_BYTES = 2**63 - 1  # more than any device has, and a number that every program reads


@dataclass(frozen=True)
class Thresholds:
    """What must be free of a device: the larger of the two. Less is a high risk, less than twice as much a medium one.

    Attributes:
        min_free_gib: In GiB, 2^30 bytes. 1 is what llama.cpp leaves free of a GPU when it fits a model itself.
        min_free_ratio: As a share of the device's memory.
    """

    min_free_gib: float = MIN_FREE_GIB
    min_free_ratio: float = MIN_FREE_RATIO

    def wanted_bytes(self, total_bytes: int) -> int:
        """Give what must be free of a device with so much memory."""
        return max(int(min(self.min_free_gib * 2**30, _MOST_BYTES)), int(self.min_free_ratio * total_bytes))


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package, whether it is installed or not.

    Attributes:
        installed: Whether Python finds it.
        version: Its version.
        path: Folder that it is imported from.
        problem: Why it cannot be used, a sentence.
        passing: True where that says nothing about the package: there was too little time or memory to look.
    """

    installed: bool = False
    version: str | None = None
    path: str | None = None
    problem: str | None = None
    passing: bool = False

    @property
    def usable(self) -> bool:
        """True where it is installed and nothing is known to be wrong with it."""
        return self.installed and self.problem is None


@dataclass(frozen=True, kw_only=True)
class Torch(Package):
    """PyTorch.

    Attributes:
        cuda_compiled: Whether it was built with CUDA. A build for ROCm was not: see `hip_version`.
        cuda_version: CUDA that it was built with.
        hip_version: ROCm that it was built with; `None`: it was not built for AMD's GPUs.
        cudnn_version: Version of cuDNN, as its number.
        cuda_available: Whether it can use a GPU now. `None`: it was not asked.
        gpu_architectures: GPUs that it was built for, such as `sm_90`.
        allocator: What the environment states about its allocator (`PYTORCH_ALLOC_CONF`).
    """

    cuda_compiled: bool | None = None
    cuda_version: str | None = None
    hip_version: str | None = None
    cudnn_version: int | None = None
    cuda_available: bool | None = None
    gpu_architectures: tuple[str, ...] = ()
    allocator: str | None = None


@dataclass(frozen=True, kw_only=True)
class LlamaCpp(Package):
    """llama.cpp, as `llama-cpp-python` brings it.

    Attributes:
        ggml_version: Version of its library for tensors.
        ggml_commit: Commit that this was built from.
        gpu_offload: Whether it was built with something that computes on a GPU.
        build_flags: What it was built with, by backend: `{"CPU": {"AVX2": "1"}}`.
        libraries: Backends that lie beside it as files of their own, such as `cpu` and `cuda`.
    """

    ggml_version: str | None = None
    ggml_commit: str | None = None
    gpu_offload: bool | None = None
    build_flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unsloth(Package):
    """unsloth.

    Attributes:
        imported: Whether this process has imported it, which is when it patches other packages.
        patched: Whether a model class of transformers in this process is unsloth's. `None`: it is not imported.
    """

    imported: bool = False
    patched: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Python:
    """The interpreter.

    Attributes:
        version: Its version.
        implementation: `CPython`, `PyPy`, ...
        executable: The program.
        prefix: Folder of the environment.
        virtual: Whether that is a virtual environment.
    """

    version: str
    implementation: str
    executable: str
    prefix: str
    virtual: bool


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The NVIDIA driver.

    Attributes:
        installed: Whether there is one. `None`: it was not looked for, or `nvidia-ml-py` is missing.
        version: Its version.
        path: Its library, as this process has loaded it.
        cuda_version: The newest CUDA that it can run.
        problem: Why it gives no answer, a sentence.
    """

    installed: bool | None = None
    version: str | None = None
    path: str | None = None
    cuda_version: str | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What there is to run models with."""

    python: Python
    registry: Package = Package()
    torch: Torch = Torch()
    llama_cpp: LlamaCpp = LlamaCpp()
    sentence_transformers: Package = Package()
    unsloth: Unsloth = Unsloth()
    driver: Driver = Driver()


@dataclass(frozen=True, kw_only=True)
class Device:
    """Memory that models are loaded into. `None` means *not known*, never 0.

    Attributes:
        device: `cpu` for main memory, `gpu:0`, `gpu:1`, ... as estimates name them.
        name: Name of the GPU.
        kind: What it is to programs: `cpu`, `cuda`, `rocm`, `metal`, `xpu`, `vulkan`, ...
        total_bytes: Its memory; of main memory, the limit of this process's control group where that is less.
        free_bytes: What can be allocated by anyone.
        reserved_bytes: What the allocator of torch keeps for this process, in use or not. Of main memory: `None`.
        allocated_bytes: What tensors of this process take of that. Of main memory: what this process has resident.
        utilisation: Share of the memory that is in use, 0 to 1.
        wanted_bytes: What must be free, by the thresholds.
        unified: True for a GPU without memory of its own: its numbers are those of main memory.
        uuid: The driver's own name for it.
        risk: How near it is to running out of memory.
    """

    device: str
    name: str
    kind: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    reserved_bytes: int | None = None
    allocated_bytes: int | None = None
    utilisation: float | None = None
    wanted_bytes: int | None = None
    unified: bool = False
    uuid: str | None = None
    risk: Risk = "unknown"

    @property
    def cached_bytes(self) -> int:
        """What torch keeps of it without using it, as far as that is known."""
        if self.reserved_bytes is None or self.allocated_bytes is None:
            return 0
        return max(0, self.reserved_bytes - self.allocated_bytes)


@dataclass(frozen=True)
class Remedy:
    """Something to do.

    Attributes:
        code: A word for programs, such as `shorter_context`; docs/diagnose.md lists them all.
        text: What to do and why, in a sentence or two.
        devices: Devices that it is for; empty where it is for none in particular.
    """

    code: str
    text: str
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Applied:
    """Something that was re-applied.

    Attributes:
        code: A word for programs; docs/diagnose.md lists them all.
        done: Whether it was. False: it could not be, or there was nothing to do.
        text: What came of it, a sentence.
    """

    code: str
    done: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found, how dangerous it is, and what to do.

    Attributes:
        environment: What there is to run models with.
        devices: Main memory, and the GPUs.
        thresholds: What must be free of each.
        risk: The highest of the devices'.
        remedies: What to do, the most urgent first.
        applied: What `force` has re-applied.
        notes: What could not be read, and what the numbers take into account, a sentence each.
    """

    environment: Environment
    devices: tuple[Device, ...]
    thresholds: Thresholds = Thresholds()
    risk: Risk = "unknown"
    remedies: tuple[Remedy, ...] = ()
    applied: tuple[Applied, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give the values as dicts, lists, strings and numbers, as JSON has them."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
