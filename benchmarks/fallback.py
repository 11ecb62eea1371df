"""What it costs a role that its first provider is dead: in the first call, and in those after it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ROOT
from benchmarks.measure import Line, Spread, Table, Target, duration, environment, missing, run, timed
from benchmarks.workspace import Workspace

FIRST, LATER = Target(1000, "ms"), Target(5, "ms")
PAIRS = 100  # of calls in each process
TITLE = "Falling back on the second provider"
AGAINST = "the second provider called directly"
REMARK = (
    "Both sides go to the same small Ollama, in a process of its own on loopback, whose answers have three tokens. The "
    "first call is in a fresh process, and has in it what the side needs of imports, manifest, role and client."
)

_TESTS = ROOT / "tests"  # where that Ollama is
_PROGRAM = """\
import contextlib, os
os.environ["REGISTRY_HOME"] = {home!r}
from registry.profiles import Target
from registry.profiles.providers.ollama import OllamaProvider
messages = [{{"role": "user", "content": "How tall is Mount Everest?"}}]
"""
_REFUSED = """\
from ollama_server import unused_port
host = f"127.0.0.1:{unused_port()}"
"""
_SILENT = """\
from ollama_server import swallowing
opened = contextlib.ExitStack()
host = opened.enter_context(swallowing())
"""
_ROLE = """\
from registry.profiles import Chat, Providers
asked = Providers(providers={{"ollama": OllamaProvider(host), "second": OllamaProvider({alive!r})}})
chat = Chat(manifest={manifest!r}, providers=asked)
"""
_DIRECTLY = """\
second = OllamaProvider({alive!r})
"""
_REPLY = "chat.reply(messages)"
_CHAT = 'second.chat(Target("m"), messages, {})'
_PAIRS = f"""\
import json, time
def timed(call):
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start
ours, theirs = lambda: {_REPLY}, lambda: {_CHAT}
first, _ = timed(ours), timed(theirs)
pairs = []
for turn in range({PAIRS}):
    if turn % 2:
        pairs.append((timed(ours), timed(theirs)))
    else:
        pairs.append((timed(theirs), timed(ours))[::-1])
assert {_REPLY}["served_by"]["provider"] == "second"
print(json.dumps([first, pairs]))
"""


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure in fresh processes, against an Ollama in a process of its own."""
    if absent := missing("ollama"):
        return [Table(TITLE, remarks=[absent])]
    manifest = workspace.folder / "fallback.json"
    stated = {"name": "m", "provider": "ollama", "fallback": ["second:m"]}
    manifest.write_text(json.dumps({"profiles": {"default": {"models": {"general": stated}}}}), "utf-8")
    with _second_provider() as alive:
        values = {"home": str(workspace.folder / "home"), "alive": alive, "manifest": str(manifest)}
        lines = [_first_call(values, rounds)]
        lines.append(_later_calls("connections are refused", _REFUSED, values, rounds)[1])
        lines += _later_calls("no packet is answered", _SILENT, values, max(3, rounds // 3))
    return [Table(TITLE, lines, [REMARK])]


@contextmanager
def _second_provider() -> Iterator[str]:
    """Give the address of a server that answers."""
    command = [sys.executable, str(_TESTS / "ollama_server.py"), "m", "8849", "m", "high"]
    pipe = subprocess.PIPE  # its end is that of the server
    with subprocess.Popen(command, env=environment(), text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def _first_call(values: dict[str, str], rounds: int) -> Line:
    program = _PROGRAM.format_map(values)
    ours = timed(program + _REFUSED, _ROLE.format_map(values) + _REPLY)
    rival = timed(program, _DIRECTLY.format_map(values) + _CHAT)
    times: list[tuple[float, float]] = []
    for turn in range(rounds + 1):  # the first is thrown away
        codes = (ours, rival) if turn % 2 else (rival, ours)
        taken = {code: float(_output(code)) for code in codes}
        times.append((taken[ours], taken[rival]))
    return _added("time added to the first call, connections are refused", times[1:], FIRST)


def _later_calls(how: str, dead: str, values: dict[str, str], rounds: int) -> tuple[Line, Line]:
    """Give the lines of the first call, altogether, and of those after it."""
    code = _PROGRAM.format_map(values) + dead + (_ROLE + _DIRECTLY).format_map(values) + _PAIRS
    found = [json.loads(_output(code)) for _ in range(rounds)]
    first = Spread.of([first / 1e9 for first, _ in found])
    detail = "connecting may take 2 s" if dead is _SILENT else ""
    return (
        Line.measured(f"first call, {how}", "", first, "s", detail),
        _added(f"time added to each later call, {how}", [pair for _, pairs in found for pair in pairs], LATER),
    )


def _added(what: str, times: Sequence[tuple[float, float]], target: Target) -> Line:
    """Report what calls through the role take longer than the calls beside them; times are in ns."""
    added = Spread.of([(ours - rival) / 1e6 for ours, rival in times])
    ours, rival = (Spread.of(side).median for side in zip(*times, strict=True))
    return Line.measured(what, AGAINST, added, "ms", f"{duration(ours)} / {duration(rival)}", target)


def _output(code: str) -> str:
    return run(Path(sys.executable), code, [_TESTS], ("-I",))
