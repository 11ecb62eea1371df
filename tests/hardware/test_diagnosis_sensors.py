"""Sensors of packages: what they say, and that nothing they do or lack is raised."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from registry.hardware import llama_cpp_sensor, torch_sensor
from registry.hardware.diagnosis import Driver, Package
from registry.hardware.driver import probe_driver
from registry.hardware.inquiry import inquire
from registry.hardware.installed import installed
from registry.hardware.unsloth_sensor import is_patched
from tests.hardware.system import FakeDriver, NVMLError
from tests.waiting import WAIT_S

ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@pytest.fixture(autouse=True)
def _no_allocator_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ALLOCATOR:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose packages hide those that are installed, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torch", "llama_cpp"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("torch", "llama_cpp"):
        sys.modules.pop(name, None)


def write(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code, "utf-8")


class Cuda:
    """`torch.cuda` with one GPU of 80 bytes."""

    def __init__(self, *, in_use: bool = False) -> None:
        self.in_use = in_use
        self.woken = False

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return self.in_use

    def device_count(self) -> int:
        return 1

    def get_arch_list(self) -> list[str]:
        return ["sm_90"]

    def get_device_properties(self, _: int) -> Any:
        self.woken = True
        return SimpleNamespace(name="H100", uuid="aaaa")

    def mem_get_info(self, _: int) -> tuple[int, int]:
        self.woken = True
        return 60, 80

    def memory_reserved(self, _: int) -> int:
        return 15

    def memory_allocated(self, _: int) -> int:
        return 10


def torch_with(cuda: Any, *, hip: str | None = None, **more: Any) -> Any:
    version = SimpleNamespace(cuda=None if hip else "13.0", hip=hip)
    cudnn = SimpleNamespace(version=lambda: 91000)
    mps = SimpleNamespace(is_available=lambda: False)
    backends = SimpleNamespace(cudnn=cudnn, mps=mps)
    return SimpleNamespace(__version__="2.13.0", version=version, cuda=cuda, backends=backends, **more)


def test_torch_with_a_gpu_in_use_tells_its_memory() -> None:
    assert torch_sensor.read(torch_with(Cuda(in_use=True)), gpu=True, measure=False) == {
        "version": "2.13.0",
        "cuda_compiled": True,
        "cuda_version": "13.0",
        "hip_version": None,
        "allocator": None,
        "cudnn_version": 91000,
        "cuda_available": True,
        "gpu_architectures": ["sm_90"],
        "devices": [
            {
                "kind": "cuda",
                "index": 0,
                "name": "H100",
                "uuid": "aaaa",
                "total_bytes": 80,
                "free_bytes": 60,
                "reserved_bytes": 15,
                "allocated_bytes": 10,
            }
        ],
    }


@pytest.mark.parametrize(("measure", "free"), [(False, None), (True, 60)])
def test_gpu_that_is_not_in_use_is_woken_only_to_be_measured(measure: bool, free: int | None) -> None:
    cuda = Cuda()

    (device,) = torch_sensor.read(torch_with(cuda), gpu=True, measure=measure)["devices"]

    assert (cuda.woken, device["free_bytes"], device["reserved_bytes"]) == (measure, free, 0)


def test_torch_is_asked_nothing_of_cuda_where_that_is_not_wanted() -> None:
    found = torch_sensor.read(torch_with(None), gpu=False, measure=False)

    assert (found["cuda_compiled"], found["devices"], "cuda_available" in found) == (True, [], False)


def test_torch_for_rocm_was_not_built_with_cuda() -> None:
    found = torch_sensor.read(torch_with(Cuda(), hip="7.0"), gpu=True, measure=False)

    assert (found["cuda_compiled"], found["hip_version"], found["devices"][0]["kind"]) == (False, "7.0", "rocm")


def test_torch_whose_every_question_fails_is_described_all_the_same() -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"no {name} here")

    torch = SimpleNamespace(__version__="2.13.0", cuda=Cuda(), backends=Broken(), xpu=Broken(), version=None)
    torch.cuda.is_available = lambda: False

    found = torch_sensor.read(torch, gpu=True, measure=True)

    assert (found["cuda_compiled"], found["cudnn_version"], found["devices"]) == (False, None, [])


def test_torch_on_apple_silicon_tells_what_metal_has_allocated() -> None:
    mps = SimpleNamespace(
        recommended_max_memory=lambda: 48, driver_allocated_memory=lambda: 9, current_allocated_memory=lambda: 7
    )
    torch = torch_with(SimpleNamespace(is_available=lambda: False, get_arch_list=list), mps=mps)
    torch.backends.mps.is_available = lambda: True

    assert torch_sensor.read(torch, gpu=True, measure=False)["devices"] == [
        {
            "kind": "metal",
            "index": 0,
            "name": "Apple GPU",
            "total_bytes": 48,
            "reserved_bytes": 9,
            "allocated_bytes": 7,
        }
    ]


def test_torch_on_intel_gpus_tells_their_memory() -> None:
    class Xpu(Cuda):
        def get_device_name(self, _: int) -> str:
            self.woken = True
            return "Arc B580"

    idle = Xpu()
    torch_sensor.read(torch_with(SimpleNamespace(is_available=lambda: False), xpu=idle), gpu=True, measure=False)
    assert not idle.woken
    torch = torch_with(SimpleNamespace(is_available=lambda: False, get_arch_list=list), xpu=Xpu(in_use=True))

    (device,) = torch_sensor.read(torch, gpu=True, measure=False)["devices"]

    assert (device["kind"], device["name"], device["free_bytes"], device["reserved_bytes"]) == (
        "xpu",
        "Arc B580",
        60,
        15,
    )


@pytest.mark.parametrize("name", ALLOCATOR)
def test_settings_of_the_allocator_are_those_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "expandable_segments:True")

    assert torch_sensor.stated_allocator() == "expandable_segments:True"


SYSTEM_INFO = [
    ("", {}),
    ("CPU : SSE3 = 1 | AVX2 = 1 | ", {"CPU": {"SSE3": "1", "AVX2": "1"}}),
    (
        "CUDA : ARCHS = 800,900 | USE_GRAPHS = 1 | CPU : AVX = 1 | ",
        {"CUDA": {"ARCHS": "800,900", "USE_GRAPHS": "1"}, "CPU": {"AVX": "1"}},
    ),
    ("AVX = 1 | AVX2 = 0 | ", {}),
    ("what is this", {}),
]


@pytest.mark.parametrize(("text", "expected"), SYSTEM_INFO)
def test_line_of_llama_cpp_about_itself_is_read_by_backend(text: str, expected: dict[str, Any]) -> None:
    assert llama_cpp_sensor.parse_system_info(text) == expected


def test_backends_of_llama_cpp_are_the_libraries_beside_it(tmp_path: Path) -> None:
    for name in ("libggml.so", "libggml-base.so.0", "libggml-base.so", "libggml-cuda.so", "ggml-cpu-alderlake.dll"):
        (tmp_path / name).touch()

    assert llama_cpp_sensor.backends(tmp_path) == ("cpu-alderlake", "cuda")
    assert llama_cpp_sensor.backends(tmp_path / "none") == ()


def test_llama_cpp_with_a_gpu_backend_is_not_woken_where_no_gpu_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libggml-cuda.so").touch()
    library = SimpleNamespace(__name__="none", __file__=str(tmp_path / "__init__.py"), __version__="0.3.36")

    assert llama_cpp_sensor.read(library, gpu=False, measure=False) == {
        "version": "0.3.36",
        "libraries": ["cuda"],
        "ggml_version": None,
        "ggml_commit": None,
        "gpu_offload": True,
        "devices": [],
    }


def test_llama_cpp_says_what_it_was_built_with() -> None:
    llama_cpp = pytest.importorskip("llama_cpp")

    found = llama_cpp_sensor.read(llama_cpp, gpu=True, measure=True)

    assert found["gpu_offload"] is llama_cpp.llama_supports_gpu_offload()
    assert "CPU" in found["build_flags"]
    assert found["ggml_version"].count(".") == 2
    assert found["devices"] == [] or found["gpu_offload"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_package_that_ends_the_process_is_a_finding(packages: Path) -> None:
    write(packages, "llama_cpp", f"import os\nos.kill(os.getpid(), {int(signal.SIGILL)})")

    assert inquire("llama_cpp", gpu=True, measure=False) == {
        "problem": "Importing `llama_cpp` ends the process: SIGILL (it was built for another processor)."
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_package_whose_import_the_system_ends_says_nothing_against_it(packages: Path) -> None:
    write(packages, "torch", "import os\nos.kill(os.getpid(), 9)")

    assert inquire("torch", gpu=True, measure=False) == {
        "problem": "Importing `torch` ends the process: SIGKILL. Try again when less is running.",
        "passing": True,
    }


def test_package_that_leaves_is_a_finding_with_its_last_words(packages: Path) -> None:
    write(packages, "torch", "import os\nprint('out of sorts', flush=True)\nos._exit(7)")

    assert inquire("torch", gpu=True, measure=False) == {
        "problem": "Importing `torch` ends the process: exit code 7: out of sorts."
    }


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise OSError('libcudart.so.13: cannot open')", "OSError: libcudart.so.13: cannot open"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
    ],
)
def test_package_that_cannot_be_imported_is_a_finding(code: str, problem: str, packages: Path) -> None:
    write(packages, "torch", code)

    assert inquire("torch", gpu=True, measure=False) == {"problem": f"It cannot be imported: {problem}."}


def test_package_that_takes_for_ever_is_a_finding(packages: Path) -> None:
    write(packages, "torch", "import threading\nthreading.Event().wait()")

    assert inquire("torch", gpu=True, measure=False, timeout_s=0.5) == {
        "problem": "Importing it takes more than 0.5 s. Try again when less is running.",
        "passing": True,
    }


def test_package_that_prints_is_understood_all_the_same(packages: Path) -> None:
    write(packages, "torch", "print('welcome')\n__version__ = '1'")

    assert inquire("torch", gpu=False, measure=False)["version"] == "1"


def test_package_that_this_process_has_imported_is_asked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")
    torch.__dict__.update(__version__="here", cuda=Cuda(in_use=True))
    monkeypatch.setitem(sys.modules, "torch", torch)

    assert inquire("torch", gpu=True, measure=False)["devices"][0]["allocated_bytes"] == 10


class Idle(Cuda):
    """`torch.cuda` of a process that has not used it: whatever it is asked but this begins to."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in ("is_initialized", "in_use"):
            raise AssertionError(f"`{name}` was asked, and processes that this one forks have no GPU any more")
        return super().__getattribute__(name)


