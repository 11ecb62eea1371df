"""`python -m benchmarks.single_server`: what the two nodes serve, by one process, until the standard input ends."""

from __future__ import annotations

import os
import signal
import sys
import threading


def main() -> None:
    """Serve, and print `@URL` when it answers."""
    from cluster import served_models

    from registry.server import ServerOptions, serve

    threading.Thread(target=_end_with_input, daemon=True).start()
    options = ServerOptions(port=0, access_log=False)
    serve(options, registry=served_models.MODEL_REGISTRY, announce=lambda url: print(f"@{url}", flush=True))


def _end_with_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
