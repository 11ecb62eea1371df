"""The command `registry`: looks things up, chooses, fetches, keeps, and talks to models. Needs the extra `cli`.

What a command does is done by the rooms that it calls; here are options, screens and messages. A command's module is
imported when that command runs.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`; importing `typing` costs more than this package
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after `registry`. Left out: those that this process was started with.

    Returns:
        0: done, 1: failed, 2: wrong usage, 130: stopped by Ctrl-C, 141: nobody reads the output any more.
    """
    from registry._extras import require
    from registry.errors import MissingExtraError

    try:
        require("typer", extra="cli", purpose="The command `registry`")
    except MissingExtraError as error:
        problem, _, remedy = str(error).partition(". ")
        print(f"error: {problem}.\nhint: {remedy}", file=sys.stderr)
        return 1
    from registry.cli._app import run

    return run(sys.argv[1:] if arguments is None else arguments)
