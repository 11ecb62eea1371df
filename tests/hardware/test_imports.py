"""What importing and looking at records costs: no third-party package."""

import subprocess
import sys
from importlib import import_module

import pytest

_CODE = """\
import sys
{}
print(*sorted({{"gguf", "numpy", "psutil", "pynvml"}} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import registry.hardware", ""),
        ("from registry.hardware import usable_cores\nusable_cores()", ""),
        ("from registry.hardware import estimate\nestimate('qwen2.5-coder-7b-q5_k_m', context_length=8192)", ""),
    ],
    ids=["import", "cores", "record"],
)
def test_third_party_packages_are_imported_when_they_are_needed(code: str, expected: str) -> None:
    found = subprocess.check_output([sys.executable, "-c", _CODE.format(code)], text=True)

    assert found.strip() == expected


def test_names_are_functions_and_not_the_modules_they_come_from() -> None:
    for module in ("_estimate", "_probe"):
        import_module(f"registry.hardware.{module}")
    from registry.hardware import estimate, probe

    assert callable(estimate)
    assert callable(probe)
