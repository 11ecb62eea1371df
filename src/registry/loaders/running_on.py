"""What a loaded model computes on, by type and name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from registry.hardware import probe
from registry.loaders.measured import Hardware

if TYPE_CHECKING:
    from registry.hardware import Machine
    from registry.loaders._load import LoadedModel


def this_hardware(machine: Machine | None = None) -> Hardware:
    """Give what models run on here where nothing else is asked for: a GPU where there is one, else the processor.

    Args:
        machine: The machine; left out: this one, whose sensors are read.
    """
    return list_hardware(machine)[0]


def list_hardware(machine: Machine | None = None) -> tuple[Hardware, ...]:
    """Give what models can run on here, what they do run on first. Otherwise as `this_hardware`."""
    there = probe() if machine is None else machine
    return (_gpu(there), _cpu(there)) if there.gpus else (_cpu(there),)


def hardware_of(model: LoadedModel, machine: Machine | None = None) -> Hardware:
    """Give what a loaded model runs on."""
    there = probe() if machine is None else machine
    owner: Any = getattr(model, "_llama", getattr(model, "_backend", model))
    transformer = getattr(owner, "_transformer", None)
    if transformer is not None:
        return _of_device(transformer.device, there)
    on_gpu = owner._library.llama_supports_gpu_offload() and owner._llama.model_params.n_gpu_layers != 0
    return _gpu(there) if on_gpu else _cpu(there)


def _of_device(device: str, machine: Machine) -> Hardware:
    """Give the hardware of a device of torch."""
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return _cpu(machine)
    if kind == "cuda":
        torch = sys.modules["torch"]  # it numbers the GPUs that it may see, the driver all that there are
        return Hardware("cuda", torch.cuda.get_device_name(int(index or torch.cuda.current_device())))
    return _gpu(machine) if kind == "mps" else Hardware(kind, device)


def _cpu(machine: Machine) -> Hardware:
    cores = machine.cpu.usable_cores
    name = machine.cpu.name or machine.cpu.architecture
    return Hardware("cpu", f"{name}, {cores} core{'' if cores == 1 else 's'}")


def _gpu(machine: Machine) -> Hardware:
    if machine.system == "Darwin":
        return Hardware("metal", machine.cpu.name or "Apple GPU")
    if not machine.gpus:
        return Hardware("gpu", "GPU")
    names = [gpu.name for gpu in machine.gpus]
    several = f"{len(names)} x " if len(names) > 1 and len(set(names)) == 1 else ""
    return Hardware("cuda", f"{several}{' + '.join(dict.fromkeys(names))}")
