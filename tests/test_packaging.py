"""Real builds: of this package, and of a project of somebody else that uses the hook."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import install

pytestmark = pytest.mark.tools

Record = dict[str, Any]
GENERATED = ["registry/_registry.py", "registry/_registry.pyi", "registry/_registry_sources.py"]
TOUR = (
    "from registry import COLBERT_V2, MODEL_REGISTRY, get_model, get_sources\n"
    "print(COLBERT_V2 is get_model('colbert-v2'), len(MODEL_REGISTRY) >= 170, bool(get_sources('colbert-v2')))"
)


def _python(python: Path, code: str, **environment: str) -> str:
    command = [str(python), "-c", code]
    # -I would hide a PYTHONPATH of the caller too, but also the paths that an editable installation adds.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=python.parent).stdout


def _build(
    folder: Path, *options: str, python: str | Path = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "build", "--no-isolation", *options]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


# This package


def test_wheel_built_from_the_sdist_holds_everything(dist: Path) -> None:
    names = zipfile.ZipFile(next(dist.glob("*.whl"))).namelist()

    wanted = [
        *GENERATED,
        "registry/py.typed",
        "registry/queries.py",
        "registry_build/py.typed",
        "registry_build/models.schema.json",
        "registry_build/templates/registry.py.j2",
        "registry_build/templates/registry.pyi.j2",
        "registry_build/templates/models.md.j2",
    ]
    assert [name for name in wanted if name not in names] == []
    assert len(names) == len(set(names))
    assert {name.partition("/")[0] for name in names} == {
        "registry",
        "registry_build",
        "typed_model_registry-0.1.0.dist-info",
    }


def test_sdist_holds_what_building_and_testing_need(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    wanted = {"models.json", "schema/models.schema.json", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE"}
    wanted |= {"Makefile", "constraints.txt", "tests/conftest.py", *(f"src/{name}" for name in GENERATED)}
    assert wanted - names == set()


def test_wheel_requires_nothing_at_run_time(dist: Path) -> None:
    wheel = zipfile.ZipFile(next(dist.glob("*.whl")))
    metadata = wheel.read("typed_model_registry-0.1.0.dist-info/METADATA").decode()

    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    assert [line for line in required if "extra ==" not in line] == []


def test_wheel_names_the_command_and_the_hook_to_hatchling(dist: Path) -> None:
    wheel = zipfile.ZipFile(next(dist.glob("*.whl")))

    assert wheel.read("typed_model_registry-0.1.0.dist-info/entry_points.txt").decode() == (
        "[console_scripts]\nregistry = registry.cli:main\n\n[hatch]\nmodel-registry = registry_build.plugin\n"
    )


def test_installed_wheel_imports_and_answers(installed: Path) -> None:
    assert _python(installed, TOUR) == "True True True\n"


def test_installed_generator_finds_its_schema_and_templates(installed: Path, tmp_path: Path, embedding: Record) -> None:
    (tmp_path / "models.json").write_text(json.dumps({"version": "1.0", "models": [embedding]}))
    command = [str(installed), "-m", "registry_build", "generate", "models.json", "-o", "made.py"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "made.py: written\n", "")


def test_checkout_installs_with_pip(checkout: Path, make_environment: Callable[..., Path]) -> None:
    python = make_environment()

    install(python, str(checkout))

    assert _python(python, TOUR) == "True True True\n"


def test_checkout_installs_editable_and_follows_its_sources(
    checkout: Path, make_environment: Callable[..., Path]
) -> None:
    python = make_environment()

    install(python, "--editable", str(checkout))

    assert (checkout / "src" / "registry" / "_registry.py").is_file()
    where = _python(python, f"{TOUR}\nimport registry; print(registry.__file__)").splitlines()
    assert where == ["True True True", str(checkout / "src" / "registry" / "__init__.py")]


def test_bad_data_stop_the_build_with_the_problem_lines_only(checkout: Path) -> None:
    file = checkout / "models.json"
    data = json.loads(file.read_text("utf-8"))
    data["models"][0]["name"] = ""
    data["models"][0]["specs"]["embedding_dim"] = "128"
    file.write_text(json.dumps(data, indent=1), "utf-8")

    done = _build(checkout, "--wheel")

    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    problems = [line for line in (done.stdout + done.stderr).splitlines() if "models.json:" in line]
    assert [line.partition("models.json:")[2].partition(": ")[2] for line in problems] == [
        "colbert-v2: name: expected a non-empty string, got ``",
        "colbert-v2: specs.embedding_dim: expected a positive integer, got `128`",
    ]
    assert not list(checkout.rglob("*.whl"))


def test_build_without_hooks_gives_a_package_that_says_what_is_missing(
    checkout: Path, make_environment: Callable[..., Path]
) -> None:
    """`HATCH_BUILD_NO_HOOKS` is the builder's own choice: what comes out imports, and its first use names the cure."""
    done = _build(checkout, "--wheel", HATCH_BUILD_NO_HOOKS="1")
    wheels = list((checkout / "dist").glob("*.whl"))
    if done.returncode:  # better still
        assert wheels == []
        return

    python = make_environment(wheels[0])

    code = "try:\n    from registry import COLBERT_V2\nexcept ImportError as error:\n    print(error)"
    assert _python(python, code) == (
        "`registry._registry` is missing: it is generated when the package is built. "
        "Run `make generate`, or install the checkout with `pip install -e .`.\n"
    )


