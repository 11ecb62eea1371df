"""`registry bundle`, `registry install-bundle`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")
from hub_server import Hub

Run = Callable[..., Any]


def test_bundle_is_installed_on_another_machine(
    run: Run, fetched: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    assert run("bundle", "talk", "see", "-o", folder, "--registry", fetched) == (0, f"{folder}\n", "")
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "other"))
    hub.requests.clear()

    result = run("install-bundle", folder, "--registry", fetched)

    assert sorted(row[0] for row in result.rows) == ["see", "talk"]
    assert hub.requests == []
    assert run("verify").code == 0


def test_bundle_without_downloads_needs_the_files(run: Run, module: str, tmp_path: Path) -> None:
    result = run("bundle", "talk", "-o", tmp_path / "bundle", "--registry", module, "--no-download")

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[0].startswith("error: The files of `talk` are not on this machine.")


def test_bundle_json_names_folder_and_models(run: Run, fetched: str, tmp_path: Path) -> None:
    result = run("bundle", "talk", "-o", tmp_path / "bundle", "--registry", fetched, "--json")

    assert result.json == {"path": str(tmp_path / "bundle"), "models": ["talk"]}
