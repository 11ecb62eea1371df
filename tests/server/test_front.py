"""The layer round the application: what is kept, compressed, limited, counted and logged."""

import asyncio
import gzip
import json
import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("fastapi")

from registry.server import access_log
from registry.server.kept_answers import KeptAnswers, Key
from registry.server.representation import Representation, entity_tag, matches, represent, takes_gzip

from .api import AUTH, METRIC, client, server


@pytest.fixture
def api() -> Iterator[Any]:
    with client(max_body_bytes=2000) as client_:
        yield client_


def services_of(api: Any) -> Any:
    return api.app.state.services


def test_every_answer_has_an_id_and_is_what_it_says(api: Any) -> None:
    for path in ("/api/models", "/api/models/nope", "/metrics", "/health"):
        headers = api.get(path).headers

        assert headers["x-request-id"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_request_id_of_the_client_is_given_back(api: Any) -> None:
    assert api.get("/health", headers={"x-request-id": "trace-1.2:3_4"}).headers["x-request-id"] == "trace-1.2:3_4"


@pytest.mark.parametrize("stated", ["a b", "x" * 129, "<script>", '"'])
def test_request_id_that_is_none_is_replaced(api: Any, stated: str) -> None:
    assert api.get("/health", headers={"x-request-id": stated}).headers["x-request-id"] != stated


def test_request_ids_differ(api: Any) -> None:
    assert len({api.get("/health").headers["x-request-id"] for _ in range(5)}) == 5


def test_read_is_answered_from_memory_the_second_time(api: Any) -> None:
    first, telemetry = api.get("/api/models?limit=2"), services_of(api).telemetry
    with mock.patch.object(type(services_of(api).catalog), "search", side_effect=AssertionError):
        second = api.get("/api/models?limit=2")

    assert second.content == first.content
    assert telemetry.kept_answers == 1


def test_read_after_a_write_is_made_anew(api: Any) -> None:
    assert api.get("/api/models/talk").json()["data"]["notes"] is None

    api.patch("/api/models/talk", json={"notes": "mine"}, headers=AUTH)

    assert api.get("/api/models/talk").json()["data"]["notes"] == "mine"


def test_read_after_a_write_past_the_server_is_made_anew(api: Any) -> None:
    api.get("/api/models/talk")

    services_of(api).catalog.update("talk", notes="past it")

    assert api.get("/api/models/talk").json()["data"]["notes"] == "past it"


def test_answer_of_another_query_is_another_one(api: Any) -> None:
    assert api.get("/api/models?limit=1").json()["data"] != api.get("/api/models?limit=2").json()["data"]


def test_failure_is_not_kept(api: Any) -> None:
    api.get("/api/models/mine")
    services_of(api).catalog.add(name="mine")

    assert api.get("/api/models/mine").status_code == 200


def test_etag_of_what_the_client_has_gives_304(api: Any) -> None:
    first = api.get("/api/models")

    for _ in range(2):  # made anew and from memory
        again = api.get("/api/models", headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})

        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert {"content-type", "content-length"}.isdisjoint(again.headers)


def test_etag_stays_where_a_write_changes_something_else(api: Any) -> None:
    before = api.get("/api/models/talk").headers["etag"]

    api.patch("/api/models/see", json={"notes": "new"}, headers=AUTH)

    assert api.get("/api/models/talk").headers["etag"] == before


def test_etag_changes_with_what_it_stands_for(api: Any) -> None:
    before = api.get("/api/models/talk").headers["etag"]

    api.patch("/api/models/talk", json={"notes": "new"}, headers=AUTH)

    assert api.get("/api/models/talk", headers={"if-none-match": before}).status_code == 200


def test_head_has_the_headers_of_get_and_no_body(api: Any) -> None:
    got = api.get("/api/models")

    for path in ("/api/models", "/api/models?limit=50"):
        asked = api.head(path)

        assert (asked.status_code, asked.content) == (200, b"")
        assert int(asked.headers["content-length"]) > 0
    assert api.head("/api/models").headers["etag"] == got.headers["etag"]


def test_head_of_what_has_no_get_is_not_allowed(api: Any) -> None:
    response = api.head("/v1/embeddings", headers=AUTH)

    assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")


def test_options_names_the_methods_of_an_address(api: Any) -> None:
    response = api.options("/api/models")

    assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, POST, OPTIONS")


