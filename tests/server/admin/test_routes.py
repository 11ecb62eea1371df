"""The routes under `/api/v1`, and `/ready`: who may use them, what they say, and what they start."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("fastapi")

from waiting import until, within

from registry.errors import DownloadError
from registry.profiles import Availability
from registry.server.admin.routes import takes_events
from server.api import AUTH, KEY

from .shop import ADMIN, PROFILE, TOKEN, Shop, client

PROVISION = "/api/v1/models/provision"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def api(shop: Shop) -> Iterator[Any]:
    with client(shop) as made:
        yield made


def outcome(role: str, model: str, action: str, **more: Any) -> dict[str, Any]:
    made = {"role": role, "model": model, "provider": "shop", "action": action, "bytes": 10, "reason": None}
    return made | more


def timeless(outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave the seconds out."""
    return [{name: value for name, value in each.items() if name != "seconds"} for each in outcomes]


# Who may


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-api-key": TOKEN}, {"authorization": "Basic OmEtdG9rZW4tb2YtdGhlLXRlc3Rz"}],
    ids=["nothing", "x-api-key", "basic"],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/models"), ("POST", PROVISION)])
def test_request_without_the_token_is_refused(
    method: str, path: str, headers: dict[str, str], api: Any, shop: Shop
) -> None:
    response = api.request(method, path, headers=headers)

    assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Bearer realm="registry"')
    assert response.json() == {
        "success": False,
        "error": {
            "code": "missing_admin_token",
            "message": "This request needs the admin token.",
            "hint": "Send it as `Authorization: Bearer TOKEN`; the API key does not do.",
        },
    }
    assert shop.asked == []


@pytest.mark.parametrize("token", [KEY, f"{TOKEN}x", TOKEN[:-1], ""])
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/models"), ("POST", PROVISION)])
def test_request_with_another_token_is_refused(method: str, path: str, token: str, api: Any, shop: Shop) -> None:
    response = api.request(method, path, headers={"authorization": f"Bearer {token}"})

    assert (response.status_code, response.json()["error"]["code"]) == (401, "wrong_admin_token")
    assert shop.asked == []


def test_tokens_are_compared_in_constant_time(api: Any) -> None:
    with mock.patch("registry.server.security.hmac.compare_digest", return_value=False) as compare:
        refused = api.get("/api/v1/models", headers=ADMIN)

    assert refused.status_code == 401
    assert [len(digest) for digest in compare.call_args.args] == [32, 32]


def test_token_opens_nothing_else(api: Any) -> None:
    assert api.post("/api/models", json={"name": "mine"}, headers=ADMIN).status_code == 401


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/models"), ("POST", PROVISION)])
def test_routes_are_absent_where_there_is_no_token(method: str, path: str, shop: Shop) -> None:
    with client(shop, admin_token=None) as api:
        response = api.request(method, path, headers=AUTH)

        assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")
        assert not [name for name in api.get("/openapi.json").json()["paths"] if name.startswith("/api/v1")]


def test_token_alone_opens_a_server_that_listens_to_others(shop: Shop) -> None:
    with client(shop, host="0.0.0.0") as api:
        assert api.get("/api/v1/models", headers=ADMIN).status_code == 200
        assert api.get("/api/models", headers=ADMIN).status_code == 401
        assert api.get("/ready").status_code == 200


def test_page_of_another_site_may_not_provision(api: Any, shop: Shop) -> None:
    response = api.post(PROVISION, headers={**ADMIN, "origin": "https://evil.example"})

    assert (response.status_code, response.json()["error"]["code"], shop.asked) == (403, "cross_site", [])


def test_server_without_catalogue_writes_provisions(shop: Shop) -> None:
    with client(shop, catalog_writes=False) as api:
        assert api.post(PROVISION, headers=ADMIN).status_code == 200


# Profiles


def test_models_are_the_active_profile_and_what_it_comes_to(api: Any) -> None:
    response = api.get("/api/v1/models", headers=ADMIN)
    data = response.json()["data"]
    general, reranking = data["active"].pop("roles")
    resolved = general.pop("resolved")

    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert data["active"] == {"name": "default", "description": "For tests."}
    stated = {
        "role": "general",
        "name": "large",
        "provider": "shop",
        "auto_download": True,
        "parameters": {"temperature": 0.5},
        "description": "Talks.",
        "fallback": ["shop:small"],
        "origin": "compiled",
    }
    assert general == {**stated, "problem": None, "state": "unknown", "outcomes": []}
    assert (resolved["provider"], resolved["model"], resolved["parameters"]) == ("shop", "large", {"temperature": 0.5})
    assert [each["model"] for each in resolved["candidates"]] == ["large", "small"]
    assert (reranking["name"], reranking["resolved"]["candidates"][0]["record"]) == ("rank", "rank")
    (profile,) = data["profiles"]
    assert (profile["name"], profile["roles"][0]) == ("default", stated)