@pytest.mark.parametrize("built", [{"cuda": "13.0"}, {"hip": "7.0"}, {"xpu": "20250300"}])
def test_torch_that_uses_no_gpu_in_this_process_is_asked_in_another(
    built: dict[str, str], packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(packages, "torch", "__version__ = 'there'")
    torch = ModuleType("torch")
    torch.__dict__.update(__version__="here", cuda=Idle(), version=SimpleNamespace(**built))
    monkeypatch.setitem(sys.modules, "torch", torch)

    assert inquire("torch", gpu=True, measure=False)["version"] == "there"
    assert inquire("torch", gpu=False, measure=False)["version"] == "here"


@pytest.mark.parametrize(
    ("cuda", "built"), [(Cuda(in_use=True), {"cuda": "13.0"}), (SimpleNamespace(), {"cuda": None})]
)
def test_torch_that_uses_a_gpu_or_was_built_for_none_is_asked_in_this_process(
    cuda: Any, built: dict[str, str], packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(packages, "torch", "__version__ = 'there'")
    torch = ModuleType("torch")
    torch.__dict__.update(__version__="here", cuda=cuda, version=SimpleNamespace(**built))
    monkeypatch.setitem(sys.modules, "torch", torch)

    assert inquire("torch", gpu=True, measure=False)["version"] == "here"


def test_warning_about_cuda_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(Cuda):
        def is_available(self) -> bool:
            warnings.warn("CUDA initialization: the driver is too old (found version 11040).", stacklevel=1)
            return False

    torch = ModuleType("torch")
    torch.__dict__.update(__version__="here", cuda=Old())
    monkeypatch.setitem(sys.modules, "torch", torch)

    found = inquire("torch", gpu=True, measure=False)

    assert found["warning"] == "CUDA initialization: the driver is too old (found version 11040)"


def test_packages_that_are_asked_at_once_leave_the_warnings_of_the_process_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first_asked, second_asked = Event(), Event()

    class First(ModuleType):
        @property
        def __version__(self) -> str:
            first_asked.set()
            second_asked.wait(0.3)  # in vain, where one is asked after the other
            return "1"

    class Second(ModuleType):
        @property
        def __version__(self) -> str:
            second_asked.set()
            first.join(WAIT_S)  # so that the one that came first leaves first
            return "1"

    monkeypatch.setitem(sys.modules, "torch", First("torch"))
    monkeypatch.setitem(sys.modules, "llama_cpp", Second("llama_cpp"))
    shown, filters = warnings.showwarning, warnings.filters
    first, second = (
        Thread(target=inquire, args=(name,), kwargs={"gpu": False, "measure": False}) for name in ("torch", "llama_cpp")
    )
    first.start()
    assert first_asked.wait(WAIT_S)
    second.start()
    second.join(WAIT_S)

    assert (warnings.showwarning, warnings.filters) == (shown, filters)


def test_package_is_asked_though_paths_to_import_from_are_no_texts(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(packages, "torch", "__version__ = '1'")
    monkeypatch.setattr(sys, "path", [packages, *sys.path])

    assert inquire("torch", gpu=False, measure=False)["version"] == "1"


def test_folder_that_only_has_the_name_of_a_package_is_none(packages: Path) -> None:
    (packages / "no_such_module" / "docs").mkdir(parents=True)

    assert installed("no_such_module", "no-such-distribution") == Package()


def test_package_is_found_without_importing_it(packages: Path) -> None:
    write(packages, "torch", "raise RuntimeError")

    assert installed("torch", "no-such-distribution") == Package(installed=True, path=str(packages / "torch"))


def test_package_that_is_not_there_is_not_installed() -> None:
    assert installed("no_such_module", "no-such-distribution") == Package()


def test_package_whose_files_are_gone_has_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    monkeypatch.setattr(metadata, "version", lambda _: "2.13.0")

    assert installed("no_such_module", "torch") == Package(
        installed=True,
        version="2.13.0",
        problem="`torch` 2.13.0 is installed, and Python does not find `no_such_module`: install it anew.",
    )


def test_package_that_somebody_has_forbidden_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "no_such_module", None)  # type: ignore[arg-type] # as Python documents it

    assert installed("no_such_module", "no-such-distribution") == Package()


def test_driver_tells_its_version_and_the_cuda_that_it_runs(tmp_path: Path) -> None:
    expected = Driver(installed=True, version="580.1", cuda_version="13.2")

    assert probe_driver(FakeDriver, tmp_path / "none") == expected


def test_driver_has_the_place_that_its_library_was_loaded_from(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text(
        "7f00-7f01 r-xp 0 08:01 9 /usr/lib/libc.so.6\n7f02-7f03 r-xp 0 08:01 9 /opt/a b/libnvidia-ml.so.580\n"
    )

    assert probe_driver(FakeDriver, maps).path == "/opt/a b/libnvidia-ml.so.580"


def test_driver_has_the_name_that_its_library_was_loaded_by_where_nothing_lists_it(tmp_path: Path) -> None:
    class Loaded(FakeDriver):
        nvmlLib = SimpleNamespace(_name="C:/Windows/System32/nvml.dll")  # noqa: N815 - the package's name

    assert probe_driver(Loaded, tmp_path / "none").path == "C:/Windows/System32/nvml.dll"


def test_driver_that_cannot_be_closed_has_told_its_version_all_the_same(tmp_path: Path) -> None:
    class Stuck(FakeDriver):
        def nvmlShutdown(self) -> None:  # noqa: N802
            raise NVMLError(4)

    assert probe_driver(Stuck, tmp_path / "none").version == "580.1"


def test_machine_without_a_driver_says_so() -> None:
    assert probe_driver(lambda: FakeDriver(fails=9)) == Driver(installed=False)


def test_driver_that_gives_no_answer_has_a_problem() -> None:
    assert probe_driver(lambda: FakeDriver(fails=4)) == Driver(
        installed=True, problem="The NVIDIA driver gives no answer: Insufficient Permissions."
    )


def test_driver_that_hides_its_version_has_a_problem_and_is_closed() -> None:
    class Shy(FakeDriver):
        def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
            raise NVMLError(3)

    driver = Shy()

    assert probe_driver(lambda: driver) == Driver(
        installed=True, problem="The NVIDIA driver does not tell its version: Not Supported."
    )
    assert not driver.is_open


def test_driver_without_the_package_was_not_asked() -> None:
    def missing() -> Any:
        raise ImportError

    assert probe_driver(missing) == Driver(problem="`nvidia-ml-py` is not installed: the NVIDIA driver was not asked.")


def _attention(home: str) -> dict[str, ModuleType | None]:
    def forward() -> None: ...

    forward.__module__ = home
    module = ModuleType("transformers.models.llama.modeling_llama")
    module.__dict__["LlamaAttention"] = type("LlamaAttention", (), {"forward": forward})
    return {module.__name__: module, "unsloth": ModuleType("unsloth")}


@pytest.mark.parametrize(("home", "expected"), [("unsloth.models.llama", True), ("transformers.x", False)])
def test_patch_of_unsloth_is_seen_by_where_a_model_attends(home: str, expected: bool) -> None:
    assert is_patched(_attention(home)) is expected


def test_process_that_has_not_imported_unsloth_has_no_patch() -> None:
    assert is_patched({}) is None
