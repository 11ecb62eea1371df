"""What somebody typed, as a query for the index of words.

The text is never FTS5 syntax: every word of it goes into quotes. FTS5 cuts what is in quotes as it cut the texts, so
that `qwen2.5-cod` means the words `qwen2`, `5` and one that begins with `cod`, side by side.
"""

from __future__ import annotations

import unicodedata

MAX_WORDS = 64  # what is beyond is not looked for


def match_expression(text: str) -> str | None:
    """Give the query for a text; `None` where nothing in it is a letter or a digit, so that nothing has it."""
    words = [word for word in dict.fromkeys(text.split()) if _has_token(word)]
    return " AND ".join(_quoted(word) for word in words[:MAX_WORDS]) or None


def _quoted(word: str) -> str:
    """Quote a word. What ends in punctuation is whole: `v2.` is not the beginning of `v20`."""
    clean = "".join(" " if ord(char) < 32 or "\ud800" <= char <= "\udfff" else char for char in word)
    return '"{}"*'.format(clean.replace('"', '""'))


def _has_token(word: str) -> bool:
    """Tell whether FTS5's tokenizer `unicode61` finds anything in a word."""
    return any(unicodedata.category(char)[0] in "LN" or unicodedata.category(char) == "Co" for char in word)
