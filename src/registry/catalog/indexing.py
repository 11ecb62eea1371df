"""The end of every write: models whose words changed go into the index of words, and new words into the vocabulary.

The vocabulary has every word that the index has, and may have more. With it, the beginning of a word becomes the few
words that begin so: FTS5 itself would first copy all places of all of them, however few another word leaves over.
"""

from __future__ import annotations

import sqlite3

_AT_ONCE = 2000
_COLUMNS = "name, display_name, model_family, organization, tags, capabilities, description, notes, filters"
_TEXTS = _COLUMNS.removesuffix(", filters")
_BATCH = f"SELECT id, {_COLUMNS} FROM model_texts WHERE id IN (SELECT model_id FROM unindexed WHERE model_id <= ?)"
_LAST = f"SELECT max(model_id) FROM (SELECT model_id FROM unindexed ORDER BY model_id LIMIT {_AT_ONCE})"
# An index of one batch that is thrown away: so its words are cut exactly as those of the index are.
_DRAFT = (
    (
        f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.draft_words USING fts5({_TEXTS}, content = '', columnsize = 0, "
        "detail = none, tokenize = 'unicode61 remove_diacritics 2')"
    ),
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.draft_vocabulary USING fts5vocab(temp, draft_words, row)",
)
_COMPLETIONS = "SELECT word FROM vocabulary WHERE word >= ? AND word < ? LIMIT ?"
_LAST_CHARACTER = "\U0010ffff"


def finish(connection: sqlite3.Connection) -> None:
    """Index what waits for it, in steps between which Ctrl-C is noticed."""
    (last,) = connection.execute(_LAST).fetchone()
    if last is None:
        return
    for statement in _DRAFT:
        connection.execute(statement)
    while last is not None:
        connection.execute(f"INSERT INTO model_words (rowid, {_COLUMNS}) {_BATCH}", (last,))
        connection.execute(
            f"INSERT INTO temp.draft_words (rowid, {_TEXTS}) SELECT id, {_TEXTS} FROM ({_BATCH})", (last,)
        )
        connection.execute(
            "INSERT INTO vocabulary SELECT term FROM temp.draft_vocabulary WHERE true ON CONFLICT DO NOTHING"
        )
        connection.execute("INSERT INTO temp.draft_words (draft_words) VALUES ('delete-all')")
        connection.execute("DELETE FROM unindexed WHERE model_id <= ?", (last,))
        (last,) = connection.execute(_LAST).fetchone()


def completions(connection: sqlite3.Connection, beginning: str, at_most: int) -> list[str] | None:
    """Give the words that begin so, or `None` where they are more than `at_most`.

    Args:
        connection: To the store.
        beginning: ASCII letters and digits in lower case: as the index folds them.
        at_most: How many words are wanted.
    """
    rows = connection.execute(_COMPLETIONS, (beginning, beginning + _LAST_CHARACTER, at_most + 1)).fetchall()
    return None if len(rows) > at_most else [word for (word,) in rows]
