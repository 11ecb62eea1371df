"""The process that a model is measured in: the other end of `registry.loaders.measuring`."""

from __future__ import annotations

import gc
import os
import pickle
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO

from registry.loaders._load import load
from registry.loaders.measured import Measured, Order, Step, median_of
from registry.loaders.peak_memory import gpu_peak_memory_bytes, peak_memory_bytes
from registry.loaders.running_on import hardware_of
from registry.loaders.timing import time_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.loaders._load import LoadedModel
    from registry.loaders.measured import Measurement


def main(answers: BinaryIO) -> None:
    """Read an order from standard input, write steps and the result, or an error, and end the process.

    Args:
        answers: Where to write them, a pickle each.
    """
    try:
        order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that started this one
        threading.Thread(target=_end_with_parent, daemon=True).start()
        _send(answers, _measure(order, lambda step: _send(answers, step)))
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException as error:
        _send_error(answers, error)
    os._exit(0)  # at once: packages take their time to leave, and have nothing to save


def _end_with_parent() -> None:
    """End this process when the one that wants to know is gone: then its end of the pipe is closed."""
    os.read(0, 1)  # not through `sys.stdin`, whose lock a thread must not hold at the end
    os._exit(1)


def _send(answers: BinaryIO, what: object) -> None:
    pickle.dump(what, answers)
    answers.flush()


def _send_error(answers: BinaryIO, error: BaseException) -> None:
    """Send an error as it is, or where it cannot travel, in words."""
    told = "".join(traceback.format_exception(error))
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 - an exception with arguments of its own may fail only here
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    _send(answers, (error, told))


def _measure(order: Order, tell: Callable[[Step], None]) -> Measured:
    steps = iter(range(2 * order.runs + 2))

    def begin(name: str) -> None:
        tell(Step(name, next(steps), 2 * order.runs + 2))

    begin("Loading")
    with _load(order) as model:
        first_load_s = model.load_seconds
        speed = time_model(model, order.runs, begin)
        peaks = _peaks()  # now: to load it several times would add what is left over each time
        hardware, context_size = hardware_of(model), _context_size(model)
    del model
    loads = []
    for _ in range(order.runs):
        begin("Loading again")
        gc.collect()
        with _load(order) as again:
            loads.append(again.load_seconds)
        del again
    return Measured(
        model_id=order.record.id,
        hardware=hardware,
        context_size=context_size,
        first_load_s=first_load_s,
        workload=speed.workload,
        measurements=(median_of("load_time", "s", loads), *speed.measurements, *peaks),
        notes=speed.notes,
    )


def _load(order: Order) -> LoadedModel:
    loaded: Any = load(order.record, path=order.path, options=order.options)
    return loaded  # type: ignore[no-any-return]


def _peaks() -> list[Measurement]:
    found = {"peak_memory": peak_memory_bytes(), "gpu_peak_memory": gpu_peak_memory_bytes()}
    return [median_of(name, "bytes", [peak]) for name, peak in found.items() if peak is not None]


def _context_size(model: LoadedModel) -> int | None:
    names = ("context_length", "max_tokens", "document_length")
    return next((size for name in names if (size := getattr(model, name, None)) is not None), None)
