"""The processor: how many cores this process may use, and what they can do. Standard library only."""

from __future__ import annotations

import os
import platform
import re
from functools import lru_cache
from pathlib import Path

from registry.hardware.cgroup import cpu_quota
from registry.hardware.machine import Cpu

# Flag of /proc/cpuinfo or of sysctl -> the name that people know it by. Those that inference libraries ask for.
_FEATURES = {
    "sse4_2": "SSE4.2",
    "avx": "AVX",
    "avx2": "AVX2",
    "f16c": "F16C",
    "fma": "FMA",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX512",
    "avx512bw": "AVX512-BW",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "amx_tile": "AMX",
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
    "asimd": "NEON",
    "neon": "NEON",
    "asimddp": "DOTPROD",
    "asimdhp": "FP16",
    "bf16": "BF16",
    "i8mm": "I8MM",
    "sve": "SVE",
    "sve2": "SVE2",
    "sme": "SME",
    "vsx": "VSX",
    "hw.optional.neon": "NEON",
    "hw.optional.arm.feat_dotprod": "DOTPROD",
    "hw.optional.arm.feat_fp16": "FP16",
    "hw.optional.arm.feat_bf16": "BF16",
    "hw.optional.arm.feat_i8mm": "I8MM",
    "hw.optional.arm.feat_sme": "SME",
    "hw.optional.avx2_0": "AVX2",
    "hw.optional.avx512f": "AVX512",
}


def usable_cores() -> int:
    """Give the number of cores that this process may use: its affinity, and the quota of its cgroup.

    A quota of 2.5 cores counts as 3: with 2 threads half a core would lie idle.
    """
    quota = cpu_quota()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if quota is None else max(1, min(cores, -int(-quota // 1)))


def probe_cpu(*, physical: int | None, usable: int | None = None, proc: Path = Path("/proc")) -> Cpu:
    """Look at the processor.

    Args:
        physical: Cores without those that hyper-threading adds, where that is known.
        usable: Cores that this process may use, in place of those that are found.
        proc: The process file system, `/proc`.
    """
    text = _cpuinfo(proc)
    return Cpu(
        name=_name(text),
        architecture=platform.machine(),
        physical_cores=physical,
        usable_cores=usable_cores() if usable is None else usable,
        features=features_in(text) if text else _features_of_darwin(),
    )


@lru_cache(maxsize=1)
def local_features() -> tuple[str, ...]:
    """Give the features of this machine's processor."""
    text = _cpuinfo(Path("/proc"))
    return features_in(text) if text else _features_of_darwin()


def features_in(cpuinfo: str) -> tuple[str, ...]:
    """Give the features in the text of /proc/cpuinfo."""
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = line[1].split() if line else []
    return tuple(sorted({_FEATURES[flag] for flag in flags if flag in _FEATURES}))


def _cpuinfo(proc: Path) -> str:
    try:
        return (proc / "cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return ""


def _name(cpuinfo: str) -> str | None:
    if found := re.search(r"^(?:model name|cpu model|Model)\s*:\s*(\S.*)$", cpuinfo, re.MULTILINE):
        return found[1].strip()
    stated = _sysctl().get("machdep.cpu.brand_string") or platform.processor()
    return stated if stated and stated != platform.machine() else None


def _features_of_darwin() -> tuple[str, ...]:
    stated = _sysctl()
    return tuple(sorted({name for key, name in _FEATURES.items() if stated.get(key) == "1"}))


@lru_cache(maxsize=1)
def _sysctl() -> dict[str, str]:
    """Read what macOS says about its processor; nothing elsewhere."""
    if platform.system() != "Darwin":
        return {}
    import subprocess

    try:
        run = subprocess.run(
            ["/usr/sbin/sysctl", "machdep.cpu", "hw.optional"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition(": ") for line in run.stdout.splitlines())
    return {key.lower(): value.strip() for key, _, value in pairs}
