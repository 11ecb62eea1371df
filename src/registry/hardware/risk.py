"""How near devices are to running out of memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from registry.hardware.diagnosis import Device, Risk, Thresholds

_HIGHEST_FIRST: tuple[Risk, ...] = ("high", "medium", "low", "unknown")


def judged(device: Device, thresholds: Thresholds) -> Device:
    """Give a device with its utilisation, what must be free of it, and its risk."""
    total, free = device.total_bytes, device.free_bytes
    if total is None or free is None or total <= 0:
        return replace(device, utilisation=None, wanted_bytes=None, risk="unknown")
    free = min(free, total)  # sensors that are read one after the other may disagree
    wanted = thresholds.wanted_bytes(total)
    risk: Risk = "high" if free < wanted else "medium" if free < 2 * wanted else "low"
    return replace(device, utilisation=round((total - free) / total, 4), wanted_bytes=wanted, risk=risk)


def highest(devices: Iterable[Device]) -> Risk:
    """Give the highest risk of several devices; one that tells nothing counts least."""
    found = {device.risk for device in devices}
    for risk in _HIGHEST_FIRST:
        if risk in found:
            return risk
    return "unknown"
