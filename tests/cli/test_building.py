"""`registry generate`, `registry validate`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

for package in ("typer", "jinja2", "jsonschema_rs", "langcodes", "packaging"):
    pytest.importorskip(package)

Run = Callable[..., Any]


@pytest.fixture
def data(write_data: Callable[..., Path], embedding: dict[str, Any]) -> Path:
    return write_data(embedding)


def test_validate_counts_the_models(run: Run, data: Path) -> None:
    assert run("validate", data) == (0, f"{data}: 1 model, no errors\n", "")


def test_validate_of_wrong_data_is_code_1(run: Run, write_data: Callable[..., Path]) -> None:
    result = run("validate", write_data({"id": "x"}))

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1] == "1 error"


def test_validate_json_has_every_problem(run: Run, write_data: Callable[..., Path], embedding: dict[str, Any]) -> None:
    path = write_data(embedding | {"license": "no such license"})

    result = run("validate", path, "--json")

    (report,) = result.json["files"]
    assert (result.code, report["file"], report["models"]) == (1, str(path), None)
    assert [(found["line"], found["path"], found["severity"]) for found in report["problems"]] == [
        (1, "license", "error")
    ]


def test_validate_json_of_right_data_is_code_0(run: Run, data: Path) -> None:
    result = run("validate", data, "--json")

    assert (result.code, result.json) == (0, {"files": [{"file": str(data), "models": 1, "problems": []}]})


def test_validate_of_no_file_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "none.json"

    assert run("validate", path).err.splitlines()[0] == (
        f"{path}: expected a JSON file, got nothing: there is no such file"
    )
    assert run("validate", path, "--json").code == 1


def test_generate_writes_the_module(run: Run, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "acme" / "_registry.py"
    output.parent.mkdir()

    assert run("generate", data, "-o", output) == (0, f"{output}: written\n", "")
    assert "MODEL_REGISTRY" in output.read_text("utf-8")
    assert run("generate", data, "-o", output, "--check") == (0, f"{output}: up to date\n", "")


def test_generate_check_of_a_stale_module_is_code_1(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "_registry.py").write_text("")
    result = run("generate", data, "-o", tmp_path / "_registry.py", "--check", "--json")

    assert result.code == 1
    assert result.json == {"file": str(data), "output": str(tmp_path / "_registry.py"), "result": "stale"}


def test_generate_json_says_what_was_written(run: Run, data: Path, tmp_path: Path) -> None:
    result = run("generate", data, "-o", tmp_path / "_registry.py", "--json")

    assert (result.code, result.json["result"]) == (0, "written")


def test_generate_json_of_wrong_data_prints_nothing(run: Run, write_data: Callable[..., Path], tmp_path: Path) -> None:
    result = run("generate", write_data({"id": "x"}), "-o", tmp_path / "_registry.py", "--json")

    assert (result.code, json.loads(result.out)["result"]) == (1, "failed")


def test_generate_to_what_is_no_module_is_wrong_usage(run: Run, data: Path) -> None:
    result = run("generate", data, "-o", "foo")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[0] == (
        "error: Invalid value for --output: expected the path of a Python module, such as `src/acme/_registry.py`, "
        "got `foo`."
    )
