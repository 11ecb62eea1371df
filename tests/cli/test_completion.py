"""`registry completion`, and what the shells are answered."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")

Run = Callable[..., Any]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_prints_a_script_that_asks_the_command(shell: str, run: Run) -> None:
    result = run("completion", shell)

    assert (result.code, result.err) == (0, "")
    assert "_REGISTRY_COMPLETE" in result.out
    assert run("completion", shell, "--json").json == {"shell": shell, "script": result.out.removesuffix("\n")}


def test_completion_without_a_shell_takes_that_of_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")

    assert run("completion").out == run("completion", "zsh").out


def test_completion_of_an_unknown_shell_names_the_known(run: Run) -> None:
    problem = "Invalid value for SHELL: expected one of bash, zsh, fish, powershell, pwsh, got `tcsh`."
    hint = "`registry completion --help` shows how it is used."
    assert run("completion", "tcsh") == (2, "", f"error: {problem}\nhint: {hint}\n")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("registry sel", ["select"]),
        ("registry cache un", ["unpin"]),
        ("registry info colbert-v", ["colbert-v2", "colbert-v2-pylate"]),
        ("registry list --cap", ["--capability"]),
        ("registry remove kept", ["kept-here"]),
        ("registry cache pin kept", ["kept-here"]),
        ("registry info --registry mine mine-", ["mine-a", "mine-b"]),
        ("registry info --registry nothing_like_it mine-", []),
    ],
)
def test_shell_is_offered_commands_options_and_ids(
    typed: str,
    offered: list[str],
    process: Callable[..., "subprocess.CompletedProcess[str]"],
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mine.py").write_text("MODEL_REGISTRY = ('mine-a', 'mine-b', 'yours')\n")
    monkeypatch.chdir(tmp_path)
    (home / "models").mkdir(parents=True)
    (home / "models" / "kept-here.gguf").write_bytes(b"GGUF")
    count = str(len(typed.split()) - 1)

    done = process(_REGISTRY_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=count)

    assert (done.stdout.split(), done.stderr) == (offered, "")
