"""Asking packages that are slow to import, and may end the process while they are.

A build for another processor dies of an illegal instruction, a torch without its CUDA libraries cannot be imported,
and either takes seconds and hundreds of megabytes. So a package that this process has not imported is asked in a
process of its own, whose death is an answer as well.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from importlib import import_module
from threading import Lock
from typing import Any, TypeAlias

from registry.hardware.torch_sensor import wakes_gpus

Facts: TypeAlias = dict[str, Any]

_SENSORS = {"torch": "registry.hardware.torch_sensor", "llama_cpp": "registry.hardware.llama_cpp_sensor"}
_CHILD = """\
import json, os, sys
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)  # what anything prints from here on shall not get in between
question = json.load(sys.stdin)
sys.path[:] = question.pop("path")
from registry.hardware.inquiry import answer
json.dump(answer(**question), answers)
answers.flush()
os._exit(0)  # at once: packages take their time to leave
"""
_TIMEOUT_S = 60.0
_KILLED = 9  # as Linux does for want of memory; Windows has no such signal
_ONE_AT_A_TIME = Lock()  # two threads that catch warnings at once would leave the process without any
_TRY_AGAIN = "Try again when less is running."
_LONGEST = 300  # letters of what a package says when it cannot be imported


def inquire(package: str, *, gpu: bool, measure: bool, timeout_s: float = _TIMEOUT_S) -> Facts:
    """Give what a package says of itself: here where this process has imported it, else in a process of its own.

    Of GPUs torch is asked here only where it is using them already: to be asked is to begin.

    Args:
        package: `torch` or `llama_cpp`.
        gpu: Whether GPUs may be asked for, which wakes them.
        measure: Whether the memory of GPUs shall be asked for as well, which takes some of it for a moment.
        timeout_s: When to give up.

    Returns:
        The facts by name, `problem` among them where something is wrong, with `passing` where that may pass by itself.
    """
    if _is_asked_here(package, gpu=gpu) or not _can_start():
        return answer(package, gpu=gpu, measure=measure)
    question = {
        "package": package,
        "gpu": gpu,
        "measure": measure,
        "path": [each for each in sys.path if isinstance(each, str)],
    }
    return _ask(package, json.dumps(question), timeout_s)


def answer(package: str, *, gpu: bool, measure: bool) -> Facts:
    """Import a package and give what it says of itself; never raises."""
    with _ONE_AT_A_TIME, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = import_module(package)
            facts: Facts = import_module(_SENSORS[package]).read(found, gpu=gpu, measure=measure)
        except (Exception, SystemExit) as error:
            return {"problem": f"It cannot be imported: {_line(f'{type(error).__name__}: {error}')}."}
    # torch warns, and says that there is no GPU, where the driver is older than it needs.
    about_cuda = [str(each.message) for each in said if "CUDA" in str(each.message)]
    return {"warning": _line(about_cuda[0]), **facts} if about_cuda else facts


def _is_asked_here(package: str, *, gpu: bool) -> bool:
    module = sys.modules.get(package)
    return module is not None and not (gpu and package == "torch" and wakes_gpus(module))


def _can_start() -> bool:
    """A program that was frozen into one file would start itself anew."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def _ask(package: str, question: str, timeout_s: float) -> Facts:
    command = [sys.executable, "-P", "-c", _CHILD]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter
            command, input=question, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"Importing it takes more than {timeout_s:g} s. {_TRY_AGAIN}", "passing": True}
    except OSError as error:
        return {"problem": f"A process that imports it cannot be started: {_line(str(error))}."}
    try:
        facts: Facts = json.loads(done.stdout)
    except ValueError:
        problem = f"Importing `{package}` ends the process: {_death(done.returncode, done.stderr)}."
        if done.returncode == -_KILLED:
            return {"problem": f"{problem} {_TRY_AGAIN}", "passing": True}
        return {"problem": problem}
    return facts


def _death(code: int, said: str) -> str:
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    try:
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        reason = f"signal {-code}"
    if reason == "SIGILL":
        reason += " (it was built for another processor)"
    return f"{reason}: {_line(last)}" if last else reason


def _line(text: str) -> str:
    """Put what somebody else says on one line."""
    short = " ".join(text.split())
    return (short if len(short) <= _LONGEST else f"{short[:_LONGEST]}...").rstrip(".")
