"""What pages say of the machine that serves them: which models fit, and which are there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from registry._places import find_files
from registry.errors import RegistryError
from registry.hardware import fit, probe
from registry.hardware.budget import reserved
from registry.hardware.requirement import need_of, without_gpus
from registry.server.web.figures import size_text

if TYPE_CHECKING:
    from pathlib import Path

    from registry.catalog import CatalogModel
    from registry.hardware import Machine
    from registry.records import ModelInfo

State: TypeAlias = Literal["fits", "tight", "large", "unknown"]

# How long what was seen counts: free memory changes all the time, and a page asks for all of its models.
FRESH_S = 5.0


class Verdict(NamedTuple):
    """Whether a model fits.

    Attributes:
        state: `fits`: now. `tight`: once other programs give back what they have. `large`: never. `unknown`: cannot be
            told, which is not "fits".
        need_bytes: What the model needs as a whole; `None`: cannot be told.
        reason: The same as a sentence.
    """

    state: State
    need_bytes: int | None
    reason: str


class Seen:
    """The machine at one moment.

    Args:
        machine: What it has.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.seen_s = time.monotonic()
        self._verdicts: dict[ModelInfo, Verdict] = {}
        self._paths: dict[ModelInfo, Path | None] = {}

    def verdict(self, model: CatalogModel, record: ModelInfo | None) -> Verdict:
        """Say whether a model fits; what people state in the store counts before what is computed."""
        stated_mb = model.ram_required_mb
        if record is not None and stated_mb == getattr(record, "ram_required_mb", None):
            stated_mb = None  # what the record says, which is asked with all that belongs to it
        if stated_mb is not None:
            return self._compare(stated_mb * 10**6, "as the catalogue states")
        if record is None and (size := model.file_size_bytes) is not None:
            return self._compare(size + size // 4, "by the size of its weights and a quarter more")
        if record is None:
            return Verdict("unknown", None, "Nobody has stated how much memory it needs.")
        if record not in self._verdicts:
            self._verdicts[record] = self._judge(record)
        return self._verdicts[record]

    @property
    def free_bytes(self) -> int | None:
        """Main memory that models may take now; `None`: not known."""
        free = self.machine.ram_available_bytes
        return None if free is None else max(0, free - reserved(None))

    def path(self, record: ModelInfo | None) -> Path | None:
        """Give where the files of a model lie on this machine, or `None`."""
        if record is not None and record not in self._paths:
            try:
                self._paths[record] = find_files(record)
            except RegistryError:  # an id that no file can be named after
                self._paths[record] = None
        return None if record is None else self._paths[record]

    def _judge(self, record: ModelInfo) -> Verdict:
        try:
            need = need_of(record, machine=without_gpus(self.machine))
            if need.total_bytes is None:
                return Verdict("unknown", None, f"What it needs {need}.")
            return self._place(record, need.total_bytes)
        except RegistryError as error:
            return Verdict("unknown", None, str(error))

    def _place(self, record: ModelInfo, need_bytes: int) -> Verdict:
        machine = self.machine
        if machine.ram_available_bytes is None or machine.ram_total_bytes is None:
            return Verdict("unknown", need_bytes, "This machine does not tell how much memory it has.")
        now = fit([record], machine=machine).entries[0]
        if now.fits:
            return Verdict("fits", need_bytes, now.reason)
        ever = fit([record], available_ram=machine.ram_total_bytes, machine=machine).entries[0]
        return Verdict("tight" if ever.fits else "large", need_bytes, now.reason)

    def _compare(self, need_bytes: int, basis: str) -> Verdict:
        """Compare with main memory."""
        free, total = self.free_bytes, self.machine.ram_total_bytes
        reason = f"It needs {size_text(need_bytes)}, {basis}."
        if free is None or total is None:
            return Verdict("unknown", need_bytes, f"{reason} This machine does not tell how much memory it has.")
        state: State = "fits" if need_bytes <= free else "tight" if need_bytes <= total - reserved(None) else "large"
        return Verdict(state, need_bytes, reason)


class ThisMachine:
    """Looks at the machine when somebody asks, and not again for a moment. Any number of threads may ask.

    Args:
        look: Says what the machine has. Left out: the machine is looked at.
    """

    def __init__(self, look: Callable[[], Machine] | None = None) -> None:
        self._look = look or probe
        self._seen: Seen | None = None
        self._lock = threading.Lock()

    def now(self) -> Seen:
        """Give the machine as it is, or was a moment ago."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen.seen_s > FRESH_S:
                self._seen = Seen(self._look())
            return self._seen
