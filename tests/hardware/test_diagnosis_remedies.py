"""What to do about findings of all kinds, none of which this machine needs to have."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.hardware.diagnosis import (
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
from registry.hardware.remedies import Found, remedies_for
from registry.hardware.risk import judged

GIB = 2**30
PYTHON = Python(version="3.13.1", implementation="CPython", executable="/bin/python", prefix="/", virtual=False)
TORCH = Torch(installed=True, version="2.13.0", cuda_compiled=True, cuda_version="13.0", cuda_available=True)
ROCM = replace(TORCH, cuda_compiled=False, cuda_version=None, hip_version="7.0", cuda_available=False)
LLAMA_CPP = LlamaCpp(installed=True, version="0.3.36", gpu_offload=True)
DRIVER = Driver(installed=True, version="580.1", cuda_version="13.2")
ENCODERS = Package(installed=True, version="6.2.0")
FULL = Environment(python=PYTHON, torch=TORCH, llama_cpp=LLAMA_CPP, sentence_transformers=ENCODERS, driver=DRIVER)
BARE = Environment(python=PYTHON, driver=Driver(installed=False))


def main(free_gib: float | None, **more: Any) -> Device:
    return _device("cpu", "cpu", 64, free_gib, **more)


def gpu(free_gib: float | None, index: int = 0, kind: str = "cuda", **more: Any) -> Device:
    return _device(f"gpu:{index}", kind, 80, free_gib, **more)


def _device(name: str, kind: str, total_gib: float, free_gib: float | None, **more: Any) -> Device:
    free = None if free_gib is None else int(free_gib * GIB)
    device = Device(device=name, name=name, kind=kind, total_bytes=int(total_gib * GIB), free_bytes=free, **more)
    return judged(device, Thresholds())


def remedies(
    environment: Environment,
    *devices: Device,
    limit: int | None = None,
    hidden: bool = False,
    missing: frozenset[str] = frozenset(),
) -> dict[str, Remedy]:
    return {remedy.code: remedy for remedy in remedies_for(Found(environment, devices, limit, hidden, missing))}


def test_machine_where_all_is_well_needs_nothing() -> None:
    assert remedies(FULL, main(50), gpu(70)) == {}


def test_machine_with_nothing_installed_and_no_gpu_needs_nothing() -> None:
    assert remedies(BARE, main(50)) == {}


def test_gpu_that_is_nearly_full_is_helped_by_what_makes_models_take_less() -> None:
    assert list(remedies(FULL, main(50), gpu(2))) == [
        "end_other_programs",
        "shorter_context",
        "fewer_gpu_layers",
        "smaller_quantization",
        "kv_cache_type",
        "smaller_batch",
    ]


def test_remedies_name_the_devices_in_danger_the_worst_first() -> None:
    found = remedies(FULL, main(50), gpu(6, 0), gpu(70, 1), gpu(1, 2))

    assert found["shorter_context"].devices == ("gpu:2", "gpu:0")
    assert found["fewer_gpu_layers"].devices == ("gpu:2", "gpu:0")


def test_main_memory_that_is_nearly_full_is_helped_by_layers_on_a_gpu_with_room() -> None:
    found = remedies(FULL, main(1), gpu(70), gpu(60, 1))

    assert found["more_gpu_layers"] == Remedy(
        "more_gpu_layers", "Put layers on gpu:0 and gpu:1, which have room: `gpu_layers`, -1 for all.", ("cpu",)
    )


def test_layers_are_moved_nowhere_where_both_memories_are_full() -> None:
    assert {"fewer_gpu_layers", "more_gpu_layers"} & remedies(FULL, main(1), gpu(1)).keys() == set()


def test_layers_are_moved_nowhere_where_gpu_and_processor_share_one_memory() -> None:
    found = remedies(FULL, main(1), gpu(1, unified=True, kind="metal"))

    assert {"fewer_gpu_layers", "more_gpu_layers"} & found.keys() == set()


def test_machine_without_llama_cpp_gets_no_advice_on_its_options() -> None:
    found = remedies(replace(FULL, llama_cpp=LlamaCpp()), main(1), gpu(1))

    assert {"kv_cache_type", "fewer_gpu_layers", "build_llama_cpp_for_gpu"} & found.keys() == set()
    assert "shorter_context" in found


def test_torch_that_keeps_far_more_than_tensors_use_is_fragmented() -> None:
    found = remedies(FULL, main(50), gpu(20, reserved_bytes=40 * GIB, allocated_bytes=10 * GIB))

    assert found == {
        "empty_cache": Remedy(
            "empty_cache",
            "torch keeps 32.21 GB of gpu:0 that no tensor uses. Give back what can be: `torch.cuda.empty_cache()`.",
            ("gpu:0",),
        ),
        "expandable_segments": Remedy(
            "expandable_segments",
            "So much is kept when it is in pieces: set `PYTORCH_ALLOC_CONF=expandable_segments:True` before the "
            "program starts.",
            ("gpu:0",),
        ),
    }


def test_allocator_that_has_expandable_segments_already_is_not_told_so_again() -> None:
    torch = replace(TORCH, allocator="max_split_size_mb:128,expandable_segments:True")

    found = remedies(replace(FULL, torch=torch), gpu(20, reserved_bytes=40 * GIB, allocated_bytes=10 * GIB))

    assert list(found) == ["empty_cache"]


def test_memory_that_torch_does_not_tell_is_no_fragmentation() -> None:
    assert remedies(FULL, gpu(20, reserved_bytes=40 * GIB, allocated_bytes=None)) == {}


@pytest.mark.parametrize(("reserved", "allocated"), [(40.0, 31.0), (0.5, 0.1), (0.0, 0.0)])
def test_cache_of_a_usual_size_is_no_fragmentation(reserved: float, allocated: float) -> None:
    device = gpu(20, reserved_bytes=int(reserved * GIB), allocated_bytes=int(allocated * GIB))

    assert remedies(FULL, device) == {}


def test_memory_that_others_hold_is_named() -> None:
    found = remedies(FULL, gpu(2, reserved_bytes=8 * GIB, allocated_bytes=8 * GIB))["end_other_programs"]

    assert found.text == ("Other programs, or models outside torch, hold 75.16 GB of gpu:0: `nvidia-smi` lists them.")


def test_memory_that_this_process_holds_is_its_own_to_free() -> None:
    found = remedies(BARE, main(1, allocated_bytes=60 * GIB))

    assert found["unload_models"].text == ("This process holds 64.42 GB of cpu: unload models that are not in use.")
    assert "end_other_programs" not in found


def test_memory_that_torch_only_keeps_is_no_model_to_unload() -> None:
    found = remedies(BARE, gpu(2, reserved_bytes=70 * GIB, allocated_bytes=20 * GIB))

    assert "empty_cache" in found
    assert {"unload_models", "end_other_programs"} & found.keys() == set()


def test_limit_of_a_container_is_named_where_memory_is_short() -> None:
    assert remedies(BARE, main(1), limit=64 * GIB)["raise_memory_limit"].text == (
        "A control group leaves this process 68.72 GB of memory: raise that limit."
    )
    assert remedies(BARE, main(50), limit=64 * GIB) == {}


@pytest.mark.parametrize(
    ("field", "package", "code", "text"),
    [
        (
            "torch",
            Torch(installed=True, problem="It cannot be imported: OSError: libcudart.so.13."),
            "repair_torch",
            (
                "torch cannot be used: It cannot be imported: OSError: libcudart.so.13. Install it anew, "
                "`pip install --force-reinstall --no-cache-dir torch`."
            ),
        ),
        (
            "llama_cpp",
            LlamaCpp(installed=True, problem="Importing `llama_cpp` ends the process: SIGILL."),
            "repair_llama_cpp",
            (
                "llama-cpp-python cannot be used: Importing `llama_cpp` ends the process: SIGILL. Install it anew, "
                "`pip install --force-reinstall --no-cache-dir llama-cpp-python`."
            ),
        ),
        (
            "unsloth",
            Unsloth(installed=True, problem="Python does not find it."),
            "repair_unsloth",
            (
                "unsloth cannot be used: Python does not find it. Install it anew, "
                "`pip install --force-reinstall --no-cache-dir unsloth`."
            ),
        ),
    ],
)
def test_package_that_is_broken_is_to_be_installed_anew(field: str, package: Any, code: str, text: str) -> None:
    assert remedies(replace(BARE, **{field: package}), main(50)) == {code: Remedy(code, text)}


def test_package_that_was_ended_for_want_of_memory_is_not_to_be_installed_anew() -> None:
    torch = Torch(
        installed=True,
        problem="Importing `torch` ends the process: SIGKILL. Try again when less is running.",
        passing=True,
    )

    assert remedies(replace(BARE, torch=torch), main(50))["repair_torch"].text == (
        "torch cannot be used: Importing `torch` ends the process: SIGKILL. Try again when less is running."
    )


def test_driver_that_gives_no_answer_is_to_be_restarted() -> None:
    driver = Driver(installed=True, problem="The NVIDIA driver gives no answer: GPU is lost.")

    assert remedies(replace(BARE, driver=driver), main(50))["repair_driver"].text == (
        "The NVIDIA driver gives no answer: GPU is lost. Restart it, or install it anew."
    )


def test_torch_without_cuda_beside_a_gpu_leaves_it_idle() -> None:
    torch = Torch(installed=True, version="2.13.0+cpu", cuda_compiled=False, cuda_available=False)

    assert list(remedies(replace(FULL, torch=torch), main(50), gpu(70))) == ["install_torch_for_gpu"]


def test_torch_that_cannot_use_the_gpu_wants_a_newer_driver() -> None:
    environment = replace(FULL, torch=replace(TORCH, cuda_available=False), driver=replace(DRIVER, cuda_version="11.4"))

    assert remedies(environment, main(50), gpu(70))["update_driver"].text == (
        "torch was built with CUDA 13.0 and cannot use the GPU, and the driver runs CUDA 11.4 at most: install a newer "
        "driver."
    )


def test_torch_that_cannot_use_the_gpu_though_the_driver_is_new_enough_wants_no_newer_one() -> None:
    found = remedies(replace(FULL, torch=replace(TORCH, cuda_available=False)), main(50), gpu(70))

    assert found == {
        "restart_driver": Remedy(
            "restart_driver",
            "torch was built with CUDA 13.0 and cannot use the GPU, though the driver runs CUDA 13.2: restart the "
            "driver or the machine, and see that this user may open `/dev/nvidia*`.",
            ("gpu:0",),
        )
    }


def test_torch_that_cannot_use_hidden_gpus_is_not_suspected() -> None:
    environment = replace(FULL, torch=replace(TORCH, cuda_available=False))

    assert remedies(environment, main(50), gpu(70), hidden=True) == {}
    assert remedies(environment, main(50), hidden=True) == {}


def test_torch_for_intel_gpus_does_not_leave_them_idle() -> None:
    environment = replace(FULL, torch=replace(TORCH, cuda_compiled=False, cuda_version=None, cuda_available=False))

    assert remedies(environment, main(50), gpu(70, kind="xpu")) == {}


def test_torch_for_rocm_beside_a_gpu_of_nvidia_leaves_it_idle() -> None:
    environment = replace(FULL, torch=ROCM)

    assert remedies(environment, main(50), gpu(70))["install_torch_for_gpu"].text == (
        "torch was built for ROCm and leaves the GPU idle: install it from https://pytorch.org/get-started."
    )


def test_torch_for_rocm_that_finds_no_gpu_is_told_of_in_its_own_words() -> None:
    environment = replace(BARE, torch=ROCM)

    assert remedies(environment, main(50)) == {
        "find_gpu": Remedy(
            "find_gpu",
            "torch was built with ROCm 7.0 and finds no GPU: is there one of AMD, and may this user open `/dev/kfd` "
            "and `/dev/dri/*`? `HIP_VISIBLE_DEVICES` and `ROCR_VISIBLE_DEVICES` hide GPUs as well.",
        )
    }
    assert remedies(replace(BARE, torch=replace(ROCM, cuda_available=True)), main(50), gpu(70, kind="rocm")) == {}


def test_torch_with_cuda_beside_a_gpu_of_another_maker_wants_no_driver_of_nvidia() -> None:
    environment = replace(FULL, torch=replace(TORCH, cuda_available=False), driver=Driver(installed=False))

    assert list(remedies(environment, main(50), gpu(70, kind="vulkan"))) == ["find_gpu"]


def test_cache_of_another_backend_is_emptied_by_its_own_call() -> None:
    pieces = {"reserved_bytes": 40 * GIB, "allocated_bytes": 10 * GIB}

    intel, apple = (remedies(FULL, gpu(20, kind=kind, **pieces)) for kind in ("xpu", "metal"))

    assert intel["empty_cache"].text.endswith("Give back what can be: `torch.xpu.empty_cache()`.")
    assert apple["empty_cache"].text.endswith("Give back what can be: `torch.mps.empty_cache()`.")
    assert ("expandable_segments" in intel, "expandable_segments" in apple) == (True, False)


def test_values_in_8_bits_come_with_the_attention_that_they_need() -> None:
    assert "`type_k=8, type_v=8, flash_attn=True`" in remedies(FULL, main(50), gpu(1))["kv_cache_type"].text


def test_memory_that_is_shared_is_said_once_to_be_held_by_others() -> None:
    found = remedies_for(Found(BARE, (main(1), gpu(1, kind="metal", unified=True))))

    assert [remedy.text for remedy in found if remedy.code == "end_other_programs"] == [
        "Other programs hold 67.65 GB of cpu: end those that are not needed."
    ]


def test_torch_with_cuda_on_a_machine_without_a_gpu_is_asked_about() -> None:
    environment = replace(BARE, torch=replace(TORCH, cuda_available=False))

    assert list(remedies(environment, main(50))) == ["find_gpu"]


def test_torch_that_was_not_asked_for_cuda_is_not_suspected() -> None:
    assert remedies(replace(BARE, torch=replace(TORCH, cuda_available=None)), main(50)) == {}


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("cuda", "GGML_CUDA=on"),
        ("metal", "GGML_METAL=on"),
        ("rocm", "GGML_HIP=on"),
        ("xpu", "GGML_SYCL=on -DCMAKE_C_COMPILER=icx -DCMAKE_CXX_COMPILER=icpx"),
    ],
)
def test_llama_cpp_without_a_gpu_backend_is_to_be_built_with_one(kind: str, flag: str) -> None:
    torch = replace(TORCH, cuda_compiled=kind == "cuda")
    environment = replace(FULL, torch=torch, llama_cpp=replace(LLAMA_CPP, gpu_offload=False))

    found = remedies(environment, main(50), gpu(70, kind=kind))
    found.pop("install_torch_for_gpu", None)

    assert list(found) == ["build_llama_cpp_for_gpu"]
    assert f'CMAKE_ARGS="-D{flag}"' in found["build_llama_cpp_for_gpu"].text


def test_machine_whose_memory_is_not_known_wants_psutil() -> None:
    assert list(remedies(BARE, main(None), missing=frozenset({"psutil"}))) == ["install_psutil"]


def test_machine_that_hides_its_memory_from_psutil_wants_no_other_one() -> None:
    assert remedies(BARE, main(None)) == {}


def test_machine_whose_gpus_were_not_looked_for_wants_nvidia_ml_py() -> None:
    driver = Driver(problem="`nvidia-ml-py` is not installed: the NVIDIA driver was not asked.")

    missing = frozenset({"nvidia-ml-py"})
    assert list(remedies(replace(BARE, driver=driver), main(50), missing=missing)) == ["install_nvidia_ml_py"]
    assert remedies(replace(BARE, driver=Driver()), main(50), missing=missing) == {}


def test_every_code_is_explained_in_the_documentation() -> None:
    import re

    from registry.hardware import relief, remedies

    sources = [Path(str(module.__file__)).read_text("utf-8") for module in (relief, remedies)]
    codes = set(re.findall(r'Remedy\(\s*"(\w+)"', sources[1]))
    codes |= set(re.findall(r'\("(repair_\w+)",', sources[1]))
    codes |= set(re.findall(r'(?:code = |Applied\()"(\w+)"', sources[0]))
    page = (Path(__file__).parents[2] / "docs" / "diagnose.md").read_text("utf-8")

    assert codes == set(re.findall(r"^\| `(\w+)` \|", page.partition("## What to do")[2], re.MULTILINE))
