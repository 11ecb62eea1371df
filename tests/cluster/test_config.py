"""The Serve config file: of Serve's schema, and read back as what it was made of."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from registry.cluster import ClusterOptions, Scaling, serve_config
from registry.cluster.config import serve_config_text
from registry.cluster.plan import plan
from registry.errors import InvalidOptionError
from registry.server.options import ServerOptions

KEY = "a-key-of-the-tests"
OPTIONS = ClusterOptions(
    roles=("coding",),
    models={"all-minilm-l6-v2": Scaling(replicas=2, max_replicas=8, cpus=2)},
    gpu_memory_bytes=24 * 10**9,
    ingress_replicas=2,
    server=ServerOptions(api_key=KEY, queue_length=4, cors_origins=("https://a.example",)),
)


def test_file_is_of_the_schema_of_serve() -> None:
    from ray.serve.schema import ServeDeploySchema

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Serve's own
        read: Any = ServeDeploySchema.model_validate(yaml.safe_load(serve_config_text(OPTIONS)))

    (application,) = read.applications
    assert (application.name, application.import_path) == ("registry", "registry.cluster:build_app")
    assert (read.http_options.host, read.http_options.port) == ("0.0.0.0", 8000)


def test_arguments_are_read_back_as_the_same_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_API_KEY", KEY)
    arguments = serve_config(OPTIONS, host="127.0.0.1")["applications"][0]["args"]
    read, made = plan(ClusterOptions.read(arguments)), plan(OPTIONS)

    assert {each.record.id: each.resources[:3] for each in read.models} == {
        each.record.id: each.resources[:3] for each in made.models
    }
    assert {each.record.id: each.serve_options(4) for each in read.models} == {
        each.record.id: each.serve_options(4) for each in made.models
    }
    assert (read.roles, read.server) == (made.roles, made.server)


def test_file_has_the_manifest_of_adapters_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_ADAPTERS", "https://models.example/adapters.json")

    assert serve_config(OPTIONS)["applications"][0]["args"]["adapters"] == "https://models.example/adapters.json"


@pytest.mark.parametrize("secret", ["robot:s3cret@models.example/a.json", "models.example/a.json?token=s3cret"])
def test_file_with_a_secret_is_not_written(secret: str) -> None:
    with pytest.raises(InvalidOptionError, match="`adapters`") as refused:
        serve_config(replace(OPTIONS, adapters=f"https://{secret}"))

    assert "s3cret" not in str(refused.value)


def test_file_of_a_profile_is_read_where_its_manifest_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_API_KEY", KEY)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"profiles": {"work": {"models": {"embedding": "all-minilm-l6-v2"}}}}))
    made = serve_config(ClusterOptions(profile="work", manifest=manifest))["applications"][0]["args"]
    manifest.unlink()

    assert plan(ClusterOptions.read(made)).server.profile == "work"


def test_key_is_no_part_of_the_file() -> None:
    assert KEY not in serve_config_text(OPTIONS)


def test_comment_says_what_each_replica_takes() -> None:
    lines = serve_config_text(ClusterOptions(roles=("general", "embedding"))).splitlines()

    assert lines[6:8] == [
        "#   llama-3.2-3b-instruct-q4_k_m: 1 CPU, 3.3 GB  (general)",
        "#   all-minilm-l6-v2: 1 CPU, 1.1 GB  (embedding)",
    ]
