"""The same data give the same bytes, wherever and however they are compiled."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry_build import build

ROOT = Path(__file__).parents[1]
CASE = Path(__file__).parent / "build" / "cases" / "every_field_embedding"
DATA = json.loads((CASE / "models.json").read_text("utf-8"))


def _generated(
    source: Path, out: Path, *, python: str = sys.executable, cwd: Path, **environment: str
) -> dict[str, str]:
    """Generate in a process of its own and give name -> digest of every file."""
    arguments = ["-m", "registry_build", "generate", str(source), "-o", str(out / "_registry.py")]
    subprocess.run([python, *arguments], cwd=cwd, env=os.environ | environment, check=True, capture_output=True)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """What this process makes of the case."""
    return dict(build(CASE / "models.json")[0])


@pytest.fixture(scope="module")
def wanted(texts: dict[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())}


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "0"},
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "4294967295"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONUTF8": "1", "TZ": "Asia/Tokyo", "HOME": "/nonexistent"},
    ],
    ids=str,
)
def test_output_is_the_same_in_any_environment(
    environment: dict[str, str], wanted: dict[str, str], tmp_path: Path
) -> None:
    assert _generated(CASE / "models.json", tmp_path / "out", cwd=tmp_path, **environment) == wanted


def test_output_is_the_same_from_any_folder(wanted: dict[str, str], tmp_path: Path) -> None:
    source = Path("cases", "every_field_embedding", "models.json")

    assert _generated(source, tmp_path / "out", cwd=CASE.parents[1]) == wanted


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(DATA, indent=4).encode(),
        json.dumps(DATA, indent=1).replace("\n", "\r\n").encode(),
        json.dumps(DATA, ensure_ascii=False, separators=(",", ":")).encode(),
        json.dumps(_turned(DATA)).encode(),
        json.dumps(DATA, sort_keys=True).encode(),
    ],
    ids=["indented", "CRLF", "compact", "keys the other way round", "keys sorted"],
)
def test_output_is_the_same_for_any_layout_of_the_same_values(
    content: bytes, texts: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "models.json").write_bytes(content)

    files, _ = build(tmp_path / "models.json")

    assert files == texts


def test_output_for_other_values_differs(texts: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(json.dumps(DATA | {"version": "1.1"}))

    files, _ = build(tmp_path / "models.json")

    assert [name for name in files if files[name] == texts[name]] == []


def test_generated_files_of_this_package_are_fresh() -> None:
    files, _ = build(ROOT / "models.json")

    stale = [name for name, text in files.items() if (ROOT / "src" / "registry" / name).read_bytes() != text.encode()]
    assert stale == []


def _other_pythons() -> Iterator[Path]:
    """The environments that tests/other_pythons.sh makes."""
    yield from sorted(ROOT.glob(".venv-3.*/bin/python"))


@pytest.mark.parametrize(
    "python",
    [*_other_pythons()] or [pytest.param(None, marks=pytest.mark.skip("no other Python"))],
    ids=lambda python: python and python.parents[1].name,
)
def test_output_is_the_same_on_every_python(python: Path, wanted: dict[str, str], tmp_path: Path) -> None:
    # What is installed there can be older than the checkout; its dependencies are what is needed.
    source = str(ROOT / "src")

    assert (
        _generated(CASE / "models.json", tmp_path / "out", python=str(python), cwd=tmp_path, PYTHONPATH=source)
        == wanted
    )
