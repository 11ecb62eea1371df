"""What a replica takes of its node, from the estimate of its memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from registry.hardware import Cpu, Gpu, Machine
from registry.hardware.requirement import estimate_with
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.cluster.options import Scaling
    from registry.hardware import Estimate
    from registry.records import ModelInfo

# What a process takes beside the model: the worker of Ray, the web framework, and llama.cpp, or torch with
# sentence-transformers. Resident were 201 MiB with llama.cpp and a tiny model, and 487 MiB with torch, 617 MiB after
# 64 long texts for a model of 90 MB (docs/scale.md); the rest is room. The context of CUDA was not measured.
_LLAMA_BYTES = 400 * 2**20
_TORCH_BYTES = 900 * 2**20
_GPU_PARTS = 100  # of one GPU: Ray counts fractions, and hundredths are fine enough


class Resources(NamedTuple):
    """What one replica takes.

    Attributes:
        cpus: CPUs.
        gpus: GPUs, or a part of one.
        memory_bytes: Main memory of the process. `None`: the estimate cannot tell, and Ray counts none.
        model_bytes: What the model itself takes, on all devices; `None` where the estimate cannot tell.
    """

    cpus: float
    gpus: float
    memory_bytes: int | None
    model_bytes: int | None

    def actor_options(self) -> dict[str, float]:
        """Give them as `ray_actor_options` has them."""
        options: dict[str, float] = {"num_cpus": self.cpus}
        if self.gpus:
            options["num_gpus"] = self.gpus
        if self.memory_bytes is not None:
            options["memory"] = self.memory_bytes
        return options


def resources_of(record: ModelInfo, scaling: Scaling, gpu_memory_bytes: int | None, loaded: int = 1) -> Resources:
    """Say what a replica of a model takes. Reads the header of the model's file where that is on this machine.

    Args:
        record: The model.
        scaling: What the caller states goes before the estimate.
        gpu_memory_bytes: Memory of one GPU of the cluster. `None`: the model is placed on none, unless stated.
        loaded: How often the model is loaded: alone, and with each adapter.
    """
    found = _estimate(record, scaling, gpu_memory_bytes)
    gpus = scaling.gpus
    if gpus is None:
        gpus = _gpus(found.gpu_bytes * loaded, gpu_memory_bytes) if gpu_memory_bytes else 0.0
    memory = scaling.memory_bytes
    if memory is None and found.total_bytes is not None:
        memory = _main_bytes(found, loaded) + (_LLAMA_BYTES if isinstance(record, ChatModel) else _TORCH_BYTES)
    return Resources(scaling.cpus, gpus, memory, found.total_bytes)


def _estimate(record: ModelInfo, scaling: Scaling, gpu_memory_bytes: int | None) -> Estimate:
    """Estimate a model on a node of which no more is known than that it has a GPU, or has none."""
    has_gpu = bool(gpu_memory_bytes) and scaling.gpus != 0
    gpus = (Gpu(0, "of the cluster", gpu_memory_bytes, gpu_memory_bytes),) if has_gpu else ()
    machine = Machine("Linux", "", Cpu(None, "x86_64", None, max(1, math.ceil(scaling.cpus))), None, None, gpus=gpus)
    return estimate_with(record, scaling.context_length, gpu_layers=-1 if has_gpu else 0, machine=machine)


def _main_bytes(found: Estimate, loaded: int) -> int:
    """Give what a model takes of main memory when it is loaded several times: its file is mapped once for all."""
    weights = sum(device.weights_bytes for device in found.devices if device.device == "cpu")
    shared = max(0, weights - found.droppable_bytes)  # what was copied out of the file is a copy each time
    return shared + (found.cpu_bytes - shared) * loaded


def _gpus(needed_bytes: int, gpu_memory_bytes: int) -> float:
    """Give the part of a GPU that has so much memory, or whole GPUs where one is not enough."""
    share = needed_bytes / gpu_memory_bytes
    return math.ceil(share * _GPU_PARTS) / _GPU_PARTS if share <= 1 else float(math.ceil(share))
