"""What may be said about serving, and what is refused."""

from typing import Any

import pytest

from registry.errors import InvalidOptionError
from registry.server import ServerOptions

KEY = "k" * 16


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost", "LocalHost"])
def test_address_of_this_machine_alone_needs_no_key(host: str) -> None:
    assert ServerOptions(host=host).is_local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "server.example", "localhost.example", ""])
def test_other_address_without_a_key_is_refused(host: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        ServerOptions(host=host)

    assert caught.value.option == "host"
    assert caught.value.got == host


def test_other_address_with_a_key_is_taken() -> None:
    assert not ServerOptions(host="0.0.0.0", api_key=KEY).is_local


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 65536),
        ("port", True),
        ("queue_length", -1),
        ("max_models", 0),
        ("max_body_bytes", 0),
        ("queue_timeout_s", 0),
        ("request_timeout_s", float("nan")),
        ("shutdown_timeout_s", 86401),
        ("api_key", "k" * 15),
        ("api_key", "k" * 16 + "\n"),
        ("api_key", "k" * 16 + "ü"),
        ("api_key", "k k" * 16),
        ("admin_token", "k" * 15),
        ("admin_token", "k k" * 16),
    ],
)
def test_value_that_cannot_be_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        ServerOptions(**{name: value})

    assert caught.value.option == name


def test_key_is_never_shown() -> None:
    assert KEY not in repr(ServerOptions(api_key=KEY))
    with pytest.raises(InvalidOptionError) as caught:
        ServerOptions(api_key="short-secret")
    assert "short-secret" not in str(caught.value)


def test_admin_token_is_never_shown() -> None:
    assert KEY not in repr(ServerOptions(admin_token=KEY))


def test_token_that_is_too_short_says_where_it_is_set() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        ServerOptions(admin_token="short")

    assert str(caught.value) == (
        "`admin_token`: expected at least 16 printable ASCII characters, no blanks, got '5 characters'. "
        "`REGISTRY_ADMIN_TOKEN` sets it, and `openssl rand -hex 16` makes one."
    )


def test_admin_token_that_is_the_api_key_is_refused() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        ServerOptions(api_key=KEY, admin_token=KEY)

    assert str(caught.value) == (
        "`admin_token`: expected another one than `api_key`, got 'the same'. "
        "Whoever may use the models shall not, by that, be able to fetch others."
    )
