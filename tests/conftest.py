"""Fixtures that several test files share, and the marker of the tests that need developer tools."""

import copy
import functools
import importlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

# The machine decides how long an example takes, and the same examples every time make a failure repeatable.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("project")

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests" / "build" / "cases"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tools: needs mypy, basedpyright, ruff, build or pip; slow")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    # pytest passes over folders named `build`; the one here holds the tests of registry_build.
    return False if collection_path == ROOT / "tests" / "build" else None


def _record(case: str) -> dict[str, Any]:
    return json.loads((CASES / case / "models.json").read_text("utf-8"))["models"][0]


_EMBEDDING = _record("design_example")
_CHAT = _record("every_field_chat")
_RERANKER = _record("reranker_only")


@pytest.fixture
def embedding() -> dict[str, Any]:
    """The embedding record of docs/design.md."""
    return copy.deepcopy(_EMBEDDING)


@pytest.fixture
def chat() -> dict[str, Any]:
    """A chat record with every field, the default one."""
    return copy.deepcopy(_CHAT)


@pytest.fixture
def reranker() -> dict[str, Any]:
    return copy.deepcopy(_RERANKER)


def put(record: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Give a copy of a record with another value at a dotted path; `...` as the value takes the key away."""
    made = copy.deepcopy(record)
    *steps, last = path.split(".")
    place = made
    for step in steps:
        place = place.setdefault(step, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return made


@pytest.fixture(name="put")
def put_fixture() -> Callable[..., dict[str, Any]]:
    return put


@pytest.fixture
def write_data(tmp_path: Path) -> Callable[..., Path]:
    """Write a models.json with these records."""

    def write(*records: object, **top: object) -> Path:
        path = tmp_path / "models.json"
        path.write_text(json.dumps({"version": "1.0", "models": records} | top), "utf-8")
        return path

    return write


@functools.cache
def schema() -> dict[str, Any]:
    """The schema of this package, read once: reading it checks it, and that is slow."""
    from registry_build.schema import load_schema

    return load_schema()


@pytest.fixture
def problems(write_data: Callable[..., Path]) -> Callable[..., list[str]]:
    """Give the problem lines of a models.json with these records; the file is named without its folder."""
    from registry_build.source import read
    from registry_build.validate import validate

    def find(*records: object, **top: object) -> list[str]:
        path = write_data(*records, **top)
        return [str(problem).replace(f"{path}:1: ", "", 1) for problem in validate(read(path), [schema()])]

    return find


@pytest.fixture
def generate(write_data: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., ModuleType]]:
    """Generate a registry of these records into a package of its own and import it."""
    from registry_build.emit import emit
    from registry_build.output import write
    from registry_build.plan import plan
    from registry_build.source import read
    from registry_build.validate import validate

    numbers = itertools.count()
    here = f"made_{tmp_path.name.replace('-', '_')}"
    sys.path.insert(0, str(tmp_path))

    def make(*records: object, **top: object) -> ModuleType:
        package = f"{here}_{next(numbers)}"
        source = read(write_data(*records, **top))
        assert validate(source, [schema()]) == []
        write(emit(plan(source)), tmp_path / package)
        (tmp_path / package / "__init__.py").touch()
        importlib.invalidate_caches()
        return importlib.import_module(f"{package}._registry")

    yield make
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith(here)]:
        del sys.modules[name]


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Run a piece of Python in a fresh process and give what it prints."""

    def run(code: str, *options: str, **environment: str) -> str:
        command = [sys.executable, *options, "-c", code]
        env = os.environ | environment
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout

    return run


# A built and installed copy of the project, for the tests marked `tools`.


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a fresh clone holds: no generated file."""
    return _copy_checkout(tmp_path / "checkout")


def _copy_checkout(folder: Path) -> Path:
    left_out = (".*", "__pycache__", "_registry*", "dist", "benchmarks", "cases", "*.egg-info")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*left_out))
    return folder


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist, and the wheel that was built from it."""
    folder = _copy_checkout(tmp_path_factory.mktemp("project") / "checkout")
    command = [sys.executable, "-m", "build", "--no-isolation"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "dist"


@pytest.fixture(scope="session")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh virtual environment with the wheel in it, and the packages that building needs."""
    return make_environment(tmp_path_factory.mktemp("environment") / "venv", next(dist.glob("*.whl")))


def make_environment(folder: Path, wheel: Path | None = None) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    where = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    purelib = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    # What building needs comes from the environment that runs the tests, after everything of this one. No network.
    here = importlib.import_module("hatchling").__path__[0]
    (purelib / "zz_build_requirements.pth").write_text(str(Path(here).parent))
    if wheel is not None:
        install(python, str(wheel))
    return python


@pytest.fixture(name="make_environment")
def make_environment_fixture(tmp_path: Path) -> Callable[..., Path]:
    return lambda wheel=None: make_environment(tmp_path / "venv", wheel)


def install(python: Path, *what: str) -> subprocess.CompletedProcess[str]:
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--force-reinstall")
    command = [str(python), "-m", "pip", "install", *options, *what]
    return subprocess.run(command, capture_output=True, text=True, check=True)
