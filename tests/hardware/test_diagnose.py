"""A diagnosis as a whole: of this machine, of machines that lack things, and what it re-applies."""

import os
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from registry.errors import InvalidOptionError
from registry.hardware import Diagnosis, _diagnose, diagnose, relief
from registry.hardware.diagnosis import Applied, Device, Driver, Thresholds, Torch, Unsloth
from registry.hardware.machine import Cpu, Gpu, Machine
from registry.hardware.relief import relieve
from registry.hardware.torch_sensor import stated_allocator

GIB = 2**30
GPU = Gpu(0, "H100", 80 * GIB, 70 * GIB, driver="580.1", compute_capability="9.0", uuid="GPU-a")


class Bench:
    """A made-up machine; what is asked of it is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = Machine("Linux", "3.13.1", Cpu("EPYC", "x86_64", 2, 2), 64 * GIB, 50 * GIB, gpus=(GPU,))
        self.said: dict[str, dict[str, Any]] = {}
        self.there: tuple[str, ...] = ()  # what is installed, beside the packages that say something
        self.asked: list[tuple[str, bool, bool]] = []
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(_diagnose, "probe", self.probe)
        monkeypatch.setattr(_diagnose, "probe_driver", lambda: Driver(installed=True, version="580.1"))
        monkeypatch.setattr(_diagnose, "inquire", self.inquire)
        monkeypatch.setattr(_diagnose, "_resident_bytes", lambda: GIB)
        monkeypatch.setattr(_diagnose, "installed", self.installed)

    def probe(self, gpus: tuple[Gpu, ...] | None = None) -> Machine:
        return self.machine if gpus is None else replace(self.machine, gpus=gpus)

    def installed(self, module: str, _: str) -> Any:
        from registry.hardware.diagnosis import Package

        there = module in self.said or module in self.there
        return Package(installed=True, version="1", path=f"/{module}") if there else Package()

    def inquire(self, name: str, *, gpu: bool, measure: bool) -> dict[str, Any]:
        self.asked.append((name, gpu, measure))
        return self.said[name]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_this_machine_is_diagnosed_without_an_error() -> None:
    found = diagnose(cuda=False)

    assert isinstance(found, Diagnosis)
    assert [device.device for device in found.devices] == ["cpu"]
    assert found.environment.python.executable == sys.executable
    assert found.notes[-1] == "GPUs, their driver and what would wake them were not asked."


def test_machine_with_nothing_installed_has_main_memory_and_its_gpus(bench: Bench) -> None:
    found = diagnose()

    assert [(device.device, device.risk) for device in found.devices] == [("cpu", "low"), ("gpu:0", "low")]
    assert (found.risk, found.remedies, found.environment.torch, bench.asked) == ("low", (), Torch(), [])


def test_what_packages_say_of_themselves_is_in_the_environment(bench: Bench) -> None:
    bench.said = {
        "torch": {"version": "2.13.0+cu130", "cuda_compiled": True, "gpu_architectures": ["sm_90"], "devices": []},
        "llama_cpp": {"version": None, "gpu_offload": True, "libraries": ["cuda"], "devices": []},
    }

    environment = diagnose().environment

    assert environment.torch == Torch(
        installed=True, version="2.13.0+cu130", path="/torch", cuda_compiled=True, gpu_architectures=("sm_90",)
    )
    assert (environment.llama_cpp.version, environment.llama_cpp.libraries) == ("1", ("cuda",))


def test_torch_that_is_broken_is_a_finding_with_a_remedy(bench: Bench) -> None:
    bench.said = {"torch": {"problem": "It cannot be imported: OSError: libcudart.so.13."}}

    found = diagnose()

    assert found.environment.torch.problem == "It cannot be imported: OSError: libcudart.so.13."
    assert [remedy.code for remedy in found.remedies] == ["repair_torch"]


def test_gpu_that_is_full_decides_the_risk_of_the_machine(bench: Bench) -> None:
    bench.machine = replace(bench.machine, gpus=(GPU, replace(GPU, index=1, memory_free_bytes=GIB)))

    found = diagnose()

    assert ([device.risk for device in found.devices], found.risk) == (["low", "low", "high"], "high")


def test_thresholds_are_those_of_the_caller(bench: Bench) -> None:
    assert bench.machine.ram_total_bytes == 64 * GIB

    found = diagnose(min_free_gib=60, min_free_ratio=0)

    assert found.thresholds == Thresholds(60.0, 0.0)
    assert [device.risk for device in found.devices] == ["high", "medium"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("min_free_gib", -1),
        ("min_free_gib", float("nan")),
        ("min_free_gib", float("inf")),
        ("min_free_gib", True),
        ("min_free_gib", "4"),
        ("min_free_ratio", 1.5),
        ("min_free_ratio", -0.1),
    ],
)
def test_threshold_out_of_its_range_is_refused(option: str, value: object) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        diagnose(**{option: value})  # type: ignore[arg-type]

    assert (caught.value.option, caught.value.expected) == (
        option,
        "a finite number, 0 or more" if option == "min_free_gib" else "a share, 0 to 1",
    )


def test_gpus_are_measured_by_packages_only_where_the_driver_lists_none(bench: Bench) -> None:
    bench.said = {"torch": {"devices": []}}
    diagnose()
    bench.machine = replace(bench.machine, gpus=())
    diagnose()
    diagnose(cuda=False)

    assert bench.asked == [("torch", True, False), ("torch", True, True), ("torch", False, False)]


def test_hidden_gpus_are_noted_and_looked_at_when_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.machine = replace(bench.machine, gpus=(GPU, replace(GPU, index=1, memory_free_bytes=0)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    shown, every = diagnose(), diagnose(all_devices=True)

    assert (shown.risk, shown.notes) == ("low", ("`CUDA_VISIBLE_DEVICES` hides 1 of 2 GPUs.",))
    assert (every.risk, every.notes) == ("high", ())


def test_gpus_that_are_hidden_are_known_to_the_remedies(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.said = {"torch": {"cuda_compiled": True, "cuda_version": "13.0", "cuda_available": False, "devices": []}}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    assert (diagnose().remedies, diagnose(all_devices=True).remedies) == ((), ())


def test_limit_of_a_control_group_is_known_to_the_remedies(bench: Bench) -> None:
    limited = {"ram_total_bytes": 8 * GIB, "ram_available_bytes": 0, "ram_limit_bytes": 8 * GIB}
    bench.machine = replace(bench.machine, gpus=(), **limited)  # type: ignore[arg-type] # all of them numbers

    assert "raise_memory_limit" in [remedy.code for remedy in diagnose().remedies]


@pytest.mark.parametrize(("there", "expected"), [((), ["install_psutil"]), (("psutil",), [])])
def test_memory_that_cannot_be_read_wants_psutil_only_where_that_is_missing(
    there: tuple[str, ...], expected: list[str], bench: Bench
) -> None:
    bench.machine = replace(bench.machine, ram_total_bytes=None, ram_available_bytes=None, gpus=())
    bench.there = there

    assert [remedy.code for remedy in diagnose().remedies] == expected


def test_force_looks_again_and_says_what_it_did(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.said = {"torch": {"cuda_available": True, "devices": []}}
    applied = (Applied("empty_cache", True, "Done."),)
    given: list[Any] = []

    def relieve_(devices: tuple[Device, ...], unsloth: Unsloth, *, cuda_available: bool) -> tuple[Applied, ...]:
        given.append((len(devices), unsloth, cuda_available))
        bench.machine = replace(bench.machine, ram_available_bytes=0)
        return applied

    monkeypatch.setattr(_diagnose, "relieve", relieve_)
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    found = diagnose(force=True)

    assert (given, found.applied, found.risk) == ([(2, Unsloth(), True)], applied, "high")
    assert bench.asked == [("torch", True, False)]  # a process of its own has nothing new to say


class Backend:
    """`torch.cuda` that counts how often its cache is emptied."""

    def __init__(self, *, in_use: bool = True, fails: bool = False) -> None:
        self.in_use, self.fails, self.emptied = in_use, fails, 0

    def is_initialized(self) -> bool:
        return self.in_use

    def empty_cache(self) -> None:
        if self.fails:
            raise RuntimeError
        self.emptied += 1


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A made-up torch that this process has imported."""
    module = ModuleType("torch")
    taken: list[str] = []
    module.__dict__.update(cuda=Backend(), taken=taken, _C=SimpleNamespace())
    module.__dict__["_C"]._accelerator_setAllocatorSettings = taken.append
    monkeypatch.setitem(sys.modules, "torch", module)
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "")  # so that it is as it was afterwards
        monkeypatch.delenv(name)
    return module