def test_models_tell_why_a_role_cannot_be_resolved(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "temperature=hot")

    general = api.get("/api/v1/models", headers=ADMIN).json()["data"]["active"]["roles"][0]

    assert general["resolved"] is None
    assert "temperature" in general["problem"]


def test_models_where_the_registry_has_no_profile_are_none(shop: Shop) -> None:
    with client(shop, None) as api:
        assert api.get("/api/v1/models", headers=ADMIN).json()["data"] == {"active": None, "profiles": []}
        assert api.post(PROVISION, headers=ADMIN).json()["data"] == {
            "profile": "",
            "ok": True,
            "unserved": [],
            "outcomes": [],
        }


def test_models_change_with_what_is_provisioned(api: Any) -> None:
    api.get("/api/v1/models", headers=ADMIN)
    api.post(PROVISION, json={"roles": ["general"]}, headers=ADMIN)

    general, reranking = api.get("/api/v1/models", headers=ADMIN).json()["data"]["active"]["roles"]

    assert (general["state"], timeless(general["outcomes"])) == ("ready", [outcome("general", "large", "pulled")])
    assert (reranking["state"], reranking["outcomes"]) == ("unknown", [])


# Provisioning


@pytest.mark.parametrize("body", [b"", b" ", b"{}", b'{"roles": null, "force": false}'])
def test_provision_has_all_roles_ready(body: bytes, api: Any) -> None:
    response = api.post(PROVISION, content=body, headers=ADMIN)

    answer = response.json()
    assert (response.status_code, response.headers["cache-control"], answer["success"]) == (200, "no-store", True)
    report = answer["data"]
    assert (report["profile"], report["ok"], report["unserved"]) == ("default", True, [])
    assert timeless(report["outcomes"]) == [
        outcome("general", "large", "pulled"),
        outcome("reranking", "rank", "pulled", provider="local"),
    ]


def test_provision_of_some_roles_leaves_the_others(api: Any, shop: Shop) -> None:
    api.post(PROVISION, json={"roles": ["reranking"]}, headers=ADMIN)

    assert shop.asked == [("rank", False)]


def test_provision_force_asks_again(api: Any, shop: Shop) -> None:
    api.post(PROVISION, json={"roles": ["reranking"]}, headers=ADMIN)
    api.post(PROVISION, json={"roles": ["reranking"]}, headers=ADMIN)
    api.post(PROVISION, json={"roles": ["reranking"], "force": True}, headers=ADMIN)

    assert shop.asked == [("rank", False), ("rank", True)]


def test_provision_that_fails_is_a_report(api: Any, shop: Shop) -> None:
    shop.error = DownloadError("rank", "the line is cut.", "Try again.")

    response = api.post(PROVISION, json={"roles": ["reranking"]}, headers=ADMIN)

    assert (response.status_code, response.json()["data"]["ok"]) == (200, False)
    assert timeless(response.json()["data"]["outcomes"]) == [
        outcome(
            "reranking",
            "rank",
            "failed",
            provider="local",
            bytes=0,
            reason="Cannot fetch `rank`: the line is cut. Try again.",
        )
    ]


def test_provision_of_a_role_that_does_not_exist_names_close_ones(api: Any, shop: Shop) -> None:
    response = api.post(PROVISION, json={"roles": ["generall"]}, headers=ADMIN)

    assert response.status_code == 404
    assert response.json()["error"] == {
        "code": "role_not_found",
        "message": "Profile `default` has no role `generall`.",
        "hint": "Did you mean `general`?",
        "param": "roles",
    }
    assert shop.asked == []


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ([], "body", "`body`: expected a JSON object, got []."),
        ({"role": 1}, "role", "`role`: expected to be left out: there are `roles` and `force`, got 1."),
        ({"roles": "general"}, "roles", "`roles`: expected a list of at most 100 names of roles, got 'general'."),
        ({"roles": [1]}, "roles", "`roles`: expected a list of at most 100 names of roles, got [1]."),
        ({"roles": [""]}, "roles", "`roles`: expected names of 1 to 200 characters, got ''."),
        ({"force": 1}, "force", "`force`: expected true or false, got 1."),
    ],
)
def test_provision_with_a_wrong_field_says_what_it_may_be(body: Any, param: str, message: str, api: Any) -> None:
    response = api.post(PROVISION, json=body, headers=ADMIN)

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (422, "invalid_field", param)
    assert f"{error['message']} {error['hint']}".strip() == message


