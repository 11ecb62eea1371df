"""`python -m benchmarks.model_server`: the registry with one chat model more, served until the standard input ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from registry.queries import ModelRegistry

if TYPE_CHECKING:
    from registry.records import ModelInfo, Profile


class OneMore(ModelRegistry[Any]):
    """The registry of this package, and a record that is not in it."""

    def __init__(self, record: ModelInfo) -> None:
        from registry import MODEL_REGISTRY

        self._record = record
        self._others = MODEL_REGISTRY
        self._name = "registry with one more"

    def __iter__(self) -> Iterator[str]:
        yield from self._others
        yield self._record.id

    def __len__(self) -> int:
        return len(self._others) + 1

    def find_model(self, text: str) -> Any:
        """Give the record with this id or alias, or `None`."""
        return self._record if text == self._record.id else self._others.find_model(text)

    def get_sources(self, _: Any) -> Mapping[str, tuple[str, ...]]:
        """Give nothing: nobody asks."""
        return {}

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Give none."""
        return {}

    def _names(self) -> Iterable[tuple[str, str]]:
        yield from self._others._names()
        yield self._record.id, self._record.id


def main() -> None:
    """Serve, and print the address when it answers. The chat model lies in the model folder of `REGISTRY_HOME`."""
    from benchmarks.models import chat_record
    from registry._home import models_folder
    from registry.server import ServerOptions, serve

    threading.Thread(target=_end_with_input, daemon=True).start()
    registry = OneMore(chat_record(models_folder() / "benchmark.gguf"))
    serve(ServerOptions(port=0, access_log=False), registry=registry, announce=lambda url: print(url, flush=True))


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
