"""Where files may be fetched from, and in what order."""

import re
from pathlib import Path
from typing import Any

import pytest
from hub_records import adapter_record, chat_record, dense_record

from registry.errors import InvalidOptionError, InvalidSettingError
from registry.hub.needed import Wanted
from registry.hub.sources import Address, Source, addresses, hub_endpoint, parse_source, parse_sources

COMMIT = "1" * 40
GGUF = Wanted("chat-q4.gguf")
EXPECTED = (
    "`hub`, an address such as `https://mirror.example`, a folder such as `/models`, or an address with {repo}, {org}, "
    "{name}, {revision}, {file}, {id}, {sha256} in it"
)


def urls(model: Any, wanted: Wanted = GGUF, **options: Any) -> list[str]:
    return [address.url for address in addresses(model, wanted, **options)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub", Source("hub")),
        ("https://mirror.example/", Source("endpoint", "https://mirror.example")),
        ("http://mirror.example:8080/hf", Source("endpoint", "http://mirror.example:8080/hf")),
        ("/a folder", Source("folder", "/a folder")),
        ("file:///a%20folder", Source("folder", "/a folder")),
        ("file://localhost/models", Source("folder", "/models")),
        ("https://m.example/{repo}/{file}", Source("template", "https://m.example/{repo}/{file}")),
        ("file:///nas/{id}/{file}", Source("template", "file:///nas/{id}/{file}")),
    ],
)
def test_source_is_read_as_users_write_it(text: str, expected: Source) -> None:
    assert parse_source(text) == expected


def test_source_in_the_users_folder_is_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))

    assert parse_source("~/models") == Source("folder", str(tmp_path / "models"))


@pytest.mark.parametrize(
    "text",
    [
        "https://m.example/{revsion}/{file}",
        "https://m.example/{file.__class__}",
        "https://m.example/{file",
        "https://m.example/{}",
        "m.example/{file}",
    ],
)
def test_pattern_with_what_is_no_field_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        parse_source(text)
    assert str(caught.value) == f"`sources`: expected {EXPECTED}, got {text!r}."


@pytest.mark.parametrize("text", ["ftp://m.example", "https://", "https://m.example:port", "javascript://x"])
def test_source_with_another_scheme_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        parse_source(text)
    expected = "an address that begins with `http:`, `https:`, `file:`"
    assert str(caught.value) == f"`sources`: expected {expected}, got {text!r}."


@pytest.mark.parametrize(
    "text",
    [
        "https://bob:s3cret@m.example/{revsion}",
        "https://bob:s3/cret@m.example",
        "ftp://bob:s3cret@m.example",
        "bob://s3cret@{file}/{x}",
    ],
)
def test_source_that_is_refused_is_shown_without_its_password(text: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        parse_source(text)
    assert not {"s3", "cret", "s3cret"} & set(re.findall(r"\w+", f"{caught.value} {caught.value.got}"))


def test_source_with_user_and_password_gives_an_address_with_them() -> None:
    stated = ["https://bob:s3cret@m.example/{repo}/{file}", "https://bob:s3cret@mirror.example"]

    assert urls(chat_record(), sources=stated) == [
        "https://bob:s3cret@m.example/org/model/chat-q4.gguf",
        "https://bob:s3cret@mirror.example/org/model/resolve/main/chat-q4.gguf",
    ]


@pytest.mark.parametrize(
    "text", ["file://mnt/models", "file://models", "file://", "file://localhost", "file://nas/{id}/{file}"]
)
def test_source_that_is_a_folder_of_another_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        parse_source(text)
    assert str(caught.value) == (
        f"`sources`: expected `file:///` and a whole path on this machine, got {text!r}. "
        "Three strokes stand before the path; mount the folder of another machine first."
    )


def test_source_that_is_a_relative_folder_is_refused() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        parse_source("models")
    remedy = "A folder is written as a whole path, as programs run in different folders."
    assert str(caught.value) == f"`sources`: expected {EXPECTED}, got 'models'. {remedy}"


def test_sources_of_the_caller_come_before_those_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_SOURCES", "/nas, hub")

    assert parse_sources(None) == (Source("folder", "/nas"), Source("hub"))
    assert parse_sources(["/usb"]) == (Source("folder", "/usb"),)


def test_sources_that_nobody_states_are_the_hub() -> None:
    assert parse_sources(None) == (Source("hub"),)


def test_source_of_the_setting_that_is_none_is_a_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_SOURCES", "models")

    with pytest.raises(InvalidSettingError) as caught:
        parse_sources(None)
    assert (caught.value.setting, caught.value.stated_in, caught.value.got) == (
        "sources",
        "`REGISTRY_SOURCES`",
        "models",
    )


def test_endpoint_is_the_callers_then_the_settings_then_hugging_face(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_endpoint() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://set.example/")
    assert hub_endpoint() == "https://set.example"
    assert hub_endpoint("https://said.example/hf/") == "https://said.example/hf"


def test_endpoint_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidOptionError, match=r"`endpoint`: expected an address such as `https://huggingface.co`"):
        hub_endpoint("mirror.example")
    monkeypatch.setenv("HF_ENDPOINT", "file:///models")
    with pytest.raises(InvalidSettingError, match="`HF_ENDPOINT`: expected an address such as"):
        hub_endpoint()


@pytest.mark.parametrize("wrong", ["https://bob:s3/cret@m.example", "ftp://bob:s3cret@m.example"])
def test_endpoint_that_is_no_address_is_shown_without_its_password(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidOptionError, match=r"got '\w+://\*\*\*@m.example'"):
        hub_endpoint(wrong)
    monkeypatch.setenv("HF_ENDPOINT", wrong)
    with pytest.raises(InvalidSettingError, match=r"got '\w+://\*\*\*@m.example'"):
        hub_endpoint()


def test_address_on_the_hub_is_at_the_pinned_commit() -> None:
    assert addresses(chat_record(revision=COMMIT), GGUF) == (
        Address(f"https://huggingface.co/org/model/resolve/{COMMIT}/chat-q4.gguf", may_see_token=True),
    )


def test_address_on_the_hub_is_at_the_commit_that_was_listed_else_at_main() -> None:
    assert urls(chat_record(), revision=COMMIT) == [f"https://huggingface.co/org/model/resolve/{COMMIT}/chat-q4.gguf"]
    assert urls(chat_record()) == ["https://huggingface.co/org/model/resolve/main/chat-q4.gguf"]


def test_name_with_signs_that_addresses_have_is_quoted() -> None:
    assert urls(chat_record(), Wanted("a b#1%.gguf")) == [
        "https://huggingface.co/org/model/resolve/main/a%20b%231%25.gguf"
    ]


def test_records_own_address_comes_before_the_hub_and_sees_no_token() -> None:
    own = Wanted("chat-q4.gguf", url="https://files.example/chat.gguf")

    assert [(address.url, address.may_see_token) for address in addresses(chat_record(), own)] == [
        ("https://files.example/chat.gguf", False),
        ("https://huggingface.co/org/model/resolve/main/chat-q4.gguf", True),
    ]


def test_records_own_address_that_is_no_web_address_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="`url`: expected an address that begins with"):
        urls(chat_record(), Wanted("chat-q4.gguf", url="ftp://files.example/x"))


