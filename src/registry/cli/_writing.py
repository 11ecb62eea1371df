"""Files that a command writes, and standard output in place of one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from registry.cli._errors import CommandError


def refuse_to_overwrite(file: str, *, force: bool) -> None:
    """Refuse a file that is there, unless it may be overwritten.

    Raises:
        CommandError: It is there, and `force` is false.
    """
    if file != "-" and not force and Path(file).is_file():
        raise CommandError(f"`{file}` is there already.", "Choose another name, or give `--force`.")


def write_text(file: str, text: str) -> None:
    """Write a file as a whole: what is there stays until then.

    Args:
        file: Its path; `-` for standard output.
        text: What is written, as UTF-8.
    """
    if file == "-":
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:
            sys.stdout.write(text)
        else:  # UTF-8 and `\n`, whatever the system writes otherwise: other programs read it
            sys.stdout.flush()
            buffer.write(text.encode())
        return
    path = Path(os.path.realpath(file))  # the file that a link leads to is replaced, and not the link
    if path.exists() and not path.is_file():
        path.write_text(text, "utf-8", newline="\n")  # a pipe or a device: nothing can be put in its place
        return
    draft = path.with_name(f".{path.name[:40]}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8", newline="\n")
        draft.replace(path)
    except OSError as error:
        if error.filename == str(draft):  # nobody has heard of that file
            error.filename = file
        raise
    finally:
        draft.unlink(missing_ok=True)
