"""`measure`: a record in, how fast the model is here and how much memory it takes out."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING

from registry.errors import InsufficientMemoryError, InvalidOptionError, RegistryError
from registry.loaders._load import record_of
from registry.loaders.measured import Measured, Order, Step
from registry.loaders.options import LoadOptions

if TYPE_CHECKING:
    from registry.config import ModelConfig
    from registry.loaders._load import PathLike
    from registry.loaders.measured import Progress
    from registry.records import ModelInfo

# Not `multiprocessing`: it runs the caller's script anew in the child, which must then have been written for it.
_CHILD = """\
import os, pickle, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what anything prints from here on shall not get in between
sys.path[:] = pickle.load(sys.stdin.buffer)
from registry.loaders import measuring_process
measuring_process.main(answers)
"""
_INTERRUPTED = 130


def measure(
    model: str | ModelInfo | ModelConfig | None = None,
    *,
    path: PathLike | None = None,
    options: LoadOptions | None = None,
    runs: int = 5,
    progress: Progress | None = None,
) -> Measured:
    """Load a model in a process of its own and measure it there. Takes from seconds to minutes.

    Every number is the median of `runs` runs after a warm-up:

    * `load_time`: what `load` takes in a process that has loaded the model before, so that its packages are imported
      and its files are in the system's cache. The first load is `first_load_s`.
    * Chat: a prompt of about 500 tokens, less where the context is short, and an answer of up to 128. It is read anew
      each time. `time_to_first_token`: from the question to the first token, whether it is shown or not.
      `prompt_tokens_per_second`: reading. `tokens_per_second`: writing, from the first token on.
    * Encoders: `embeddings_per_second` of documents with 15 to 200 words, 8 to 256 of them in one call. Longer ones
      than the model reads are cut. Rerankers: `pairs_per_second` of a query and such documents.
    * `peak_memory`: the most resident memory of that process until the last run, everything included: the interpreter
      and the packages, weights (of a mapped file the pages that were read), context, and what computing takes. On
      Linux `VmHWM`, on macOS `ru_maxrss`, on Windows the peak working set, for which `psutil` must be there.
      `gpu_peak_memory`: what torch had reserved on GPUs at most; of llama.cpp it is not known.

    Works from scripts without a `__main__` guard, and in an interactive session.

    Args:
        model: As for `load`.
        path: As for `load`.
        options: As for `load`. With `download` the files are fetched first.
        runs: How often to measure.
        progress: Called with a `Step` before each step begins, and at the end.

    Returns:
        The numbers, with the hardware and the context that they hold for.

    Raises:
        InvalidOptionError: `runs` is no count, or an option cannot be given to another process.
        InsufficientMemoryError: There is not enough memory, or the system ended the process for its memory.
        RegistryError: The process died.
        The errors of `load`.

    Example:
        >>> from registry.loaders import measure
        >>> measure("all-minilm-l6-v2").value_of("embeddings_per_second")  # doctest: +SKIP
        183.2
    """
    if type(runs) is not int or runs < 1:
        raise InvalidOptionError("runs", "an integer of at least 1", runs)
    if options is not None and not isinstance(options, LoadOptions):
        raise TypeError(f"expected `options` to be LoadOptions, got {options!r}.")
    record, wanted = record_of(model, options or LoadOptions())
    if wanted.download:  # or it would count as loading
        from registry.loaders.locate import locate

        locate(record, path, download=True)
        wanted = wanted.changed({"download": False})
    order = Order(record, None if path is None else os.fspath(path), wanted, runs)
    try:
        given = pickle.dumps(list(sys.path)) + pickle.dumps(order)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        remedy = f"Give templates by name. ({error})"
        raise InvalidOptionError("options", "what can be given to another process", wanted, remedy) from None
    return _run(record.id, given, progress)


def _run(model_id: str, given: bytes, progress: Progress | None) -> Measured:
    """Start the child, follow what it says, and end it however this ends."""
    command = [sys.executable, "-P", "-c", _CHILD]
    with tempfile.TemporaryFile() as said:  # not a pipe, which would have to be read all the time
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)  # noqa: S603 - this interpreter
        with child:
            try:
                return _follow(model_id, child, given, said, progress)
            finally:
                child.kill()


def _follow(
    model_id: str, child: subprocess.Popen[bytes], given: bytes, said: IO[bytes], progress: Progress | None
) -> Measured:
    assert child.stdin is not None
    assert child.stdout is not None
    step = Step("Starting", 0, 1)
    try:
        child.stdin.write(given)
        child.stdin.flush()  # and open it stays: the child ends when it is closed
        while isinstance(got := pickle.load(child.stdout), Step):  # noqa: S301 - of the process started here
            step = got
            if progress is not None:
                progress(step)
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):
        raise _death(model_id, child.wait(), step, said) from None
    if isinstance(got, Measured):
        if progress is not None:
            progress(Step("Done", step.total, step.total))
        return got
    error, told = got
    if not isinstance(error, RegistryError):
        error.add_note(f"In the process that measured `{model_id}`:\n{told}")
    raise error


def _death(model_id: str, code: int, step: Step, said: IO[bytes]) -> BaseException:
    """Say what a child died of."""
    if code in (_INTERRUPTED, -signal.SIGINT):
        return KeyboardInterrupt()
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if code == -getattr(signal, "SIGKILL", 9) or "bad_alloc" in last:
        reason = (
            f"The process that measured it was killed while {step.name.lower()}, as systems do when memory runs out. "
            "Choose a smaller model or a shorter `context_length`, or close other programs."
        )
        return InsufficientMemoryError(model_id, reason)
    how = f"of {_name_of_signal(-code)}" if code < 0 else f"with exit code {code}"
    ending = f" Its last words: {last}" if last else ""
    return RegistryError(f"The process that measured `{model_id}` died {how} while {step.name.lower()}.{ending}")


def _name_of_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
