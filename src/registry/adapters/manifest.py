"""The manifest: which adapters there are, and which bytes each has. Read strictly, all problems told at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import url2pathname

from registry._places import is_file_name
from registry.errors import ManifestError
from registry.hub.refusals import bare, masked

FORMAT = 1
MOST_BYTES = 2**20
_MOST_ADAPTERS = 250  # each is an open file, two while it moves: systems often allow 1024
_LONGEST_VERSION = 100
_LONGEST_ADDRESS = 4000
_ID = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")  # as the ids of records
_LONGEST_ID = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = ("id", "base", "file", "sha256", "version")


@dataclass(frozen=True)
class AdapterEntry:
    """One adapter of a manifest.

    Attributes:
        id: What requests call it.
        base: Id of the record of the model that it goes on top of.
        file: Where its GGUF file is: a name beside the manifest, a whole path, or an `http:` or `https:` address.
        sha256: Digest of the file, 64 hex digits.
        version: Which one it is, for people.
    """

    id: str
    base: str
    file: str = field(repr=False)  # as may be in this
    sha256: str
    version: str


@dataclass(frozen=True)
class AdapterManifest:
    """The adapters that are to be served: these and no others.

    Attributes:
        source: File or address that it was read from.
        adapters: The adapters, in its order.
    """

    source: str = field(repr=False)  # a user and a password may be in it
    adapters: tuple[AdapterEntry, ...]

    def address(self, entry: AdapterEntry) -> str:
        """Give the address of an adapter's file: `http:`, `https:`, or `file:` for one of this machine."""
        if is_address(entry.file):
            return entry.file
        if is_address(self.source):
            return urljoin(self.source, quote(entry.file))
        return (Path(self.source).expanduser().absolute().parent / entry.file).as_uri()


def place_of(where: str) -> str:
    """Give where something is, a `file:` address of this machine as the path that it means."""
    if not where.lower().startswith("file:/"):
        return where
    parts = urlsplit(where)
    return url2pathname(parts.path) if parts.netloc in ("", "localhost") else where


def shown(where: str) -> str:
    """Give a path as it is, and an address without what must not be shown: user, password, signature in the query."""
    if "://" not in where:
        return where
    try:
        return masked(bare(where))
    except ValueError:  # it is no address, and what stands where a user would is hidden all the same
        return masked(where)


def is_address(text: str) -> bool:
    """True for an address of the web, false for a path."""
    return text.partition("://")[0].lower() in ("http", "https")


def parse_manifest(content: bytes, source: str) -> AdapterManifest:
    """Read the text of a manifest: JSON in UTF-8, at its beginning a byte order mark or none.

    Args:
        content: The text.
        source: File or address that it comes from; names in it are looked for beside that.

    Raises:
        ManifestError: It is none; with all of its problems.
    """
    place = shown(source)
    document = _document(content, place)
    if problems := tuple(_problems(document, is_remote=is_address(source))):
        raise ManifestError(place, problems)
    return AdapterManifest(source, tuple(AdapterEntry(**entry) for entry in document["adapters"]))


def _document(content: bytes, source: str) -> Any:
    if len(content) > MOST_BYTES:
        raise ManifestError(source, (f"expected at most {MOST_BYTES} bytes, got more",))
    try:
        text = content.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refused_constant)
    except UnicodeDecodeError as error:
        raise ManifestError(source, (f"expected text in UTF-8, got other bytes at position {error.start}",)) from error
    except RecursionError as error:
        raise ManifestError(source, ("expected a manifest, got lists or objects nested too deep",)) from error
    except ValueError as error:
        raise ManifestError(source, (f"expected JSON, got what is none: {error}",)) from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return made


def _refused_constant(name: str) -> float:
    raise ValueError(f"`{name}` is no number of JSON")


def _problems(document: Any, *, is_remote: bool) -> Iterator[str]:
    if not isinstance(document, dict):
        yield f"expected an object, got {_shown(document)}"
        return
    yield from (f"{key}: expected no such key" for key in document if key not in ("$schema", "version", "adapters"))
    version = document.get("version")
    if type(version) is not int or version != FORMAT:
        yield f"version: expected {FORMAT}, got {_shown(version)}"
    adapters = document.get("adapters")
    if not isinstance(adapters, list) or len(adapters) > _MOST_ADAPTERS:
        got = f"{len(adapters)} of them" if isinstance(adapters, list) else _shown(adapters)
        yield f"adapters: expected a list of at most {_MOST_ADAPTERS} adapters, got {got}"
        return
    for number, entry in enumerate(adapters):
        yield from (f"adapters[{number}]{problem}" for problem in _entry_problems(entry, is_remote=is_remote))
    yield from _repeated(adapters)


def _entry_problems(entry: Any, *, is_remote: bool) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f": expected an object, got {_shown(entry)}"
        return
    yield from (f".{key}: expected no such key" for key in entry if key not in _KEYS)
    fits: dict[str, Callable[[str], object]] = {
        "id": lambda text: len(text) <= _LONGEST_ID and _ID.fullmatch(text),
        "base": lambda text: len(text) <= _LONGEST_ID and _ID.fullmatch(text),
        "file": lambda text: _is_address_of_file(text) or (_is_path(text) and not is_remote) or is_file_name(text),
        "sha256": _SHA256.fullmatch,
        "version": lambda text: text.strip() and len(text) <= _LONGEST_VERSION,
    }
    for key, is_fit in fits.items():
        value = entry.get(key)
        if not isinstance(value, str) or not value.isprintable() or not is_fit(value):
            yield f".{key}: expected {_expected(key, is_remote=is_remote)}, got {_shown(value)}"


def _expected(key: str, *, is_remote: bool) -> str:
    return {
        "id": "lower-case letters and digits joined by single `.`, `_` or `-`",
        "base": "the id of a model",
        # What comes from the network does not say which files of this machine are read.
        "file": "a file name or an address" if is_remote else "a file name, a whole path or an address",
        "sha256": "64 hexadecimal digits in lower case",
        "version": f"a text of at most {_LONGEST_VERSION} printable characters",
    }[key]


def _is_address_of_file(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return is_address(text) and len(text) <= _LONGEST_ADDRESS and bool(parts.hostname and parts.path.strip("/"))
    except ValueError:
        return False


def _is_path(text: str) -> bool:
    path = Path(text)
    return path.is_absolute() and ".." not in path.parts


def _repeated(adapters: list[Any]) -> Iterator[str]:
    first: dict[str, int] = {}
    ids = [entry.get("id") if isinstance(entry, Mapping) else None for entry in adapters]
    for number, name in enumerate(ids):
        if isinstance(name, str) and first.setdefault(name, number) != number:
            yield f"adapters[{number}].id: expected another id than that of adapters[{first[name]}], got {name!r}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    text = shown(value) if isinstance(value, str) else repr(value)
    text = text if len(text) <= 100 else f"{text[:97]}..."
    return repr(text) if isinstance(value, str) else text
