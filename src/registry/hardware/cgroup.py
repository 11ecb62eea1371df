"""Limits of Linux control groups, version 1 and 2: what containers and services may use. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_SYS = Path("/sys/fs/cgroup")


class MemoryLimit(NamedTuple):
    """The tightest limit of memory that holds for this process.

    Attributes:
        limit_bytes: Most that the group may use.
        used_bytes: What it uses now, without file cache that can be dropped.
    """

    limit_bytes: int
    used_bytes: int

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return max(0, self.limit_bytes - self.used_bytes)


def memory_limits(proc: Path = _PROC, sys: Path = _SYS) -> tuple[MemoryLimit, ...]:
    """Give the limits of this process's group and of all groups around it: each of them holds.

    Args:
        proc: The process file system, `/proc`.
        sys: Where the control groups are mounted, `/sys/fs/cgroup`.
    """
    found = []
    for folder, unified in _folders("memory", proc, sys):
        limit = _number(folder / ("memory.max" if unified else "memory.limit_in_bytes"))
        used = _number(folder / ("memory.current" if unified else "memory.usage_in_bytes"))
        if limit is not None and used is not None and limit < _NO_LIMIT:
            stat = _table(folder / "memory.stat")
            # Version 1 counts the groups inside under names that begin with `total_`.
            cache = stat.get("inactive_file", 0) if unified else stat.get("total_inactive_file", 0)
            cache += stat.get("active_file", 0) if unified else stat.get("total_active_file", 0)
            cache -= min(cache, stat.get("file_dirty" if unified else "total_dirty", 0))
            found.append(MemoryLimit(limit, max(0, used - cache)))
    return tuple(found)


def cpu_quota(proc: Path = _PROC, sys: Path = _SYS) -> float | None:
    """Give the cores that the quotas of this process's groups are worth; `None` where there is no quota."""
    quotas = []
    for folder, unified in _folders("cpu", proc, sys):
        if unified:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period) > 0 and int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


_NO_LIMIT = 2**62  # version 1 says "none" with the largest number of pages that there is


def _folders(controller: str, proc: Path, sys: Path) -> Iterator[tuple[Path, bool]]:
    """Give the folders of this process's group and of those around it, and whether they are version 2's."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        unified = number == "0" and not controllers
        if unified or controller in controllers.split(","):
            # Both versions at once ("hybrid") have version 2 in a folder of its own.
            roots = (sys, sys / "unified") if unified else (sys / controllers, sys / controller)
            for root in dict.fromkeys(roots):
                yield from ((folder, unified) for folder in _upwards(root, path))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """Give the folder of a group and those around it that are visible.

    A container may see the path of its group as the host has it, and have only its own group mounted: at the root.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for count in range(len(parts), -1, -1):
        folder = root.joinpath(*parts[:count])
        if folder.is_dir():
            yield folder


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _table(path: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
