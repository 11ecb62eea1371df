"""The commands, in process; a few in real processes, for what only a process has."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_build.__main__ import main

Record = dict[str, Any]
CASES = Path(__file__).parent / "cases"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedding: Record) -> Path:
    """A folder with a models.json, which is the current one."""
    (tmp_path / "models.json").write_text(json.dumps({"version": "1.0", "models": [embedding]}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def broken(project: Path, embedding: Record, put: Callable[..., Record]) -> Path:
    record = put(put(embedding, "name", ""), "specs.embedding_dim", True)
    (project / "models.json").write_text(json.dumps({"version": "1.0", "models": [record]}, indent=1))
    return project


def test_validate_good_file_says_how_many_models(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "models.json"]) == 0
    assert capsys.readouterr() == ("models.json: 1 model, no errors\n", "")


def test_validate_bad_file_prints_problem_lines_and_their_number(
    broken: Path, capsys: pytest.CaptureFixture[str], put: Callable[..., Record]
) -> None:
    assert main(["validate", "models.json"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "models.json:7: new-model: name: expected a non-empty string, got ``",
        "models.json:19: new-model: specs.embedding_dim: expected a positive integer, got true",
        "2 errors",
    ]


def test_validate_missing_file_prints_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "none.json"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "none.json: expected a JSON file, got nothing: there is no such file",
        "1 error",
    ]


def test_validate_doubtful_file_warns_and_succeeds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES / "unknown_provider")

    assert main(["validate", "models.json"]) == 0

    out, err = capsys.readouterr()
    assert err == (CASES / "unknown_provider" / "warnings.txt").read_text()
    assert out == "models.json: 1 model, no errors\n"


def test_validate_with_a_schema_uses_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "models.json", "--schema", "none.json"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "none.json: expected a JSON Schema: No such file or directory"


def test_generate_writes_the_module_and_the_files_beside_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path("src", "acme", "catalogue.py")

    assert main(["generate", "models.json", "-o", str(out)]) == 0

    assert capsys.readouterr() == (f"{out}: written\n", "")
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "catalogue.py",
        "catalogue.pyi",
        "catalogue_sources.py",
    ]


def test_generate_gives_the_bytes_of_the_golden_case(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES / "every_field_embedding"

    assert main(["generate", str(case / "models.json"), "-o", "_registry.py"]) == 0

    for name in ("_registry.py", "_registry.pyi", "_registry_sources.py"):
        assert Path(name).read_bytes() == (case / "expected" / name).read_bytes()


def test_generate_from_bad_data_writes_nothing(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "models.json", "-o", "out.py"]) == 1
    assert [path.name for path in broken.iterdir()] == ["models.json"]
    assert capsys.readouterr().err.splitlines()[-1] == "2 errors; nothing was written"


def test_generate_check_of_fresh_files_succeeds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["generate", "models.json", "-o", "out.py"])
    capsys.readouterr()

    assert main(["generate", "models.json", "-o", "out.py", "--check"]) == 0
    assert capsys.readouterr() == ("out.py: up to date\n", "")


def test_generate_check_of_stale_files_shows_a_diff_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], embedding: Record, put: Callable[..., Record]
) -> None:
    main(["generate", "models.json", "-o", "out.py"])
    before = Path("out.py").read_bytes()
    newer = {"version": "1.1", "models": [embedding]}
    Path("models.json").write_text(json.dumps(newer))
    capsys.readouterr()

    assert main(["generate", "models.json", "-o", "out.py", "--check"]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert "-REGISTRY_VERSION = '1.0'\n+REGISTRY_VERSION = '1.1'\n" in err
    assert err.endswith("error: out.py is stale\nhint: generate it again, without `--check`\n")
    assert Path("out.py").read_bytes() == before


def test_generate_check_of_missing_files_fails_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "models.json", "-o", "out.py", "--check"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "out.py: missing"
    assert not Path("out.py").exists()


def test_generate_over_a_file_of_somebody_else_refuses(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.py").write_text("print()\n")

    assert main(["generate", "models.json", "-o", "out.py"]) == 1
    assert Path("out.py").read_text() == "print()\n"
    assert capsys.readouterr().err.splitlines()[0] == (
        "out.py:1: expected no file, or one that was generated; got another one: move it away, or generate elsewhere"
    )


def test_generate_into_a_folder_that_is_a_file_prints_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()

    assert main(["generate", "models.json", "-o", "file/out.py"]) == 1
    assert capsys.readouterr().err == "error: file/out.py: Not a directory\n"


@pytest.mark.parametrize("output", ["out", "out.txt", "out-put.py", "1.py", "class.py", "folder/"])
def test_generate_to_something_that_is_no_module_is_wrong_usage(
    output: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "models.json", "-o", output])

    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "python -m registry_build generate: error: argument -o/--output: expected the path of a Python module, "
        f"such as `src/acme/_registry.py`, got {output!r}"
    )


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["validate"], ["generate", "models.json"], ["pages", "a", "b"]])
def test_main_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m registry_build")


def test_pages_writes_the_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pages"]) == 0
    assert capsys.readouterr() == (f"{Path('docs', 'MODELS.md')}: written\n", "")
    assert "| `new-model` |" in Path("docs", "MODELS.md").read_text()


def test_pages_check_of_a_stale_page_fails(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["pages", "-o", "MODELS.md"])
    with Path("MODELS.md").open("a") as page:
        page.write("more\n")
    capsys.readouterr()

    assert main(["pages", "-o", "MODELS.md", "--check"]) == 1
    assert capsys.readouterr().err.splitlines()[-2] == "error: MODELS.md is stale"


def test_pages_over_a_page_of_somebody_else_refuses(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("README.md").write_text("# Mine\n")

    assert main(["pages", "-o", "README.md"]) == 1
    assert Path("README.md").read_text() == "# Mine\n"


def _run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "registry_build", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_process_with_bad_data_exits_1_without_traceback(broken: Path) -> None:
    done = _run("generate", "models.json", "-o", "out.py", folder=broken)

    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0] == "models.json:7: new-model: name: expected a non-empty string, got ``"


def test_process_with_good_data_exits_0(project: Path) -> None:
    done = _run("validate", "models.json", folder=project)

    assert (done.returncode, done.stdout, done.stderr) == (0, "models.json: 1 model, no errors\n", "")


def test_process_with_wrong_usage_exits_2(project: Path) -> None:
    assert _run("generate", folder=project).returncode == 2


@pytest.mark.parametrize("package", ["jinja2", "jsonschema_rs", "langcodes", "packaging"])
def test_process_without_a_package_of_the_extra_says_how_to_install_it(package: str, project: Path) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nfrom registry_build.__main__ import main\nsys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", code, "generate", "models.json", "-o", "out.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == 'hint: install it with `pip install "typed-model-registry[build]"`'
    assert "Traceback" not in done.stderr
