"""A storm: processes that ensure, use and prune the same models at once, some of them killed; and what it has left.

`python -m hub.storm`, with `tests` on the path, runs one worker. `storm` runs them all; the benchmark does too.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_server import Hub

from hub.keeping import COMMIT, FOLDER, chat, contents, dense
from registry.errors import ModelNotDownloadedError, RegistryError
from registry.hub import Cache, ensure, use
from registry.records import ChatModel, DenseModel

FILES = {f"chat-{n}": bytes((n + i) % 256 for i in range(256)) * 400 * (n + 1) for n in range(4)}
FOLDERS = {f"dense-{n}": FOLDER | {"model.safetensors": bytes([n]) * 200_000} for n in range(2)}
MODELS: dict[str, ChatModel | DenseModel] = {
    **{key: chat(content, id=key, huggingface_id=f"org/{key}") for key, content in FILES.items()},
    **{key: dense(id=key, huggingface_id=f"org/{key}") for key in FOLDERS},
}
_JOIN_S = 60.0


@dataclass
class Report:
    """What a storm did and left.

    Attributes:
        done: How often each thing was done, by all processes that lived to tell.
        killed: Processes that were killed.
        stuck: Processes that did not end: a deadlock.
        errors: What a process reported that should not be, and what was found wrong after the end.
    """

    done: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    stuck: int = 0
    errors: list[str] = field(default_factory=list)


def storm(home: Path, *, seconds: float, seed: int, processes: int = 8, kills: int = 2) -> Report:
    """Let processes work on one model folder at once, kill some, and look at what is left."""
    chance, report = random.Random(seed), Report()
    with Hub() as hub:
        for key, model in MODELS.items():
            files = {"chat-q4.gguf": FILES[key]} if key in FILES else FOLDERS[key]
            hub.add(str(model.huggingface_id), files, COMMIT)
        os.environ |= {"REGISTRY_HOME": str(home), "HF_HUB_CACHE": str(home / "no-cache"), "HF_ENDPOINT": hub.endpoint}
        end = time.time() + seconds
        workers = [_start(seed * 1000 + number, end) for number in range(processes)]
        for worker, moment in zip(workers, sorted(chance.random() for _ in range(kills)), strict=False):
            time.sleep(max(0.0, end - seconds * (1 - moment) - time.time()))
            worker.kill()
            report.killed += 1
        for number, worker in enumerate(workers):
            _finish(worker, report, was_killed=number < kills)
        report.errors += _wrong(home)
    return report


def _start(seed: int, end: float) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "STORM_ENDS": str(end)}
    command = [sys.executable, "-m", "hub.storm", str(seed)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def _finish(worker: subprocess.Popen[str], report: Report, *, was_killed: bool) -> None:
    try:
        out, errors = worker.communicate(timeout=_JOIN_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.communicate()
        report.stuck += 1
        return
    if was_killed:
        return
    if worker.returncode:
        report.errors.append(errors)
    else:
        report.done += json.loads(out)


def _wrong(home: Path) -> list[str]:
    """Say what is wrong with what a storm has left: now, after all was asked for again, and after all was removed."""
    models = home / "models"
    wrong = [f"half: {path.name}" for path in models.glob("*.gguf") if path.read_bytes() != FILES[path.stem]]
    folders = [path for path in models.iterdir() if path.is_dir() and not path.name.startswith(".")]
    wrong += [f"half: {path.name}" for path in folders if contents(path) != FOLDERS[path.name]]
    with (models / "manifest.json").open(encoding="utf-8") as file:
        wrong += [f"unknown: {key}" for key in json.load(file)["models"] if key not in MODELS]
    wrong += [f"put aside: {path.name}" for path in models.glob("*damaged*")]
    for model in MODELS.values():
        ensure(model)
    wrong += [f"damaged: {found}" for found in Cache().verify() if not found.ok]
    wrong += [f"lost: {key}" for key in MODELS if key not in {entry.id for entry in Cache().list()}]
    Cache().clear(pinned=True)
    Cache().clean_parts(older_than_s=-60)
    left = (path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file())
    known = (".lock", "manifest.json", "lock", "manifest.new")
    return wrong + [f"left: {name}" for name in left if not name.endswith(known)]


# One worker


def _work(seed: int, end: float) -> Counter[str]:
    chance, done = random.Random(seed), Counter[str]()
    cache = Cache()
    actions: dict[str, tuple[int, Callable[[str], Any]]] = {
        "ensure": (6, lambda key: ensure(MODELS[key])),
        "ensure offline": (1, lambda key: ensure(MODELS[key], download=False)),
        "use": (6, lambda key: _use(key, chance)),
        "prune": (4, lambda _: cache.prune(chance.choice([0, 100_000, 500_000]))),
        "remove": (1, cache.remove),
        "pin": (1, cache.pin),
        "unpin": (2, cache.unpin),
        "clear": (1, lambda _: cache.clear()),
        "list": (1, lambda _: cache.list()),
        "stats": (1, lambda _: cache.stats()),
        "clean parts": (1, lambda _: cache.clean_parts(older_than_s=chance.choice([0, 1]))),
        "verify": (1, _verify),
    }
    weights = [weight for weight, _ in actions.values()]
    while time.time() < end:
        (name,) = chance.choices(list(actions), weights)
        try:
            actions[name][1](chance.choice(list(MODELS)))
        except ModelNotDownloadedError:
            done["not there"] += 1
        except RegistryError as error:
            if name != "remove" or "is in use" not in str(error):
                raise
            done["in use"] += 1
        else:
            done[name] += 1
    return done


def _use(key: str, chance: random.Random) -> None:
    """Read all files of a model while it is in use, now and then for long: nobody takes them away, and none is half."""
    with use(MODELS[key]) as path:
        for _ in range(chance.choice([1, 60])):
            if key in FILES:
                assert path.read_bytes() == FILES[key], key
            else:
                assert contents(path) == FOLDERS[key], key


def _verify(key: str) -> None:
    """Read a model that may be taken away meanwhile: it may be gone, and is never another."""
    for found in Cache().verify(key):
        assert all(problem.endswith((": not there", "No such file or directory")) for problem in found.problems), found


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        print(json.dumps(_work(int(sys.argv[1]), float(os.environ["STORM_ENDS"]))))
