"""No test of configurations sees what the user of this machine has set."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library."""
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("REGISTRY_PROFILE", "REGISTRY_MANIFEST", "REGISTRY_PARAMETERS", "REGISTRY_ADAPTERS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"