def test_provision_with_a_body_that_is_no_json_is_refused(api: Any) -> None:
    response = api.post(PROVISION, content=b"{", headers=ADMIN)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_json")


def test_requests_for_the_same_share_one_run(api: Any, shop: Shop) -> None:
    shop.may_go_on.clear()
    provisioner = api.app.state.services.provisioner
    first = provisioner_start(api)
    until(lambda: shop.asked != [])

    assert provisioner_start(api) is first
    assert provisioner_start(api, ("general", "reranking")) is first
    assert provisioner_start(api, ("reranking", "general")) is first
    assert provisioner_start(api, ("general",)) is not first
    shop.may_go_on.set()
    until(lambda: not provisioner._jobs)
    assert shop.asked == [("large", False), ("rank", False)]


def provisioner_start(api: Any, roles: tuple[str, ...] | None = None) -> Any:
    return api.app.state.services.provisioner.start(roles)


def test_too_many_selections_at_once_are_refused(api: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.server.admin.provisioner.MOST_JOBS", 1)
    shop.may_go_on.clear()
    provisioner_start(api)

    response = api.post(PROVISION, json={"roles": ["general"]}, headers=ADMIN)

    assert (response.status_code, response.headers["retry-after"]) == (429, "30")
    assert response.json()["error"]["code"] == "provisioning_busy"
    shop.may_go_on.set()
    until(lambda: not api.app.state.services.provisioner._jobs)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ([], False),
        (["*/*"], False),
        (["application/json"], False),
        (["text/event-stream"], True),
        (["application/json, Text/Event-Stream;q=0.5"], True),
        (["application/json", "text/event-stream"], True),
        (["text/event-stream; q=0"], False),
        (["text/event-stream;charset=utf-8;q=0.000"], False),
        (["text/event-stream;q=0.001"], True),
    ],
)
def test_events_are_for_who_asks_for_them_by_name(accepted: list[str], takes: bool) -> None:
    assert takes_events(accepted) is takes


# Readiness


def test_server_that_provisions_nothing_at_start_is_ready(api: Any) -> None:
    response = api.get("/ready")

    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    assert response.json() == {
        "success": True,
        "data": {"status": "ready", "profile": "default", "roles": {"general": "unknown", "reranking": "unknown"}},
    }


def test_server_that_provisions_is_ready_when_that_is_done(shop: Shop) -> None:
    shop.may_go_on.clear()
    with client(shop, provision=True) as api:
        until(lambda: shop.asked != [])
        response = api.get("/ready")

        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert response.json() == {
            "success": False,
            "error": {"code": "not_ready", "message": "Models are still being fetched.", "hint": ""},
            "data": {
                "status": "provisioning",
                "profile": "default",
                "roles": {"general": "provisioning", "reranking": "provisioning"},
            },
        }
        assert api.get("/health").status_code == 200
        assert "registry_ready 0.0" in api.get("/metrics").text

        shop.may_go_on.set()
        within(lambda: until(lambda: api.get("/ready").status_code == 200))
        assert api.get("/ready").json()["data"]["roles"] == {"general": "ready", "reranking": "ready"}
        assert "registry_ready 1.0" in api.get("/metrics").text
        assert 'registry_role_ready{role="general"} 1.0' in api.get("/metrics").text


@pytest.mark.parametrize("profile", [PROFILE, None])
def test_server_provisions_the_models_that_play_its_roles(profile: Any, shop: Shop) -> None:
    with client(shop, profile, provision=True, roles={"general": "TALK"}) as api:
        until(lambda: not api.app.state.services.provisioner._jobs)
        (role, *_) = api.get("/api/v1/models", headers=ADMIN).json()["data"]["active"]["roles"]

    assert ([name for name, _ in shop.asked], role["origin"]) == (
        ["talk", *(["rank"] if profile else [])],
        "given",
    )
    assert role["resolved"]["why"][0] == "Role `general` of profile `default` is `talk`, as who started this says."


def test_server_that_could_not_provision_is_not_ready_until_it_can(shop: Shop) -> None:
    shop.error = DownloadError("rank", "the line is cut.", "Try again.")
    with client(shop, provision=True) as api:
        until(lambda: not api.app.state.services.provisioner._jobs)
        response = api.get("/ready")

        assert (response.status_code, response.json()["data"]) == (
            503,
            {"status": "failed", "profile": "default", "roles": {"general": "failed", "reranking": "failed"}},
        )
        assert response.json()["error"]["message"] == "Models that the server needs could not be fetched."
        shop.error = None
        api.post(PROVISION, headers=ADMIN)
        assert api.get("/ready").status_code == 200


