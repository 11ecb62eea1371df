"""The hatchling hook in process. Real builds with it: tests/test_packaging.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hatchling.bridge.app import Application
from hatchling.builders.wheel import WheelBuilder

from registry_build.plugin import ModelRegistryHook, hatch_register_build_hook

Record = dict[str, Any]
OPTIONS = {"source": "models.json", "target": "src/acme/_registry.py"}


@pytest.fixture
def root(tmp_path: Path, embedding: Record) -> Path:
    (tmp_path / "models.json").write_text(json.dumps({"version": "1.0", "models": [embedding]}))
    return tmp_path


@pytest.fixture
def run(root: Path) -> Callable[..., dict[str, Any]]:
    """Run the hook with these options and give the build data it leaves."""

    def initialize(**options: object) -> dict[str, Any]:
        builder = WheelBuilder(str(root))
        hook = ModelRegistryHook(str(root), options, builder.config, None, str(root / "dist"), "wheel", Application())
        data: dict[str, Any] = {"artifacts": ["/kept"], "force_include": {}}
        hook.initialize("standard", data)
        return data

    return initialize


def test_hook_is_registered_under_its_name() -> None:
    assert hatch_register_build_hook() is ModelRegistryHook
    assert ModelRegistryHook.PLUGIN_NAME == "model-registry"


def test_hook_generates_and_ships_every_file(run: Callable[..., dict[str, Any]], root: Path) -> None:
    data = run(**OPTIONS)

    names = ["_registry.py", "_registry.pyi", "_registry_sources.py"]
    assert data["artifacts"] == ["/kept", *(f"/src/acme/{name}" for name in names)]
    assert sorted(path.name for path in (root / "src" / "acme").iterdir()) == names


def test_hook_with_bad_data_stops_with_the_problem_lines_only(
    run: Callable[..., dict[str, Any]],
    root: Path,
    embedding: Record,
    put: Callable[..., Record],
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = put(embedding, "specs.embedding_dim", True) | {"name": ""}
    (root / "models.json").write_text(json.dumps({"version": "1.0", "models": [record]}, indent=1))

    with pytest.raises(SystemExit) as caught:
        run(**OPTIONS)

    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "models.json:7: new-model: name: expected a non-empty string, got ``\n"
        "models.json:19: new-model: specs.embedding_dim: expected a positive integer, got true\n"
    )
    assert not (root / "src").exists()


def test_hook_with_doubtful_data_warns_and_goes_on(
    run: Callable[..., dict[str, Any]], root: Path, embedding: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles = {"p": {"models": {"r": {"name": "x", "provider": "y"}}}}
    (root / "models.json").write_text(json.dumps({"version": "1.0", "models": [embedding], "profiles": profiles}))

    run(**OPTIONS)

    assert "warning: profiles.p.models.r.provider: expected" in capsys.readouterr().err
    assert (root / "src" / "acme" / "_registry.py").is_file()


@pytest.mark.parametrize("option", ["source", "target"])
@pytest.mark.parametrize("value", [None, "", 7, ["a"]])
def test_hook_with_a_missing_option_says_which_and_where(
    option: str, value: object, run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(**OPTIONS | {option: value})

    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        f"Option `{option}` of build hook `model-registry` must be a path, got {value!r}. "
        "Set it in `[tool.hatch.build.hooks.model-registry]`.\n"
    )


@pytest.mark.parametrize("target", ["src/acme", "src/acme/registry.txt", "src/my-registry.py"])
def test_hook_with_a_target_that_is_no_module_says_so(
    target: str, run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(**OPTIONS | {"target": target})

    assert capsys.readouterr().err == (
        f"Option `target` of build hook `model-registry` must be a Python module, got {target!r}. "
        "Set it in `[tool.hatch.build.hooks.model-registry]`.\n"
    )


def test_hook_with_a_target_outside_the_project_says_so(
    run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(**OPTIONS | {"target": "../outside_registry.py"})

    assert caught.value.code == 1
    assert "Option `target` of build hook `model-registry`" in capsys.readouterr().err


def test_hook_with_a_folder_that_is_a_file_says_so(
    run: Callable[..., dict[str, Any]], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "file").touch()

    with pytest.raises(SystemExit) as caught:
        run(**OPTIONS | {"target": "file/_registry.py"})

    assert caught.value.code == 1
    assert "Not a directory" in capsys.readouterr().err


def test_hook_with_a_schema_uses_it(
    run: Callable[..., dict[str, Any]], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(**OPTIONS, schema="none.json")

    assert capsys.readouterr().err == "none.json: expected a JSON Schema: No such file or directory\n"


def test_hook_with_a_roundabout_target_ships_what_it_writes(run: Callable[..., dict[str, Any]]) -> None:
    made = run(**OPTIONS | {"target": "src/other/../acme/_registry.py"})

    assert "/src/acme/_registry.py" in made["artifacts"]


def test_hook_with_an_unknown_option_says_which_there_are(
    run: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(**OPTIONS | {"schmea": "s.json"})

    assert capsys.readouterr().err == (
        "Build hook `model-registry` has no option `schmea`: its options are `source`, `target` and `schema`.\n"
    )


def test_hook_leaves_options_of_hatchling_alone(run: Callable[..., dict[str, Any]]) -> None:
    assert run(**OPTIONS | {"dependencies": [], "enable-by-default": True})["artifacts"]
