"""Reading manifests: what they may say, and everything that is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.adapters import AdapterEntry, AdapterManifest, parse_manifest
from registry.adapters.manifest import shown
from registry.errors import ManifestError

DIGEST = "ab" * 32
ENTRY = {"id": "tuned", "base": "tiny-chat", "file": "tuned.gguf", "sha256": DIGEST, "version": "1"}
Text = Callable[..., bytes]


def _problems(content: bytes, source: str = "/srv/adapters.json") -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(content, source)
    assert caught.value.source == source
    return caught.value.problems


def test_manifest_is_read_in_its_order(text: Text) -> None:
    entries = [ENTRY, ENTRY | {"id": "a-second.one_2", "version": "2026-11-21 (b)"}]
    manifest = parse_manifest(text(*entries), "/srv/adapters.json")
    assert manifest == AdapterManifest("/srv/adapters.json", tuple(AdapterEntry(**entry) for entry in entries))


def test_manifest_with_a_byte_order_mark_and_a_schema_is_read(text: Text) -> None:
    content = b"\xef\xbb\xbf" + text(**{"$schema": "https://registry.example/adapters.json"})
    assert parse_manifest(content, "a.json").adapters == ()


@pytest.mark.parametrize(
    ("file", "source", "address"),
    [
        ("tuned.gguf", "/srv/tuned/adapters.json", "file:///srv/tuned/tuned.gguf"),
        ("a b#c.gguf", "/srv/tuned/adapters.json", "file:///srv/tuned/a%20b%23c.gguf"),
        ("/data/tuned.gguf", "/srv/tuned/adapters.json", "file:///data/tuned.gguf"),
        ("https://files.example/t.gguf", "/srv/adapters.json", "https://files.example/t.gguf"),
        ("tuned.gguf", "https://files.example/now/adapters.json?key=1", "https://files.example/now/tuned.gguf"),
        ("a b?c.gguf", "https://files.example/adapters.json", None),
        ("a b#c.gguf", "https://files.example/adapters.json", "https://files.example/a%20b%23c.gguf"),
        ("http://other.example/t.gguf", "https://files.example/adapters.json", "http://other.example/t.gguf"),
    ],
)
def test_file_lies_beside_its_manifest_or_where_it_says(
    file: str, source: str, address: str | None, text: Text
) -> None:
    if address is None:
        assert len(_problems(text(ENTRY | {"file": file}), source)) == 1
        return
    manifest = parse_manifest(text(ENTRY | {"file": file}), source)
    assert manifest.address(manifest.adapters[0]) == address


def test_file_beside_a_manifest_given_by_a_relative_path_is_found(
    text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = parse_manifest(text(ENTRY), "adapters.json")
    assert manifest.address(manifest.adapters[0]) == (tmp_path / "tuned.gguf").as_uri()


@pytest.mark.parametrize(
    "file",
    [
        "../tuned.gguf",
        "folder/tuned.gguf",
        "..",
        ".hidden",
        "",
        "/srv/../etc/passwd",
        "C:\\tuned.gguf",
        "..\\tuned.gguf",
        "file:///etc/passwd",
        "ftp://files.example/tuned.gguf",
        "https://",
        "https://files.example",
        "https://[half/tuned.gguf",
        "https://files.example/" + "a" * 4000,
        "tuned\x00.gguf",
        "tuned\n.gguf",
        "\ud800.gguf",
    ],
)
def test_file_that_leads_elsewhere_is_refused(file: str, text: Text) -> None:
    (problem,) = _problems(text(ENTRY | {"file": file}))
    assert problem.startswith("adapters[0].file: expected a file name, a whole path or an address, got '")


def test_path_of_this_machine_is_refused_from_the_network(text: Text) -> None:
    problems = _problems(text(ENTRY | {"file": "/etc/passwd"}), "https://files.example/adapters.json")
    assert problems == ("adapters[0].file: expected a file name or an address, got '/etc/passwd'",)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("id", "Tuned", "expected lower-case letters and digits joined by single `.`, `_` or `-`, got 'Tuned'"),
        ("id", "../up", "expected lower-case letters and digits joined by single `.`, `_` or `-`, got '../up'"),
        ("id", None, "expected lower-case letters and digits joined by single `.`, `_` or `-`, got none"),
        ("id", 7, "expected lower-case letters and digits joined by single `.`, `_` or `-`, got 7"),
        ("base", "", "expected the id of a model, got ''"),
        ("base", ["tiny-chat"], "expected the id of a model, got a list"),
        ("sha256", DIGEST[:-1], f"expected 64 hexadecimal digits in lower case, got '{DIGEST[:-1]}'"),
        ("sha256", DIGEST.upper(), f"expected 64 hexadecimal digits in lower case, got '{DIGEST.upper()}'"),
        ("version", 3, "expected a text of at most 100 printable characters, got 3"),
        ("version", "  ", "expected a text of at most 100 printable characters, got '  '"),
        ("version", "1\n2", "expected a text of at most 100 printable characters, got '1\\n2'"),
        ("size", 1, "expected no such key"),
    ],
)
def test_entry_with_a_wrong_value_is_refused(key: str, value: Any, problem: str, text: Text) -> None:
    assert _problems(text(ENTRY | {key: value})) == (f"adapters[0].{key}: {problem}",)


def test_password_of_an_address_is_not_shown(text: Text) -> None:
    (problem,) = _problems(text(ENTRY | {"file": "ftp://me:secret@files.example/tuned.gguf"}))
    assert problem.endswith("got 'ftp://files.example/tuned.gguf'")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("/srv/adapters#1?.json", "/srv/adapters#1?.json"),
        ("https://me:secret@host/a.json?signature=secret", "https://host/a.json"),
        ("https://me:sec/ret@host/a.json", "https://***@host/a.json"),
        ("https://me:secret@[half/a.json", "https://***@[half/a.json"),
    ],
)
def test_place_is_shown_without_what_is_secret(where: str, expected: str) -> None:
    assert shown(where) == expected


def test_manifest_does_not_show_its_secrets(text: Text) -> None:
    file = "https://me:secret@files.example/tuned.gguf"
    manifest = parse_manifest(text(ENTRY | {"file": file}), "https://me:secret@host/a.json?signature=secret")
    assert "secret" not in repr(manifest)
    assert (manifest.source[-6:], manifest.adapters[0].file) == ("secret", file)
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text(version=3), manifest.source)
    assert caught.value.source == "https://host/a.json"


def test_adapters_of_one_name_are_refused(text: Text) -> None:
    entries = [ENTRY, ENTRY | {"id": "other"}, ENTRY | {"version": "2"}]
    expected = "adapters[2].id: expected another id than that of adapters[0], got 'tuned'"
    assert _problems(text(*entries)) == (expected,)


def test_all_problems_are_told_at_once(text: Text) -> None:
    content = text(5, ENTRY | {"base": 1}, version=2, extra={})
    assert _problems(content) == (
        "extra: expected no such key",
        "version: expected 1, got 2",
        "adapters[0]: expected an object, got 5",
        "adapters[1].base: expected the id of a model, got 1",
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "expected JSON, got what is none: Expecting value: line 1 column 1 (char 0)"),
        (b'{"version": 1, "adapters": [{"id": "tu', "expected JSON, got what is none: Unterminated string starting at"),
        (b"[]", "expected an object, got a list"),
        (b'{"version": true, "adapters": []}', "version: expected 1, got True"),
        (b'{"version": 1}', "adapters: expected a list of at most 250 adapters, got none"),
        (b'{"version": 1, "adapters": {}}', "adapters: expected a list of at most 250 adapters, got an object"),
        (b'{"version": 1, "version": 1}', "expected JSON, got what is none: the key 'version' stands twice"),
        (b'{"version": NaN}', "expected JSON, got what is none: `NaN` is no number of JSON"),
        (b'{"version": 1e999}', "version: expected 1, got inf"),
        (b"\xff\xfe{}", "expected text in UTF-8, got other bytes at position 0"),
        (b"[" * 200_000, "expected a manifest, got lists or objects nested too deep"),
        (b" " * (2**20 + 1), "expected at most 1048576 bytes, got more"),
        (b'{"version": ' + b"1" * 5000 + b"}", "expected JSON, got what is none: Exceeds the limit"),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes, problem: str) -> None:
    assert _problems(content)[0].startswith(problem)


def test_too_many_adapters_are_refused(text: Text) -> None:
    problem = "adapters: expected a list of at most 250 adapters, got 251 of them"
    assert _problems(text(*[ENTRY] * 251)) == (problem,)


def test_error_says_what_to_do(text: Text) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text(version=3), "adapters.json")
    assert str(caught.value) == (
        "The manifest `adapters.json` cannot be used:\n  version: expected 1, got 3\nMend it, or leave it out."
    )
