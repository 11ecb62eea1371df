"""GPUs as the driver tells of them, whatever it does not support."""

from registry.hardware.gpu import Pool, probe_gpus
from registry.hardware.machine import Gpu
from tests.hardware.system import FakeDriver, FakeGpu

POOL = Pool(120_000, 100_000)


def test_gpus_of_a_driver_are_listed_with_their_memory() -> None:
    driver = FakeDriver(FakeGpu(), FakeGpu(name=b"NVIDIA L4", memory=(24_000, 23_000), capability=(8, 9)))

    assert probe_gpus(POOL, lambda: driver) == (
        (
            Gpu(0, "NVIDIA H100", 80_000, 70_000, driver="580.1", compute_capability="9.0"),
            Gpu(1, "NVIDIA L4", 24_000, 23_000, driver="580.1", compute_capability="8.9"),
        ),
        (),
    )


def test_gpu_has_the_id_that_the_driver_gives_it() -> None:
    found, _ = probe_gpus(POOL, lambda: FakeDriver(FakeGpu(uuid=b"GPU-1"), FakeGpu(uuid=3)))

    assert [gpu.uuid for gpu in found] == ["GPU-1", None]


def test_driver_is_closed_after_it_was_asked() -> None:
    driver = FakeDriver(FakeGpu())

    probe_gpus(POOL, lambda: driver)

    assert not driver.is_open


def test_gpu_that_says_memory_is_not_supported_shares_the_main_memory() -> None:
    found, notes = probe_gpus(POOL, lambda: FakeDriver(FakeGpu(name="NVIDIA GB10", memory=3, capability=(12, 1))))

    assert found == (Gpu(0, "NVIDIA GB10", 120_000, 100_000, True, "580.1", "12.1"),)
    assert notes == ("`NVIDIA GB10` has no memory of its own: it shares the main memory.",)


def test_gpu_with_no_bytes_of_memory_shares_the_main_memory() -> None:
    found, _ = probe_gpus(POOL, lambda: FakeDriver(FakeGpu(memory=(0, 0))))

    assert (found[0].unified, found[0].memory_free_bytes) == (True, 100_000)


def test_gpu_whose_memory_cannot_be_asked_for_has_unknown_memory() -> None:
    found, notes = probe_gpus(POOL, lambda: FakeDriver(FakeGpu(memory=4)))

    assert found == (Gpu(0, "NVIDIA H100", None, None, driver="580.1", compute_capability="9.0"),)
    assert notes == ("The driver does not tell the memory of `NVIDIA H100`.",)


def test_gpu_without_name_and_capability_is_listed_all_the_same() -> None:
    found, _ = probe_gpus(POOL, lambda: FakeDriver(FakeGpu(name=3, capability=3)))

    assert found == (Gpu(0, "NVIDIA GPU", 80_000, 70_000, driver="580.1"),)


def test_partitioned_gpu_is_listed_slice_by_slice() -> None:
    slices = [FakeGpu(name="H100 MIG 1g.10gb", memory=(10, 9)), FakeGpu(name=3, memory=(20, 19))]

    found, _ = probe_gpus(POOL, lambda: FakeDriver(FakeGpu(slices=slices), FakeGpu(name="NVIDIA L4")))

    assert [(gpu.index, gpu.name, gpu.memory_total_bytes) for gpu in found] == [
        (0, "H100 MIG 1g.10gb", 10),
        (1, "NVIDIA H100", 20),
        (2, "NVIDIA L4", 80_000),
    ]


def test_gpu_that_cannot_be_opened_is_left_out_with_a_note() -> None:
    found, notes = probe_gpus(POOL, lambda: FakeDriver(4, FakeGpu()))

    assert [gpu.index for gpu in found] == [0]
    assert notes == ("GPU 0 cannot be opened: it is lost, or this user may not use it.",)


def test_machine_without_a_driver_has_no_gpus_and_nothing_to_note() -> None:
    assert [probe_gpus(POOL, lambda: FakeDriver(fails=error)) for error in (9, 12)] == [((), ()), ((), ())]  # noqa: B023


def test_driver_that_gives_no_answer_is_noted() -> None:
    notes = ("The NVIDIA driver gives no answer: Insufficient Permissions.",)

    assert probe_gpus(POOL, lambda: FakeDriver(fails=4)) == ((), notes)


def test_package_that_is_not_installed_is_noted() -> None:
    def load() -> None:
        raise ModuleNotFoundError("No module named 'pynvml'")

    notes = ("`nvidia-ml-py` is not installed: NVIDIA GPUs were not looked for.",)
    assert probe_gpus(POOL, load) == ((), notes)
