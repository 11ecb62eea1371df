"""What to do about what was found. Nothing here looks at a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from registry.hardware.budget import size_text
from registry.hardware.diagnosis import Device, Environment, Remedy
from registry.hardware.torch_sensor import ALLOCATOR

# torch keeps what it has freed, in pieces. Below this much, or this share of what it keeps, that is how it should be.
_CACHED_BYTES = 512 * 2**20
_CACHED_SHARE = 0.25
EXPANDABLE = "expandable_segments:True"
_CACHES = {"metal": "torch.mps", "xpu": "torch.xpu"}  # ROCm's is `torch.cuda` as well
# How to build llama.cpp for what torch or the driver see; what only llama.cpp sees, it has been built for.
_BUILDS = {
    "metal": "-DGGML_METAL=on",
    "rocm": "-DGGML_HIP=on",
    "xpu": "-DGGML_SYCL=on -DCMAKE_C_COMPILER=icx -DCMAKE_CXX_COMPILER=icpx",
}


class Found(NamedTuple):
    """What was found.

    Attributes:
        environment: What there is to run models with.
        devices: Main memory and the GPUs, with their risk.
        limit_bytes: Memory that a control group leaves to this process, where that is less than the machine has.
        hidden: Whether `CUDA_VISIBLE_DEVICES` hides every GPU from this process.
        missing: Packages of the extra `hardware` that are not installed.
    """

    environment: Environment
    devices: tuple[Device, ...]
    limit_bytes: int | None = None
    hidden: bool = False
    missing: frozenset[str] = frozenset()

    @property
    def gpus(self) -> tuple[Device, ...]:
        """The GPUs."""
        return tuple(device for device in self.devices if device.kind != "cpu")

    @property
    def tight(self) -> tuple[Device, ...]:
        """The devices that are near to running out of memory, the nearest first."""
        near = [device for device in self.devices if device.risk in ("medium", "high")]
        return tuple(sorted(near, key=lambda device: device.risk == "medium"))


def remedies_for(found: Found) -> tuple[Remedy, ...]:
    """Give what to do, the most urgent first: what is broken, then what frees most memory, then what is missing."""
    return tuple(remedy for rule in _RULES for remedy in rule(found))


def _broken(found: Found) -> Iterator[Remedy]:
    environment = found.environment
    for code, name, package in (
        ("repair_torch", "torch", environment.torch),
        ("repair_llama_cpp", "llama-cpp-python", environment.llama_cpp),
        ("repair_sentence_transformers", "sentence-transformers", environment.sentence_transformers),
        ("repair_unsloth", "unsloth", environment.unsloth),
    ):
        if package.installed and package.problem:
            anew = f" Install it anew, `pip install --force-reinstall --no-cache-dir {name}`."
            yield Remedy(code, f"{name} cannot be used: {package.problem}{'' if package.passing else anew}")
    if environment.driver.installed and environment.driver.problem:
        yield Remedy("repair_driver", f"{environment.driver.problem} Restart it, or install it anew.")


def _fragmented(found: Found) -> Iterator[Remedy]:
    kept = [gpu for gpu in found.gpus if is_fragmented(gpu)]
    if not kept:
        return
    names, cached = _names(kept), size_text(sum(gpu.cached_bytes for gpu in kept))
    calls = _and([f"`{home}.empty_cache()`" for home in sorted({_CACHES.get(gpu.kind, "torch.cuda") for gpu in kept})])
    text = f"torch keeps {cached} of {_and(names)} that no tensor uses. Give back what can be: {calls}."
    yield Remedy("empty_cache", text, names)
    in_pieces = [gpu for gpu in kept if has_segments(gpu)]
    if in_pieces and EXPANDABLE not in (found.environment.torch.allocator or ""):
        text = f"So much is kept when it is in pieces: set `{ALLOCATOR}={EXPANDABLE}` before the program starts."
        yield Remedy("expandable_segments", text, _names(in_pieces))


def is_fragmented(device: Device) -> bool:
    """True where torch keeps far more of a device than its tensors use."""
    return device.cached_bytes >= max(_CACHED_BYTES, int(_CACHED_SHARE * (device.reserved_bytes or 0)))


def has_segments(device: Device) -> bool:
    """True where torch's allocator for the device has segments that can grow; that for Metal has none."""
    return device.kind != "metal"


