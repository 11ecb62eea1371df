"""What goes wrong, as one line `error: ...`, a line `hint: ...` where there is a remedy, and an exit code."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.exceptions import TyperException

from registry.errors import (
    ContextOverflowError,
    InsufficientMemoryError,
    InvalidOptionError,
    ManifestError,
    RegistryError,
)

if TYPE_CHECKING:
    from typing import Any

FAILED, WRONG_USAGE, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141

# The messages speak to programs; here are the same remedies for who types commands.
_REMEDIES: dict[str, Callable[[Any], str]] = {
    "ModelNotDownloadedError": lambda error: (
        f"Fetch it with `registry download {error.model_id}`."
        if "registry download" in error.remedy and "HF_HUB_OFFLINE" not in error.remedy  # or that would fail as well
        else ""
    ),
    "InsufficientMemoryError": lambda error: (
        "A size without a unit is in bytes: write `16GB`." if "10**9" in error.reason else ""
    ),
    "ModelNotFoundError": lambda error: "" if error.close_matches else "`registry list` shows all ids.",
    "CatalogModelNotFoundError": lambda error: (
        "" if error.close_matches else "`registry list` shows the shipped models; `registry import` adds your own."
    ),
    "UnpinnedModelError": lambda _: (
        "Pin it in models.json, or fetch it with `--allow-unpinned`: what is seen then is written down, and must be "
        "the same ever after."
    ),
    "GeneratedFormatError": lambda error: (
        "Regenerate it with `registry generate`." if error.got < error.expected else ""
    ),
}
# Keywords of the library, and the options that stand for them here; in the messages of these errors.
_OF_KEYWORDS = (ContextOverflowError, InsufficientMemoryError, InvalidOptionError)
_RENAMED = {
    "available_ram": "ram",
    "gpu_memory_bytes": "gpu-memory",
    "languages": "language",
    "recommended_only": "all",
    "reserve_bytes": "reserve",
    "sources": "source",
    "tags": "tag",
}
_SAME = (
    "address basis context_length cpus device dtype endpoint family gpu_layers host ingress_replicas license "
    "max_parameters max_replicas min_free_gib min_free_ratio min_parameters port quantization replicas role runs "
    "threads type"
)
_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in _SAME.split()} | {
    name: f"--{option}" for name, option in _RENAMED.items()
}
_KEYWORD = re.compile(rf"`({'|'.join(_OPTIONS)})(?:=([^`]*))?`")


class CommandError(RegistryError):
    """A command cannot do what it was asked to.

    Attributes:
        problem: What is wrong, a sentence.
        remedy: What to do.
        code: Exit code.
    """

    def __init__(self, problem: str, remedy: str, code: int = WRONG_USAGE) -> None:
        super().__init__(problem, remedy, code)
        self.problem = problem
        self.remedy = remedy
        self.code = code

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


def guarded(run: Callable[[], int]) -> int:
    """Run something, report what it raises in words, and give the exit code."""
    _open_closed()
    _write_anything()
    try:
        code = run()
        sys.stdout.flush()
    except typer.Exit as stop:
        code = stop.exit_code
    except typer.Abort:
        code = _fail("Stopped: the input ended.", "")
    except TyperException as error:
        code = _wrong_usage(error)
    except ManifestError as error:
        code = _fail_with_list(error)
    except RegistryError as error:
        code = _fail(*explained(error), _code_of(error))
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # the terminal has written `^C` there
        code = _fail("Stopped by Ctrl-C.", "", INTERRUPTED)
    except BrokenPipeError:
        code = CLOSED_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = _fail(f"{where}{error.strerror or error}", "")
    return _closed(code)


def explained(error: RegistryError | OSError) -> tuple[str, str]:
    """Split a message into what is wrong, on one line, and what to do."""
    problem, remedy = error.explained() if isinstance(error, RegistryError) else (str(error), "")
    stated = _REMEDIES.get(type(error).__name__)
    said = _line(problem), _line((stated(error) if stated else "") or remedy)
    return (in_options(said[0]), in_options(said[1])) if isinstance(error, _OF_KEYWORDS) else said


def in_options(text: str) -> str:
    """Name the options of this program where a message names keywords of the library: `role='a'` is `--role a`."""
    return _KEYWORD.sub(_as_option, text)


def _as_option(keyword: re.Match[str]) -> str:
    option, value = _OPTIONS[keyword[1]], keyword[2]
    if value is None or value in ("True", "False"):
        return f"`{option}`"
    words = re.findall(r"'([^']*)'", value) or [value]
    return f"`{' '.join(f'{option} {word}' for word in words)}`"


def told(model_id: str, error: RegistryError | OSError) -> dict[str, str]:
    """Report what went wrong with one of several models, and give it as JSON documents have it."""
    problem, remedy = explained(error)
    say("error", problem)
    if remedy:
        say("hint", remedy)
    return {"id": model_id, "error": problem, "hint": remedy}


def say(label: str, text: str) -> None:
    """Print a line of progress, or a warning, where it is not in the way of the output."""
    print(f"{label}: {_line(text)}" if label else _line(text), file=sys.stderr)


def _line(text: str) -> str:
    from registry.cli._output import printable

    return printable(re.sub(r":\n\s+", ": ", text.strip()).replace("\n  ", "; ").replace("\n", " "))


def _wrong_usage(error: TyperException) -> int:
    problem, _, remedy = error.format_message().strip().partition(". Did you mean")
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "registry"
    hint = f"Did you mean{remedy}" if remedy else f"`{path} --help` shows how it is used."
    return _fail(problem if problem.endswith((".", ")")) else f"{problem}.", hint, WRONG_USAGE)


def _code_of(error: RegistryError) -> int:
    if isinstance(error, CommandError):
        return error.code
    return WRONG_USAGE if isinstance(error, InvalidOptionError) else FAILED


def _fail_with_list(error: ManifestError) -> int:
    """Say what is wrong with a file: how much, and a line each."""
    problem, remedy = error.explained()
    if not error.problems[1:]:
        return _fail(problem, remedy)
    listed = "".join(f"\n  {each}" for each in error.problems)
    return _fail(f"{problem.removesuffix(listed)} {len(error.problems)} problems", remedy, FAILED, error.problems)


def _fail(problem: str, remedy: str, code: int = FAILED, listed: Sequence[str] = ()) -> int:
    try:
        say("error", problem)
        for each in listed:
            print(f"  {_line(each)}", file=sys.stderr)
        if remedy:
            say("hint", remedy)
    except BrokenPipeError:
        return CLOSED_PIPE
    return code


def _open_closed() -> None:
    """Let streams that were closed by who started this process (`>&-`) lead nowhere, and not end the program."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
            setattr(sys, name, nowhere)


def _write_anything() -> None:
    """Let text that the output's encoding does not have be escaped, and not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and (stream.encoding or "").lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="backslashreplace")


def _closed(code: int) -> int:
    """Give the code, or that of a closed pipe where what is left to write finds no reader."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = CLOSED_PIPE
    if code == CLOSED_PIPE:  # or Python would try again at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
