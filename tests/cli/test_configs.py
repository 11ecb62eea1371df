"""`registry export` for other programs."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
import tiny

from registry.records import Profile, RoleModel

Run = Callable[..., Any]
LEFT_OUT = "Role `embedding` is left out: no model of it has a GGUF file in the registry."


@pytest.fixture
def module(small: Callable[..., str], home: Path, tmp_path: Path) -> str:
    """A registry of two chat models that are on this machine, and an encoder without a GGUF file."""
    (home / "models").mkdir(parents=True)
    for name in ("one", "two"):
        (home / "models" / f"{name}.gguf").touch()
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    records = [tiny.chat_record(path, id=name, huggingface_id=None) for name in ("one", "two")]
    return small(*records, tiny.dense_record(id="plain"))


@pytest.fixture
def profiles(module: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same with a profile."""
    import sys

    registry = sys.modules[module].MODEL_REGISTRY
    models = {"general": RoleModel("general", "one"), "embedding": RoleModel("embedding", "plain")}
    found = {"default": Profile("default", None, models)}
    monkeypatch.setattr(type(registry), "profiles", property(lambda _: found), raising=False)
    return module


def test_export_for_another_program_writes_the_models_of_the_profile(run: Run, profiles: str, tmp_path: Path) -> None:
    path = tmp_path / "models.ini"

    result = run("export", path, "--format", "llama-router", "--registry", profiles)

    assert (result.code, result.out, result.err) == (
        0,
        "",
        f"note: {LEFT_OUT}\n{path}: 1 model for llama-router.\n",
    )
    assert [line for line in path.read_text("utf-8").splitlines() if line.startswith(("[", "alias"))] == [
        "[one]",
        "alias = general",
    ]


def test_export_for_another_program_writes_to_standard_output(run: Run, module: str) -> None:
    result = run("export", "--format", "LLAMA-SWAP", "--model", "two", "--model", "one", "--registry", module)

    assert (result.code, result.err) == (0, "Standard output: 2 models for llama-swap.\n")
    assert [line for line in result.out.splitlines() if line.startswith("      - ")] == [
        '      - "two"',
        '      - "one"',
    ]


def test_export_json_says_what_was_written_for_whom(run: Run, profiles: str, tmp_path: Path) -> None:
    path = tmp_path / "swap.yaml"

    result = run("export", path, "--format", "llama-swap", "--registry", profiles, "--json")

    assert result.json == {
        "path": str(path),
        "format": "llama-swap",
        "models": 1,
        "notes": [LEFT_OUT],
    }


def test_export_of_a_modelfile_has_the_system_text(run: Run, module: str) -> None:
    words = ("--format", "modelfile", "--model", "one", "--system", "Be kind.", "--registry", module)

    assert 'SYSTEM "Be kind."' in run("export", *words).out.splitlines()


def test_export_of_a_modelfile_for_several_models_is_refused(run: Run, module: str) -> None:
    words = ("--format", "modelfile", "--model", "one", "--model", "two", "--registry", module)

    assert run("export", *words) == (
        2,
        "",
        "error: A Modelfile is for one model, and these are 2: one, two.\nhint: Name one: `--model ID`.\n",
    )


def test_export_of_profiles_of_a_manifest(run: Run, module: str, tmp_path: Path) -> None:
    manifest = tmp_path / "profiles.json"
    manifest.write_text(json.dumps({"profiles": {"mine": {"models": {"coding": "two"}}}}), "utf-8")
    words = ("--format", "llama-router", "--manifest", manifest, "--profile", "mine", "--registry", module)

    assert "[two]" in run("export", *words).out.splitlines()


def test_export_to_an_ending_that_tells_no_format_names_those_of_other_programs_too(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"

    assert run("export", path) == (
        2,
        "",
        (
            f"error: `{path}`: expected an ending among .csv, .tsv, .json, .jsonl, .ndjson, got '.yaml'.\n"
            "hint: Or name the format, `--format`: csv, json, jsonl, llama-swap, llama-router, modelfile.\n"
        ),
    )


def test_export_names_what_the_format_cannot_say(run: Run, module: str, tmp_path: Path) -> None:
    manifest = tmp_path / "profiles.json"
    role = {"name": "two", "provider": "ollama", "parameters": {"mirostat": 2}}
    manifest.write_text(json.dumps({"profiles": {"mine": {"models": {"coding": role}}}}), "utf-8")
    words = ("--manifest", manifest, "--profile", "mine", "--registry", module)

    assert run("export", "--format", "modelfile", *words).err == (
        "note: `two`: `mirostat` cannot be said in this format, and is left out.\n"
        "Standard output: 1 model for modelfile.\n"
    )


def test_export_where_no_model_has_a_file_is_refused(run: Run, small: Callable[..., str], tmp_path: Path) -> None:
    module = small(tiny.dense_record(id="plain"))
    manifest = tmp_path / "profiles.json"
    manifest.write_text(json.dumps({"profiles": {"default": {"models": {"embedding": "plain"}}}}), "utf-8")

    result = run("export", "--format", "llama-swap", "--manifest", manifest, "--registry", module)

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: No model of the profile has a GGUF file.\n")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--format", "csv", "--model", "one"), "--model: is for the formats llama-swap, llama-router, modelfile only"),
        (
            ("--format", "modelfle", "--model", "one"),
            "--format: there is no format `modelfle`",
        ),
        (("--profile", "default"), "--profile: is for the formats llama-swap, llama-router, modelfile only"),
        (("--format", "modelfile", "--tag", "x"), "--tag: is for the formats csv, json and jsonl only"),
        (("--format", "llama-swap", "--sync"), "--sync: is for the formats csv, json and jsonl only"),
        (("--format", "llama-swap", "--system", "x"), "--system: is for the format modelfile only"),
        (
            ("--format", "llama-swap", "--json"),
            "--json: standard output has the configuration itself: name a FILE",
        ),
    ],
)
def test_option_that_means_nothing_to_the_format_is_wrong_usage(words: tuple[str, ...], problem: str, run: Run) -> None:
    result = run("export", *words)

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[0] == f"error: Invalid value for {problem}."


def test_export_for_another_program_does_not_overwrite_unless_forced(run: Run, module: str, tmp_path: Path) -> None:
    path = tmp_path / "Modelfile"
    path.write_text("mine")
    words = ("export", path, "--format", "modelfile", "--model", "one", "--registry", module)

    assert (run(*words).code, path.read_text()) == (2, "mine")
    assert run(*words, "--force").code == 0
    assert path.read_text("utf-8").startswith("# ")
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_export_replaces_the_file_that_a_link_leads_to(run: Run, module: str, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")

    run("export", link, "--format", "modelfile", "--model", "one", "--registry", module, "--force")

    assert link.is_symlink()
    assert (tmp_path / "real").read_text("utf-8").startswith("# ")


def test_export_into_a_folder_that_is_not_there_names_the_file(run: Run, module: str, tmp_path: Path) -> None:
    path = tmp_path / "none" / "Modelfile"

    result = run("export", path, "--format", "modelfile", "--model", "one", "--registry", module)

    assert (result.code, result.err) == (1, f"error: {path}: No such file or directory\n")