def test_options_of_an_unknown_address_is_not_found(api: Any) -> None:
    assert api.options("/api/nothing").status_code == 404


@pytest.mark.parametrize("headers", [{}, AUTH], ids=["without the key", "with the key"])
def test_method_that_an_address_does_not_have_names_those_it_has(api: Any, headers: dict[str, str]) -> None:
    response = api.put("/api/models/talk", json={}, headers=headers)

    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, PATCH, DELETE, OPTIONS")
    assert response.json()["error"]["code"] == "method_not_allowed"


def test_unknown_address_is_an_error_in_the_envelope(api: Any) -> None:
    response = api.get("/api/nothing")

    assert (response.status_code, response.json()["success"]) == (404, False)


def test_long_answer_is_compressed_for_who_takes_gzip(api: Any) -> None:
    plain = api.get("/api/models")
    for _ in range(2):  # made anew and from memory
        packed = api.get("/api/models", headers={"accept-encoding": "br, gzip;q=0.5"})

        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) < len(plain.content)
        assert packed.headers["etag"] != plain.headers["etag"]
        assert packed.headers["vary"] == plain.headers["vary"] == "accept-encoding"


def test_short_answer_is_not_compressed(api: Any) -> None:
    response = api.get("/api/types", headers={"accept-encoding": "gzip"})

    assert {"content-encoding", "vary"}.isdisjoint(response.headers)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        (b"gzip", True),
        (b"br, GZIP ; q=0.3", True),
        (b"*", True),
        (b"", False),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000, *", False),
        (b"identity, *;q=0", False),
    ],
)
def test_takes_gzip_is_what_the_header_says(accepted: bytes, takes: bool) -> None:
    assert takes_gzip(accepted) is takes


def test_compressed_bytes_are_those_of_the_body() -> None:
    body = b"[" + b"1," * 2000 + b"1]"

    made = represent(200, [(b"content-type", b"application/json")], body, gzip=True)

    assert gzip.decompress(made.body) == body
    assert dict(made.headers)[b"content-length"] == b"%d" % len(made.body)


@pytest.mark.parametrize(
    ("stated", "is_match"),
    [
        (b'"a"', True),
        (b'W/"a"', True),
        (b'"b", "a-gzip"', True),
        (b"*", True),
        (b'"b"', False),
        (b"a", False),
        (b"", False),
    ],
)
def test_tag_matches_whatever_form_the_client_has(stated: bytes, is_match: bool) -> None:
    assert matches(stated, b'"a"') is is_match


def test_body_that_says_it_is_too_long_is_refused_before_it_is_read(api: Any) -> None:
    response = api.post("/api/models", content=b" " * 2001, headers=AUTH)

    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    assert response.json()["error"]["message"] == "The body is too long: expected at most 2000 bytes."


def test_body_of_the_longest_length_is_read(api: Any) -> None:
    body = json.dumps({"name": "mine", "notes": "x" * 1960}).encode()

    assert api.post("/api/models", content=body.ljust(2000), headers=AUTH).status_code == 201


def test_body_in_chunks_that_gets_too_long_is_refused(api: Any) -> None:
    response = api.post("/api/models", content=iter([b"x" * 1500] * 2), headers=AUTH)

    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_long")


def test_body_that_does_not_come_is_given_up() -> None:
    import http.client

    with client(request_timeout_s=0.2) as api, server(api.app) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        connection.putrequest("POST", "/api/models")
        connection.putheader("Content-Length", "10")
        connection.putheader(*next(iter(AUTH.items())))
        connection.endheaders(b"{")
        response = connection.getresponse()

        assert (response.status, json.load(response)["error"]["code"]) == (408, "body_too_slow")
        connection.close()


