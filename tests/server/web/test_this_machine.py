"""What fits this machine, and what is on it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from registry import MODEL_REGISTRY
from registry.catalog import CatalogModel
from registry.hardware import Gpu
from registry.server.web.this_machine import Seen, ThisMachine, Verdict
from server.showing import GB, machine_with

CHAT = MODEL_REGISTRY.get_model("qwen2.5-coder-7b-q5_k_m")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("REGISTRY_RESERVED_MEMORY", raising=False)
    return tmp_path / "home"


def kept(**fields: Any) -> CatalogModel:
    moment = "2026-11-21T09:15:00Z"
    return CatalogModel(id=1, name="m", display_name="M", created_at=moment, updated_at=moment, **fields)


def judged(model: CatalogModel, record: Any = None, **memory: Any) -> Verdict:
    return Seen(machine_with(**memory)).verdict(model, record)


@pytest.mark.parametrize(
    ("free", "total", "state"),
    [(8, 16, "fits"), (7.9, 16, "tight"), (7.9, 8, "tight"), (7.9, 7.9, "large"), (None, None, "unknown")],
)
def test_stated_need_is_compared_with_what_is_left_beside_the_system(free, total, state):
    """6 GB are stated, and 2 GB are left to the system."""
    found = judged(kept(ram_required_mb=6000), available=free and int(free * GB), total=total and int(total * GB))
    assert (found.state, found.need_bytes) == (state, 6 * GB)


def test_record_is_judged_as_fit_judges_it():
    record = replace(CHAT, ram_required_mb=None)
    found = judged(kept(), record, available=9 * GB)
    assert found.state == "fits"
    assert 6 * GB < (found.need_bytes or 0) < 7 * GB
    assert found.reason.startswith("It takes 6.13 GB of `cpu`")


def test_what_people_state_counts_before_the_record():
    assert judged(kept(ram_required_mb=1000), CHAT, available=4 * GB).state == "fits"
    assert judged(kept(ram_required_mb=CHAT.ram_required_mb), CHAT, available=4 * GB).state == "tight"


def test_what_the_record_states_may_lie_on_a_gpu():
    gpu = Gpu(0, "GPU", 24 * GB, 24 * GB)
    same = kept(ram_required_mb=CHAT.ram_required_mb)
    assert judged(same, CHAT, available=8 * GB, total=8 * GB).state == "large"
    assert judged(same, CHAT, available=8 * GB, total=8 * GB, gpus=(gpu,)).state == "fits"


def test_model_of_which_too_little_is_known_is_not_known_to_fit():
    found = judged(kept(), MODEL_REGISTRY.get_model("splade-v3"))
    assert found == Verdict("unknown", None, "What it needs cannot be told: not known are hidden_dim.")
    assert judged(kept()) == Verdict("unknown", None, "Nobody has stated how much memory it needs.")


def test_model_of_the_store_alone_is_judged_by_its_weights_and_a_quarter_more():
    found = judged(kept(file_size_bytes=4 * GB), available=7 * GB)
    reason = "It needs 5 GB, by the size of its weights and a quarter more."
    assert found == Verdict("fits", 5 * GB, reason)
    assert judged(kept(file_size_bytes=4 * GB), available=7 * GB - 1).state == "tight"


def test_machine_that_tells_nothing_makes_no_model_fit():
    found = judged(kept(), replace(CHAT, ram_required_mb=None), available=None, total=None)
    assert (found.state, found.reason) == ("unknown", "This machine does not tell how much memory it has.")


def test_machine_is_looked_at_once_in_a_while(monkeypatch):
    looks: list[Any] = []

    def look() -> Any:
        looks.append(machine_with())
        return looks[-1]

    machine = ThisMachine(look)
    assert machine.now() is machine.now()
    monkeypatch.setattr("registry.server.web.this_machine.FRESH_S", -1)
    machine.now()
    assert len(looks) == 2


def test_files_are_found_where_they_are_kept(home):
    seen = Seen(machine_with())
    assert seen.path(CHAT) is None
    path = home / "models" / f"{CHAT.id}.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    assert Seen(machine_with()).path(CHAT) == path
    assert seen.path(None) is None


def test_record_that_no_file_can_be_named_after_is_not_here():
    assert Seen(machine_with()).path(replace(CHAT, id="../x", revision=None)) is None
