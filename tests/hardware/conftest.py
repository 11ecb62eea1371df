"""Fixtures of the tests of hardware: nothing of the user's is looked at."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library, which is not there yet, as the Hugging Face cache is not."""
    for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "REGISTRY_RESERVED_MEMORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
