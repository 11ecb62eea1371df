"""Who may ask for what."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("fastapi")

from registry.errors import InvalidOptionError
from registry.server import ServerOptions
from registry.server.security import Gate, origin_of

from .api import AUTH, KEY, METRIC, client

FAR = "https://evil.example"


@pytest.fixture
def api() -> Iterator[Any]:
    with client() as client_:
        yield client_


def error_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_write_without_a_key_says_how_to_send_one(api: Any) -> None:
    response = api.post("/api/models", json={"name": "mine"})

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="registry"'
    assert response.json() == {
        "success": False,
        "error": {
            "code": "missing_api_key",
            "message": "This request needs the API key.",
            "hint": "Send it as `Authorization: Bearer KEY`.",
        },
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": "Bearer "},
        {"authorization": "Basic !"},
        {"x-api-key": "another-key-of-16"},
        {"authorization": "Bearer sch\u00f6n".encode("latin-1")},
    ],
)
def test_write_with_a_wrong_key_is_refused(api: Any, headers: dict[str, Any]) -> None:
    assert error_of(api.post("/api/models", json={"name": "mine"}, headers=headers)) == (401, "wrong_api_key")


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {KEY}"},
        {"x-api-key": KEY},
        {"authorization": f"Basic {b64encode(f'me:{KEY}'.encode()).decode()}"},
    ],
    ids=["bearer", "lower case", "x-api-key", "a browser's dialogue"],
)
def test_write_with_the_key_is_done(api: Any, headers: dict[str, str]) -> None:
    assert api.post("/api/models", json={"name": "mine"}, headers=headers).status_code == 201


def test_keys_are_compared_in_constant_time(api: Any) -> None:
    with mock.patch("registry.server.security.hmac.compare_digest", return_value=False) as compare:
        refused = api.post("/api/models", json={"name": "mine"}, headers=AUTH)

    assert refused.status_code == 401
    assert [len(digest) for digest in compare.call_args.args] == [32, 32]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/models"),
        ("PATCH", "/api/models/talk"),
        ("DELETE", "/api/models/talk"),
        ("POST", "/api/models/talk/metrics"),
    ],
)
def test_write_where_the_server_has_no_key_is_read_only(method: str, path: str) -> None:
    with client(api_key=None) as api:
        response = api.request(method, path, json=METRIC, headers=AUTH)

    assert error_of(response) == (403, "read_only")
    assert "REGISTRY_API_KEY" in response.json()["error"]["hint"]


def test_reads_on_this_machine_need_no_key(api: Any) -> None:
    assert [api.get(path).status_code for path in ("/api/models", "/health", "/metrics")] == [200, 200, 200]


def test_models_need_the_key_where_the_server_has_one(api: Any) -> None:
    response = api.get("/v1/models")

    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
    assert api.get("/v1/models", headers=AUTH).status_code == 200


def test_models_need_no_key_where_the_server_has_none() -> None:
    with client(api_key=None) as api:
        assert api.get("/v1/models").status_code == 200


def test_server_for_other_machines_answers_only_health_without_the_key() -> None:
    with client(host="0.0.0.0") as api:
        paths = ("/health", "/api/models", "/metrics", "/v1/models", "/")

        assert [api.get(path).status_code for path in paths] == [200, 401, 401, 401, 401]
        assert [api.get(path, headers=AUTH).status_code for path in paths[:4]] == [200] * 4
        assert api.get("/").headers["www-authenticate"].startswith("Basic")


def test_server_for_other_machines_lets_no_proxy_keep_answers() -> None:
    with client(host="0.0.0.0") as api:
        assert api.get("/api/models", headers=AUTH).headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost.evil.example"]
)
def test_host_that_is_not_this_machine_is_refused(api: Any, host: str) -> None:
    assert error_of(api.get("/api/models", headers={"host": host})) == (403, "wrong_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8081", "127.0.0.1:1", "[::1]", "[::1]:8081"])
def test_host_that_is_this_machine_is_answered(api: Any, host: str) -> None:
    assert api.get("/api/models", headers={"host": host}).status_code == 200


def test_host_of_a_proxy_is_answered_where_its_origin_is_known() -> None:
    with client(cors_origins=("https://models.example",)) as api:
        assert api.get("/api/models", headers={"host": "models.example"}).status_code == 200


def test_host_is_not_looked_at_where_other_machines_may_ask() -> None:
    with client(host="0.0.0.0") as api:
        assert api.get("/api/models", headers={**AUTH, "host": "models.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": FAR},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/models"), ("GET", "/v1/models")])
def test_page_of_another_site_is_refused(api: Any, method: str, path: str, headers: dict[str, str]) -> None:
    response = api.request(method, path, headers={**AUTH, **headers})

    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers


def test_page_of_another_site_may_link_to_the_catalogue(api: Any) -> None:
    assert api.get("/api/models", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8081", "http://LOCALHOST:8081"])
def test_page_of_this_server_may_write(api: Any, origin: str) -> None:
    host = origin.partition("//")[2].lower()
    headers = {**AUTH, "origin": origin, "host": host, "sec-fetch-site": "same-origin"}

    assert api.post("/api/models", json={"name": "mine"}, headers=headers).status_code == 201


def test_page_of_a_known_origin_may_write_and_read_the_answer() -> None:
    with client(cors_origins=("https://app.example",)) as api:
        headers = {**AUTH, "origin": "https://app.example", "sec-fetch-site": "cross-site"}

        response = api.post("/api/models", json={"name": "mine"}, headers=headers)

    assert response.status_code == 201
    assert response.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers["vary"] == "origin"


def test_preflight_of_a_known_origin_names_what_may_be_sent() -> None:
    with client(cors_origins=("https://app.example",)) as api:
        asks = {"origin": "https://app.example", "access-control-request-method": "PATCH"}

        response = api.options("/api/models/talk", headers=asks)

    assert response.status_code == 204
    assert response.headers["access-control-allow-methods"] == "GET, HEAD, PATCH, DELETE, OPTIONS"
    assert "authorization" in response.headers["access-control-allow-headers"]


def test_preflight_of_another_origin_allows_nothing(api: Any) -> None:
    response = api.options("/api/models", headers={"origin": FAR, "access-control-request-method": "POST"})

    assert [name for name in response.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization", "X-API-Key"])
def test_header_that_decides_and_is_sent_twice_is_refused(name: str) -> None:
    raw = [(b"host", b"localhost"), (name.lower().encode(), b"a"), (name.lower().encode(), b"b")]

    failure = Gate(ServerOptions()).refusal("GET", "/api/models", dict(raw), raw)

    assert failure is not None
    assert (failure.status, failure.message) == (400, f"The header `{name.lower()}` was sent more than once.")


def test_request_without_a_host_is_refused() -> None:
    failure = Gate(ServerOptions()).refusal("GET", "/api/models", {}, [])

    assert failure is not None
    assert (failure.status, failure.code) == (400, "missing_host")


@pytest.mark.parametrize(
    ("stated", "sent"),
    [
        ("https://app.example", b"https://app.example"),
        ("HTTPS://App.Example:443/", b"https://app.example"),
        ("http://[::1]:3000", b"http://[::1]:3000"),
        ("https://m\u00fcnchen.example", b"https://xn--mnchen-3ya.example"),
    ],
)
def test_origin_is_written_as_browsers_send_it(stated: str, sent: bytes) -> None:
    assert origin_of(stated) == sent


@pytest.mark.parametrize(
    "stated", ["*", "app.example", "ftp://app.example", "https://app.example/path", "https://a:b@c", ""]
)
def test_origin_that_is_none_says_what_one_is(stated: str) -> None:
    with pytest.raises(InvalidOptionError, match=r"origins such as `https://app\.example`"):
        origin_of(stated)


@pytest.mark.parametrize("headers", [{}, AUTH], ids=["no key", "the key"])
def test_write_where_each_server_has_its_own_store_is_refused(headers: dict[str, str]) -> None:
    with client(catalog_writes=False) as api:
        response = api.post("/api/models", json={"name": "mine"}, headers=headers)

        assert (response.status_code, response.json()["error"]) == (
            403,
            {
                "code": "read_only",
                "message": "The catalogue cannot be written here: several servers answer at this address, and each "
                "has a store of its own.",
                "hint": "Write it where one server runs, without `--ray`; or compile the models into the registry, "
                "which all of them have.",
            },
        )
        assert api.get("/api/models/talk").status_code == 200
