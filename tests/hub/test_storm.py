from pathlib import Path

import pytest

pytest.importorskip("filelock")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from hub.storm import Report, storm


def test_processes_that_ensure_use_and_prune_at_once_lose_nothing(home: Path) -> None:
    report = storm(home, seconds=4, seed=1, processes=4, kills=1)
    assert report == Report(report.done, killed=1)
    assert min(report.done[name] for name in ("ensure", "use", "prune")) > 0
