"""The overview, the help of every command, and what starting costs."""

import re
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("typer")

from registry.cli._app import COMMANDS, application, make

GROUPS = {
    "cache": ("list", "prune", "clean", "pin", "unpin"),
    "metrics": ("add", "list", "compare", "remove"),
    "cluster": ("config",),
}
ALL = [*((name,) for name in COMMANDS), *((group, name) for group, names in GROUPS.items() for name in names)]
PLAIN = [path for path in ALL if path not in [(group,) for group in GROUPS]]


def command_of(path: tuple[str, ...]) -> Any:
    found: Any = make(path[0])
    for name in path[1:]:
        found = found.commands[name]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_table_has_the_first_line_of_the_commands_own_help(name: str) -> None:
    assert make(name).help.strip().splitlines()[0] == COMMANDS[name].help


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_of_a_command_is_printed_with_code_0(path: tuple[str, ...], run: Callable[..., Any]) -> None:
    result = run(*path, "--help")

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: registry {' '.join(path)} ")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_of_a_command_fits_80_columns(path: tuple[str, ...], run: Callable[..., Any]) -> None:
    assert max(map(len, run(*path, "--help").out.splitlines())) <= 80


@pytest.mark.parametrize("path", PLAIN, ids=" ".join)
def test_help_of_a_command_has_examples_of_it(path: tuple[str, ...], run: Callable[..., Any]) -> None:
    _, _, examples = run(*path, "--help").out.partition("  Examples:\n")

    assert f"registry {' '.join(path)}" in examples


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_command_prints_json_when_asked(path: tuple[str, ...]) -> None:
    assert "--json" in {option for param in command_of(path).params for option in param.opts}


@pytest.mark.parametrize("path", PLAIN, ids=" ".join)
def test_options_in_examples_exist(path: tuple[str, ...]) -> None:
    for line in (command_of(path).epilog or "").splitlines():
        plain = re.sub(r'"[^"]*"|\$\(.*?\)', "", line)
        for words in re.findall(rf"registry {' '.join(path)}\b([^|>)]*)", plain):
            known = {option for param in command_of(path).params for option in param.opts}
            assert set(re.findall(r"(?<!\S)(?:--[a-z-]+|-[a-z])(?!\S)", words)) <= known


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_says_what_it_does(path: tuple[str, ...]) -> None:
    assert [param.name for param in command_of(path).params if not param.help] == []


def test_overview_lists_every_command_once(run: Callable[..., Any]) -> None:
    result = run("--help")

    assert re.findall(r"^  ([a-z]+(?:-[a-z]+)*)  ", result.out, re.MULTILINE) == list(COMMANDS)


def test_no_command_prints_the_overview_on_standard_error(run: Callable[..., Any]) -> None:
    assert run() == (2, "", run("--help").out)


def test_unknown_command_names_a_close_one(run: Callable[..., Any]) -> None:
    assert run("lst") == (2, "", "error: No such command 'lst'.\nhint: Did you mean 'list', 'cluster'?\n")


def test_unknown_option_points_at_the_help(run: Callable[..., Any]) -> None:
    hint = "hint: `registry families --help` shows how it is used."
    assert run("families", "--xyz") == (2, "", f"error: No such option: --xyz.\n{hint}\n")


def test_missing_argument_is_wrong_usage(run: Callable[..., Any]) -> None:
    hint = "hint: `registry info --help` shows how it is used."
    assert run("info") == (2, "", f"error: Missing argument 'ID'.\n{hint}\n")


def test_version_names_package_and_registry(run: Callable[..., Any]) -> None:
    from registry import REGISTRY_VERSION, __version__

    assert run("--version") == (0, f"typed-model-registry {__version__}, registry {REGISTRY_VERSION}\n", "")


def test_overview_imports_no_command(run_python: Callable[..., str]) -> None:
    code = (
        "import contextlib, io, sys; from registry.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): main(['--help'])\n"
        "print(*sorted(name for name in sys.modules if name.startswith('registry.cli.')))"
    )
    assert run_python(code).split() == ["registry.cli._app", "registry.cli._errors"]


@pytest.mark.parametrize("arguments", [["list"], ["list", "--type", "dense", "--tag", "code"], ["search", "bge"]])
def test_listing_without_a_terminal_imports_neither_pydantic_nor_rich(
    arguments: list[str], run_python: Callable[..., str]
) -> None:
    code = (
        "import contextlib, io, sys; from registry.cli import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()): main({arguments!r})\n"
        "print(*sorted({'pydantic', 'rich', 'numpy', 'json', 'registry.hub', 'registry.hardware'} & set(sys.modules)))"
    )
    assert run_python(code) == "\n"


def test_number_that_is_none_is_wrong_usage(run: Callable[..., Any]) -> None:
    result = run("search", "bge", "--limit", "many")

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: Invalid value for '--limit' / '-n': Input should be a valid integer")


def test_every_section_of_the_table_is_shown() -> None:
    sections = list(dict.fromkeys(entry.section for entry in COMMANDS.values()))

    assert sections == ["Look up", "Choose", "Fetch and keep", "Use", "Catalogue", "Build"]


def test_application_suggests_and_completes_without_importing(run_python: Callable[..., str]) -> None:
    code = (
        "import os, sys\n"
        "os.environ.update(_REGISTRY_COMPLETE='complete_bash', COMP_WORDS='registry se', COMP_CWORD='1')\n"
        "from registry.cli import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "print('registry.cli.models' in sys.modules)"
    )
    assert run_python(code).split() == ["search", "select", "serve", "False"]


def test_application_is_made_anew() -> None:
    assert application() is not application()
