"""Looking at all there is to run models with, and judging it. Reads sensors; uses no network."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from registry.errors import InvalidOptionError
from registry.hardware._probe import probe
from registry.hardware.devices import gpus_of, hides_all, main_memory
from registry.hardware.diagnosis import (
    MIN_FREE_GIB,
    MIN_FREE_RATIO,
    Device,
    Diagnosis,
    Driver,
    Environment,
    LlamaCpp,
    Package,
    Python,
    Thresholds,
    Torch,
    Unsloth,
)
from registry.hardware.driver import probe_driver
from registry.hardware.inquiry import Facts, inquire
from registry.hardware.installed import installed
from registry.hardware.relief import relieve
from registry.hardware.remedies import Found, remedies_for
from registry.hardware.risk import highest, judged
from registry.hardware.unsloth_sensor import is_patched

if TYPE_CHECKING:
    from registry.hardware.machine import Machine

P = TypeVar("P", bound=Package)


def diagnose(
    *,
    all_devices: bool = False,
    cuda: bool = True,
    min_free_gib: float | None = None,
    min_free_ratio: float | None = None,
    force: bool = False,
) -> Diagnosis:
    """Say what there is to run models with, how near memory is to its end, and what to do about it.

    Takes from half a second to some seconds: torch and llama.cpp are asked in processes of their own unless this one
    has imported them. Whatever is missing or broken is a finding; nothing of it is raised.

    Args:
        all_devices: Also GPUs that `CUDA_VISIBLE_DEVICES` hides from this process.
        cuda: False to ask no GPU, no driver, and no library that would wake one.
        min_free_gib: GiB that must be free of each device. Left out: 1.
        min_free_ratio: Share of each device, 0 to 1, that must be free. Left out: 0.05. The larger of the two counts.
        force: Re-apply what can be in this process, and look again: free caches, tell torch's allocator the settings
            of the environment, import unsloth.

    Raises:
        InvalidOptionError: A threshold is out of its range.

    Example:
        >>> diagnose(cuda=False).devices[0].device  # doctest: +SKIP
        'cpu'
    """
    thresholds = _thresholds(min_free_gib, min_free_ratio)
    said: dict[str, Facts] = {}
    found = _look(thresholds, said, all_devices=all_devices, cuda=cuda)
    if not force:
        return found
    environment = found.environment
    applied = relieve(found.devices, environment.unsloth, cuda_available=environment.torch.cuda_available is True)
    return replace(_look(thresholds, said, all_devices=all_devices, cuda=cuda), applied=applied)


def _thresholds(min_free_gib: float | None, min_free_ratio: float | None) -> Thresholds:
    gib = MIN_FREE_GIB if min_free_gib is None else min_free_gib
    ratio = MIN_FREE_RATIO if min_free_ratio is None else min_free_ratio
    for name, value, most in (("min_free_gib", gib, math.inf), ("min_free_ratio", ratio, 1.0)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most or value == math.inf:
            expected = "a finite number, 0 or more" if most == math.inf else "a share, 0 to 1"
            raise InvalidOptionError(name, expected, value)
    return Thresholds(float(gib), float(ratio))


def _look(thresholds: Thresholds, said: dict[str, Facts], *, all_devices: bool, cuda: bool) -> Diagnosis:
    """Look once; `said` is filled with what packages say of themselves."""
    machine = probe() if cuda else probe(gpus=())
    said |= _inquiries(said, gpu=cuda, measure=cuda and not machine.gpus)
    environment = _environment(said, probe_driver() if cuda else Driver())
    seen = [facts.get("devices", ()) for facts in (said.get("torch", {}), said.get("llama_cpp", {}))]
    gpus = gpus_of(machine, seen[0], seen[1], hidden=all_devices)
    devices = tuple(judged(device, thresholds) for device in (main_memory(machine, _resident_bytes()), *gpus))
    hidden = hides_all(machine.gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    return Diagnosis(
        environment=environment,
        devices=devices,
        thresholds=thresholds,
        risk=highest(devices),
        remedies=remedies_for(Found(environment, devices, machine.ram_limit_bytes, hidden, _missing())),
        notes=(*machine.notes, *_notes(machine, devices, said, cuda=cuda)),
    )


def _inquiries(said: Mapping[str, Facts], *, gpu: bool, measure: bool) -> dict[str, Facts]:
    """Ask the packages that are installed, at the same time; again only those that this process has imported."""
    names = [
        name
        for name in ("torch", "llama_cpp")
        if installed(name, name).path is not None and (name not in said or name in sys.modules)
    ]
    with ThreadPoolExecutor(max_workers=2) as threads:
        return dict(zip(names, threads.map(lambda name: inquire(name, gpu=gpu, measure=measure), names), strict=True))


def _environment(said: dict[str, Facts], driver: Driver) -> Environment:
    unsloth = installed("unsloth", "unsloth")
    return Environment(
        python=Python(
            version=platform.python_version(),
            implementation=platform.python_implementation(),
            executable=sys.executable,
            prefix=sys.prefix,
            virtual=sys.prefix != sys.base_prefix,
        ),
        registry=installed("registry", "typed-model-registry"),
        torch=_stated(Torch, installed("torch", "torch"), said.get("torch", {})),
        llama_cpp=_stated(LlamaCpp, installed("llama_cpp", "llama-cpp-python"), said.get("llama_cpp", {})),
        sentence_transformers=installed("sentence_transformers", "sentence-transformers"),
        unsloth=_stated(Unsloth, unsloth, {"imported": "unsloth" in sys.modules, "patched": is_patched()}),
        driver=driver,
    )


def _stated(cls: type[P], package: Package, facts: Facts) -> P:
    """Put together what the installation says of a package and what it says of itself."""
    known = {name: _frozen(facts[name]) for each in fields(cls) if (name := each.name) in facts}
    own = {each.name: getattr(package, each.name) for each in fields(Package)}
    if known.get("version") is None:
        known.pop("version", None)
    return cls(**{**own, **known})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _resident_bytes() -> int | None:
    try:
        import psutil

        return int(psutil.Process().memory_info().rss)
    except Exception:  # psutil raises anything where a system hides what it wants to read
        return None


def _missing() -> frozenset[str]:
    """Name the packages of the extra `hardware` that Python does not find."""
    packages = {"psutil": "psutil", "nvidia-ml-py": "pynvml"}
    return frozenset(name for name, module in packages.items() if installed(module, name).path is None)


def _notes(machine: Machine, devices: tuple[Device, ...], said: dict[str, Facts], *, cuda: bool) -> list[str]:
    notes = [] if cuda else ["GPUs, their driver and what would wake them were not asked."]
    notes += [f"{name}: {facts['warning']}." for name, facts in said.items() if "warning" in facts]
    shown = sum(device.kind != "cpu" for device in devices)
    if shown < len(machine.gpus):
        notes.append(f"`CUDA_VISIBLE_DEVICES` hides {len(machine.gpus) - shown} of {len(machine.gpus)} GPUs.")
    return notes
