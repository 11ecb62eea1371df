"""Opening addresses: who sees the token, which redirects are followed, proxies and certificates."""

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_records import REPOSITORY
from hub_server import Fault, Hub

from registry.errors import DownloadError, InvalidSettingError
from registry.hub import connections
from registry.hub.connections import origin
from registry.hub.web import opened

NAME = "model.gguf"
CONTENT = b"these are weights"


def serve(hub: Hub) -> str:
    return hub.url(REPOSITORY, NAME, hub.add(REPOSITORY, {NAME: CONTENT}))


def read(url: str, **options: object) -> bytes:
    """Read all that is at an address."""
    buffer, found = memoryview(bytearray(64)), b""
    with opened("m", url, timeout_s=5, **options) as answer:  # type: ignore[arg-type]
        while size := answer.readinto(buffer):
            found += bytes(buffer[:size])
    return found


def tokens(hub: Hub) -> list[tuple[str, str | None]]:
    return [(request.server, request.headers.get("authorization")) for request in hub.requests]


def test_token_is_sent_to_the_address(hub: Hub) -> None:
    read(serve(hub), token="secret")

    assert tokens(hub) == [("hub", "Bearer secret")]


def test_redirect_to_another_port_is_followed_without_the_token(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(cdn=True)

    assert read(serve(hub), token="secret") == CONTENT
    assert tokens(hub) == [("hub", "Bearer secret"), ("cdn", None)]


def test_redirect_to_another_port_takes_the_range_along(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(cdn=True)

    assert read(serve(hub), start=6) == CONTENT[6:]
    assert [request.headers["range"] for request in hub.requests] == ["bytes=6-", "bytes=6-"]


def test_redirect_on_the_same_host_takes_the_token_along(hub: Hub) -> None:
    url = serve(hub)
    hub.misbehave("old.gguf", Fault(location=url))

    assert read(hub.url(REPOSITORY, "old.gguf"), token="secret") == CONTENT
    assert tokens(hub) == [("hub", "Bearer secret"), ("hub", "Bearer secret")]


def test_redirect_to_another_host_and_back_has_lost_the_token(make_hub: Callable[..., Hub]) -> None:
    first, second = make_hub(), make_hub()
    second.misbehave("away.gguf", Fault(location=serve(first)))
    first.misbehave("old.gguf", Fault(location=second.url(REPOSITORY, "away.gguf")))

    assert read(first.url(REPOSITORY, "old.gguf"), token="secret") == CONTENT
    assert tokens(first) == [("hub", "Bearer secret"), ("hub", None)]


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_redirect_to_what_is_no_web_address_is_refused(hub: Hub, target: str) -> None:
    hub.misbehave(NAME, Fault(location=target))
    url = serve(hub)

    with pytest.raises(DownloadError, match=r": it was redirected in a way that is not followed: "):
        read(url)


def test_redirects_in_a_circle_end(hub: Hub) -> None:
    url = serve(hub)
    hub.misbehave(NAME, *[Fault(location=url)] * 99)

    with pytest.raises(DownloadError, match=r"it was redirected in a way that is not followed: .* infinite loop"):
        read(url)
    assert len(hub.requests) <= 6


def test_more_than_five_redirects_are_not_followed(hub: Hub) -> None:
    for number in range(9):
        hub.misbehave(f"{number}.gguf", Fault(location=hub.url(REPOSITORY, f"{number + 1}.gguf")))

    with pytest.raises(DownloadError, match="it was redirected in a way that is not followed"):
        read(hub.url(REPOSITORY, "0.gguf"))
    assert len(hub.requests) == 6


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("https://a.example/x", "https://A.example:443/y", True),
        ("https://a.example/x", "http://a.example/x", False),
        ("https://a.example/x", "https://a.example:8443/x", False),
        ("https://a.example/x", "https://a.example.evil.example/x", False),
        ("https://a.example/x", "https://a.example@evil.example/x", False),
    ],
)
def test_origin_is_scheme_host_and_port(first: str, second: str, same: bool) -> None:
    assert (origin(first) == origin(second)) is same


def with_user(url: str, user: str = "bob:s3cret") -> str:
    return url.replace("://", f"://{user}@")


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ("bob:s3cret", "Basic Ym9iOnMzY3JldA=="),
        ("b%40b:s%3A%2F%C3%A9", "Basic YkBiOnM6L8Op"),  # b@b, s:/\u00e9 in UTF-8
        ("token", "Basic dG9rZW46"),
    ],
)
def test_user_of_the_address_is_sent_and_is_not_part_of_it(hub: Hub, user: str, sent: str) -> None:
    assert read(with_user(serve(hub), user)) == CONTENT
    assert [(r.headers["authorization"], r.headers["host"]) for r in hub.requests] == [
        (sent, hub.endpoint.removeprefix("http://"))
    ]


def test_user_of_the_address_is_sent_in_place_of_the_token(hub: Hub) -> None:
    read(with_user(serve(hub)), token="secret")

    assert tokens(hub) == [("hub", "Basic Ym9iOnMzY3JldA==")]


