"""The table of commands, and the group that imports a command's module when that command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from inspect import cleandoc
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

if TYPE_CHECKING:  # typer has no public names for these
    from typer._click import Command, Context, HelpFormatter, Parameter


class Entry(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        section: Heading that the overview shows it under.
        module: Module of this package that has it.
        attribute: The function in there, or the `Typer` of a group.
        help: The first line of its help; a test holds it against the module's own.
    """

    section: str
    module: str
    attribute: str
    help: str


COMMANDS = {
    "list": Entry("Look up", "models", "list_models", "List the models of the registry, or those on this machine."),
    "search": Entry("Look up", "models", "search", "Find models by words in id, name, tags and description."),
    "info": Entry("Look up", "info", "info", "Show everything that is known about a model."),
    "families": Entry("Look up", "models", "families", "List the families of models."),
    "hardware": Entry("Choose", "machine", "hardware", "Show what this machine has."),
    "diagnose": Entry(
        "Choose", "diagnose", "diagnose", "Say what is there to run models with, and what is wrong with it."
    ),
    "select": Entry("Choose", "machine", "select", "Choose the largest model that fits this machine."),
    "fit": Entry("Choose", "machine", "fit", "Say which of several models may be loaded together."),
    "roles": Entry("Choose", "roles", "roles", "Show which model serves each role, who provides it, and why."),
    "download": Entry("Fetch and keep", "fetch", "download", "Fetch models and prove their bytes."),
    "provision": Entry(
        "Fetch and keep", "provision", "provision", "Fetch the models that the roles of a profile need."
    ),
    "verify": Entry("Fetch and keep", "fetch", "verify", "Hash kept models again, without a network."),
    "cache": Entry("Fetch and keep", "cache", "app", "Show and tidy the models that are kept on this machine."),
    "remove": Entry("Fetch and keep", "fetch", "remove", "Delete a kept model."),
    "outdated": Entry("Fetch and keep", "updates", "outdated", "List kept models that have something newer."),
    "update": Entry("Fetch and keep", "updates", "update", "Fetch what is newer for a kept model."),
    "bundle": Entry(
        "Fetch and keep", "bundles", "bundle", "Write models to a folder, for a machine without a network."
    ),
    "install-bundle": Entry("Fetch and keep", "bundles", "install_bundle", "Verify and install such a folder."),
    "chat": Entry("Use", "chat", "chat", "Talk to a chat model."),
    "embed": Entry("Use", "vectors", "embed", "Turn texts into vectors."),
    "similarity": Entry("Use", "vectors", "similarity", "Score texts against a query, by the model's own measure."),
    "import": Entry("Catalogue", "exchange", "import_models", "Bring models from files into the catalogue store."),
    "export": Entry("Catalogue", "exchange", "export_models", "Write models of the catalogue store to a file."),
    "metrics": Entry("Catalogue", "metrics", "app", "Write down, list and compare what was measured of models."),
    "bench": Entry("Catalogue", "bench", "bench", "Measure a model on this machine, and store what was measured."),
    "serve": Entry("Catalogue", "serve", "serve", "Serve catalogue, models and web pages over HTTP."),
    "cluster": Entry("Catalogue", "cluster", "app", "Serve on several machines, with Ray."),
    "generate": Entry("Build", "building", "generate", "Write the typed module of a models.json."),
    "validate": Entry("Build", "building", "validate", "Report everything that is wrong with a models.json."),
    "completion": Entry("Build", "completion", "completion", "Print the completion script of a shell."),
}
COMPLETE = "_REGISTRY_COMPLETE"  # set by those scripts when the shell asks for completions
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _QuickStart:
    """Values that need no conversion get none: typer would import pydantic for it, half of what starting takes."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        try:
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc] # of TyperCommand and TyperGroup
        except TyperException as error:
            if getattr(error, "ctx", ctx) is None:  # an option without its value: the parser does not say whose it is
                error.ctx = ctx  # type: ignore[attr-defined] # of wrong usage
            raise
        return parsed

    def get_params(self, ctx: Context) -> list[Parameter]:
        params: list[Parameter] = super().get_params(ctx)  # type: ignore[misc] # of TyperCommand and TyperGroup
        for param in params:
            if "process_value" not in vars(param):
                param.process_value = partial(_converted, param)  # type: ignore[method-assign]
        return params


def _converted(param: Any, ctx: Context, value: Any) -> Any:
    """Do what a parameter's own `process_value` does; texts, and what was not given, are as they are."""
    if value is None and not param.required:
        return None
    if _is_text(param, value):
        return value
    return type(param).process_value(param, ctx, value)


def _is_text(param: Any, value: Any) -> bool:
    if param.callback is not None or param.value_is_missing(value):
        return False
    if param.type_descriptor.annotation is str:
        return isinstance(value, str)
    return bool(param.type_descriptor.annotation == list[str]) and all(isinstance(each, str) for each in value)


