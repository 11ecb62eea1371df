"""The catalogue over HTTP."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

pytest.importorskip("fastapi")

from server.api import AUTH, METRIC, client, records


@pytest.fixture
def api() -> Iterator[Any]:
    with client() as client_:
        yield client_


def names(response: Any) -> list[str]:
    return [model["name"] for model in response.json()["data"]]


def error(response: Any) -> tuple[int, str, str]:
    told = response.json()["error"]
    return response.status_code, told["code"], told["message"]


def test_model_has_its_fields_and_its_record(api: Any) -> None:
    answer = api.get("/api/models/talk").json()
    model = answer["data"]

    assert list(answer) == ["success", "data"]
    assert (model["id"], model["name"], model["type"], model["model_family"]) == (1, "talk", "chat", "Talk")
    assert model["tags"] == "small,chat"
    assert model["source"] == "few"
    assert model["record"] == json.loads(json.dumps(asdict(records().find_model("talk"))))


def test_model_of_a_user_has_no_record(api: Any) -> None:
    fields = {"name": "mine", "capabilities": ["chat", "code"], "tags": "a, b", "parameters": 7, "metadata": {"k": "v"}}
    added = api.post("/api/models", json=fields, headers=AUTH)
    model = added.json()["data"]

    assert added.status_code == 201
    assert added.headers["location"] == "/api/models/mine"
    assert (model["capabilities"], model["tags"], model["parameters"]) == ("chat,code", "a,b", 7.0)
    assert (model["metadata"], model["record"], model["source"]) == ({"k": "v"}, None, "user")
    assert api.get("/api/models/mine").json() == added.json()
    assert api.get("/api/models/mine").headers["etag"] == added.headers["etag"]


def test_model_is_found_by_number_and_by_name_whatever_the_case(api: Any) -> None:
    assert api.get("/api/models/1").json() == api.get("/api/models/talk").json() == api.get("/api/models/TALK").json()


@pytest.mark.parametrize("model", ["nope", "999", "9" * 30, "a%2Fb", "%00", "\u0663"])
def test_model_that_is_not_there_is_not_found(api: Any, model: str) -> None:
    response = api.get(f"/api/models/{model}")

    assert response.status_code == 404
    assert response.json()["success"] is False


def test_model_that_is_not_there_names_close_ones(api: Any) -> None:
    told = api.get("/api/models/tolk").json()["error"]

    assert (told["code"], told["hint"]) == ("model_not_found", "Did you mean `talk`?")


def test_list_has_all_models_with_their_number_and_links(api: Any) -> None:
    response = api.get("/api/models")

    assert names(response) == ["rank", "see", "talk"]
    assert response.json()["total"] == 3
    assert response.json()["links"] == {
        "first": "/api/models?limit=50&offset=0",
        "last": "/api/models?limit=50&offset=0",
    }


def test_page_in_the_middle_links_to_its_neighbours(api: Any) -> None:
    response = api.get("/api/models?limit=1&offset=1&sort=-name&type=chat&type=dense&type=reranker")
    address = "/api/models?sort=-name&type=chat&type=dense&type=reranker&limit=1&offset="

    assert names(response) == ["see"]
    assert response.json()["total"] == 3
    assert response.json()["links"] == {
        "first": f"{address}0",
        "last": f"{address}2",
        "prev": f"{address}0",
        "next": f"{address}2",
    }
    assert response.headers["link"] == ", ".join(
        f'<{address}{offset}>; rel="{relation}"'
        for relation, offset in (("first", 0), ("last", 2), ("prev", 0), ("next", 2))
    )


def test_following_the_links_gives_each_model_once(api: Any) -> None:
    found, address = [], "/api/models?limit=2"
    while address:
        page = api.get(address)
        found += names(page)
        address = page.json()["links"].get("next")

    assert found == ["rank", "see", "talk"]


def test_page_after_the_end_is_empty_and_links_back(api: Any) -> None:
    page = api.get("/api/models?limit=2&offset=10").json()

    assert (page["data"], page["total"], page["links"]["prev"]) == ([], 3, "/api/models?limit=2&offset=2")


def test_links_cannot_be_broken_out_of(api: Any) -> None:
    link = api.get("/api/models", params={"search": 'x>; rel="next", <http://evil'}).headers["link"]

    assert "evil" in link
    assert link.count("<") == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("search=tal", ["talk"]),
        ("search=", ["rank", "see", "talk"]),
        ("family=TALK&family=see", ["see", "talk"]),
        ("type=Chat", ["talk"]),
        ("tag=small&tag=CHAT", ["talk"]),
        ("tag=", ["rank", "see", "talk"]),
        ("max_ram=4GB", ["talk"]),
        ("max_ram=3.9GB", []),
        ("max_ram=4GiB", ["talk"]),
        ("max_ram=4000000000", ["talk"]),
        ("max_ram=99999999999999999TB", ["talk"]),
        ("sort=-name&limit=2", ["talk", "see"]),
    ],
)
def test_list_is_narrowed_by(api: Any, query: str, found: list[str]) -> None:
    assert names(api.get(f"/api/models?{query}")) == found


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("limit=1e9", "`limit`: expected a whole number from 1 to 500, got '1e9'."),
        ("limit=501", "`limit`: expected a whole number from 1 to 500, got '501'."),
        ("limit=-1", "`limit`: expected a whole number from 1 to 500, got '-1'."),
        ("limit=true", "`limit`: expected a whole number from 1 to 500, got 'true'."),
        ("limit=", "`limit`: expected a whole number from 1 to 500, got ''."),
        ("limit=%D9%A3", "`limit`: expected a whole number from 1 to 500, got '\u0663'."),
        ("limit=1&limit=2", "`limit`: expected the parameter once, got '2'."),
        (
            "offset=99999999999999999999",
            "`offset`: expected a whole number from 0 to 1000000000, got '99999999999999999999'.",
        ),
        ("max_ram=lots", "`max_ram`: expected a size such as `8GB` (10^9 bytes) or `8GiB` (2^30), got 'lots'."),
        ("tag=a" + "&tag=a" * 20, "`tag`: expected at most 20 values, got '21 or more'."),
        ("&".join(["x=1"] * 201), "`query`: expected at most 200 parameters, got 'more'."),
    ],
)
def test_list_with_a_wrong_parameter_says_what_it_may_be(api: Any, query: str, problem: str) -> None:
    assert error(api.get(f"/api/models?{query}")) == (400, "invalid_option", problem)


def test_list_with_an_unknown_parameter_names_a_close_one(api: Any) -> None:
    told = api.get("/api/models?serch=x").json()["error"]

    assert told["message"].startswith("`serch`: expected one of the parameters search, family, type,")
    assert (told["hint"], told["param"]) == ("Did you mean `search`?", "serch")


@pytest.mark.parametrize("path", ["/api/models/talk", "/api/stats", "/api/tags", "/health"])
def test_address_without_parameters_refuses_them(api: Any, path: str) -> None:
    assert error(api.get(f"{path}?x=1")) == (400, "invalid_option", "`x`: expected no parameter, got 'x'.")


def test_values_are_listed_with_their_numbers(api: Any) -> None:
    assert api.get("/api/tags").json() == {
        "success": True,
        "data": [{"value": "chat", "models": 1}, {"value": "small", "models": 2}],
        "total": 2,
    }
    assert [each["value"] for each in api.get("/api/families").json()["data"]] == ["Rank", "See", "Talk"]
    assert [each["value"] for each in api.get("/api/types").json()["data"]] == ["chat", "dense", "reranker"]
    assert api.get("/api/capabilities").json()["total"] == len(api.get("/api/capabilities").json()["data"])


def test_stats_count_models(api: Any) -> None:
    stats = api.get("/api/stats").json()["data"]

    assert (stats["models"], list(stats["size_classes"])) == (3, ["Tiny", "Small", "Medium", "Large", "unknown"])
    assert [family["family"] for family in stats["families"]] == ["Rank", "See", "Talk"]


def test_health_says_that_the_store_answers(api: Any) -> None:
    response = api.get("/health")

    assert (response.json()["data"]["status"], response.json()["data"]["models"]) == ("ok", 3)
    assert response.headers["cache-control"] == "no-store"


def test_name_that_is_taken_is_a_conflict(api: Any) -> None:
    response = api.post("/api/models", json={"name": "TALK"}, headers=AUTH)

    assert (response.status_code, response.json()["error"]["code"]) == (409, "model_exists")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": "7"}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "mine", "parameters": "7"}, "parameters"),
        ({"name": "mine", "parameters": True}, "parameters"),
        ({"name": "mine", "context_length": 0}, "context_length"),
        ({"name": "mine", "tags": ["a,b"]}, "tags"),
        ({"name": "mine", "tags": [" " * 50 + "a" * 51]}, "tags"),
        ({"name": "mine", "metadata": {"k": 1}}, "metadata"),
        ({"name": "mine", "id": 7}, "id"),
        ({"name": "mine", "source": "x"}, "source"),
        ({"name": "mine", "notes": "\ud800"}, "notes"),
        ([], "body"),
        ("mine", "body"),
        (None, "body"),
    ],
)
def test_model_with_a_wrong_field_is_refused_and_not_added(api: Any, body: object, param: str) -> None:
    response = api.post("/api/models", content=json.dumps(body), headers=AUTH)

    assert response.status_code == 422
    assert (response.json()["error"]["code"], response.json()["error"]["param"]) == ("invalid_field", param)
    assert api.get("/api/models").json()["total"] == 3


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "it is empty"),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"parameters": NaN}', "JSON has no NaN"),
        (b'{"name": "a", "name": "b"}', "`name` stands there twice"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"parameters": %s}' % (b"9" * 5000), "it has a number of too many digits"),
        (b"\xff", "byte 1 is not UTF-8"),
    ],
)
def test_body_that_is_no_json_says_where(api: Any, body: bytes, problem: str) -> None:
    response = api.post("/api/models", content=body, headers=AUTH)

    assert error(response) == (400, "invalid_json", f"The body is not JSON: {problem}.")


def test_change_changes_what_it_names_and_null_empties(api: Any) -> None:
    api.patch("/api/models/see", json={"notes": "x", "tags": ["a"]}, headers=AUTH)

    changed = api.patch("/api/models/see", json={"notes": None}, headers=AUTH)

    assert changed.status_code == 200
    assert (changed.json()["data"]["notes"], changed.json()["data"]["tags"]) == (None, "a")
    assert changed.json() == api.get("/api/models/see").json()


def test_change_gives_back_what_it_was_given(api: Any) -> None:
    model = api.get("/api/models/talk").json()["data"]
    fixed = {"id", "created_at", "updated_at", "source", "record"}
    sent = {name: value for name, value in model.items() if name not in fixed}

    assert api.patch("/api/models/talk", json=sent, headers=AUTH).json()["data"] == model


def test_change_with_the_tag_of_the_state_that_was_read_is_made_once(api: Any) -> None:
    read = {**AUTH, "if-match": api.get("/api/models/talk").headers["etag"]}

    first = api.patch("/api/models/talk", json={"notes": "one"}, headers=read)
    second = api.patch("/api/models/talk", json={"notes": "two"}, headers=read)

    assert (first.status_code, second.status_code) == (200, 412)
    assert second.json()["error"]["code"] == "precondition_failed"
    assert api.get("/api/models/talk").json()["data"]["notes"] == "one"


def test_change_with_the_tag_of_the_compressed_form_is_made(api: Any) -> None:
    etag = api.get("/api/models/talk", headers={"accept-encoding": "gzip"}).headers["etag"]

    assert etag.endswith('-gzip"')
    assert api.patch("/api/models/talk", json={}, headers={**AUTH, "if-match": etag}).status_code == 200


def test_removal_of_another_state_is_refused(api: Any) -> None:
    assert api.delete("/api/models/talk", headers={**AUTH, "if-match": '"old"'}).status_code == 412
    assert api.delete("/api/models/talk", headers={**AUTH, "if-none-match": "*"}).status_code == 412
    assert api.get("/api/models/talk").status_code == 200


def test_removed_model_is_gone(api: Any) -> None:
    removed = api.delete("/api/models/2", headers=AUTH)

    assert (removed.status_code, removed.json()) == (200, {"success": True, "data": {"id": 2, "name": "see"}})
    assert api.get("/api/models/see").status_code == 404
    assert api.delete("/api/models/2", headers=AUTH).status_code == 404


def test_measurements_are_added_and_given_the_newest_first(api: Any) -> None:
    rows = [{**METRIC, "measured_at": f"2026-01-0{day}T00:00:00Z", "context_size": day} for day in (1, 2, 3)]
    one = api.post("/api/models/talk/metrics", json=rows[0], headers=AUTH)
    more = api.post("/api/models/1/metrics", json=rows[1:], headers=AUTH)
    page = api.get("/api/models/talk/metrics?limit=2").json()

    assert (one.status_code, one.headers["location"], one.json()["total"]) == (201, "/api/models/talk/metrics", 1)
    assert one.json()["data"] == [{"id": 1, "model_id": 1, **rows[0]}]
    assert more.json()["total"] == 2
    assert [row["measured_at"][:10] for row in page["data"]] == ["2026-01-03", "2026-01-02"]
    assert (page["total"], page["links"]["next"]) == (3, "/api/models/talk/metrics?limit=2&offset=2")


def test_measurements_are_narrowed_by_what_was_measured(api: Any) -> None:
    rows = [METRIC, {**METRIC, "metric_type": "peak_memory", "unit": "bytes"}]
    api.post("/api/models/talk/metrics", json=rows, headers=AUTH)

    assert api.get("/api/models/talk/metrics?metric_type=PEAK_memory&hardware_type=cpu").json()["total"] == 1
    assert api.get("/api/models/talk/metrics?hardware_name=other").json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], "metrics"),
        ([METRIC] * 1001, "metrics"),
        ([METRIC, {**METRIC, "unit": ""}], "unit"),
        ({**METRIC, "metric_value": "fast"}, "metric_value"),
        ({**METRIC, "speed": 1}, "speed"),
        ([METRIC, 7], "body"),
    ],
)
def test_measurements_with_one_that_is_wrong_add_none(api: Any, body: object, param: str) -> None:
    response = api.post("/api/models/talk/metrics", json=body, headers=AUTH)

    assert (response.status_code, response.json()["error"]["param"]) == (422, param)
    assert api.get("/api/models/talk/metrics").json()["total"] == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_measurements_of_no_model_are_not_found(api: Any, method: str) -> None:
    assert api.request(method, "/api/models/nope/metrics", json=METRIC, headers=AUTH).status_code == 404


def test_body_is_read_as_json_whatever_it_says_it_is(api: Any) -> None:
    headers = {**AUTH, "content-type": "application/x-www-form-urlencoded"}

    assert api.post("/api/models", content=b'{"name": "mine"}', headers=headers).status_code == 201


def test_writes_of_many_threads_are_all_kept(api: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def write(number: int) -> int:
        return api.post("/api/models/talk/metrics", json={**METRIC, "metric_value": number}, headers=AUTH).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(write, range(100))) == {201}
    values = {row["metric_value"] for row in api.get("/api/models/talk/metrics?limit=1000").json()["data"]}
    assert values == set(map(float, range(100)))