def test_redirect_to_another_port_is_followed_without_the_user(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(cdn=True)

    assert read(with_user(serve(hub))) == CONTENT
    assert tokens(hub) == [("hub", "Basic Ym9iOnMzY3JldA=="), ("cdn", None)]


def test_redirect_on_the_same_host_takes_the_user_along(hub: Hub) -> None:
    hub.misbehave("old.gguf", Fault(location=serve(hub)))

    assert read(with_user(hub.url(REPOSITORY, "old.gguf"))) == CONTENT
    assert tokens(hub) == [("hub", "Basic Ym9iOnMzY3JldA==")] * 2


@pytest.mark.parametrize(
    "target",
    [
        "http://bob:s3cret@127.0.0.1/x",
        "gopher://bob:s3cret@127.0.0.1/x",
        "http://127.0.0.1:s3cret/x",
        "http://bob:s3/cret@127.0.0.1/x",
        "http://[bob/x",
    ],
)
def test_redirect_to_an_address_with_a_user_is_refused_and_not_shown(hub: Hub, target: str) -> None:
    hub.misbehave(NAME, Fault(location=target))

    with pytest.raises(DownloadError, match=r"it was redirected in a way that is not followed") as caught:
        read(serve(hub))
    assert type(caught.value) is DownloadError
    assert "bob" not in str(caught.value)


def test_address_that_cannot_be_read_is_refused_without_its_user(hub: Hub) -> None:
    with pytest.raises(DownloadError) as caught:
        read(with_user(f"{hub.endpoint}/with\x7f"))
    assert type(caught.value) is DownloadError
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("fault", [Fault(status=401), Fault(status=503), Fault(hang_up=True)])
def test_user_of_the_address_is_in_no_error(hub: Hub, fault: Fault) -> None:
    hub.misbehave(NAME, fault)

    with pytest.raises(DownloadError) as caught:
        read(with_user(serve(hub)))
    assert not {"bob", "s3cret"} & set(re.findall(r"\w+", f"{caught.value} {caught.value.url}"))


def test_proxy_of_the_environment_is_asked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    path = serve(hub).removeprefix(hub.endpoint)
    monkeypatch.setenv("HTTP_PROXY", hub.endpoint)

    assert read(f"http://model.invalid{path}") == CONTENT
    assert hub.requests[0].headers["host"] == "model.invalid"


def test_proxy_is_not_asked_for_hosts_of_no_proxy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert read(serve(hub)) == CONTENT


def test_range_past_the_end_says_how_large_the_file_is(hub: Hub) -> None:
    with opened("m", serve(hub), start=99, timeout_s=5) as answer:
        assert (answer.is_past_end, answer.total_bytes) == (True, len(CONTENT))


def test_weak_entity_tag_stands_for_no_bytes(hub: Hub) -> None:
    hub.misbehave(NAME, Fault(headers={"ETag": 'W/"1"'}))

    with opened("m", serve(hub), timeout_s=5) as answer:
        assert answer.etag is None


def test_file_of_another_host_is_refused() -> None:
    with pytest.raises(DownloadError) as caught:
        read("file://server/share/model.gguf")
    assert str(caught.value) == (
        "Cannot fetch `m`: file://server/share/model.gguf: files of another host cannot be opened. "
        "Mount them, and write `file:///` and the path."
    )


def test_error_while_a_file_is_read_is_not_one_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(CONTENT)

    with pytest.raises(OSError, match=r"^full$"), opened("m", (tmp_path / "model.gguf").as_uri(), timeout_s=5):
        raise OSError("full")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_private_certificate_is_trusted_where_a_variable_names_it(
    tls_hub: Hub, certificate: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("truststore")
    monkeypatch.setenv(variable, str(certificate))

    assert read(serve(tls_hub)) == CONTENT


@pytest.fixture
def truststore_without_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What truststore is on macOS and Windows: no variable is read."""
    pytest.importorskip("truststore")
    monkeypatch.setattr("truststore.SSLContext", ssl.SSLContext)
    connections._trusted.cache_clear()
    yield
    connections._trusted.cache_clear()


@pytest.mark.usefixtures("truststore_without_variables")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_private_certificate_is_trusted_on_every_system(
    tls_hub: Hub, certificate: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (certificate.parent / "README").write_text("no certificate")
    monkeypatch.setenv(variable, str(certificate if variable == "SSL_CERT_FILE" else certificate.parent))

    assert read(serve(tls_hub)) == CONTENT


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_are_not_there_are_a_setting_that_is_wrong(
    tls_hub: Hub, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("truststore")
    monkeypatch.setenv(variable, "/absent.pem")

    with pytest.raises(InvalidSettingError) as caught:
        read(serve(tls_hub))
    assert str(caught.value) == (
        f"Setting `{variable}` in the environment: expected a file with certificates in PEM, got '/absent.pem'. "
        "Correct it."
    )


def test_redirect_from_https_to_http_is_followed_without_the_token(
    tls_hub: Hub, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    read(serve(tls_hub), token="secret")

    assert tokens(tls_hub) == [("hub", "Bearer secret"), ("cdn", None)]


def test_certificate_that_nobody_trusts_is_refused_at_once(tls_hub: Hub) -> None:
    pytest.importorskip("truststore")
    url = serve(tls_hub)

    with pytest.raises(DownloadError) as caught:
        read(url)
    assert type(caught.value) is DownloadError
    assert str(caught.value) == (
        f"Cannot fetch `m`: {url}: the server's certificate is not trusted (self-signed certificate). "
        "Where a company's proxy signs it, set `SSL_CERT_FILE` or `REQUESTS_CA_BUNDLE` to its certificate."
    )
