"""`registry cluster` and `registry serve --ray`."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("fastapi")
pytest.importorskip("ray")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's use of pydantic is of an older time
    import ray.serve  # noqa: F401

import yaml

from registry.cluster import ClusterOptions, Scaling
from registry.server.options import ServerOptions

Run = Callable[..., Any]


def test_config_is_written_to_a_file(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "serve.yaml"

    code, said, _ = run("cluster", "config", "all-minilm-l6-v2", "--role", "coding", "--replicas", 2, "--out", out)

    assert (code, said) == (0, "")
    (application,) = yaml.safe_load(out.read_text("utf-8"))["applications"]
    assert {name: each["replicas"] for name, each in application["args"]["models"].items()} == {
        "qwen2.5-coder-7b-q5_k_m": 2,
        "all-minilm-l6-v2": 2,
    }


def test_config_as_json_is_what_the_file_holds(run: Run) -> None:
    plain = yaml.safe_load(run("cluster", "config", "--role", "embedding").out)

    assert json.loads(run("cluster", "config", "--role", "embedding", "--json").out) == plain


def test_config_overwrites_a_file_only_with_force(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "serve.yaml"
    out.write_text("mine")

    refused = run("cluster", "config", "--out", out)
    assert (refused.code, out.read_text()) == (2, "mine")
    assert refused.err == f"error: `{out}` is there already.\nhint: Choose another name, or give `--force`.\n"

    assert run("cluster", "config", "--out", out, "--force").code == 0
    assert yaml.safe_load(out.read_text("utf-8"))["applications"]


def test_config_as_json_is_not_written_to_a_file(run: Run, tmp_path: Path) -> None:
    result = run("cluster", "config", "--json", "--out", tmp_path / "serve.yaml")

    assert (result.code, list(tmp_path.iterdir())) == (2, [])
    assert "prints the config" in result.err


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("--port", "99999", "an integer from 1 to 65535"), ("--gpu-memory", "1MB", "an integer of at least 1073741824")],
)
def test_config_refuses_what_no_cluster_has(run: Run, option: str, value: str, expected: str) -> None:
    result = run("cluster", "config", option, value)

    assert (result.code, result.out) == (2, "")
    assert f"expected {expected}, got" in result.err


def test_config_of_a_role_that_does_not_exist_names_close_ones(run: Run) -> None:
    result = run("cluster", "config", "--role", "codin")

    assert (result.code, result.out) == (1, "")
    assert "`coding`" in result.err


def test_cluster_without_a_command_lists_what_would_be_served(run: Run) -> None:
    models = json.loads(run("cluster", "--json").out)["models"]

    assert [(each["model"], each["roles"]) for each in models][1] == ("all-minilm-l6-v2", ["embedding"])


def test_cluster_without_a_command_says_which_roles_are_left_out(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles = {"general": {"name": "dolphin3", "provider": "ollama"}}
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"profiles": {"default": {"models": roles}}}))
    monkeypatch.setenv("REGISTRY_MANIFEST", str(manifest))

    assert run("cluster").err == "note: no record plays these roles, and nobody would serve them: general.\n"


def test_serve_on_ray_has_the_options_of_the_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.delenv("REGISTRY_API_KEY", raising=False)
    monkeypatch.setattr(
        "registry.cluster.serve_on_ray", lambda options, **more: calls.append((options, more["address"])), raising=False
    )

    assert run("serve", "--ray", "--address", "auto", "--profile", "work", "--queue-length", 4).code == 0

    server = ServerOptions(profile="work", queue_length=4)
    assert calls == [(ClusterOptions(profile="work", scaling=Scaling(), server=server), "auto")]


def test_serve_on_ray_provisions_nothing(run: Run) -> None:
    result = run("serve", "--ray", "--provision")

    assert result.code == 2
    assert result.err == (
        "error: `--provision` fetches for this process, and on Ray others have the models.\n"
        "hint: Leave it out: each replica proves its files where it runs, and `--allow-download` lets it fetch them.\n"
    )


def test_serve_on_ray_says_that_the_admin_token_opens_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_ADMIN_TOKEN", "a-token-of-the-tests")
    monkeypatch.setattr("registry.cluster.serve_on_ray", lambda *_, **__: None, raising=False)

    assert run("serve", "--ray").err == "note: on Ray the addresses under /api/v1 are not there.\n"
