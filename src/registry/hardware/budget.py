"""How much memory models may take: what there is, less what is left to the system."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from registry._settings import parse_size, size_bytes
from registry.errors import InvalidOptionError

if TYPE_CHECKING:
    from registry.hardware.machine import Machine

RESERVED_BYTES = 2 * 10**9  # for the system, where neither the caller nor the user says another number


class Budget(NamedTuple):
    """Main memory for models.

    Attributes:
        available_bytes: What there is.
        reserved_bytes: What of it is left to the system.
    """

    available_bytes: int
    reserved_bytes: int

    @property
    def model_bytes(self) -> int:
        """What models may take together."""
        return max(0, self.available_bytes - self.reserved_bytes)

    def __str__(self) -> str:
        kept = f", with {size_text(self.reserved_bytes)} left to the system" if self.reserved_bytes else ""
        return f"{size_text(self.available_bytes)} of memory{kept}"


def budget_of(available_ram: float | str | None, reserve_bytes: float | str | None, machine: Machine | None) -> Budget:
    """Give the main memory that models may take.

    Args:
        available_ram: Bytes, or a size such as `16GB`. Left out: what the machine has available.
        reserve_bytes: Bytes, or a size, to leave to the system. Left out: the setting `reserved_memory`, else 2 GB.
        machine: The machine. It is only looked at where `available_ram` is left out.

    Raises:
        InvalidOptionError: A value is no size, or nothing says how much memory there is.
        InvalidSettingError: The setting is no size.
    """
    available = _bytes("available_ram", available_ram)
    if available is None:
        available = machine.ram_available_bytes if machine is not None else None
    if available is None:
        remedy = "This machine does not tell how much memory is available."
        raise InvalidOptionError("available_ram", "bytes, or a size such as `16GB`", None, remedy)
    return Budget(available, reserved(reserve_bytes))


def reserved(reserve_bytes: float | str | None) -> int:
    """Give the bytes to leave to the system: the caller's, else the user's setting, else 2 GB."""
    given = _bytes("reserve_bytes", reserve_bytes)
    stated = size_bytes("reserved_memory") if given is None else given
    return RESERVED_BYTES if stated is None else stated


def size_text(size: int) -> str:
    """Write a size for people: `4 GB`, `17.06 GB`, `90.87 MB`."""
    unit, name = (10**9, "GB") if size >= 10**9 else (10**6, "MB") if size >= 10**6 else (1, "bytes")
    return f"{f'{size / unit:.2f}'.rstrip('0').rstrip('.')} {name}"


def _bytes(option: str, given: object) -> int | None:
    """Read a size that a caller gives; `16e9` is how many write 16 GB in Python."""
    size = parse_size(given) if isinstance(given, str) else given
    if given is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | float) or not math.isfinite(size) or size < 0:
        raise InvalidOptionError(option, "bytes, or a size such as `16GB`", given)
    return int(size)
