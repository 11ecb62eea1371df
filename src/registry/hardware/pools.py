"""The memory of a machine as models draw on it: main memory, and that of each GPU that has its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from registry.hardware.diagnosis import MIN_FREE_GIB

if TYPE_CHECKING:
    from registry.hardware.machine import Machine
    from registry.hardware.need import Estimate

MAIN = "cpu"  # as estimates name main memory
_GPU_MARGIN_BYTES = int(MIN_FREE_GIB * 2**30)  # kept free on each GPU: other programs draw there as well


def pools_of(ram_bytes: int, machine: Machine | None) -> dict[str, int | None]:
    """Give what each pool has for models: `cpu`, and `gpu:0`, `gpu:1`, ... for the GPUs with memory of their own.

    `None` is that of a GPU that does not tell its free memory. One that shares the main memory has no pool: what it
    takes, main memory has not.
    """
    pools: dict[str, int | None] = {MAIN: ram_bytes}
    for gpu in machine.gpus if machine is not None else ():
        if not gpu.unified:
            free = gpu.memory_free_bytes
            pools[f"gpu:{gpu.index}"] = None if free is None else max(0, free - _GPU_MARGIN_BYTES)
    return pools


def machine_with(machine: Machine | None, pools: Mapping[str, int | None]) -> Machine | None:
    """Give the machine with so much left on its GPUs: by what is free there, layers are spread over several."""
    if machine is None:
        return None
    left = (
        replace(gpu, memory_free_bytes=pools.get(f"gpu:{gpu.index}", gpu.memory_free_bytes)) for gpu in machine.gpus
    )
    return replace(machine, gpus=tuple(left))


def taken_from(pools: Mapping[str, int | None], found: Estimate) -> dict[str, int]:
    """Give what a model takes of each pool."""
    taken = dict.fromkeys(pools, 0)
    for device in found.devices:
        taken[device.device if device.device in pools else MAIN] += device.total_bytes
    return taken


def lacking(taken: Mapping[str, int], pools: Mapping[str, int | None]) -> dict[str, int | None]:
    """Give what is lacking, by pool; `None` where something is taken of one that does not tell what it has."""
    lacks: dict[str, int | None] = {}
    for name, size in taken.items():
        free = pools[name]
        if size and (free is None or size > free):
            lacks[name] = None if free is None else size - free
    return lacks
