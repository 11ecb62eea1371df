"""Addresses of services, and bare connections to them."""

import socket
import threading
from typing import Any

import pytest
from waiting import within

from registry.profiles.providers import endpoints
from registry.profiles.providers.endpoints import Endpoint, addresses, parse, probe, shown


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("stated", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":56789", "http://127.0.0.1:56789"),
        ("1.2.3.4:56789", "http://1.2.3.4:56789"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:56789", "https://1.2.3.4:56789"),
        ("example.com/", "http://example.com:11434"),
        ("example.com:56789/path/", "http://example.com:56789/path"),
        ("[0001:002:003:0004::1]", "http://[0001:002:003:0004::1]:11434"),
        ("https://[0001:002:003:0004::1]:56789/path", "https://[0001:002:003:0004::1]:56789/path"),
        (" example.com ", "http://example.com:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://[::]:5000", "http://[::1]:5000"),
    ],
)
def test_parse_reads_every_form_that_ollama_takes(stated: str, url: str) -> None:
    assert parse(stated, default_port=11434).url == url


def test_parse_reads_every_form_as_the_client_does() -> None:
    client: Any = pytest.importorskip("ollama._client")
    forms = ["", "1.2.3.4", ":5", "h:5", "http://h", "https://h", "h/p/", "[::1]", "[::1]:5/p", "https://[::1]:5/p/"]

    assert [parse(form, default_port=11434).url for form in forms] == [client._parse_host(form) for form in forms]


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ("ftp://here", "expected http:// or https://, got ftp://"),
        ("http://me:secret@here", "expected neither query, fragment nor user in it"),
        ("http://here?a=b", "expected neither query, fragment nor user in it"),
        ("here:99999", "expected a port from 0 to 65535"),
    ],
)
def test_parse_refuses_what_is_no_address(stated: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        parse(stated)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("localhost", True),
        ("api.localhost", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("h", False),
    ],
)
def test_loopback_is_this_machine(host: str, is_loopback: bool) -> None:
    assert Endpoint("", "http", host, 80).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("stated", "variables", "proxy"),
    [
        ("http://far", {"http_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ("http://far", {"http_proxy": "proxy:3128"}, "http://proxy:3128"),
        ("https://far", {"http_proxy": "http://proxy:3128"}, None),
        ("https://far", {"all_proxy": "socks5://proxy"}, "socks5://proxy"),
        ("http://far", {"http_proxy": "http://proxy", "no_proxy": "far"}, None),
        ("http://127.0.0.1", {"http_proxy": "http://proxy"}, None),
        ("http://localhost", {"http_proxy": "http://proxy"}, None),
    ],
)
def test_proxy_is_the_one_of_the_system_but_not_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, stated: str, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert parse(stated).proxy() == proxy


def test_probe_connects_to_the_proxy_where_one_leads_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        probe(parse("http://nobody.invalid"), 5)


def test_addresses_share_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.0.0.{last}", 80)) for last in (1, 2, 2, 3)]
    monkeypatch.setattr(endpoints.socket, "getaddrinfo", lambda *_, **__: found)

    shares = [(address, round(left_s)) for address, left_s in addresses("h", 80, 60)]

    assert shares == [("10.0.0.1", 20), ("10.0.0.2", 30), ("10.0.0.3", 60)]


def test_look_up_that_does_not_end_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        end.wait(30)
        return []

    monkeypatch.setattr(endpoints.socket, "getaddrinfo", hang)

    with pytest.raises(TimeoutError, match=r"^looking up h took longer than 0\.05 s$"):
        within(lambda: list(addresses("h", 80, 0.05)))
    end.set()


def test_name_that_nobody_has_is_an_error_of_looking_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def miss(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(endpoints.socket, "getaddrinfo", miss)

    with pytest.raises(socket.gaierror):
        list(addresses("h", 80, 5))


def test_name_that_is_too_long_is_an_error_of_looking_up() -> None:
    with pytest.raises(socket.gaierror, match="is no name of a host"):
        list(addresses("a" * 70 + ".example", 80, 5))


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ("ftp://here:5/v1", "ftp://here:5/v1"),
        ("here:99999", "here:99999"),
        ("http://me:secret@here/v1", "http://***@here/v1"),
        ("me:secret@here", "***@here"),
        ("http://me:sec/ret@here", "http://***@here"),
        ("http://here/v1?key=secret", "http://here/v1?***"),
        ("http://here/v1#secret", "http://here/v1#***"),
    ],
)
def test_address_is_shown_without_what_is_secret(stated: str, text: str) -> None:
    assert shown(stated) == text


def test_port_that_is_none_is_not_shown() -> None:  # it may be the half of a password
    with pytest.raises(ValueError, match=r"^expected a port from 0 to 65535$"):
        parse("http://me:sec/ret@here")
