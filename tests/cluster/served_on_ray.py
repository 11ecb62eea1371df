"""A process for tests: what `registry serve --ray` runs, with the tiny models. Prints `@URL` when it answers.

The address of a cluster may be given as its only argument.
"""

import sys

from registry.cluster import ClusterOptions, Scaling, serve_on_ray
from registry.server import ServerOptions


def main() -> None:
    """Serve until it is stopped."""
    from cluster.served_models import MODEL_REGISTRY

    light = Scaling(cpus=0.5, memory_bytes=100 * 2**20)
    options = ClusterOptions(
        registry="cluster.served_models",
        roles=(),
        models={record.id: light for record in MODEL_REGISTRY.values()},
        server=ServerOptions(port=0, api_key="a-key-of-the-tests"),
    )
    address = sys.argv[1] if len(sys.argv) > 1 else None
    serve_on_ray(options, address=address, announce=lambda url: print(f"@{url}", flush=True))


if __name__ == "__main__":
    main()
