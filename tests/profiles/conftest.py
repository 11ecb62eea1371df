"""No test of roles sees what the user of this machine has set."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_settings_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home of nobody"))
    for name in ("REGISTRY_PROFILE", "REGISTRY_MANIFEST", "REGISTRY_PARAMETERS"):
        monkeypatch.delenv(name, raising=False)
