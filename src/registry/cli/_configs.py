"""`registry export` for other programs: configurations in place of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from registry.cli._errors import CommandError, say
from registry.cli._options import one_of
from registry.cli._output import show_json
from registry.cli._writing import refuse_to_overwrite, write_text

if TYPE_CHECKING:
    from registry.queries import ModelRegistry

LLAMA_SWAP, LLAMA_ROUTER, MODELFILE = CONFIGS = ("llama-swap", "llama-router", "modelfile")
_OF_MODELS = ("csv", "json", "jsonl")
ALL_FORMATS = ", ".join((*_OF_MODELS, *CONFIGS))
_OF_BOTH = ("file", "format", "force", "registry", "json")
_OF_CONFIGS = ("model", "profile", "manifest", "system")


class Chosen(NamedTuple):
    """Which models are written.

    Attributes:
        models: Ids or aliases; none for those of the profile.
        profile: Name of the profile; `None` for the one in force.
        manifest: File with profiles of the user's own; `None` for the one in force.
        registry: Registry of the records.
    """

    models: Sequence[str]
    profile: str | None
    manifest: str | None
    registry: ModelRegistry[Any]


def check_options(context: typer.Context, format: str | None) -> bool:
    """Refuse options that mean nothing to the format; True where that is one of another program's.

    Raises:
        BadParameter: An option is given that is for other formats, or there is no such format.
    """
    one_of(format, (*_OF_MODELS, *CONFIGS), "--format", "there is no format")
    is_config = format is not None and format.casefold() in CONFIGS
    for name in context.params:
        given = context.get_parameter_source(name)
        if given is None or given.name != "COMMANDLINE" or name in _OF_BOTH or (name in _OF_CONFIGS) == is_config:
            continue
        option = f"--{name.replace('_', '-')}"
        formats = ", ".join(CONFIGS) if name in _OF_CONFIGS else "csv, json and jsonl"
        raise typer.BadParameter(f"is for the formats {formats} only", param_hint=option)
    return is_config


def export_config(file: str, format: str, chosen: Chosen, *, system: str | None, force: bool, json: bool) -> None:
    """Write a configuration for another program.

    Args:
        file: Where to write it; `-` for standard output.
        format: Name of its format.
        chosen: Which models it is for.
        system: System text of a Modelfile.
        force: True to overwrite the file.
        json: True to print a JSON document about it.
    """
    from registry.configs import chosen as choose
    from registry.configs import omitted

    kind = str(one_of(format, CONFIGS, "--format", "there is no format"))
    if system is not None and kind != MODELFILE:
        raise typer.BadParameter(f"is for the format {MODELFILE} only", param_hint="--system")
    if file == "-" and json:
        raise typer.BadParameter("standard output has the configuration itself: name a FILE", param_hint="--json")
    refuse_to_overwrite(file, force=force)
    found = choose(chosen.models, profile=chosen.profile, manifest=chosen.manifest, registry=chosen.registry)
    text = _text(kind, found.models, system)
    write_text(file, text)
    count = len(found.models)
    notes = (*found.notes, *omitted(found.models, kind))
    if json:
        show_json({"path": file, "format": kind, "models": count, "notes": notes})
        return
    for note in notes:
        say("note", note)
    say("", f"{'Standard output' if file == '-' else file}: {count:,} model{'' if count == 1 else 's'} for {kind}.")


def _text(kind: str, models: Sequence[Any], system: str | None) -> str:
    from registry.configs import llama_router_preset, llama_swap_config, ollama_modelfile

    if not models:
        remedy = "Name models with `--model`: `registry list --type chat` shows those that have one."
        raise CommandError("No model of the profile has a GGUF file.", remedy)
    if kind == LLAMA_SWAP:
        return llama_swap_config(models)
    if kind == LLAMA_ROUTER:
        return llama_router_preset(models)
    if len(models) > 1:
        ids = ", ".join(each.record.id for each in models)
        raise CommandError(
            f"A Modelfile is for one model, and these are {len(models)}: {ids}.", "Name one: `--model ID`."
        )
    return ollama_modelfile(models[0], system=system)
