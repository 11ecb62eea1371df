"""`python tests/adapters/server_process.py`: serves the tiny chat model of `REGISTRY_HOME` until its input ends.

It looks at manifests more often than servers do, and prints its address once it answers.
"""

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny
from server.v1.few_records import FewRecords

from registry._home import models_folder
from registry.adapters import Pace, watching
from registry.records import ModelInfo, RuntimeDefaults
from registry.server import ServerOptions, serve

TOKENS = 4096


def record(path: Path) -> ModelInfo:
    """Describe the model: a context that a long answer fits into."""
    runtime = RuntimeDefaults(context_length=TOKENS, gpu_layers=0, threads=1)
    return tiny.chat_record(path, context_length=TOKENS, runtime=runtime)


def main() -> None:
    watching.Pace = lambda: Pace(0.1, 0.05)  # type: ignore[misc,assignment]
    threading.Thread(target=_end_with_input, daemon=True).start()
    options = ServerOptions(port=0, access_log=False, max_models=4, shutdown_timeout_s=1)
    registry = FewRecords(record(models_folder() / "tiny-chat.gguf"))
    serve(options, registry=registry, announce=lambda url: print(url, flush=True))


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
