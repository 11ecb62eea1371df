"""Texts of records and paths, in formats that have no way to quote everything: taken as they are, or refused."""

from __future__ import annotations

from registry.errors import UnsupportedModelError

MACRO = "${"  # llama-swap replaces it wherever it stands, and has no way to say that it is none


def checked(text: str, model_id: str, what: str, *, without: tuple[str, ...] = ()) -> str:
    """Give a text that another program reads as it stands.

    Args:
        text: The text.
        model_id: Model that it belongs to, for the message.
        what: What it is, for the message: `the path`.
        without: Texts that would mean something there.

    Raises:
        UnsupportedModelError: It is empty, begins or ends with a blank, or has such a text or a character that is not
            printable.
    """
    wrong = next((repr(each) for each in without if each in text), None)
    if wrong is None and not text.isprintable():
        wrong = repr(next(sign for sign in text if not sign.isprintable()))
    if wrong is None and text != text.strip():
        wrong = "a blank at an end"
    if wrong is None and not text:
        wrong = "no letter"
    if wrong is not None:
        other = "Keep models in another folder (`REGISTRY_HOME`)." if what == "the path" else "Rename it."
        reason = f"{what} has {wrong}, which cannot be written in this format: {text!r}. {other}"
        raise UnsupportedModelError(model_id, reason)
    return text


def prose(text: str, most: int) -> str:
    """Give a text for people on one line: what is not printable is left out, and macros are none any more."""
    line = "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
    line = line.replace(MACRO, "$ {")
    return line if len(line) <= most else f"{line[: most - 3]}..."
