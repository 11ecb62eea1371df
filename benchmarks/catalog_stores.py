"""Catalogue stores of any number of models that look like what people publish: series of sizes and storage formats.

As on the hub, what is there grows with the store: names, publishers and small families. A few families, tags and types
take most of it. The same number gives the same store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from random import Random

from benchmarks.synthetic import LANGUAGES, LICENSES, TAGS
from registry.catalog import Catalog

TIME = "2026-11-21T09:15:00Z"
_SYLLABLES = ("ba", "cor", "del", "fen", "gri", "hal", "ino", "jax", "kel", "lum", "mar", "nov", "ori", "pel", "qui")
_SYLLABLES += ("ras", "sol", "tal", "umb", "vek", "wil", "xen", "yor", "zan", "eth", "arc", "bel", "dru", "fox", "gem")
# Families that everybody tunes, and how many series in a thousand do.
_BASES = ("Qwen2.5", "Llama-3.1", "Mistral", "Gemma-2", "Phi-3", "Qwen3", "BERT", "XLM-RoBERTa", "MiniLM", "E5", "BGE")
_BASE_SHARES = (120, 110, 90, 60, 40, 60, 80, 40, 30, 20, 20)
_TYPES = ("chat", "dense", "sparse", "reranker", "colbert", "multimodal-colbert")
_TYPE_SHARES = (60, 25, 5, 5, 4, 1)
_TASKS = {"chat": ("chat", "code", "tools", "reasoning"), "other": ("retrieval", "similarity", "classification")}
_SIZES = (0.1, 0.3, 0.5, 1.5, 3, 7, 8, 13, 14, 32, 70)
_FORMATS = (("gguf", "Q4_K_M"), ("gguf", "Q8_0"), ("gguf", "Q5_K_M"), ("safetensors", "BF16"), ("safetensors", "F16"))
_SUBJECTS = ("law", "medicine", "search", "customer support", "science", "software", "poetry", "finance", "history")
_COLUMNS = (
    "id, name, display_name, type, model_family, model_size, parameters, quantization, file_format, organization, "
    "huggingface_id, license, release_date, context_length, embedding_dim, file_size_bytes, ram_required_mb, "
    "description, notes, created_at, updated_at"
)
_AT_ONCE = 10_000


def fill(path: Path, count: int) -> Path:
    """Make a store of `count` models at a path, where none is yet."""
    if not path.exists():
        with Catalog.open(path) as catalog:
            models = _models(count)
            while rows := list(islice(models, _AT_ONCE)):
                with catalog._writing() as connection:
                    _insert(connection, rows)
    return path


Row = tuple[tuple[object, ...], dict[str, list[str]]]


def _insert(connection: sqlite3.Connection, rows: list[Row]) -> None:
    marks = ", ".join("?" * (_COLUMNS.count(",") + 1))
    connection.executemany(f"INSERT INTO models ({_COLUMNS}) VALUES ({marks})", [model for model, _ in rows])
    for table, column in (("capabilities", "capability"), ("tags", "tag"), ("languages", "language")):
        values = [(model[0], value, position) for model, lists in rows for position, value in enumerate(lists[table])]
        insert = f"INSERT INTO model_{table} (model_id, {column}, position) VALUES (?, ?, ?)"
        connection.executemany(insert, values)


def _models(count: int) -> Iterator[Row]:
    random = Random(count)
    number = 0
    publishers = [_word(random, 3) for _ in range(max(20, count // 250))]
    tags = list(TAGS) + [_word(random, 3) for _ in range(max(50, count // 500))]
    tag_shares = list(accumulate(1 / (rank + 3) for rank in range(len(tags))))
    while number < count:
        for row in _series(random, random.choice(publishers), tags, tag_shares):
            number += 1
            if number > count:
                return
            model, lists = row
            yield (number, f"{model[0]}-{number % 1000}", *model[1:]), lists


def _series(random: Random, publisher: str, tags: list[str], tag_shares: list[float]) -> Iterator[Row]:
    """Make the models of one series: a name in some sizes, each in some formats."""
    name = f"{_word(random, 2)} {_word(random, 4)}".title()
    base = random.choices((*_BASES, name), (*_BASE_SHARES, 330))[0]
    kind = random.choices(_TYPES, _TYPE_SHARES)[0]
    tasks = _TASKS["chat" if kind == "chat" else "other"]
    spdx, year = random.choices(LICENSES, range(len(LICENSES), 0, -1))[0], random.randint(2020, 2026)
    lists = {
        "capabilities": random.sample(tasks, random.randint(1, 3)),
        "tags": list(dict.fromkeys(random.choices(tags, cum_weights=tag_shares, k=random.randint(0, 5)))),
        "languages": random.sample(LANGUAGES[:30], random.choice((0, 1, 1, 3))),
    }
    about = f"Tuned for {random.choice(_SUBJECTS)} with {_word(random, 3)} data from {_word(random, 2)}."
    for size in random.sample(_SIZES, random.randint(1, 5)):
        for file_format, quantization in random.sample(_FORMATS, random.randint(1, 5)):
            label = f"{size:g}B"
            title = f"{name} {label} {quantization}"
            context = 2 ** random.randint(9, 17)
            text = f"{title}, a {kind} model from {publisher} on {base}: inputs up to {context} tokens. {about}"
            slug = f"{publisher}-{title}".replace(" ", "-").lower()
            stored = int(size * 1e9 * (0.6 if file_format == "gguf" else 2))
            dim = None if kind == "chat" else random.choice((384, 768, 1024))
            ram = stored // 800_000 if random.random() < 0.1 else None
            released = f"{year}-{random.randint(1, 12):02d}"
            facts = (kind, base, label, size, quantization, file_format, publisher, f"{publisher}/{slug}", spdx)
            yield (slug, title, *facts, released, context, dim, stored, ram, text, None, TIME, TIME), lists


def _word(random: Random, syllables: int) -> str:
    return "".join(random.choices(_SYLLABLES, k=syllables))
