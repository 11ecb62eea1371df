"""docs/command-line.md and docs/configuration.md say what is so."""

import importlib.util
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry._settings import SETTINGS, flag, size_bytes, text, words
from registry.errors import InvalidSettingError

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text("utf-8")


def rows(page: str, first: str) -> list[list[str]]:
    """Give the cells of the table with this first heading."""
    table = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def test_configuration_page_has_every_setting() -> None:
    assert rows(CONFIGURATION, "key") == [
        [f"`{setting.key}`", f"`{setting.variable}`", setting.expected, setting.meaning]
        for setting in SETTINGS.values()
    ]


def test_configuration_page_has_the_home_folder() -> None:
    assert [row[0] for row in rows(CONFIGURATION, "variable")] == ["`REGISTRY_HOME`"]


def test_file_of_the_configuration_page_is_read_as_it_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_WHEN_FULL", raising=False)
    example = re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)[0]
    home.mkdir()
    (home / "config.toml").write_text(example, "utf-8")

    assert tomllib.loads(example).keys() <= SETTINGS.keys()
    assert words("licenses") == ("Apache-2.0", "MIT")
    assert size_bytes("max_cache_size") == 50 * 10**9
    assert text("when_full") == "prune"


def test_environment_wins_over_the_file_even_where_it_is_empty(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    (home / "config.toml").write_text(
        'hf_endpoint = "https://mirror.example"\nlicenses = ["MIT"]\ncheck_updates = true\n'
    )
    assert (text("hf_endpoint"), words("licenses"), flag("check_updates")) == ("https://mirror.example", ("MIT",), True)

    monkeypatch.setenv("HF_ENDPOINT", "")
    monkeypatch.setenv("REGISTRY_LICENSES", "Apache-2.0,ISC")
    monkeypatch.setenv("REGISTRY_CHECK_UPDATES", "no")

    assert (text("hf_endpoint"), words("licenses"), flag("check_updates")) == (None, ("Apache-2.0", "ISC"), False)


def test_name_that_is_no_setting_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text("licence = ['MIT']\n")

    with pytest.raises(InvalidSettingError, match="such as `licenses`"):
        text("hf_endpoint")


# The page of the commands


@pytest.fixture(scope="module")
def pages() -> Any:
    pytest.importorskip("typer")
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_of_the_commands_is_up_to_date(pages: Any) -> None:
    assert (DOCS / "command-line.md").read_text("utf-8") == pages.page(), "run `python docs/make_cli.py`"


def test_page_says_what_json_of_every_command_holds(pages: Any) -> None:
    from registry.cli._app import COMMANDS, make

    groups = {name: getattr(make(name), "commands", {}) for name in COMMANDS}
    inner = [f"{name} {found}" for name, commands in groups.items() for found in commands]

    assert set(pages.JSON) == {*COMMANDS, *inner}


DOCUMENTS = {
    "list": ["list", "--type", "colbert"],
    "search": ["search", "colbert"],
    "info": ["info", "colbert-v2", "--sources"],
    "families": ["families"],
    "cache": ["cache", "--usage"],
    "cache list": ["cache", "list"],
    "cache prune": ["cache", "prune"],
    "cache clean": ["cache", "clean"],
    "verify": ["verify"],
    "outdated": ["outdated"],
    "completion": ["completion", "bash"],
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_has_the_fields_that_the_page_names(name: str, pages: Any, run: Callable[..., Any]) -> None:
    pytest.importorskip("filelock")

    assert set(run(*DOCUMENTS[name], "--json").json) == set(pages.JSON[name])


def test_json_of_a_model_in_a_list_has_the_fields_that_the_page_names(pages: Any, run: Callable[..., Any]) -> None:
    named = set(re.findall(r"`(\w+)`", pages.JSON["list"]["models"]))

    assert set(run("list", "--json").json["models"][0]) == named


def commands_in(page: Path) -> Iterator[tuple[str, str]]:
    """Give the lines of a page that call the command: where, and the words after `registry`."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            for call in re.findall(r"(?:^|[|(&] ?|xargs )registry ((?:\"[^\"]*\"|'[^']*'|[^|#)&>])*)", line):
                yield page.name, call.strip()


def test_calls_in_the_docs_name_commands_and_options_that_exist(pages: Any) -> None:
    from registry.cli._app import COMMANDS, make

    wrong = []
    for page in [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]:
        for where, call in commands_in(page):
            plain = re.sub(r'"[^"]*"|\'[^\']*\'', "x", call).split()
            name = plain[0] if plain else ""
            if name.startswith("-") or name == "COMMAND":
                continue
            command: Any = make(name) if name in COMMANDS else None
            if command is not None and hasattr(command, "commands") and plain[1:2] and plain[1] in command.commands:
                command = command.commands[plain[1]]
            known = {option for param in command.params for option in param.opts} if command is not None else set()
            options = {word for word in plain if re.fullmatch(r"--[a-z-]+|-[a-z]", word)} - {"--help", "-h"}
            if command is None or not options <= known:
                wrong.append((where, call))

    assert wrong == []