def test_role_that_is_skipped_keeps_no_server_waiting(shop: Shop) -> None:
    shop.availability = Availability("It is down.")
    with client(shop, provision=True) as api:
        until(lambda: not api.app.state.services.provisioner._jobs)

        assert api.get("/ready").json()["data"]["roles"] == {"general": "skipped", "reranking": "skipped"}


def test_server_that_was_ready_stays_so_while_a_role_is_provisioned_later(shop: Shop) -> None:
    shop.availability = Availability("It is down.")
    with client(shop, provision=True) as api:
        provisioner = api.app.state.services.provisioner
        until(lambda: not provisioner._jobs)
        shop.availability = Availability()
        shop.may_go_on.clear()
        provisioner_start(api, ("general",))
        until(lambda: shop.asked != [])
        meanwhile = api.get("/ready")
        shop.error = DownloadError("large", "the line is cut.", "Try again.")
        shop.may_go_on.set()
        until(lambda: not provisioner._jobs)
        after = api.get("/ready")

    assert (meanwhile.status_code, meanwhile.json()["data"]["roles"]) == (
        200,
        {"general": "provisioning", "reranking": "skipped"},
    )
    assert (after.status_code, after.json()["data"]["roles"]) == (200, {"general": "failed", "reranking": "skipped"})


def test_server_that_could_not_provision_is_not_ready_while_a_role_is_missing(shop: Shop) -> None:
    shop.error = DownloadError("rank", "the line is cut.", "Try again.")
    with client(shop, provision=True) as api:
        until(lambda: not api.app.state.services.provisioner._jobs)
        shop.error = None
        api.post(PROVISION, json={"roles": ["general"]}, headers=ADMIN)

        assert (api.get("/ready").status_code, api.get("/ready").json()["data"]["roles"]) == (
            503,
            {"general": "ready", "reranking": "failed"},
        )


def test_role_that_is_proven_again_stays_ready(shop: Shop) -> None:
    with client(shop, provision=True) as api:
        until(lambda: not api.app.state.services.provisioner._jobs)
        shop.may_go_on.clear()
        api.app.state.services.provisioner.start(force=True)
        until(lambda: len(shop.asked) == 3)

        assert api.get("/ready").json()["data"]["roles"] == {"general": "ready", "reranking": "ready"}
        shop.may_go_on.set()
        until(lambda: not api.app.state.services.provisioner._jobs)


@pytest.mark.parametrize("action", ["failed", "skipped"])
def test_role_that_cannot_be_proven_again_stays_ready_and_its_outcome_is_told(action: str, shop: Shop) -> None:
    with client(shop, provision=True) as api:
        until(lambda: not api.app.state.services.provisioner._jobs)
        if action == "failed":
            shop.error = DownloadError("large", "the line is cut.", "Try again.")
        else:
            shop.availability = Availability("It is down.")
        report = api.post(PROVISION, json={"force": True}, headers=ADMIN).json()["data"]
        readiness = api.get("/ready")
        general = api.get("/api/v1/models", headers=ADMIN).json()["data"]["active"]["roles"][0]

    assert (report["unserved"], {each["action"] for each in report["outcomes"]}) == (["general", "reranking"], {action})
    assert (readiness.status_code, readiness.json()["data"]["roles"]) == (
        200,
        {"general": "ready", "reranking": "ready"},
    )
    assert (general["state"], [each["action"] for each in general["outcomes"]]) == ("ready", [action, action])


def test_run_that_breaks_is_told_and_logged(api: Any, shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with mock.patch("registry.server.admin.provisioner.provision_in", side_effect=RuntimeError("a mistake")):
        response = api.post(PROVISION, headers=ADMIN)

    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert set(api.get("/ready").json()["data"]["roles"].values()) == {"failed", "unknown"}
    assert [record.exc_info[1].args for record in caplog.records if record.name == "registry.provision"] == [
        ("a mistake",)
    ]


def test_provider_that_ends_the_process_ends_its_run_alone(api: Any) -> None:
    with mock.patch("registry.server.admin.provisioner.provision_in", side_effect=SystemExit(3)):
        response = api.post(PROVISION, headers=ADMIN)

    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert api.get("/health").status_code == 200


def test_ready_needs_the_store(api: Any) -> None:
    with mock.patch.object(type(api.app.state.services.store_file), "check", side_effect=OSError):
        assert api.get("/ready").status_code == 500
