"""What a device has, as torch and the system tell; the GPUs are torch's own functions, replaced."""

from types import SimpleNamespace

import pytest

from registry.profiles.checkpoints.sensor import DeviceMemory, TorchSensor


def test_share_and_free_bytes_follow_from_what_is_used() -> None:
    memory = DeviceMemory(30, 120)

    assert (memory.share, memory.free_bytes) == (0.25, 90)


def test_memory_of_a_device_that_has_none_is_full() -> None:
    memory = DeviceMemory(0, 0)

    assert (memory.share, memory.free_bytes) == (1.0, 0)


def test_memory_of_main_memory_is_that_of_the_machine() -> None:
    pytest.importorskip("psutil")

    memory = TorchSensor().memory("cpu")

    assert memory is not None
    assert 0 < memory.used_bytes < memory.total_bytes


def test_memory_of_main_memory_that_nobody_tells_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SimpleNamespace(ram_total_bytes=None, ram_available_bytes=None)
    monkeypatch.setattr("registry.hardware.probe", lambda **_: machine)

    assert TorchSensor().memory("cpu") is None


def test_memory_of_a_gpu_counts_what_torch_keeps_unused_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 40)

    assert TorchSensor().memory("cuda:0") == DeviceMemory(70, 100)


def test_memory_of_an_apple_gpu_is_what_torch_uses_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 30)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 90)

    assert TorchSensor().memory("mps") == DeviceMemory(30, 90)


@pytest.mark.parametrize("there", [True, False])
def test_has_cuda_is_what_torch_says(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)

    assert TorchSensor().has_cuda() is there


def test_has_cuda_without_torch_is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.profiles.checkpoints.sensor.find_spec", lambda _: None)

    assert TorchSensor().has_cuda() is False