def test_build_without_hooks_ships_files_that_were_generated_before(checkout: Path) -> None:
    for name in GENERATED:
        (checkout / "src" / name).write_text("# @generated by registry_build from models.json\n")

    done = _build(checkout, "--wheel", HATCH_BUILD_NO_HOOKS="1")

    assert done.returncode == 0
    names = zipfile.ZipFile(next((checkout / "dist").glob("*.whl"))).namelist()
    assert set(GENERATED) <= set(names)


# A project of somebody else

PYPROJECT = """
[build-system]
requires = ["hatchling", "typed-model-registry[build]"]
build-backend = "hatchling.build"

[project]
name = "acme-models"
version = "1.0"
dependencies = ["typed-model-registry"]

[tool.hatch.build.targets.wheel]
packages = ["src/acme"]

[tool.hatch.build.hooks.model-registry]
source = "data/models.json"
target = "src/acme/_registry.py"
"""
USER = """
from typing import assert_type

from acme import ACME_ONE, get_model
from acme._registry import MODEL_REGISTRY as OWN
from registry import MODEL_REGISTRY, ChatModel, ModelConfig, MultiVectorModel, combine

assert_type(ACME_ONE, MultiVectorModel)
assert_type(get_model("acme-chat"), ChatModel)
both = combine(MODEL_REGISTRY, OWN)
print(ACME_ONE is get_model("acme-one"), ACME_ONE.embedding_dim, both["acme-chat"].id, len(both) - len(MODEL_REGISTRY))
print(ModelConfig.from_registry(ACME_ONE))
"""


@pytest.fixture
def acme(tmp_path: Path, embedding: Record, chat: Record) -> Path:
    folder = tmp_path / "acme-models"
    (folder / "data").mkdir(parents=True)
    (folder / "src" / "acme").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / ".gitignore").write_text("_registry*\n")
    (folder / "src" / "acme" / "__init__.py").write_text(
        "from acme._registry import ACME_ONE as ACME_ONE\nfrom acme._registry import get_model as get_model\n"
    )
    (folder / "src" / "acme" / "py.typed").touch()
    models = [embedding | {"id": "acme-one"}, chat | {"id": "acme-chat", "aliases": []}]
    (folder / "data" / "models.json").write_text(json.dumps({"version": "1.0", "models": models}, indent=1))
    return folder


def test_project_with_the_hook_builds_installs_runs_and_type_checks(
    acme: Path, dist: Path, make_environment: Callable[..., Path], tmp_path: Path
) -> None:
    python = make_environment(next(dist.glob("*.whl")))

    done = _build(acme, python=python)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = next((acme / "dist").glob("*.whl"))
    install(python, str(wheel))
    user = tmp_path / "user.py"
    user.write_text(USER)

    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("acme/")}
    assert shipped == {
        f"acme/{name}" for name in ("__init__.py", "py.typed", *(g.rpartition("/")[2] for g in GENERATED))
    }
    assert _python(python, user.read_text()).splitlines() == [
        "True 128 acme-chat 2",
        "ModelConfig(huggingface_id='org/new-model', embedding_dim=128, context_length=512)",
    ]
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), str(user)]
    checked = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.stdout == "Success: no issues found in 1 source file\n"


@pytest.mark.parametrize("option", ["source", "target"])
def test_project_with_an_option_missing_gets_one_clear_line(option: str, acme: Path, installed: Path) -> None:
    text = (acme / "pyproject.toml").read_text()
    (acme / "pyproject.toml").write_text("".join(line for line in text.splitlines(True) if not line.startswith(option)))

    done = _build(acme, "--wheel", python=installed)

    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert [line for line in (done.stdout + done.stderr).splitlines() if "Option" in line] == [
        (
            f"Option `{option}` of build hook `model-registry` must be a path, got None. "
            "Set it in `[tool.hatch.build.hooks.model-registry]`."
        )
    ]


def test_project_with_bad_data_gets_the_problem_lines_only(acme: Path, installed: Path) -> None:
    file = acme / "data" / "models.json"
    file.write_text(file.read_text().replace('"embedding_dim": 128', '"embedding_dim": true'))

    done = _build(acme, "--wheel", python=installed)

    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert "acme-one: specs.embedding_dim: expected a positive integer, got true" in done.stdout + done.stderr
