"""Looking at the machine. Reads the system's sensors; writes nothing, and asks no network."""

from __future__ import annotations

import os
import platform
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from registry._home import home
from registry.errors import InvalidOptionError
from registry.hardware.cgroup import memory_limits
from registry.hardware.cpu import probe_cpu
from registry.hardware.gpu import Pool, probe_gpus
from registry.hardware.machine import Gpu, Machine


class _System(NamedTuple):
    """What the system as a whole has, whatever the limits of this process."""

    ram_total_bytes: int | None = None
    ram_available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None
    physical_cores: int | None = None


def probe(
    *,
    ram_total_bytes: int | None = None,
    ram_available_bytes: int | None = None,
    cpu_cores: int | None = None,
    gpus: Sequence[Gpu] | None = None,
    unified_memory: bool | None = None,
    disk_free_bytes: int | None = None,
    disk_path: str | os.PathLike[str] | None = None,
) -> Machine:
    """Say what this machine has. Each value can be given instead: for another machine, or where a sensor is wrong.

    Never fails because a sensor is missing: the value is `None` then, and `notes` says so. Limits of control groups
    (containers, services) count: of memory, what the group may still use.

    Args:
        ram_total_bytes: Main memory.
        ram_available_bytes: What of it can be used. Left out where `ram_total_bytes` is given: all of it.
        cpu_cores: Cores that this process may use.
        gpus: The GPUs; `()` for none.
        unified_memory: Whether GPU and processor share the main memory.
        disk_free_bytes: Free space.
        disk_path: Folder whose disk is looked at. Left out: the home folder of the registry.

    Raises:
        InvalidOptionError: A value is no count.

    Example:
        >>> probe(ram_total_bytes=16 * 10**9, gpus=()).ram_available_bytes
        16000000000
    """
    given = {"ram_total_bytes": ram_total_bytes, "ram_available_bytes": ram_available_bytes}
    for name, value in (given | {"cpu_cores": cpu_cores, "disk_free_bytes": disk_free_bytes}).items():
        if value is not None and (type(value) is not int or value < (name == "cpu_cores")):
            raise InvalidOptionError(name, "a whole number, 0 or more", value)
    system, notes = _read_system()
    pool, limit = _pool(system, ram_total_bytes, ram_available_bytes)
    notes += [] if limit is None else [f"A control group limits the memory to {limit} bytes."]
    found = tuple(gpus) if gpus is not None else _find_gpus(pool, notes)
    path = Path(disk_path) if disk_path is not None else home()
    return Machine(
        system=platform.system(),
        python=platform.python_version(),
        cpu=probe_cpu(physical=system.physical_cores, usable=cpu_cores),
        ram_total_bytes=pool.total_bytes,
        ram_available_bytes=pool.free_bytes,
        swap_total_bytes=system.swap_total_bytes,
        swap_free_bytes=system.swap_free_bytes,
        gpus=found,
        unified_memory=any(gpu.unified for gpu in found) if unified_memory is None else unified_memory,
        disk_path=str(path),
        disk_free_bytes=_free_space(path, notes) if disk_free_bytes is None else disk_free_bytes,
        notes=tuple(notes),
        ram_limit_bytes=limit,
    )


def _read_system() -> tuple[_System, list[str]]:
    try:
        import psutil
    except ImportError:
        return _System(), ["`psutil` is not installed: what the system has of memory and cores is not known."]
    notes: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # psutil's, where a file of /proc is hidden
        memory, swap, cores = (
            _sensor(what, read, notes)
            for what, read in (
                ("memory", psutil.virtual_memory),
                ("swap space", psutil.swap_memory),
                ("physical cores", lambda: psutil.cpu_count(logical=False)),
            )
        )
    return _System(
        ram_total_bytes=memory and memory.total,
        ram_available_bytes=memory and memory.available,
        swap_total_bytes=swap and swap.total,
        swap_free_bytes=swap and swap.free,
        physical_cores=cores,
    ), notes


def _sensor(what: str, read: Callable[[], Any], notes: list[str]) -> Any:
    """Read a sensor; psutil raises anything where a system hides what it wants to read."""
    try:
        return read()
    except Exception as error:
        notes.append(f"The {what} cannot be read: {error}.")
        return None


def _pool(system: _System, total: int | None, available: int | None) -> tuple[Pool, int | None]:
    """Give main memory: what the caller says, else the system's within the limits of the control groups.

    With it the tightest limit, where that is less than what the system has.
    """
    if total is not None:
        return Pool(total, total if available is None else min(available, total)), None
    found, limit = Pool(system.ram_total_bytes, system.ram_available_bytes), None
    for group in memory_limits():
        if found.total_bytes is None or group.limit_bytes < found.total_bytes:
            limit = group.limit_bytes
            found = found._replace(total_bytes=limit)
        if found.free_bytes is None or group.free_bytes < found.free_bytes:
            found = found._replace(free_bytes=group.free_bytes)
    return (found if available is None else found._replace(free_bytes=available)), limit


def _find_gpus(pool: Pool, notes: list[str]) -> tuple[Gpu, ...]:
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return (Gpu(0, "Apple GPU", pool.total_bytes, pool.free_bytes, unified=True),)
    found, more = probe_gpus(pool)
    notes += more
    return found


def _free_space(path: Path, notes: list[str]) -> int | None:
    """Give the free space of the disk that a folder is on, or will be on."""
    for folder in (path, *path.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except FileNotFoundError:
            continue
        except OSError as error:
            notes.append(f"The free space of `{folder}` cannot be read: {error}.")
            return None
    return None
