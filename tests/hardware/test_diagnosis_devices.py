"""What several sensors say of devices, put together."""

from typing import Any

import pytest

from registry.hardware.devices import gpus_of, hides_all, main_memory, visible
from registry.hardware.diagnosis import Device
from registry.hardware.machine import Cpu, Gpu, Machine

TWO = (Gpu(0, "H100", 80, 70, uuid="GPU-aaaa-1"), Gpu(1, "L4", 24, 20, uuid="GPU-bbbb-2"))
SLICES = (Gpu(0, "1g.10gb", 10, 9, uuid="MIG-c"), Gpu(1, "1g.10gb", 10, 8, uuid="MIG-d"))


def machine(*gpus: Gpu, total: int | None = 64, free: int | None = 50) -> Machine:
    return Machine("Linux", "3.13.1", Cpu("EPYC", "x86_64", 2, 2), total, free, gpus=gpus)


def seen(index: int, **more: Any) -> dict[str, Any]:
    return {"kind": "cuda", "index": index, "name": "torch's", **more}


def test_main_memory_is_a_device_with_what_this_process_has_resident() -> None:
    assert main_memory(machine(), 7) == Device(
        device="cpu", name="EPYC", kind="cpu", total_bytes=64, free_bytes=50, allocated_bytes=7
    )


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (None, [0, 1]),
        ("", []),
        ("1", [1]),
        ("1, 0", [1, 0]),
        ("GPU-bbbb", [1]),
        ("GPU-bbbb-2,0", [1, 0]),
        ("0,7,1", [0]),
        ("-1", []),
        ("0,0,1", [0]),
        ("none", []),
        ("GPU-zzzz", []),
    ],
)
def test_visible_gpus_are_those_that_the_variable_names_in_its_order(stated: str | None, expected: list[int]) -> None:
    assert [gpu.index for gpu in visible(TWO, stated)] == expected


def test_slices_of_a_gpu_are_named_by_their_ids() -> None:
    assert visible(SLICES, "MIG-d") == (SLICES[1],)


def test_gpus_have_what_torch_has_allocated_by_their_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    torch = [seen(0, uuid="bbbb-2", reserved_bytes=9, allocated_bytes=4)]

    found = gpus_of(machine(*TWO), torch, [], hidden=False)

    assert [(gpu.device, gpu.name, gpu.reserved_bytes, gpu.allocated_bytes) for gpu in found] == [
        ("gpu:0", "H100", 0, 0),
        ("gpu:1", "L4", 9, 4),
    ]


def test_gpus_without_ids_have_what_torch_has_allocated_by_the_order_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    torch = [seen(0, reserved_bytes=9, allocated_bytes=None), seen(1, reserved_bytes=5)]

    found = gpus_of(machine(*TWO), torch, [], hidden=True)

    assert [(gpu.device, gpu.reserved_bytes, gpu.allocated_bytes) for gpu in found] == [
        ("gpu:0", 0, 0),
        ("gpu:1", 9, None),
    ]


def test_hidden_gpus_are_left_out_unless_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    shown, every = (gpus_of(machine(*TWO), [], [], hidden=hidden) for hidden in (False, True))

    assert ([gpu.device for gpu in shown], [gpu.device for gpu in every]) == (["gpu:1"], ["gpu:0", "gpu:1"])


def test_gpus_that_the_driver_does_not_list_are_those_that_torch_sees() -> None:
    torch = [seen(0, kind="rocm", total_bytes=10, free_bytes=3, reserved_bytes=0, allocated_bytes=0, uuid=None)]

    assert gpus_of(machine(), torch, [seen(0, kind="vulkan")], hidden=False) == (
        Device(
            device="gpu:0",
            name="torch's",
            kind="rocm",
            total_bytes=10,
            free_bytes=3,
            reserved_bytes=0,
            allocated_bytes=0,
        ),
    )


def test_gpus_that_only_llama_cpp_sees_are_listed() -> None:
    vulkan = seen(0, kind="vulkan", total_bytes=10, free_bytes=3, unified=True)

    assert gpus_of(machine(), [], [vulkan], hidden=False) == (
        Device(device="gpu:0", name="torch's", kind="vulkan", total_bytes=10, free_bytes=3, unified=True),
    )


def test_apple_gpu_shares_the_main_memory() -> None:
    (found,) = gpus_of(machine(Gpu(0, "Apple GPU", 64, 50, unified=True)), [], [], hidden=False)

    assert (found.kind, found.unified, found.free_bytes) == ("metal", True, 50)


def test_apple_gpu_is_not_hidden_by_a_variable_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    apple = Gpu(0, "Apple GPU", 64, 50, unified=True)

    assert [gpu.kind for gpu in gpus_of(machine(apple), [], [], hidden=False)] == ["metal"]
    assert not hides_all([apple], "")


@pytest.mark.parametrize(
    ("gpus", "stated", "expected"),
    [(TWO, None, False), (TWO, "1", False), (TWO, "", True), ((), None, False), ((), "-1", True), ((), "0", False)],
)
def test_variable_that_shows_no_gpu_hides_all(gpus: tuple[Gpu, ...], stated: str | None, expected: bool) -> None:
    assert hides_all(gpus, stated) is expected


def test_machine_without_a_gpu_has_none() -> None:
    assert gpus_of(machine(), [], [], hidden=True) == ()
