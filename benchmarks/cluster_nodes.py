"""`python -m benchmarks.cluster_nodes`: two nodes of Ray that serve, and on demand lose a replica or a node.

Requests are taken twice: by this process, as `registry serve --ray` does, and by Serve's proxy with an ingress, as
`build_app` has it. Needs the environment of `cluster.two_nodes.environment`, which is in the tests. Prints `@URL URL`
when both answer, and `@` after each command; the commands are lines of the standard input, at whose end it stops.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.two_nodes import TwoNodes

QUEUE_LENGTH = 1000


def main() -> None:
    """Serve until the standard input ends."""
    import ray
    from cluster.two_nodes import two_nodes

    # Room for what comes while nothing answers: a request that is refused because others wait was not lost.
    with two_nodes(Path(os.environ["HOME"]), queue_length=QUEUE_LENGTH) as serving:
        print(f"@{_taken_here(serving)} {serving.url}", flush=True)
        for command in map(str.strip, sys.stdin):
            if command == "kill a replica":
                ray.kill(serving.replicas(serving.chat)[0], no_restart=True)
            elif command == "remove a node":
                serving.nodes.remove_node(serving.other, allow_graceful=False)
            print("@", flush=True)


def _taken_here(serving: TwoNodes) -> str:
    """Take requests in this process too, and give the address."""
    from cluster.served_models import MODEL_REGISTRY
    from ray.serve import get_deployment_handle

    from registry.cluster import ClusterOptions, Scaling
    from registry.cluster.application import surface
    from registry.cluster.plan import plan
    from registry.server import ServerOptions, serve

    models = {each.id: get_deployment_handle(each.id, "default") for each in (serving.chat, serving.dense)}
    planned = plan(ClusterOptions(registry="cluster.served_models", roles=(), models=dict.fromkeys(models, Scaling())))
    answers: Queue[str] = Queue()
    server = partial(
        serve,
        ServerOptions(port=0, access_log=False, queue_length=QUEUE_LENGTH),
        announce=answers.put,
        application=lambda options: surface(options, planned, MODEL_REGISTRY, models),
    )
    threading.Thread(target=server, daemon=True).start()
    return answers.get(timeout=60)


if __name__ == "__main__":
    main()
