"""`registry diagnose`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._errors import FAILED, in_options, say
from registry.cli._options import Json
from registry.cli._output import Column, heading, show_facts, show_json, show_table, size

if TYPE_CHECKING:
    from registry.hardware.diagnosis import Diagnosis, Driver, LlamaCpp, Package, Python, Thresholds, Torch, Unsloth


def diagnose(
    all_devices: Annotated[
        bool, typer.Option("--all-devices", help="Also GPUs that CUDA_VISIBLE_DEVICES hides from this process.")
    ] = False,
    no_cuda: Annotated[
        bool, typer.Option("--no-cuda", help="Ask no GPU, no driver, and nothing that would wake one.")
    ] = False,
    min_free_gib: Annotated[
        float | None, typer.Option(metavar="N", help="GiB that must be free of each device. Left out: 1.")
    ] = None,
    min_free_ratio: Annotated[
        float | None,
        typer.Option(metavar="R", help="Share that must be free, 0 to 1, if that is more. Left out: 0.05."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Re-apply what can be: caches, settings of the allocator, unsloth's patch.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what is there to run models with, and what is wrong with it.

    Versions and places of Python, torch, llama.cpp, sentence-transformers, unsloth and the driver; memory of each
    device, how near it is to its end, and what to do. Less free than the thresholds is a high risk, and the exit code
    is 1; less than twice as much is a medium one. Needs neither a GPU nor torch. Columns: device, name, kind, total,
    free, reserved and allocated by this process, share in use, wanted free, risk, whether it shares the main memory,
    the driver's own name for it.

    Examples:
        registry diagnose
        registry diagnose --min-free-gib 4 --json | jq -r ".remedies[].text"
    """
    from registry.hardware import diagnose as look

    found = look(
        all_devices=all_devices,
        cuda=not no_cuda,
        min_free_gib=min_free_gib,
        min_free_ratio=min_free_ratio,
        force=force,
    )
    if json:
        show_json(found.to_dict())
    else:
        _show(found)
    if found.risk == "high":
        raise typer.Exit(FAILED)


def _show(found: Diagnosis) -> None:
    environment = found.environment
    show_facts(
        {
            "python": _python(environment.python),
            "registry": _package(environment.registry),
            "torch": _torch(environment.torch),
            "llama.cpp": _llama_cpp(environment.llama_cpp),
            "built with": _built_with(environment.llama_cpp),
            "sentence-transformers": _package(environment.sentence_transformers),
            "unsloth": _unsloth(environment.unsloth),
            "driver": _driver(environment.driver),
        }
    )
    _show_devices(found)
    show_facts({"risk": found.risk, "wanted free": _wanted(found.thresholds)})
    if found.remedies:
        heading("What to do")
        remedies = [(each.code, each.devices, in_options(each.text)) for each in found.remedies]
        show_table((Column("Remedy"), Column("For", rank=1), Column("What", wraps=True)), remedies, headed=True)
    if found.applied:
        heading("Re-applied")
        applied = [(each.code, each.done, each.text) for each in found.applied]
        show_table((Column("What"), Column("Done"), Column("Result", wraps=True)), applied, headed=True)
    for note in found.notes:
        say("note", note)


def _show_devices(found: Diagnosis) -> None:
    heading("Memory")
    columns = (
        Column("Device"),
        Column("Name", rank=2, wraps=True),
        Column("Kind", rank=3),
        *(Column(title, right=True, shown=size) for title in ("Total", "Free")),
        *(Column(title, right=True, rank=1, shown=size) for title in ("Reserved", "Allocated")),
        Column("In use", right=True, shown=_percent),
        Column("Wanted free", right=True, rank=1, shown=size),
        Column("Risk"),
        Column("Unified", rank=4),
        Column("UUID", rank=5),
    )
    rows = [
        (
            each.device,
            each.name,
            each.kind,
            each.total_bytes,
            each.free_bytes,
            each.reserved_bytes,
            each.allocated_bytes,
            each.utilisation,
            each.wanted_bytes,
            each.risk,
            each.unified,
            each.uuid,
        )
        for each in found.devices
    ]
    show_table(columns, rows, headed=True)


def _wanted(thresholds: Thresholds) -> str:
    return (
        f"{thresholds.min_free_gib:g} GiB of each device, or {thresholds.min_free_ratio:.4g} of it where that is more"
    )


def _python(python: Python) -> str:
    kind = "virtual environment" if python.virtual else "environment"
    return f"{python.implementation} {python.version}, {python.executable}, {kind} {python.prefix}"


def _package(package: Package, *more: str | None) -> str:
    if not package.installed:
        return "not installed"
    stated = (package.version or "version unknown", *more, package.path, package.problem)
    return ", ".join(filter(None, stated))


def _torch(torch: Torch) -> str:
    if torch.problem or not torch.installed:
        return _package(torch)
    built = f"ROCm {torch.hip_version}" if torch.hip_version else torch.cuda_version and f"CUDA {torch.cuda_version}"
    return _package(
        torch,
        f"built with {built}" if built else "built without CUDA",
        f"for {' '.join(torch.gpu_architectures)}" if torch.gpu_architectures else None,
        f"cuDNN {torch.cudnn_version}" if torch.cudnn_version else None,
        {True: "GPU usable", False: "no usable GPU", None: None}[torch.cuda_available],
        torch.allocator,
    )


def _llama_cpp(found: LlamaCpp) -> str:
    gpu = {True: "with a GPU backend", False: "without a GPU backend", None: None}[found.gpu_offload]
    commit = f" ({found.ggml_commit})" if found.ggml_commit else ""
    return _package(found, f"ggml {found.ggml_version}{commit}" if found.ggml_version else None, gpu)


def _built_with(found: LlamaCpp) -> Iterable[str]:
    flags = [f"{name}: {' '.join(_flag(*flag) for flag in each.items())}" for name, each in found.build_flags.items()]
    return (*flags, *([f"libraries: {' '.join(found.libraries)}"] if found.libraries else []))


def _flag(name: str, value: str) -> str:
    return name if value == "1" else f"{name}={value}"


def _unsloth(unsloth: Unsloth) -> str:
    patched = {True: "patch in place", False: "no model patched", None: None}[unsloth.patched]
    return _package(unsloth, "imported" if unsloth.imported else "not imported", patched)


def _driver(driver: Driver) -> str:
    if driver.version is None:
        return driver.problem or ("not asked" if driver.installed is None else "none")
    stated = (driver.version, f"runs CUDA {driver.cuda_version}", driver.path)
    return ", ".join(filter(None, stated))


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"