def applied(*devices: Device, unsloth: Unsloth | None = None, cuda_available: bool = False) -> dict[str, Applied]:
    return {each.code: each for each in relieve(devices, unsloth or Unsloth(), cuda_available=cuda_available)}


PIECES = Device(device="gpu:0", name="H100", kind="cuda", reserved_bytes=40 * GIB, allocated_bytes=GIB)


def test_relief_empties_the_cache_of_a_gpu_that_is_in_use(torch: Any) -> None:
    found = applied()["empty_cache"]

    assert (torch.cuda.emptied, found.done, found.text) == (1, True, "What torch kept unused was given back (cuda).")


@pytest.mark.parametrize("cuda", [Backend(in_use=False), Backend(fails=True), None])
def test_relief_leaves_a_gpu_alone_that_is_not_in_use(cuda: Any, torch: Any) -> None:
    torch.cuda = cuda

    assert applied()["empty_cache"] == Applied(
        "empty_cache", False, "This process has not used a GPU through torch: there is no cache to empty."
    )


def test_relief_tells_the_allocator_what_the_environment_states(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:128")

    found = applied(PIECES)["allocator_settings"]

    assert (torch.taken, found.done) == (["max_split_size_mb:128"], True)
    assert found.text == ("torch was told `max_split_size_mb:128` again, for what it allocates on GPUs from now on.")
    assert "PYTORCH_ALLOC_CONF" not in os.environ


def test_relief_lets_segments_grow_where_memory_is_in_pieces(torch: Any) -> None:
    assert applied(PIECES)["allocator_settings"].text == (
        "torch was told `expandable_segments:True`, for what it allocates on GPUs from now on."
    )
    assert (torch.taken, os.environ["PYTORCH_ALLOC_CONF"]) == (["expandable_segments:True"], "expandable_segments:True")


def test_relief_has_no_settings_for_pieces_of_metal(torch: Any) -> None:
    assert not applied(replace(PIECES, kind="metal"))["allocator_settings"].done
    assert torch.taken == []


def test_relief_leaves_the_allocator_alone_where_nothing_is_wrong(torch: Any) -> None:
    assert not applied()["allocator_settings"].done
    assert (torch.taken, "PYTORCH_ALLOC_CONF" in os.environ) == ([], False)


def test_allocator_that_refuses_its_settings_is_told_of(torch: Any) -> None:
    def refuse(_: str) -> None:
        raise ValueError("Unrecognized key")

    torch._C._accelerator_setAllocatorSettings = refuse

    assert applied(PIECES)["allocator_settings"] == Applied(
        "allocator_settings", False, "torch does not take `expandable_segments:True`: Unrecognized key."
    )
    assert stated_allocator() is None


def test_relief_tells_the_allocator_of_an_older_torch(torch: Any) -> None:
    torch._C = SimpleNamespace()
    torch.cuda.memory = SimpleNamespace(_set_allocator_settings=torch.taken.append)

    assert applied(PIECES)["allocator_settings"].done
    assert torch.taken == ["expandable_segments:True"]


def test_settings_wait_for_a_torch_that_is_not_imported(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "a:b")

    found = applied()

    assert found["allocator_settings"].text == "`a:b` is set for when this process imports torch."
    assert found["empty_cache"].text == "This process has not imported torch: there is no cache to empty."
    assert torch.taken == []


THERE = Unsloth(installed=True, version="2026.11.1")


@pytest.mark.parametrize(
    ("unsloth", "cuda_available", "text"),
    [
        (Unsloth(), True, "unsloth is not installed."),
        (THERE, False, "unsloth needs a CUDA GPU that torch can use."),
        (replace(THERE, imported=True), True, "unsloth is imported already: it patches once a process."),
    ],
)
def test_patch_of_unsloth_is_not_applied_where_it_cannot_be(unsloth: Unsloth, cuda_available: bool, text: str) -> None:
    found = applied(unsloth=unsloth, cuda_available=cuda_available)["unsloth_patch"]

    assert found == Applied("unsloth_patch", False, text)


def test_patch_of_unsloth_is_applied_by_importing_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    imported: list[str] = []

    def bring(name: str) -> None:
        print("welcome")
        imported.append(name)

    monkeypatch.setattr(relief, "import_module", bring)

    assert applied(unsloth=THERE, cuda_available=True)["unsloth_patch"].done
    assert (imported, capsys.readouterr().out) == (["unsloth"], "")


def test_unsloth_that_cannot_be_imported_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise NotImplementedError("Unsloth needs\n a GPU")

    monkeypatch.setattr(relief, "import_module", fail)

    assert applied(unsloth=THERE, cuda_available=True)["unsloth_patch"] == Applied(
        "unsloth_patch", False, "unsloth cannot be imported: NotImplementedError: Unsloth needs a GPU."
    )
