"""A model that is kept: asked for again, and through a storm of processes that fetch, use and prune at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks import ROOT
from benchmarks.measure import Line, Spread, Table, Target, missing, run
from benchmarks.workspace import Workspace

AGAIN = Target(5, "ms")
WRONG = Target(0, "faults")
STORM_S, PROCESSES, KILLS = 60, 8, 2
_CALLS = 101
_OTHERS = 200

# Models are placed by hand and proven by a first call; from then on every hash and every socket is an error.
_AGAIN = """\
import hashlib, json, os, shutil, socket, sys, time
for name in [name for name in os.environ if name.startswith(("REGISTRY_", "HF_"))]:
    del os.environ[name]
os.environ |= {{"REGISTRY_HOME": {home!r}, "HF_HUB_CACHE": {home!r}}}
sys.path.insert(0, {tests!r})
from pathlib import Path
from dataclasses import replace
from hub.keeping import FOLDER, chat, dense, fill, write
from registry.hub import ensure
from registry.hub.manifest import Manifest
models = Path({home!r}, "models")
content = bytes({size})
if {kind!r} == "folder":
    model = dense(FOLDER | {{"model.safetensors": content}}, pins=("model.safetensors",))
    fill(models / model.id, FOLDER | {{"model.safetensors": content}})
else:
    model = chat(content)
    write(models / model.file.name, content)
path = ensure(model, download=False)
with Manifest(models).changing() as entries:
    kept = entries[model.id]
    for n in range({others}):
        entries[f"other-{{n}}"] = replace(kept, id=f"other-{{n}}", path=models / f"other-{{n}}")
def refuse(*given, **named):
    raise AssertionError("a hash or a socket was used")
for module, names in ((hashlib, ("sha256", "sha1", "new", "file_digest")), (socket, ("socket", "getaddrinfo"))):
    for name in names:
        setattr(module, name, refuse)
times = []
for _ in range({calls}):
    start = time.perf_counter_ns()
    assert ensure(model) == path
    times.append(time.perf_counter_ns() - start)
shutil.rmtree({home!r})
print(json.dumps([sorted(times)[len(times) // 2], max(times)]))
"""
_STORM = """\
import json, os, sys
for name in [name for name in os.environ if name.startswith(("REGISTRY_", "HF_"))]:
    del os.environ[name]
sys.path.insert(0, {tests!r})
from pathlib import Path
from hub.storm import storm
report = storm(Path({home!r}), seconds={seconds}, seed={seed}, processes={processes}, kills={kills})
print(json.dumps([report.done, report.killed, report.stuck, report.errors]))
"""


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure both, where the packages are there; with few rounds the storm is short."""
    if absent := missing("filelock", "huggingface_hub", "stamina", "pytest"):
        return [Table("Keeping", remarks=[absent])]
    seconds = STORM_S if rounds > 3 else STORM_S // 10
    return [_again(workspace.folder / "kept", rounds), _storm(workspace.folder / "storm", seconds)]


def _again(home: Path, rounds: int) -> Table:
    """Ask for a verified model again and again, in a fresh process each round."""
    table = Table("A verified model, asked for again")
    cases = {
        "one GGUF file of 100 MB": ("file", 100_000_000, 0),
        "a folder of 4 files": ("folder", 1_000_000, 0),
        f"one GGUF file beside {_OTHERS} other models": ("file", 1_000_000, _OTHERS),
    }
    for what, (kind, size, others) in cases.items():
        code = _AGAIN.format(
            home=str(home), tests=str(ROOT / "tests"), kind=kind, size=size, others=others, calls=_CALLS
        )
        found = [json.loads(run(Path(sys.executable), code, flags=("-I",))) for _ in range(rounds)]
        times = Spread.of([median / 1e6 for median, _ in found])
        slowest = f"slowest call {max(most for _, most in found) / 1e6:.1f} ms"
        table.lines.append(Line.measured(f"`ensure`: {what}", "", times, "ms", slowest, AGAIN))
    table.remarks.append(
        f"Median of {_CALLS} calls in each of {rounds} fresh processes. Hashing and sockets are errors while they run; "
        "each call counts a use in the manifest."
    )
    return table


def _storm(home: Path, seconds: int) -> Table:
    """Let processes ensure, use and prune at once, and say what went wrong."""
    values = {"seconds": seconds, "seed": 1, "processes": PROCESSES, "kills": KILLS}
    code = _STORM.format(home=str(home), tests=str(ROOT / "tests"), **values)
    done, killed, stuck, errors = json.loads(run(Path(sys.executable), code, flags=("-I",)))
    table = Table(f"{PROCESSES} processes at once for {seconds} s")
    counts = ", ".join(f"{done.get(name, 0)} {name}" for name in ("ensure", "use", "prune", "clear", "remove"))
    spread = Spread.of([float(len(errors) + stuck)])
    what = f"faults: {killed} processes killed by SIGKILL"
    table.lines.append(Line.measured(what, "", spread, "faults", counts, WRONG))
    table.remarks.append(
        "A fault is a process that ends with an error or never, a manifest that cannot be read, a file that is half, "
        "lost or left over."
    )
    table.remarks += [f"    {error[-2000:]}" for error in errors]
    return table
