"""What a caller may say, as options and as a Serve config file has it."""

from pathlib import Path
from typing import Any

import pytest

from registry.cluster import ClusterOptions, Scaling
from registry.errors import InvalidOptionError
from registry.server.options import ServerOptions


def test_mapping_of_a_config_file_is_read() -> None:
    stated: dict[str, Any] = {
        "profile": "work",
        "manifest": "profiles.json",
        "roles": ["coding"],
        "models": {"a": {"replicas": 0, "max_replicas": 4}, "b": None},
        "scaling": {"cpus": 2},
        "server": {"host": "127.0.0.1", "queue_length": 4, "cors_origins": ["https://a.example"]},
    }

    assert ClusterOptions.read(stated) == ClusterOptions(
        profile="work",
        manifest=Path("profiles.json"),
        roles=("coding",),
        models={"a": Scaling(replicas=0, max_replicas=4), "b": Scaling()},
        scaling=Scaling(cpus=2),
        server=ServerOptions(queue_length=4, cors_origins=("https://a.example",)),
    )


def test_key_that_a_config_file_leaves_out_is_that_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_API_KEY", "a-key-of-the-tests")

    read = ClusterOptions.read({"server": {"host": "0.0.0.0"}})

    assert read.server == ServerOptions(host="0.0.0.0", api_key="a-key-of-the-tests")


@pytest.mark.parametrize(
    ("stated", "option"),
    [
        ({"model": {}}, "model"),
        ({"models": {"a": {"replica": 1}}}, "models.a.replica"),
        ({"models": ["a"]}, "models"),
        ({"scaling": {"cpu": 1}}, "scaling.cpu"),
        ({"server": {"hosts": ""}}, "server.hosts"),
        ({"server": {"port": -1}}, "port"),
        ({"server": {"host": "0.0.0.0"}}, "host"),
        ({"models": {"a": {"replicas": 0}}}, "replicas"),
        ({"models": {"a": {"replicas": 2, "max_replicas": 1}}}, "max_replicas"),
        ({"models": {"a": {"cpus": 0}}}, "cpus"),
        ({"models": {"a": {"gpus": -1}}}, "gpus"),
        ({"models": {"a": {"memory_bytes": 1.5}}}, "memory_bytes"),
        ({}, "host"),  # Serve would listen at every address
        ({"server": {"host": "127.0.0.1"}, "ingress_replicas": 0}, "ingress_replicas"),
        ({"server": {"host": "127.0.0.1"}, "ingress_cpus": "1"}, "ingress_cpus"),
    ],
)
def test_option_that_cannot_be_is_refused_by_its_name(
    stated: dict[str, Any], option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRY_API_KEY", raising=False)
    with pytest.raises(InvalidOptionError) as caught:
        ClusterOptions.read(stated)

    assert caught.value.option == option