def _loaded(found: Found) -> Iterator[Remedy]:
    """What makes a model take less, where memory is short."""
    if not (tight := found.tight):
        return
    names = _names(tight)
    yield Remedy(
        "shorter_context",
        "Load with a shorter context (`context_length`): keys and values grow with it, in proportion.",
        names,
    )
    yield from _placed(found)
    yield Remedy(
        "smaller_quantization",
        "Take a smaller quantization of the model, such as Q4_K_M in place of Q8_0, or a smaller model: "
        "`registry select` names the largest that fits.",
        names,
    )
    if found.environment.llama_cpp.usable:
        yield Remedy(
            "kv_cache_type",
            "Keep keys and values in 8 bits: `--cache-type-k q8_0 --cache-type-v q8_0` of llama.cpp's own programs, "
            "`type_k=8, type_v=8, flash_attn=True` of `llama_cpp.Llama`. That nearly halves what a context takes.",
            names,
        )
    if found.environment.torch.usable and found.environment.sentence_transformers.usable:
        yield Remedy("smaller_batch", "Give encoders fewer tokens at once (`batch_size`).", names)


def _placed(found: Found) -> Iterator[Remedy]:
    """Move layers from where memory is short to where it is not."""
    if not found.environment.llama_cpp.gpu_offload:
        return
    own = [gpu for gpu in found.gpus if not gpu.unified]
    tight = [device for device in found.tight if device in own]
    roomy = [gpu for gpu in own if gpu.risk == "low"]
    main = next((device for device in found.devices if device.kind == "cpu"), None)
    if tight and main not in found.tight:
        text = "Leave layers in main memory: a smaller `gpu_layers`. `registry fit` says how many have room."
        yield Remedy("fewer_gpu_layers", text, _names(tight))
    elif main in found.tight and roomy:
        have = "has" if len(roomy) == 1 else "have"
        text = f"Put layers on {_and(_names(roomy))}, which {have} room: `gpu_layers`, -1 for all."
        yield Remedy("more_gpu_layers", text, (str(main and main.device),))


def _others(found: Found) -> Iterator[Remedy]:
    for device in found.tight:
        if device.total_bytes is None or device.free_bytes is None or device.unified:
            continue  # what is unified is said of main memory
        own = (device.allocated_bytes if device.kind == "cpu" else device.reserved_bytes) or 0
        others = device.total_bytes - device.free_bytes - own
        if others > device.total_bytes / 2:
            who = "`nvidia-smi` lists them" if device.kind == "cuda" else "end those that are not needed"
            also = "" if device.kind == "cpu" else ", or models outside torch,"
            text = f"Other programs{also} hold {size_text(others)} of {device.device}: {who}."
            yield Remedy("end_other_programs", text, (device.device,))
        elif (device.allocated_bytes or 0) > device.total_bytes / 2:
            held = size_text(device.allocated_bytes or 0)
            text = f"This process holds {held} of {device.device}: unload models that are not in use."
            yield Remedy("unload_models", text, (device.device,))


def _limited(found: Found) -> Iterator[Remedy]:
    if found.limit_bytes is not None and any(device.kind == "cpu" for device in found.tight):
        text = f"A control group leaves this process {size_text(found.limit_bytes)} of memory: raise that limit."
        yield Remedy("raise_memory_limit", text, ("cpu",))