def test_failure_inside_is_an_answer_that_says_nothing_of_it(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    with mock.patch.object(type(services_of(api).catalog), "get", side_effect=ZeroDivisionError("secret")):
        response = api.get("/api/models/talk", headers={"x-request-id": "mine"})

    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert [(record.name, record.message) for record in caplog.records] == [("registry.server", "request mine failed")]


def test_requests_are_counted_by_route_method_and_status(api: Any) -> None:
    for path in ("/api/models/talk", "/api/models/see", "/api/models/nope", "/api/nothing"):
        api.get(path)
    api.request("BREW", "/api/models")
    text = api.get("/metrics").text

    for labels, number in (
        ('method="GET",route="/api/models/{model}",status="200"', 2),
        ('method="GET",route="/api/models/{model}",status="404"', 1),
        ('method="GET",route="unmatched",status="404"', 1),
        ('method="OTHER",route="/api/models",status="405"', 1),
    ):
        assert f"registry_http_requests_total{{{labels}}} {number}.0\n" in text
        assert f'registry_http_request_duration_seconds_bucket{{le="+Inf",{labels}}} {number}.0\n' in text
    assert "registry_http_requests_in_flight 1.0\n" in text
    assert "registry_models_loaded 0.0\n" in text


def test_answer_from_memory_is_counted_under_its_route(api: Any) -> None:
    for _ in range(3):
        api.get("/api/models/talk")

    assert (
        'registry_http_requests_total{method="GET",route="/api/models/{model}",status="200"} 3.0'
        in api.get("/metrics").text
    )


def test_access_log_has_a_line_of_json_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "registry.access")
    with client(access_log=True) as api:
        api.get("/api/models?search=%22x", headers={"user-agent": 'a"gent', "x-request-id": "one"})
    line = json.loads(caplog.records[0].message)

    assert line.pop("duration_ms") > 0
    assert line.pop("time").endswith("Z")
    assert line.pop("bytes") > 20
    assert line == {
        "request_id": "one",
        "client": "testclient",
        "method": "GET",
        "path": "/api/models",
        "query": "search=%22x",
        "status": 200,
        "user_agent": 'a"gent',
    }


def test_access_log_never_has_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with client(access_log=True) as api:
        api.post("/api/models/talk/metrics", json=METRIC, headers=AUTH)

    assert AUTH["authorization"].partition(" ")[2] not in caplog.text


def test_access_log_can_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "registry.access")
    with client(access_log=False) as api:
        api.get("/health")

    assert [record for record in caplog.records if record.name == "registry.access"] == []


def test_buffered_handler_writes_all_lines_when_it_is_closed() -> None:
    import io

    stream = io.StringIO()
    handler = access_log.BufferedHandler(stream)
    for number in range(1000):
        handler.take(f"{number}")
    handler.close()

    assert stream.getvalue() == "".join(f"{number}\n" for number in range(1000))


def test_buffered_handler_drops_and_counts_lines_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(access_log, "_MAX_LINES", 2)
    stream = io.StringIO()
    with mock.patch.object(access_log.threading.Thread, "start"):
        handler = access_log.BufferedHandler(stream)
    for number in range(5):
        handler.take(f"{number}")
    handler._write()

    assert stream.getvalue() == '0\n1\n{"dropped_lines": 3}\n'


def answer(body: bytes) -> Representation:
    return Representation(200, [], body, entity_tag(body))


def test_kept_answers_of_an_older_revision_are_gone() -> None:
    kept, key = KeptAnswers(), Key("/a", b"", gzip=False)
    kept.find("1", key)
    kept.put("1", key, answer(b"a"), "/a")

    assert kept.find("1", key) == (answer(b"a"), "/a")
    assert kept.find("2", key) is None
    assert kept.find("1", key) is None


def test_kept_answer_that_was_made_of_an_older_revision_is_not_taken() -> None:
    kept, key = KeptAnswers(), Key("/a", b"", gzip=False)
    kept.find("2", key)
    kept.put("1", key, answer(b"a"), "/a")

    assert kept.find("2", key) is None


def test_kept_answers_are_bounded_and_the_least_used_goes_first() -> None:
    kept = KeptAnswers(max_bytes=50_000)
    keys = [Key(f"/{number}", b"", gzip=False) for number in range(30)]
    kept.find("1", keys[0])
    for key in keys:
        kept.put("1", key, answer(b"x" * 1000), "/")
        kept.find("1", keys[0])

    assert kept.find("1", keys[0]) is not None
    assert kept.find("1", keys[1]) is None
    assert kept.find("1", keys[-1]) is not None


def test_client_that_goes_away_before_an_answer_is_counted_as_499() -> None:
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    headers = [(b"host", b"localhost"), *((name.encode(), value.encode()) for name, value in AUTH.items())]
    scope = {"type": "http", "method": "POST", "path": "/api/models", "query_string": b"", "headers": headers}
    with client() as api:
        asyncio.run(api.app(scope, gone, send))

        assert 'method="POST",route="/api/models",status="499"} 1.0' in api.get("/metrics").text
