"""The processor: cores that may be used, and features."""

import os
import platform
from pathlib import Path

import pytest

from registry.hardware import cpu
from registry.hardware.cpu import features_in, probe_cpu, usable_cores
from registry.hardware.machine import Cpu
from tests.hardware.system import files

X86 = """\
processor	: 0
model name	: AMD EPYC 9R14
flags		: fpu sse4_2 avx avx2 fma f16c avx512f avx512_bf16 amx_tile amx_bf16 unheard_of
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp bf16 i8mm sve\nCPU part\t: 0xd4f\n"


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3}, raising=False)


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.0, 2), (2.5, 3), (0.5, 1), (64.0, 4)])
@pytest.mark.usefixtures("affinity")
def test_usable_cores_are_those_of_affinity_and_quota(
    quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpu_quota", lambda: quota)

    assert usable_cores() == cores


def test_usable_cores_without_affinity_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(cpu, "cpu_quota", lambda: None)

    assert usable_cores() == 6


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (X86, ("AMX", "AMX-BF16", "AVX", "AVX2", "AVX512", "AVX512-BF16", "F16C", "FMA", "SSE4.2")),
        (ARM, ("BF16", "DOTPROD", "I8MM", "NEON", "SVE")),
        ("rubbish", ()),
    ],
)
def test_features_are_those_that_people_know_by_name(text: str, features: tuple[str, ...]) -> None:
    assert features_in(text) == features


def test_processor_is_described_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    files(tmp_path, {"cpuinfo": X86})

    assert probe_cpu(physical=96, usable=8, proc=tmp_path) == Cpu("AMD EPYC 9R14", "x86_64", 96, 8, features_in(X86))


def test_processor_without_a_file_has_no_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(platform, "processor", lambda: "AMD64 Family 25")
    cpu._sysctl.cache_clear()

    assert probe_cpu(physical=None, usable=8, proc=tmp_path) == Cpu("AMD64 Family 25", "AMD64", None, 8, ())


def test_processor_of_apple_is_described_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"machdep.cpu.brand_string": "Apple M4", "hw.optional.neon": "1", "hw.optional.arm.feat_i8mm": "1"}
    monkeypatch.setattr(cpu, "_sysctl", lambda: told | {"hw.optional.arm.feat_sme": "0"})
    monkeypatch.setattr(platform, "machine", lambda: "arm64")

    assert probe_cpu(physical=10, usable=10, proc=tmp_path) == Cpu("Apple M4", "arm64", 10, 10, ("I8MM", "NEON"))