def test_sources_are_tried_in_the_order_that_they_are_stated() -> None:
    stated = ["https://mirror.example", "https://flat.example/{org}/{name}@{revision}/{file}?{id}", "hub"]

    assert urls(chat_record(), sources=stated, endpoint="https://own.example") == [
        "https://mirror.example/org/model/resolve/main/chat-q4.gguf",
        "https://flat.example/org/model@main/chat-q4.gguf?a-chat",
        "https://own.example/org/model/resolve/main/chat-q4.gguf",
    ]


def test_token_is_seen_by_the_endpoint_only() -> None:
    stated = ["https://mirror.example", "https://own.example/{file}", "hub"]
    found = addresses(chat_record(), GGUF, sources=stated, endpoint="https://own.example")

    assert [address.may_see_token for address in found] == [False, True, True]


def test_the_same_address_is_given_once() -> None:
    assert len(urls(chat_record(), sources=["hub", "https://huggingface.co", "hub"])) == 1


def test_pattern_that_asks_for_what_is_not_known_gives_no_address() -> None:
    stated = ["https://m.example/{sha256}"]

    assert urls(chat_record(), sources=stated) == []
    assert urls(chat_record(), Wanted("x", sha256="a" * 64), sources=stated) == [f"https://m.example/{'a' * 64}"]


def test_values_in_a_pattern_are_quoted() -> None:
    assert urls(chat_record(id="a/../b c"), sources=["https://m.example/{id}/{file}"]) == [
        "https://m.example/a%2F..%2Fb%20c/chat-q4.gguf"
    ]


def test_adapter_without_a_repository_has_no_address_on_the_hub() -> None:
    assert urls(adapter_record(), Wanted("adapter.gguf")) == []


@pytest.mark.parametrize(
    "place",
    [
        f"org/model/{COMMIT}/1_Pooling/config.json",
        "org/model/1_Pooling/config.json",
        f"models--org--model/snapshots/{COMMIT}/1_Pooling/config.json",
        "a-dense/1_Pooling/config.json",
        "1_Pooling/config.json",
    ],
)
def test_file_is_found_in_each_layout_of_a_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()

    found = urls(dense_record(revision=COMMIT), Wanted("1_Pooling/config.json"), sources=[str(tmp_path)])
    assert found == [(tmp_path / place).as_uri()]


def test_gguf_is_found_in_a_model_folder_of_this_library(tmp_path: Path) -> None:
    (tmp_path / "a-chat.gguf").touch()

    assert urls(chat_record(), sources=[str(tmp_path)]) == [(tmp_path / "a-chat.gguf").as_uri()]


def test_file_that_a_folder_lacks_has_the_address_that_it_should_have(tmp_path: Path) -> None:
    expected = tmp_path / "org" / "model" / COMMIT / "chat-q4.gguf"

    assert urls(chat_record(revision=COMMIT), sources=[str(tmp_path)]) == [expected.as_uri()]
