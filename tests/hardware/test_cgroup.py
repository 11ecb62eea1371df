"""Limits of control groups, of both versions, from made-up folders."""

from pathlib import Path

import pytest

from registry.hardware.cgroup import MemoryLimit, cpu_quota, memory_limits
from tests.hardware.system import files


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path / "proc"


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    return tmp_path / "sys"


def test_version_2_limit_counts_without_file_cache_that_can_be_dropped(proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "0::/job\n"})
    stat = "anon 500\nactive_file 100\ninactive_file 200\nfile_dirty 50\n"
    files(sys, {"job/memory.max": "4000\n", "job/memory.current": "900\n", "job/memory.stat": stat})

    (found,) = memory_limits(proc, sys)

    assert found == MemoryLimit(4000, 650)
    assert found.free_bytes == 3350


def test_groups_around_this_one_limit_it_too(proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "0::/outer/inner\n"})
    files(sys, {"outer/inner/memory.max": "max\n", "outer/inner/memory.current": "900\n"})
    files(sys, {"outer/memory.max": "1000\n", "outer/memory.current": "950\n"})

    assert memory_limits(proc, sys) == (MemoryLimit(1000, 950),)


def test_group_that_uses_more_than_its_limit_has_nothing_left() -> None:
    assert MemoryLimit(1000, 1200).free_bytes == 0


def test_group_of_a_container_is_found_at_the_root(proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "0::/docker/0123abc\n"})
    files(sys, {"memory.max": "2000\n", "memory.current": "100\n"})

    assert memory_limits(proc, sys) == (MemoryLimit(2000, 100),)


def test_version_1_limit_counts_groups_inside(proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "9:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/job\n"})
    stat = "inactive_file 1\ntotal_inactive_file 200\ntotal_active_file 0\n"
    names = {"memory.limit_in_bytes": "3000\n", "memory.usage_in_bytes": "900\n", "memory.stat": stat}
    files(sys / "memory/job", names)

    assert memory_limits(proc, sys) == (MemoryLimit(3000, 700),)


def test_version_1_largest_number_is_no_limit(proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "9:memory:/\n"})
    files(sys / "memory", {"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "900\n"})

    assert memory_limits(proc, sys) == ()


def test_path_of_a_group_does_not_lead_out_of_the_folder(proc: Path, sys: Path, tmp_path: Path) -> None:
    files(proc, {"self/cgroup": "0::/../other\n"})
    files(tmp_path / "other", {"memory.max": "1\n", "memory.current": "1\n"})
    sys.mkdir()

    assert memory_limits(proc, sys) == ()


def test_system_without_groups_has_no_limits(proc: Path, sys: Path) -> None:
    assert (memory_limits(proc, sys), cpu_quota(proc, sys)) == ((), None)


@pytest.mark.parametrize(
    ("stated", "cores"), [("150000 100000", 1.5), ("max 100000", None), ("rubbish", None), ("", None)]
)
def test_version_2_quota_is_cores(stated: str, cores: float | None, proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "0::/job\n"})
    files(sys, {"job/cpu.max": f"{stated}\n"})

    assert cpu_quota(proc, sys) == cores


@pytest.mark.parametrize(("stated", "cores"), [("250000", 2.5), ("-1", None)])
def test_version_1_quota_is_cores(stated: str, cores: float | None, proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "3:cpu,cpuacct:/job\n"})
    files(sys / "cpu,cpuacct/job", {"cpu.cfs_quota_us": f"{stated}\n", "cpu.cfs_period_us": "100000\n"})

    assert cpu_quota(proc, sys) == cores


def test_tightest_quota_holds(proc: Path, sys: Path) -> None:
    files(proc, {"self/cgroup": "0::/outer/inner\n"})
    files(sys, {"outer/inner/cpu.max": "400000 100000\n", "outer/cpu.max": "200000 100000\n"})

    assert cpu_quota(proc, sys) == 2.0