def _idle_torch(found: Found) -> Iterator[Remedy]:
    """There is a GPU, and torch does not use it."""
    torch = found.environment.torch
    nvidia = [gpu for gpu in found.gpus if gpu.kind == "cuda"]
    if not torch.usable:
        return
    if not (torch.cuda_compiled or torch.hip_version) or (torch.hip_version and nvidia):
        # Torch uses Metal and Intel's GPUs without CUDA, and has no use for one that shares the main memory otherwise.
        idle = nvidia or [gpu for gpu in found.gpus if gpu.kind not in ("metal", "xpu") and not gpu.unified]
        if idle:
            built = "for ROCm" if torch.hip_version else "without CUDA"
            text = f"torch was built {built} and leaves the GPU idle: install it from https://pytorch.org/get-started."
            yield Remedy("install_torch_for_gpu", text, _names(idle))
    elif torch.cuda_available is False and not found.hidden:
        yield _unusable(found.environment, _names(nvidia))


def _unusable(environment: Environment, nvidia: tuple[str, ...]) -> Remedy:
    """Say why torch, which was built for GPUs, finds none."""
    built, runs, hip = environment.torch.cuda_version, environment.driver.cuda_version, environment.torch.hip_version
    if hip:
        text = (
            f"torch was built with ROCm {hip} and finds no GPU: is there one of AMD, and may this user open `/dev/kfd` "
            "and `/dev/dri/*`? `HIP_VISIBLE_DEVICES` and `ROCR_VISIBLE_DEVICES` hide GPUs as well."
        )
        return Remedy("find_gpu", text)
    if not nvidia:
        text = "torch was built with CUDA and finds no GPU: is there one, and a driver that is new enough for it?"
        return Remedy("find_gpu", text)
    if built and runs and _major(runs) >= _major(built):
        text = (
            f"torch was built with CUDA {built} and cannot use the GPU, though the driver runs CUDA {runs}: restart "
            "the driver or the machine, and see that this user may open `/dev/nvidia*`."
        )
        return Remedy("restart_driver", text, nvidia)
    most = f", and the driver runs CUDA {runs} at most" if runs else ""
    text = f"torch was built with CUDA {built} and cannot use the GPU{most}: install a newer driver."
    return Remedy("update_driver", text, nvidia)


def _idle_llama_cpp(found: Found) -> Iterator[Remedy]:
    """There is a GPU, and llama.cpp was built for none."""
    llama_cpp = found.environment.llama_cpp
    if found.gpus and llama_cpp.usable and llama_cpp.gpu_offload is False:
        arguments = _BUILDS.get(found.gpus[0].kind, "-DGGML_CUDA=on")
        build = f'`CMAKE_ARGS="{arguments}" pip install --force-reinstall --no-cache-dir llama-cpp-python`'
        text = f"llama.cpp was built without a GPU backend and leaves the GPU idle: build it anew, {build}."
        yield Remedy("build_llama_cpp_for_gpu", text, _names(found.gpus))


def _blind(found: Found) -> Iterator[Remedy]:
    """Something could not be measured."""
    unread = any(device.kind == "cpu" and device.free_bytes is None for device in found.devices)
    if unread and "psutil" in found.missing:
        text = "The memory of this machine is not known: install psutil, which the extra `hardware` brings."
        yield Remedy("install_psutil", text, ("cpu",))
    driver = found.environment.driver
    if driver.installed is None and driver.problem and "nvidia-ml-py" in found.missing and not found.gpus:
        text = "NVIDIA GPUs were not looked for: install nvidia-ml-py, which the extra `hardware` brings."
        yield Remedy("install_nvidia_ml_py", text)


def _major(version: str) -> int:
    """Give the first part of a version of CUDA: a driver runs all that share it, since 11."""
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _names(devices: Sequence[Device]) -> tuple[str, ...]:
    return tuple(device.device for device in devices)


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_RULES: tuple[Callable[[Found], Iterator[Remedy]], ...] = (
    _broken,
    _fragmented,
    _others,
    _limited,
    _loaded,
    _idle_torch,
    _idle_llama_cpp,
    _blind,
)
