"""Fetching 1 GB with its proof, against huggingface_hub and a pass of sha256; and fetching it through 20 kills."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import ROOT
from benchmarks.measure import Comparison, Line, Spread, Table, Target, environment, missing, run
from benchmarks.workspace import Workspace

if TYPE_CHECKING:
    from tests.hub_server import Hub

SIZE_BYTES = 1_000_000_000
KILLS = 20
TIME, MEMORY = Target(0.8), Target(32, "MB")
AGAIN = Target(8, "MiB")
_REPOSITORY, _FILE = "org/model", "model.gguf"

# Time, and growth of the process at its peak over what it was after the imports. Prints a line when it begins.
_CODE = """\
import json, os
os.environ |= {{"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "REGISTRY_HOME": {out!r}}}
def memory(field):
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
    except OSError:
        return 0
{imports}
before, start = memory("VmRSS:"), time.perf_counter_ns()
{statement}
print(json.dumps([time.perf_counter_ns() - start, memory("VmHWM:") - before]))
"""
_OURS = (
    """\
import stamina, urllib.request
from pathlib import Path
from registry.hub.needed import Wanted
from registry.hub.sources import Address
from registry.hub.transfer import fetch""",
    "fetch('model', Wanted({file!r}, {size}, {sha256!r}), Path({out!r}, 'model.part'), [Address({url!r})])",
)
_RIVAL = (
    """\
import hashlib
import huggingface_hub.file_download
from huggingface_hub import hf_hub_download""",
    """\
path = hf_hub_download({repository!r}, {file!r}, revision={commit!r}, endpoint={endpoint!r}, cache_dir={out!r})
with open(path, "rb") as file:
    assert hashlib.file_digest(file, "sha256").hexdigest() == {sha256!r}""",
)


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure both, where the packages are there."""
    if absent := missing("huggingface_hub", "stamina"):
        return [Table("Fetching", remarks=[absent])]
    served = workspace.folder / "served"
    sha256 = _make(served / _FILE)
    return [_speed(workspace, served, sha256, rounds), _kills(workspace, served, sha256)]


def _make(path: Path) -> str:
    """Write a file of random bytes and give its sha256."""
    path.parent.mkdir(parents=True)
    digest, chance = hashlib.sha256(), random.Random(0)
    with path.open("wb") as file:
        for start in range(0, SIZE_BYTES, 2**22):
            piece = chance.randbytes(min(2**22, SIZE_BYTES - start))
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _speed(workspace: Workspace, served: Path, sha256: str, rounds: int) -> Table:
    """Fetch the file in fresh processes, in turn, each to an empty folder."""
    out = workspace.folder / "fetched"
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "rival": []}
    with _server(served) as (endpoint, commit):
        url = f"{endpoint}/{_REPOSITORY}/resolve/{commit}/{_FILE}"
        values = {"file": _FILE, "size": SIZE_BYTES, "sha256": sha256, "out": str(out), "url": url}
        values |= {"repository": _REPOSITORY, "commit": commit, "endpoint": endpoint}
        for turn in range(rounds + 1):
            pair = [("ours", _OURS), ("rival", _RIVAL)]
            for name, (imports, statement) in pair if turn % 2 == 0 else reversed(pair):
                code = _CODE.format(imports=imports, statement=statement.format(**values), out=str(out))
                ns, growth = json.loads(_in_empty_folder(out, code))
                if turn:  # the first is thrown away
                    found[name].append((ns, growth))
    times = Comparison.of([ns for ns, _ in found["ours"]], [ns for ns, _ in found["rival"]])
    ours, theirs = (Spread.of([growth / 1e6 for _, growth in found[name]]) for name in ("ours", "rival"))
    against = "`hf_hub_download` without Xet, then sha256"
    table = Table("Fetching 1 GB from a loopback server that uses sendfile")
    table.lines.append(Line.ratio("fetch and prove", against, times, TIME))
    table.lines.append(
        Line.measured("peak memory over idle", against, ours, "MB", f"rival {theirs.median:.0f} MB", MEMORY)
    )
    table.remarks.append("Ours waits until the disk has the file (fsync), the rival does not.")
    return table


def _in_empty_folder(out: Path, code: str) -> str:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    os.sync()  # or one side would write out what the other has left in memory
    try:
        return run(Path(sys.executable), code, flags=("-I",))
    finally:
        shutil.rmtree(out)


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a folder from a process of its own; gives endpoint and commit."""
    command = [sys.executable, str(ROOT / "tests" / "hub_server.py"), _REPOSITORY, str(folder)]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        endpoint, commit = server.stdout.readline().split()
        try:
            yield endpoint, commit
        finally:
            server.stdin.close()


def _kills(workspace: Workspace, served: Path, sha256: str) -> Table:
    """Kill a download at random moments, and count what the server has sent more than once."""
    sys.path.insert(0, str(ROOT / "tests"))
    from hub_server import Hub

    part, chance = workspace.folder / "killed" / "model.part", random.Random(0)
    table = Table(f"{KILLS} kills (SIGKILL) at random moments of one download of 1 GB")
    with Hub(send_buffer_bytes=64 * 1024) as hub:
        commit = hub.add(_REPOSITORY, {_FILE: served / _FILE})
        values = {"file": _FILE, "size": SIZE_BYTES, "sha256": sha256, "out": str(part.parent)}
        values["url"] = hub.url(_REPOSITORY, _FILE, commit)
        code = f"print('begun', flush=True)\n{_OURS[0]}\n{_OURS[1].format(**values)}"
        again = [_kill(hub, code, part, chance) for _ in range(KILLS)]
        run(Path(sys.executable), code.partition("\n")[2], flags=("-I",))
    with part.open("rb") as file:
        right = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    detail = (
        f"of {KILLS} kills, {sum(size > 0 for size in again)} while bytes came; hash {'right' if right else 'WRONG'}"
    )
    largest = Spread.of([max(again) / 2**20])
    table.lines.append(Line.measured("most that is fetched twice for a kill", "", largest, "MiB", detail, AGAIN))
    table.remarks.append(
        "Counted at the server, whose send buffers are small: what has left it, less what the file has grown by."
    )
    shutil.rmtree(part.parent)
    return table


def _kill(hub: Hub, code: str, part: Path, chance: random.Random) -> int:
    """Begin the download, kill it at a random moment, and give the bytes that were sent in vain."""
    before, asked = part.stat().st_size if part.exists() else 0, len(hub.requests)
    end = before + chance.randrange(SIZE_BYTES // (KILLS + 5))
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if chance.random() < 0.25:  # while it starts, or reads what is there
            time.sleep(chance.random() / 2)
        else:
            while process.poll() is None and (not part.exists() or part.stat().st_size < end):
                time.sleep(0.0005)
        process.kill()
    grown = part.stat().st_size - before if part.exists() else 0
    return _sent(hub, asked) - grown


def _sent(hub: Hub, asked: int) -> int:
    """Give what the server has sent since, when it has noticed that nobody listens any more."""
    last = -1
    while (sent := sum(request.sent[0] for request in hub.requests[asked:])) != last:
        last = sent
        time.sleep(0.3)
    return sent
