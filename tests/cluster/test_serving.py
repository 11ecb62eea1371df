"""`serve_on_ray` in a process of its own, with Ray started by it: it takes requests, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.two_nodes import environment, make_models
from registry.cluster import ClusterOptions, Scaling, serve_on_ray
from registry.errors import InvalidOptionError
from registry.server import ServerOptions

COMMAND = [sys.executable, "-m", "cluster.served_on_ray"]
KEY = {"Authorization": "Bearer a-key-of-the-tests"}


@pytest.fixture
def stated(tmp_path: Path) -> dict[str, str]:
    """The environment of the process, with models where it looks for them."""
    make_models(tmp_path)
    return os.environ | environment(tmp_path)


def test_serve_on_ray_answers_writes_and_stops_at_a_signal(stated: dict[str, str], tmp_path: Path) -> None:
    chat = {"model": "tiny-chat", "max_tokens": 3, "messages": [{"role": "user", "content": "hi"}]}
    with (tmp_path / "err").open("w") as errors:
        child = subprocess.Popen(COMMAND, env=stated, text=True, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert child.stdout is not None
        url = next(line[1:].strip() for line in child.stdout if line.startswith("@"))
        with httpx.Client(base_url=url, headers=KEY, timeout=60) as client:
            answer = client.post("/v1/chat/completions", json=chat).json()
            added = client.post("/api/models", json={"name": "mine"})
        child.send_signal(signal.SIGTERM)
        rest, _ = child.communicate(timeout=60)
    finally:
        child.kill()

    assert answer["choices"][0]["message"]["content"] == "la lo la "
    assert added.status_code == 201
    assert child.returncode == 0, (tmp_path / "err").read_text()
    assert [line for line in rest.splitlines() if "{" not in line] == []  # the access log alone, nothing of Ray


def test_serve_on_ray_without_the_files_says_so_before_ray_starts(stated: dict[str, str], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "registry" / "models")

    ended = subprocess.run(COMMAND, env=stated, text=True, capture_output=True, timeout=60, check=False)

    assert "ModelNotDownloadedError: The files of `tiny-chat` are not on this machine." in ended.stderr
    assert "Started a local Ray instance" not in ended.stderr


@pytest.fixture
def head(stated: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of one node, in the same environment, that serves nothing yet."""
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    node = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def test_model_that_a_cluster_cannot_load_is_named_with_its_error_and_nothing_is_left(
    stated: dict[str, str], tmp_path: Path, head: Cluster
) -> None:
    shutil.rmtree(tmp_path / "registry" / "models")

    command = [*COMMAND, head.address]
    ended = subprocess.run(command, env=stated, text=True, capture_output=True, timeout=120, check=False)

    said = "DeploymentError: `tiny-chat` cannot be deployed. The files of `tiny-chat` are not on this machine."
    assert said in ended.stderr
    ray.init(address=head.address, log_to_driver=False)
    assert ray.serve.status().applications == {}


def test_server_that_cannot_listen_takes_nothing_away_that_another_has_deployed(head: Cluster, taken_port: int) -> None:
    ray.init(address=head.address, log_to_driver=False)
    ray.serve.start(proxy_location="Disabled")
    name = "registry-all-minilm-l6-v2"
    ray.serve.run(ray.serve.deployment(Idle).bind(), name=name, route_prefix=None)
    ray.shutdown()
    options = ClusterOptions(roles=(), models={"all-minilm-l6-v2": Scaling()}, server=ServerOptions(port=taken_port))

    with pytest.raises(InvalidOptionError, match="`port`"):
        serve_on_ray(options, address=head.address)

    ray.init(address=head.address, log_to_driver=False)
    assert list(ray.serve.status().applications) == [name]


class Idle:
    """What somebody else serves."""


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_process_that_uses_ray_already_is_refused_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append("ray"))
    monkeypatch.setattr(ray.serve, "shutdown", lambda: ended.append("serve"))
    options = ClusterOptions(roles=(), models={"all-minilm-l6-v2": Scaling()})

    with pytest.raises(InvalidOptionError, match="does not use Ray yet"):
        serve_on_ray(options, address="auto")
    assert ended == []


@pytest.mark.parametrize("address", ["nohost.invalid:6379", "http://127.0.0.1:6379", "127.0.0.1:1", "ray"])
def test_address_of_no_cluster_is_refused_at_once(address: str) -> None:
    options = ClusterOptions(roles=(), models={"all-minilm-l6-v2": Scaling()})

    with pytest.raises(InvalidOptionError, match="`address`"):
        serve_on_ray(options, address=address)
    assert not ray.is_initialized()
