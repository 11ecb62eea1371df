"""`registry completion`."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import PurePath
from typing import Annotated

import typer

from registry.cli._app import COMPLETE
from registry.cli._options import Json
from registry.cli._output import show_json

_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def completion(
    shell: Annotated[
        str | None, typer.Argument(metavar="SHELL", help="bash, zsh, fish or powershell. Left out: that of $SHELL.")
    ] = None,
    json: Json = False,
) -> None:
    """Print the completion script of a shell.

    The script asks `registry` itself for commands, options and ids.

    Examples:
        registry completion bash >> ~/.bashrc
        registry completion zsh > ~/.zfunc/_registry
        registry completion fish > ~/.config/fish/completions/registry.fish
        registry completion powershell >> $PROFILE
    """
    wanted = shell or PurePath(os.environ.get("SHELL", "")).name
    if wanted not in _SHELLS:
        got = f"`{wanted}`" if wanted else "none"
        raise typer.BadParameter(f"expected one of {', '.join(_SHELLS)}, got {got}", param_hint="SHELL")
    script = import_module("typer.completion").get_completion_script(
        prog_name="registry", complete_var=COMPLETE, shell=wanted
    )
    if json:
        show_json({"shell": wanted, "script": script})
    else:
        print(script)
