"""What several sensors say of the memory of devices, put together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from registry.hardware.diagnosis import Device
from registry.hardware.pools import MAIN

if TYPE_CHECKING:
    from registry.hardware.machine import Gpu, Machine

Seen: TypeAlias = Sequence[Mapping[str, Any]]
"""Devices as the sensors of torch and llama.cpp describe them."""


def main_memory(machine: Machine, resident_bytes: int | None) -> Device:
    """Give main memory.

    Args:
        machine: The machine.
        resident_bytes: What this process takes of it.
    """
    return Device(
        device=MAIN,
        name=machine.cpu.name or machine.cpu.architecture,
        kind="cpu",
        total_bytes=machine.ram_total_bytes,
        free_bytes=machine.ram_available_bytes,
        allocated_bytes=resident_bytes,
    )


def gpus_of(machine: Machine, torch: Seen, llama_cpp: Seen, *, hidden: bool) -> tuple[Device, ...]:
    """Give the GPUs: as the driver lists them, else as torch, else as llama.cpp sees them.

    Args:
        machine: The machine.
        torch: What torch sees, with what it has allocated.
        llama_cpp: What llama.cpp sees.
        hidden: Whether also those that `CUDA_VISIBLE_DEVICES` hides from this process.
    """
    if not machine.gpus:
        return tuple(_seen(each) for each in torch or llama_cpp)
    usable = visible(machine.gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    allocated = _allocated(usable, torch)
    listed = machine.gpus if hidden else usable
    return tuple(_listed(gpu, allocated.get(gpu.index, {})) for gpu in listed)


def visible(gpus: Sequence[Gpu], stated: str | None) -> tuple[Gpu, ...]:
    """Give the GPUs that CUDA shows this process, in its order.

    Args:
        gpus: As the driver lists them. CUDA counts GPUs of different kinds in another order, the fastest first, unless
            `CUDA_DEVICE_ORDER=PCI_BUS_ID`; ids hold in any case.
        stated: The variable: positions or ids, which may be cut short. What is none ends the list.
    """
    if stated is None or any(_kind(gpu) != "cuda" for gpu in gpus):
        return tuple(gpus)
    found: list[Gpu] = []
    for word in map(str.strip, stated.split(",")):
        gpu = next((gpu for place, gpu in enumerate(gpus) if _is_named(gpu, place, word)), None)
        if gpu is None or gpu in found:
            break
        found.append(gpu)
    return tuple(found)


def _is_named(gpu: Gpu, place: int, word: str) -> bool:
    if word.isdecimal():
        return int(word) == place
    return word.startswith(("GPU-", "MIG-")) and (gpu.uuid or "").startswith(word)


def _allocated(usable: Sequence[Gpu], torch: Seen) -> dict[int, Mapping[str, Any]]:
    """Give what torch has allocated, by the index of the driver: by id where both tell it, else by CUDA's order."""
    by_id = {_bare(gpu.uuid): gpu.index for gpu in usable if gpu.uuid}
    found = {}
    for each in torch:
        index = by_id.get(_bare(each.get("uuid")))
        if index is None and each["index"] < len(usable):
            index = usable[each["index"]].index
        if index is not None:
            found[index] = each
    return found


def _bare(uuid: str | None) -> str:
    """The driver says `GPU-` in front, and torch does not."""
    return (uuid or "").removeprefix("GPU-").casefold()


def _kind(gpu: Gpu) -> str:
    return "metal" if gpu.name == "Apple GPU" else "cuda"


def hides_all(gpus: Sequence[Gpu], stated: str | None) -> bool:
    """True where `CUDA_VISIBLE_DEVICES` shows this process no GPU, whatever the machine has."""
    return not visible(gpus, stated) if gpus else stated in ("", "-1")


def _listed(gpu: Gpu, allocated: Mapping[str, Any]) -> Device:
    return Device(
        device=f"gpu:{gpu.index}",
        name=gpu.name,
        kind=_kind(gpu),
        total_bytes=gpu.memory_total_bytes,
        free_bytes=gpu.memory_free_bytes,
        reserved_bytes=allocated.get("reserved_bytes", 0),
        allocated_bytes=allocated.get("allocated_bytes", 0),
        unified=gpu.unified,
        uuid=gpu.uuid,
    )


def _seen(each: Mapping[str, Any]) -> Device:
    names = ("total_bytes", "free_bytes", "reserved_bytes", "allocated_bytes", "uuid")
    known = {name: each[name] for name in names if each.get(name) is not None}
    found = Device(device=f"gpu:{each['index']}", name=str(each["name"]), kind=str(each["kind"]), **known)
    return replace(found, unified=bool(each.get("unified", found.kind == "metal")))
