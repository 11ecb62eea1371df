"""Timing in fresh processes, interleaved with a rival, and what is reported of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from statistics import quantiles

VERSIONS = ("3.11", "3.12", "3.13")

# What every process here may import from the standard library; `check_bytecode` sees that all of it is compiled.
STDLIB = "dataclasses, enum, json, typing, inspect, bisect, collections.abc, difflib, importlib.metadata, tracemalloc"

# `site` is what a normal start has loaded; with -S it runs no .pth file and no sitecustomize.
_PRELUDE = """\
import sys, time
import site
sys.path.extend({paths!r})
"""
_TIMED = """\
{setup}
_start = time.perf_counter_ns()
{statement}
_stop = time.perf_counter_ns()
print(_stop - _start)
"""


@dataclass(frozen=True)
class Spread:
    """Quartiles of repeated measurements."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Take the quartiles of `values`."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*quantiles(values, n=4, method="inclusive"))


@dataclass(frozen=True)
class Comparison:
    """Two things measured in turn: times in ns, and the quartiles of the ratio ours / rival of each turn."""

    ours: Spread
    rival: Spread
    ratio: Spread
    faster: Spread

    @classmethod
    def of(cls, ours: Sequence[float], rival: Sequence[float]) -> Comparison:
        """Pair measurements that were taken side by side."""
        pairs = list(zip(ours, rival, strict=True))
        return cls(
            Spread.of(ours),
            Spread.of(rival),
            Spread.of([a / b for a, b in pairs]),
            Spread.of([b / a for a, b in pairs]),
        )


@dataclass(frozen=True)
class Target:
    """What a result should reach."""

    limit: float
    unit: str = "x"
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g} {self.unit}"

    def reached(self, value: float) -> bool:
        """Tell whether `value` is on the right side."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True)
class Line:
    """One line of a table."""

    what: str
    against: str
    result: str
    detail: str = ""
    target: str = ""
    reached: str = ""

    @classmethod
    def measured(
        cls, what: str, against: str, spread: Spread, unit: str, detail: str = "", target: Target | None = None
    ) -> Line:
        """Report quartiles in `unit`, held against a target where there is one."""
        result = f"**{_digits(spread.median)} {unit}** ({_digits(spread.low)} - {_digits(spread.high)})"
        if target is None:
            return cls(what, against, result, detail)
        return cls(what, against, result, detail, str(target), "yes" if target.reached(spread.median) else "**no**")

    @classmethod
    def ratio(
        cls, what: str, against: str, found: Comparison, target: Target | None = None, *, faster: bool = False
    ) -> Line:
        """Report how many times the rival's time ours is, or with `faster` the other way round."""
        spread = found.faster if faster else found.ratio
        detail = f"{duration(found.ours.median)} / {duration(found.rival.median)}"
        return cls.measured(what, against, spread, "x faster" if faster else "x", detail, target)


@dataclass
class Table:
    """A titled table with remarks under it."""

    title: str
    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [
            ("what", "against", "median (quartiles)", "times", "target", "reached"),
            ("---",) * 6,
            *((x.what, x.against, x.result, x.detail, x.target, x.reached) for x in self.lines),
        ]
        body = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        return "\n\n".join([f"### {self.title}", *([body] if self.lines else []), *self.remarks])


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(ns: float) -> str:
    """Write a time in the unit that fits: `1.23 ms`."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{_digits(ns / size)} {unit}"
    return f"{_digits(ns)} ns"


def environment() -> dict[str, str]:
    """Give the environment of child processes: nothing of it may change how Python compiles or imports."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def output_of(command: Sequence[str | Path], folder: Path | None = None) -> str:
    """Run a command that must succeed and give what it prints."""
    done = subprocess.run(command, env=environment(), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(map(str, command))[:2000]}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@cache
def find_python(version: str) -> Path | None:
    """Find an interpreter of this version that really runs: this one, one on PATH, or one of pyenv."""
    candidates = [Path(sys.executable)]
    on_path = shutil.which(f"python{version}")
    candidates += [Path(on_path)] if on_path else []
    candidates += sorted(_pyenv_root().glob(f"versions/{version}*/bin/python"), reverse=True)
    return next((path for path in candidates if _version(path) == version), None)


def _pyenv_root() -> Path:
    if "PYENV_ROOT" not in os.environ and shutil.which("pyenv"):
        return Path(output_of(["pyenv", "root"]).strip())
    return Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))


def _version(python: Path) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return output_of([python, "-I", "-S", "-c", code]).strip()
    except (OSError, RuntimeError):  # a pyenv shim of a version that is not chosen
        return ""


def compile_all(python: Path, folder: Path) -> None:
    """Compile a folder of modules for this interpreter."""
    output_of([python, "-I", "-S", "-m", "compileall", "-q", "-j", "0", folder])


@cache
def check_bytecode(python: Path) -> None:
    """See that the standard library is compiled: a first import writes bytecode, a second one has to find it.

    Raises:
        RuntimeError: It is not and cannot be; then every time here would be that of the compiler.
    """
    missing = (
        "import os; print(*(name for name, module in sys.modules.items()"
        " if (path := getattr(module, '__cached__', None)) and not os.path.exists(path)))"
    )
    code = f"import sys, site, {STDLIB}\n"
    output_of([python, "-I", "-S", "-c", code])
    found = output_of([python, "-I", "-S", "-c", code + missing]).split()
    if found:
        raise RuntimeError(f"{python.name}: no bytecode of {', '.join(found)}, and it cannot be written")


def run(python: Path, code: str, paths: Sequence[Path] = (), flags: Sequence[str] = ("-I", "-S")) -> str:
    """Run code in a fresh process with `paths` at the end of `sys.path`, where site-packages would be."""
    return output_of([python, *flags, "-c", _PRELUDE.format(paths=[str(path) for path in paths]) + code])


def timed(setup: str, statement: str) -> str:
    """Write code that prints how long `statement` takes inside the process, in ns."""
    return _TIMED.format(setup=setup, statement=statement)


def always(code: str) -> Callable[[int], str]:
    """Give the same code in every turn."""
    return lambda _: code


def in_turn(first: Callable[[int], float], second: Callable[[int], float], rounds: int) -> Comparison:
    """Measure two things in turn, A B B A A B ..., after one round that is thrown away."""
    first(0), second(0)
    ours: list[float] = []
    rival: list[float] = []
    for turn in range(rounds):
        pair = [(first, ours), (second, rival)]
        for measure, times in pair if turn % 2 == 0 else reversed(pair):
            times.append(measure(turn))
    return Comparison.of(ours, rival)


def processes(
    python: Path,
    ours: Callable[[int], str],
    rival: Callable[[int], str],
    rounds: int,
    paths: Sequence[Path] = (),
    flags: Sequence[str] = ("-I", "-S"),
) -> Comparison:
    """Compare two pieces of code, made for each turn, that print ns; every turn has fresh processes."""
    return in_turn(
        lambda turn: float(run(python, ours(turn), paths, flags)),
        lambda turn: float(run(python, rival(turn), paths, flags)),
        rounds,
    )


def seconds(call: Callable[[], object]) -> float:
    """Time one call in this process."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def missing(*packages: str) -> str:
    """Say which packages are not installed; empty when all are."""
    absent = [name for name in packages if find_spec(name) is None]
    return f"Left out: {', '.join(f'`{name}`' for name in absent)} is not installed here." if absent else ""


def machine() -> str:
    """Describe Python and the processor, without names of hosts."""
    import platform

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file() and (found := re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)):
        model = found[1]
    return f"{platform.python_implementation()} {platform.python_version()}, {model}, {os.cpu_count()} cores"
