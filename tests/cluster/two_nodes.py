"""A Ray cluster of two nodes on this machine, with tiny models, and a client of what it serves."""

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import openai
import ray
import tiny
from ray import serve
from ray.cluster_utils import Cluster

from cluster.served_models import put_down
from registry.cluster import build_app
from registry.cluster.fast_path import choose_fast_path
from registry.records import ModelInfo, RuntimeDefaults, SamplingDefaults

TESTS = Path(__file__).parents[1]
SCRIPT = ("la ", "lo ")  # without end; with an adapter on top, only the last of it


class TwoNodes:
    """A cluster that serves.

    Attributes:
        url: Where the proxy of the head node answers.
        nodes: The cluster, whose other node can be taken away.
        other: That other node.
        home: Folder with the models and the manifest of adapters.
    """

    def __init__(self, nodes: Cluster, other: Any, port: int, home: Path, chat: ModelInfo, dense: ModelInfo) -> None:
        self.home = home
        self.nodes = nodes
        self.other = other
        self.url = f"http://127.0.0.1:{port}"
        self.chat, self.dense = chat, dense

    @cached_property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=60)

    @cached_property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)

    def replicas(self, model: ModelInfo) -> list[Any]:
        """Give the actors that serve a model."""
        named: Any = ray.util.list_named_actors(all_namespaces=True)
        return [
            ray.get_actor(each["name"], namespace=each["namespace"])
            for each in named
            if f"#{model.id}#" in each["name"]
        ]

    def close(self) -> None:
        self.client.close()
        self.http.close()


def environment(home: Path) -> dict[str, str]:
    """Give the environment of Ray's processes: nothing of the user's, and nothing leaves this machine."""
    found = {
        "HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "PYTHONPATH": str(TESTS),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "REGISTRY_HOME": str(home / "registry"),
    }
    choose_fast_path(found)
    return found


def make_models(home: Path) -> tuple[ModelInfo, ModelInfo]:
    """Put a chat model that talks for long, and an encoder, where replicas look for them."""
    models = home / "registry" / "models"
    models.mkdir(parents=True)
    file = tiny.chat_gguf(home / "chat.gguf", script=SCRIPT, repeat=True, layers=1, context_length=16_384)
    runtime = RuntimeDefaults(context_length=16_384, gpu_layers=0, threads=1)
    chat = tiny.chat_record(
        file, context_length=16_384, runtime=runtime, defaults=SamplingDefaults(max_tokens=16_000), layers=1
    )
    shutil.copy(file, models / f"{chat.id}.gguf")
    texts = tiny.embedding_gguf(home / "dense.gguf")  # in llama.cpp: importing torch takes longer than all the rest
    dense = tiny.dense_record(files=(tiny.model_file(texts, "gguf"),))
    shutil.copy(texts, models / f"{dense.id}.gguf")
    put_down(home / "registry", chat, dense)
    return chat, dense


def list_adapters(manifest: Path, *entries: dict[str, str]) -> None:
    """Write a manifest of adapters, whole."""
    new = manifest.with_suffix(".new")
    new.write_text(json.dumps({"version": 1, "adapters": entries}), "utf-8")
    new.replace(manifest)


@contextmanager
def two_nodes(home: Path, **server: Any) -> Iterator[TwoNodes]:
    """Start a head node and another one, and serve two replicas of a chat model and one of an encoder.

    The environment must be that of `environment` already. `server` is what the options of the server say.
    """
    assert os.environ["HOME"] == str(home)
    chat, dense = make_models(home)
    few: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 80 * 2**20}
    manifest = home / "adapters.json"
    list_adapters(manifest)
    nodes = Cluster(initialize_head=True, head_node_args={**few, "include_dashboard": False})
    try:
        other = nodes.add_node(**few)
        ray.init(address=nodes.address, log_to_driver=False)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        light = {"cpus": 0.5, "memory_bytes": 100 * 2**20}
        args = {
            "registry": "cluster.served_models",
            "roles": [],
            "models": {chat.id: {**light, "replicas": 2}, dense.id: light},
            "ingress_replicas": 2,
            "ingress_per_node": 1,
            "ingress_cpus": 0.1,
            "adapters": str(manifest),
            "server": {"host": "127.0.0.1", **server},
        }
        serve.run(build_app(args), route_prefix="/")
        serving = TwoNodes(nodes, other, port, home, chat, dense)
        try:
            yield serving
        finally:
            serving.close()
            serve.shutdown()
    finally:
        ray.shutdown()
        nodes.shutdown()
        sys.modules.pop("cluster.served_models", None)
