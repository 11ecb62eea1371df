"""What a machine has, with whatever sensors there are."""

import json
import platform
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from registry.errors import InvalidOptionError
from registry.hardware import Gpu, _probe, probe
from registry.hardware.cgroup import MemoryLimit

GB = 10**9


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 GB, of which 40 are available, without GPUs."""
    memory, swap = SimpleNamespace(total=64 * GB, available=40 * GB), SimpleNamespace(total=8 * GB, free=7 * GB)
    sensors = SimpleNamespace(
        virtual_memory=lambda: memory, swap_memory=lambda: swap, cpu_count=lambda logical: None if logical else 16
    )
    monkeypatch.setitem(sys.modules, "psutil", sensors)
    monkeypatch.setattr(_probe, "memory_limits", lambda: ())
    monkeypatch.setattr(_probe, "probe_gpus", lambda _: ((), ()))
    monkeypatch.setattr(platform, "system", lambda: "Linux")


pytestmark = pytest.mark.usefixtures("machine")


def test_memory_is_the_systems() -> None:
    found = probe()

    assert (found.ram_total_bytes, found.ram_available_bytes) == (64 * GB, 40 * GB)
    assert (found.swap_total_bytes, found.swap_free_bytes, found.cpu.physical_cores) == (8 * GB, 7 * GB, 16)
    assert found.notes == ()


def test_memory_is_limited_by_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe, "memory_limits", lambda: (MemoryLimit(8 * GB, 3 * GB), MemoryLimit(16 * GB, 15 * GB)))

    found = probe()

    assert (found.ram_total_bytes, found.ram_available_bytes) == (8 * GB, 1 * GB)
    assert found.ram_limit_bytes == 8 * GB
    assert found.notes == ("A control group limits the memory to 8000000000 bytes.",)


def test_memory_that_others_have_taken_is_not_available_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe, "memory_limits", lambda: (MemoryLimit(60 * GB, 0),))

    assert (probe().ram_available_bytes, probe().ram_limit_bytes) == (40 * GB, 60 * GB)
    assert probe(ram_total_bytes=32 * GB).ram_limit_bytes is None


def test_given_values_replace_what_is_found() -> None:
    gpu = Gpu(0, "any", 10, 5, unified=True)
    found = probe(
        ram_total_bytes=16, ram_available_bytes=7, cpu_cores=3, gpus=[gpu], disk_free_bytes=9, disk_path="/anywhere"
    )

    assert (found.ram_total_bytes, found.ram_available_bytes, found.cpu.usable_cores) == (16, 7, 3)
    assert (found.gpus, found.unified_memory) == ((gpu,), True)
    assert (found.disk_path, found.disk_free_bytes) == (str(Path("/anywhere")), 9)


def test_given_memory_is_all_available() -> None:
    assert probe(ram_total_bytes=16).ram_available_bytes == 16


def test_more_than_all_memory_is_not_available() -> None:
    assert probe(ram_total_bytes=16, ram_available_bytes=20).ram_available_bytes == 16


def test_unified_memory_can_be_denied() -> None:
    assert probe(gpus=[Gpu(0, "any", 1, 1, unified=True)], unified_memory=False).unified_memory is False


def test_apple_silicon_has_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")

    found = probe()

    assert found.gpus == (Gpu(0, "Apple GPU", 64 * GB, 40 * GB, unified=True),)
    assert found.unified_memory
    assert found.gpu_memory_free_bytes is None


def test_notes_of_gpus_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe, "probe_gpus", lambda _: ((Gpu(0, "any", None, None),), ("a note.",)))

    found = probe()

    assert (found.notes, found.gpu_memory_free_bytes) == (("a note.",), None)


def test_sensors_that_fail_leave_values_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(virtual_memory=fail, swap_memory=fail, cpu_count=fail))

    found = probe()

    assert (found.ram_total_bytes, found.ram_available_bytes, found.swap_total_bytes) == (None, None, None)
    assert found.notes == tuple(
        f"The {what} cannot be read: [Errno 13] Permission denied."
        for what in ("memory", "swap space", "physical cores")
    )


def test_package_that_is_not_installed_leaves_values_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)

    found = probe()

    assert (found.ram_total_bytes, found.cpu.physical_cores) == (None, None)
    assert found.notes == ("`psutil` is not installed: what the system has of memory and cores is not known.",)


def test_free_space_is_that_of_the_home_folder_before_it_is_there(home: Path) -> None:
    found = probe()

    assert found.disk_path == str(home)
    assert found.disk_free_bytes is not None
    assert found.disk_free_bytes > 0


def test_machine_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe(gpus=[Gpu(0, "any", 10, None)])

    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


@pytest.mark.parametrize("given", [{"ram_total_bytes": -1}, {"cpu_cores": 0}, {"disk_free_bytes": 1.5}])
def test_value_that_is_no_count_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError, match=next(iter(given))):
        probe(**given)
