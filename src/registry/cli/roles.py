"""`registry roles`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli._errors import FAILED, CommandError, explained
from registry.cli._options import Json, Registry, registry_of
from registry.cli._output import Column, cell, heading, show_facts, show_json, show_table

if TYPE_CHECKING:
    from registry.profiles import Profiles
    from registry.profiles.resolution import PassedOver, Survey

_COLUMNS = (
    Column("Role"),
    Column("Model"),
    Column("Provider"),
    Column("Available"),
    Column("Parameters", rank=2),
    Column("Passed over", rank=1, wraps=True),
)


def complete_roles(context: typer.Context, incomplete: str) -> list[str]:
    """Give the roles that begin like this, for the completion of shells: of the profile that is named before them."""
    from registry.errors import RegistryError
    from registry.profiles import Profiles

    try:
        profiles = Profiles.load(
            manifest=context.params.get("manifest"), registry=registry_of(context.params.get("registry"))
        )
        names = profiles.get(context.params.get("profile")).models
    except (RegistryError, typer.BadParameter):
        return []
    return [role for role in names if role.startswith(incomplete)]


def roles(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="ROLE", help="Roles; one: all about it.", autocompletion=complete_roles),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Profile. Left out: the setting, else default.")
    ] = None,
    manifest: Annotated[
        str | None, typer.Option(metavar="FILE", help="Profiles of your own. Left out: those of the setting.")
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not ask providers whether they are there: connect to nothing.")
    ] = False,
    registry: Registry = None,
    json: Json = False,
) -> None:
    """Show which model serves each role, who provides it, and why.

    Columns: role, model, provider, available or not, parameters, who was passed over and why. Of one role all is shown:
    where it is stated, where each parameter comes from, what to do about providers that were passed over. Exit code 1
    where nobody can serve a role, or what is stated of it cannot be.

    Examples:
        registry roles
        registry roles general
        registry roles --manifest profiles.json --profile work --no-check
    """
    from registry.profiles import Profiles, Providers
    from registry.profiles.resolution import surveys

    logging.getLogger("registry.profiles").addHandler(logging.NullHandler())  # who is passed over is shown here
    known = registry_of(registry)
    profiles = Profiles.load(manifest=manifest, registry=known)
    name = profiles.get(profile).name
    with Providers(registry=known) as providers:
        found = surveys(profiles, chosen or None, profile=name, providers=providers, check=not no_check)
    if json:
        show_json(_document(profiles, name, found, checked=not no_check))
    elif len(chosen or ()) == 1:
        for role, surveyed in found.items():
            if surveyed.error is not None:
                raise CommandError(*explained(surveyed.error), FAILED) from surveyed.error
            _show_role(profiles, name, role, surveyed, checked=not no_check)
    else:
        rows = [_row(profiles, name, role, each, checked=not no_check) for role, each in found.items()]
        show_table(_COLUMNS, rows, empty=f"Profile `{name}` has no roles.")
    if not all(each.candidates for each in found.values()):
        raise typer.Exit(1)


def _document(profiles: Profiles, profile: str, found: Mapping[str, Survey], *, checked: bool) -> dict[str, Any]:
    return {
        "profile": profile,
        "profiles": profiles.names,
        "manifest": profiles.manifest.source if profiles.manifest else None,
        "checked": checked,
        "roles": [_facts(profiles, profile, role, each) for role, each in found.items()],
    }


def _facts(profiles: Profiles, profile: str, role: str, found: Survey) -> dict[str, Any]:
    first = found.candidates[0].to_dict() if found.candidates else {}
    return {
        "role": role,
        "description": profiles.role(role, profile).description,
        "stated_in": profiles.origin(profile, role),
        **{name: first.get(name) for name in ("provider", "model", "parameters")},
        "candidates": [candidate.to_dict() for candidate in found.candidates],
        "passed_over": [_passed_facts(each) for each in found.passed_over],
        "why": found.why,
        "problem": None if found.error is None else " ".join(explained(found.error)).strip(),
    }


def _passed_facts(passed: PassedOver) -> dict[str, str]:
    from dataclasses import asdict

    return asdict(passed)


def _row(profiles: Profiles, profile: str, role: str, found: Survey, *, checked: bool) -> tuple[object, ...]:
    if found.error is not None:
        stated = profiles.role(role, profile)
        return role, stated.name, stated.provider, False, None, explained(found.error)[0]
    passed = "; ".join(f"{each.provider}/{each.model}: {each.reason.rstrip('.')}" for each in found.passed_over) or None
    if not found.candidates:
        return role, profiles.role(role, profile).name, found.passed_over[0].provider, False, None, passed
    first = found.candidates[0]
    return role, first.target.name, first.provider, True if checked else None, _written(first.parameters), passed


def _written(parameters: Mapping[str, Any]) -> str | None:
    from json import dumps

    return " ".join(f"{name}={dumps(value, ensure_ascii=False)}" for name, value in parameters.items()) or None


def _show_role(profiles: Profiles, profile: str, role: str, found: Survey, *, checked: bool) -> None:
    stated = profiles.role(role, profile)
    show_facts(
        {
            "role": role,
            "profile": profile,
            "stated in": profiles.origin(profile, role),
            "description": stated.description,
            "may be downloaded": "by `registry provision`" if stated.auto_download is None else stated.auto_download,
        }
    )
    heading("Asked in this order")
    columns = (Column("Provider"), Column("Model"), Column("Available"), Column("Parameters", wraps=True))
    usable = [
        (each.provider, each.target.name, True if checked else None, _written(each.parameters))
        for each in found.candidates
    ]
    show_table(columns, usable, empty="Nobody can serve it.", headed=True)
    if found.passed_over:
        heading("Passed over")
        columns = (Column("Provider"), Column("Model"), Column("Reason", wraps=True), Column("What to do", wraps=True))
        lines = [(each.provider, each.model, each.reason, each.remedy or None) for each in found.passed_over]
        show_table(columns, lines, headed=True)
    heading("Why")
    print(*map(cell, found.why), sep="\n")
