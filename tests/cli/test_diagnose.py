"""`registry diagnose`."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("typer")

import registry.hardware
from registry.hardware import Diagnosis
from registry.hardware.diagnosis import (
    Applied,
    Device,
    Driver,
    Environment,
    LlamaCpp,
    Package,
    Python,
    Remedy,
    Thresholds,
    Torch,
    Unsloth,
)

Run = Callable[..., Any]
ENVIRONMENT = Environment(
    python=Python(version="3.13.1", implementation="CPython", executable="/bin/python", prefix="/", virtual=False),
    registry=Package(installed=True, version="0.1.0", path="/registry"),
    torch=Torch(
        installed=True,
        version="2.13.0",
        path="/torch",
        cuda_compiled=True,
        cuda_version="13.0",
        cudnn_version=91000,
        cuda_available=True,
        gpu_architectures=("sm_80", "sm_90"),
        allocator="expandable_segments:True",
    ),
    llama_cpp=LlamaCpp(
        installed=True,
        version="0.3.36",
        path="/llama_cpp",
        ggml_version="0.25.3",
        ggml_commit="f6d31f5",
        gpu_offload=True,
        build_flags={"CUDA": {"ARCHS": "900"}, "CPU": {"AVX2": "1"}},
        libraries=("cpu", "cuda"),
    ),
    unsloth=Unsloth(installed=True, version="2026.11.1", path="/unsloth", imported=True, patched=True),
    driver=Driver(installed=True, version="580.1", path="/lib/libnvidia-ml.so.1", cuda_version="13.2"),
)
GPU = Device(
    device="gpu:0",
    name="H100",
    kind="cuda",
    total_bytes=80,
    free_bytes=4,
    reserved_bytes=70,
    allocated_bytes=60,
    utilisation=0.95,
    wanted_bytes=8,
    uuid="GPU-a",
    risk="high",
)
FOUND = Diagnosis(
    environment=ENVIRONMENT,
    devices=(GPU,),
    thresholds=Thresholds(),
    risk="high",
    remedies=(Remedy("shorter_context", "Load with a shorter context (`context_length`).", ("gpu:0",)),),
    applied=(Applied("empty_cache", False, "There is none."),),
    notes=("Some\x1b[31m\nthing.",),
)

TEXT = (
    "python\tCPython 3.13.1, /bin/python, environment /\n"
    "registry\t0.1.0, /registry\n"
    "torch\t2.13.0, built with CUDA 13.0, for sm_80 sm_90, cuDNN 91000, GPU usable, expandable_segments:True, /torch\n"
    "llama.cpp\t0.3.36, ggml 0.25.3 (f6d31f5), with a GPU backend, /llama_cpp\n"
    "built with\tCUDA: ARCHS=900, CPU: AVX2, libraries: cpu cuda\n"
    "sentence-transformers\tnot installed\n"
    "unsloth\t2026.11.1, imported, patch in place, /unsloth\n"
    "driver\t580.1, runs CUDA 13.2, /lib/libnvidia-ml.so.1\n"
    "\n"
    "Memory\n"
    "Device\tName\tKind\tTotal\tFree\tReserved\tAllocated\tIn use\tWanted free\tRisk\tUnified\tUUID\n"
    "gpu:0\tH100\tcuda\t80\t4\t70\t60\t0.95\t8\thigh\tno\tGPU-a\n"
    "risk\thigh\n"
    "wanted free\t1 GiB of each device, or 0.05 of it where that is more\n"
    "\n"
    "What to do\n"
    "Remedy\tFor\tWhat\n"
    "shorter_context\tgpu:0\tLoad with a shorter context (`--context-length`).\n"
    "\n"
    "Re-applied\n"
    "What\tDone\tResult\n"
    "empty_cache\tno\tThere is none.\n"
)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks for; it is told of a machine that is nearly full."""
    given: dict[str, Any] = {}

    def look(**options: Any) -> Diagnosis:
        given.update(options)
        return FOUND

    monkeypatch.setattr(registry.hardware, "diagnose", look)
    return given


def test_diagnosis_as_text_has_all_that_was_found(run: Run, found: dict[str, Any]) -> None:
    assert found == {}
    assert run("diagnose") == (1, TEXT, "note: Some\\x1b[31m thing.\n")


def test_diagnosis_as_json_is_what_the_library_gives(run: Run, found: dict[str, Any]) -> None:
    assert found == {}

    result = run("diagnose", "--json")

    assert (result.code, result.json) == (1, FOUND.to_dict())


def test_every_option_is_passed_on(run: Run, found: dict[str, Any]) -> None:
    run("diagnose", "--all-devices", "--no-cuda", "--min-free-gib", "4", "--min-free-ratio", "0.1", "--force")

    assert found == {
        "all_devices": True,
        "cuda": False,
        "min_free_gib": 4.0,
        "min_free_ratio": 0.1,
        "force": True,
    }


def test_options_that_are_left_out_are_the_defaults_of_the_library(run: Run, found: dict[str, Any]) -> None:
    run("diagnose")

    assert found == {
        "all_devices": False,
        "cuda": True,
        "min_free_gib": None,
        "min_free_ratio": None,
        "force": False,
    }


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--min-free-gib", "-1.0", "a finite number, 0 or more"),
        ("--min-free-gib", "inf", "a finite number, 0 or more"),
        ("--min-free-gib", "nan", "a finite number, 0 or more"),
        ("--min-free-ratio", "2.0", "a share, 0 to 1"),
        ("--min-free-ratio", "nan", "a share, 0 to 1"),
    ],
)
def test_threshold_out_of_its_range_is_wrong_usage(option: str, value: str, expected: str, run: Run) -> None:
    assert run("diagnose", option, value) == (2, "", f"error: `{option}`: expected {expected}, got {value}.\n")


_ALONE = """\
import sys
for name in ("torch", "llama_cpp", "sentence_transformers", "pynvml", "psutil", "numpy"):
    sys.modules[name] = None
from registry.cli import main
raise SystemExit(main(["diagnose", "--json"]))
"""


def test_diagnosis_needs_no_package_but_those_of_the_command() -> None:
    import json

    done = subprocess.run([sys.executable, "-c", _ALONE], capture_output=True, text=True, check=True, timeout=60)

    document = json.loads(done.stdout)
    assert [document["environment"][name]["path"] for name in ("torch", "llama_cpp")] == [None, None]
    assert ([device["device"] for device in document["devices"]], document["risk"]) == (["cpu"], "unknown")
    assert [remedy["code"] for remedy in document["remedies"]][-2:] == ["install_psutil", "install_nvidia_ml_py"]
