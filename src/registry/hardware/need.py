"""What a model needs: plain values that tests and callers can also make by hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Confidence: TypeAlias = Literal["header", "record", "unknown"]


@dataclass(frozen=True)
class DeviceEstimate:
    """What a model takes of one device, in bytes.

    Attributes:
        device: `cpu` for main memory; `gpu:0`, `gpu:1`, ... for the GPUs.
        weights_bytes: The weights, as they lie in memory.
        kv_cache_bytes: Keys and values of the whole context.
        compute_bytes: Buffers of intermediate results and logits that get written.
        overhead_bytes: What the library takes for itself: vocabulary, graphs, the driver's context on a GPU.
        total_bytes: All of it.
    """

    device: str
    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    overhead_bytes: int
    total_bytes: int

    @classmethod
    def of(cls, device: str, weights: int, kv_cache: int = 0, compute: int = 0, overhead: int = 0) -> DeviceEstimate:
        """Add up the parts."""
        return cls(device, weights, kv_cache, compute, overhead, weights + kv_cache + compute + overhead)


@dataclass(frozen=True)
class Estimate:
    """How much memory a model takes once it is loaded and the context holds `fill` tokens.

    Attributes:
        model_id: The model.
        devices: What it takes of each device, main memory first. Empty where too little is known.
        total_bytes: What has to be free: the sum over the devices. `None`: cannot be told, which is not "fits".
        resident_bytes: By how much the resident memory of the process grows at its peak: what main memory takes, and
            `droppable_bytes`.
        reserved_bytes: Address space beyond that: set aside, never written at this fill, and so never taken.
        droppable_bytes: Pages of the file that stay mapped beside weights that were copied out of it. They count as
            resident, and the system takes them back before it runs short.
        method: How it was found, in a few words.
        confidence: `header`: from the file itself. `record`: from the numbers of the record. `unknown`: cannot be
            told.
        context_length: Tokens of context, or of one text for encoders.
        fill: Tokens that the context holds.
        notes: What the numbers take for granted, a sentence each.
        missing: What would have to be known, such as `head_dim`.
    """

    model_id: str
    devices: tuple[DeviceEstimate, ...]
    total_bytes: int | None
    resident_bytes: int | None
    reserved_bytes: int | None
    method: str
    confidence: Confidence
    context_length: int | None
    droppable_bytes: int = 0
    fill: int | None = None
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def gpu_bytes(self) -> int:
        """What the GPUs take."""
        return sum(device.total_bytes for device in self.devices if device.device != "cpu")

    @property
    def cpu_bytes(self) -> int:
        """What main memory has to have free."""
        return sum(device.total_bytes for device in self.devices if device.device == "cpu")

    def to_dict(self) -> dict[str, Any]:
        """Give the values as dicts, lists, strings and numbers, as JSON has them."""
        return asdict(self) | {
            "devices": [asdict(device) for device in self.devices],
            "notes": list(self.notes),
            "missing": list(self.missing),
        }