class OneCommand(_QuickStart, TyperCommand):
    """A command of this program. Its help writes arguments as most programs do: `ID...`, `[FILE]`."""

    def collect_usage_pieces(self, ctx: Context) -> list[str]:
        params = self.get_params(ctx)
        needed = [param for param in params if param.param_type_name == "option" and param.required]
        arguments = [param for param in params if param.param_type_name == "argument"]
        return ["[OPTIONS]", *(f"{param.opts[0]} {param.metavar}" for param in needed), *map(_written, arguments)]

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        params = self.get_params(ctx)
        arguments = [(str(param.metavar), param.help) for param in params if param.param_type_name == "argument"]  # type: ignore[attr-defined]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        options = [param.get_help_record(ctx) for param in params if param.param_type_name == "option"]
        with formatter.section("Options"):
            formatter.write_dl([record for record in options if record is not None])


def _written(argument: Parameter) -> str:
    name = str(argument.metavar) if argument.required else f"[{argument.metavar}]"
    return f"{name}..." if argument.nargs != 1 else name


class Group(_QuickStart, TyperGroup):
    """A group of commands of this program. Its help has the first line of each command whole."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - as in the base
        for section in dict.fromkeys(map(self.section_of, self.commands)):
            with formatter.section(section):
                lines = [
                    (name, _first_line(command))
                    for name, command in self.commands.items()
                    if self.section_of(name) == section
                ]
                formatter.write_dl(lines, col_max=16)

    def section_of(self, name: str) -> str:  # noqa: ARG002 - for the group that has several
        """Give the heading that a command stands under."""
        return "Commands"


class _Overview(Group):
    """All commands. Until one runs, it is its line in the table: help and completion import no command."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: OneCommand(name, help=entry.help) for name, entry in COMMANDS.items()}

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and make(str(name)), rest

    def section_of(self, name: str) -> str:
        return COMMANDS[name].section


def _first_line(command: Command) -> str:
    return (command.help or "").strip().partition("\n")[0]


def make(name: str) -> Command:
    """Import a command and make it."""
    entry = COMMANDS[name]
    found = getattr(import_module(f"registry.cli.{entry.module}"), entry.attribute)
    if not isinstance(found, typer.Typer):
        function, found = found, group(name)
        add(found, function, name)
    made = typer.main.get_command(found)
    made.name = name
    return made


def group(name: str, **settings: Any) -> typer.Typer:
    """Make an empty group of commands."""
    return typer.Typer(
        name=name, cls=Group, add_completion=False, rich_markup_mode=None, context_settings=_SETTINGS, **settings
    )


def add(commands: typer.Typer, function: Any, name: str) -> None:
    """Add a command. What follows `Examples:` in its docstring is shown as it stands."""
    text, _, examples = cleandoc(function.__doc__ or "").partition("\nExamples:\n")
    shown = f"\b\nExamples:\n{examples}" if examples else None
    commands.command(name, cls=OneCommand, help=text, epilog=shown, context_settings=_SETTINGS)(function)


def _root(
    context: typer.Context,
    show_version: bool = typer.Option(False, "--version", help="Print the version of the package and of the registry."),
) -> None:
    """A catalogue of models: look up, choose what fits this machine, fetch, prove, keep and use."""
    if show_version:
        import registry

        version = getattr(registry, "__version__", "that is not installed")
        print(f"typed-model-registry {version}, registry {registry.REGISTRY_VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
    if context.invoked_subcommand not in _UNCHECKED:
        _check_updates()


_UNCHECKED = ("completion", "outdated", "update")


def _check_updates() -> None:
    """Look for something newer where the user has asked for that, at most once a week."""
    from registry._settings import flag

    if not flag("check_updates"):
        return
    from registry.hub import check_weekly

    if found := ", ".join(f"{update.id} ({update.kind})" for update in check_weekly(fetch=_fetch)):
        print(f"note: something newer is known for {found}; `registry outdated` shows what.", file=sys.stderr)


def _fetch(model_id: str) -> None:
    """Fetch what the weekly look has found, and say so."""
    from registry.cli._errors import told
    from registry.errors import RegistryError
    from registry.hub import rich_progress, update

    print(f"note: fetching what the registry pins for {model_id} now, as `auto_update` is set.", file=sys.stderr)
    try:
        with rich_progress() as progress:
            update(model_id, progress=progress)
    except RegistryError as error:
        told(model_id, error)
        raise
    print(f"note: fetched {model_id}.", file=sys.stderr)


def application() -> Command:
    """Make the command `registry`."""
    app = typer.Typer(
        cls=_Overview,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=_SETTINGS,
        invoke_without_command=True,
        epilog="`registry COMMAND --help` shows options and examples. Settings: docs/configuration.md.",
    )
    app.callback()(_root)
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command and report what goes wrong."""
    from registry.cli._errors import guarded

    return guarded(lambda: _run(application(), list(arguments)))


def _run(command: Command, arguments: list[str]) -> int:
    if COMPLETE in os.environ:
        import_module("typer.completion").completion_init()
        command.main(arguments, prog_name="registry", complete_var=COMPLETE)
    # Not `main`: it would print errors, and end the process, in its own way.
    with command.make_context("registry", arguments) as context:
        command.invoke(context)
    return 0
