"""`registry provision`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli._errors import INTERRUPTED, explained, say
from registry.cli._options import Json, Registry, registry_of
from registry.cli._output import Column, show_json, show_table, size
from registry.errors import ProviderError, RegistryError

if TYPE_CHECKING:
    from registry.profiles import Outcome, Report


def provision(
    roles: Annotated[
        list[str] | None, typer.Option("--roles", metavar="ROLE", help="Roles, one or several; all without it.")
    ] = None,
    more_roles: Annotated[list[str] | None, typer.Argument(metavar="ROLE", help="The same, without `--roles`.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Look again at what is there, and have the providers prove it.")
    ] = False,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="Profile; REGISTRY_PROFILE, or `default`.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", metavar="FILE", help="Profiles to lay over the compiled ones; REGISTRY_MANIFEST."),
    ] = None,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Fetch the models that the roles of a profile need.

    Of each role the first model that can be had. What is there is not fetched again; a role whose `auto_download` is
    false fetches nothing. Columns: role, model, provider, what was done, seconds, bytes. Exit code 1 where a
    role has no model that is ready; one that fails before another is ready is a warning.

    Examples:
        registry provision
        registry provision --roles general coding
        registry provision --manifest profiles.json --profile work --json
    """
    from registry.hub import rich_progress
    from registry.profiles import provision as have_ready
    from registry.profiles.events import Event

    logging.getLogger("registry.provision").addHandler(logging.NullHandler())  # what it has to say is printed here
    with rich_progress() as draw:

        def on_event(event: Event) -> None:
            if event.progress is not None:
                draw(event.progress)

        try:
            report = have_ready(
                [*(roles or ()), *(more_roles or ())] or None,
                force=force,
                profile=profile,
                manifest=manifest,
                registry=None if registry is None else registry_of(registry),
                on_event=on_event,
            )
        except KeyboardInterrupt:
            say("error", "Stopped by Ctrl-C.")
            say("hint", "The same command goes on where this stopped.")
            raise typer.Exit(INTERRUPTED) from None
    _show(report, json=json)
    if not report.ok:
        raise typer.Exit(1)


def _show(report: Report, *, json: bool) -> None:
    if json:
        show_json(report)
    else:
        columns = (
            Column("Role"),
            Column("Model"),
            Column("Provider"),
            Column("Done", shown=lambda action: action.replace("_", " ")),
            Column("Seconds", right=True, rank=2, shown=lambda seconds: f"{seconds:.1f}"),
            Column("Fetched", right=True, rank=1, shown=size),
        )
        show_table(columns, map(_line, report.outcomes), empty=f"Profile `{report.profile}` has no roles.")
    for outcome in report.outcomes:
        if not outcome.is_ready:
            _explain(outcome, is_covered=outcome.role not in report.unserved)
    for role in report.unserved:
        say("error", f"no model is ready for the role `{role}`.")


def _explain(outcome: Outcome, *, is_covered: bool) -> None:
    """Say why a model is not ready; a failure is an error where no other model of the role is."""
    has_failed = outcome.action == "failed"
    label = "error" if has_failed and not is_covered else "warning"
    done = "has failed" if has_failed else "was skipped"
    match outcome.error:
        case ProviderError(problem=problem):  # who was asked stands in the line already
            remedy = str(outcome.reason).removeprefix(problem).strip()
        case RegistryError() as error:
            problem, remedy = explained(error)
        case _:
            problem, remedy = str(outcome.reason), ""
    say(label, f"`{outcome.model}` of `{outcome.provider}`, for the role `{outcome.role}`, {done}: {problem}")
    if remedy:
        say("hint", remedy)


def _line(outcome: Outcome) -> tuple[object, ...]:
    seconds = round(outcome.seconds, 3)
    return outcome.role, outcome.model, outcome.provider, outcome.action, seconds, outcome.bytes
