"""`python -m benchmarks.cluster_nodes`: two nodes of Ray that serve, and on demand lose a replica or a node.

Needs the environment of `cluster.two_nodes.environment`, which is in the tests. Prints `@URL` when it answers, and `@`
after each command; the commands are lines of the standard input, at whose end it stops.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Serve until the standard input ends."""
    import ray
    from cluster.two_nodes import two_nodes

    # Room for what comes while nothing answers: a request that is refused because others wait was not lost.
    with two_nodes(Path(os.environ["HOME"]), server={"queue_length": 1000}) as serving:
        print(f"@{serving.url}", flush=True)
        for command in map(str.strip, sys.stdin):
            if command == "kill a replica":
                ray.kill(serving.replicas(serving.chat)[0], no_restart=True)
            elif command == "remove a node":
                serving.nodes.remove_node(serving.other, allow_graceful=False)
            print("@", flush=True)


if __name__ == "__main__":
    main()
