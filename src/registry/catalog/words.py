"""What somebody typed, as a query for the index of words.

The text is never FTS5 syntax: every word of it goes into quotes. FTS5 cuts what is in quotes as it cut the texts, so
that `qwen2.5-cod` means the words `qwen2`, `5` and one that begins with `cod`, side by side.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata

from registry.catalog.indexing import completions

MARK = "\u00a4"  # begins the words of the index that stand for filters, and no others
MAX_WORDS = 64  # what is beyond is not looked for
INDEXED_BEGINNING = 3  # beginnings of words of this length at most are in the index themselves
NAMES = "name display_name"
LABELS = f"{NAMES} model_family organization tags capabilities"
_PARTS = re.compile("[a-z0-9]+")
_COMPLETED = 32  # the words that a beginning may stand for, one by one


def words_query(connection: sqlite3.Connection, text: str) -> str | None:
    """Give the query for a text; `None` where nothing can have it, as in a text without a letter or a digit."""
    words = [word for each in dict.fromkeys(text.split()) if _has_token(word := _clean(each))]
    queries = [_word_query(connection, word) for word in words[:MAX_WORDS]]
    return None if None in queries else all_of(*queries)


def _word_query(connection: sqlite3.Connection, word: str) -> str | None:
    """Give the query for models with a word that begins so; `None` where there is none."""
    quoted = word.replace('"', '""')
    parts = _PARTS.findall(word.lower())
    if word.isascii() and len(parts[-1]) > INDEXED_BEGINNING:
        found = completions(connection, parts[-1], _COMPLETED)
        if found is not None:
            beginning = " ".join(parts[:-1])
            return " OR ".join(f'"{beginning} {each}"' for each in found) or None
    return f'"{quoted}"*'


def filter_query(kind: str, values: list[str]) -> str:
    """Give the query for models that have one of these values, as they are written in the store."""
    tokens = dict.fromkeys(f'"{MARK}{_LETTERS[kind]}{_lower(value).encode().hex()}"' for value in values)
    return f"({' OR '.join(tokens)})"


def all_of(*queries: str | None) -> str | None:
    """Give the query for models that all of these find; `None` where there is none."""
    return " AND ".join(f"({query})" for query in queries if query) or None


def in_columns(columns: str, words: str) -> str:
    """Give the query for models that have all words in some columns: `NAMES`, `LABELS`."""
    return f"{{{columns}}} : ({words})"


def without(query: str, other: str) -> str:
    """Give the query for what `query` finds and `other`, if it is not empty, does not."""
    return f"({query}) NOT ({other})" if other else query


# As the view `model_texts` writes them.
_LETTERS = {"family": "f", "type": "k", "license": "l", "tag": "t", "capability": "c", "language": "s"}


def _lower(text: str) -> str:
    """Fold a text as SQLite's `lower` does: ASCII only."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def _clean(word: str) -> str:
    return "".join(" " if char == MARK or char < " " or "\ud800" <= char <= "\udfff" else char for char in word)


def _has_token(word: str) -> bool:
    """Tell whether FTS5's tokenizer `unicode61` finds anything in a word."""
    return any(unicodedata.category(char)[0] in "LN" or unicodedata.category(char) == "Co" for char in word)
