"""Having models ready: which of a role's models is taken, what is said of it, and that it is fetched once."""

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from waiting import until

from registry.errors import (
    DownloadError,
    InvalidOptionError,
    ProfileNotFoundError,
    ProviderModelError,
    ProviderUnavailableError,
    RoleNotFoundError,
)
from registry.hub.progress import Progress
from registry.profiles import Candidate, Outcome, Providers, Report, Target, provision
from registry.profiles import provisioning as provisioning_module
from registry.profiles.events import Event
from registry.profiles.protocol import Availability, Ensured
from registry.profiles.provisioning import ensure_candidate
from registry.records import RoleModel

from .small import chat_record, registry_of


class Shop:
    """A provider that fetches what it has no copy of."""

    def __init__(self, name: str = "shop", *has: str) -> None:
        self.name = name
        self.stock = set(has)
        self.asked: list[tuple[str, bool]] = []
        self.availability = Availability()
        self.error: BaseException | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def available(self) -> Availability:
        return self.availability

    def has(self, model: Target) -> bool:
        return model.name in self.stock

    def ensure(
        self, model: Target, *, force: bool = False, progress: Callable[[Progress], None] | None = None
    ) -> Ensured:
        self.asked.append((model.name, force))
        assert self.may_go_on.wait(30)
        if self.error is not None:
            raise self.error
        if model.name in self.stock and not force:
            return Ensured("already_present")
        if progress is not None:
            progress(Progress(model.name, "weights", "downloading", 5, 10))
        self.stock.add(model.name)
        return Ensured("pulled", 10)

    def chat(self, *_: object, **__: object) -> Any:
        raise AssertionError("nobody wants an answer")

    stream = embed = chat

    def close(self) -> None:
        pass


def role_of(*names: str, auto_download: bool | None = True) -> RoleModel:
    return RoleModel("general", names[0], "shop", auto_download, fallback=names[1:])


def asked_of(shop: Shop, *others: Shop) -> Providers:
    return Providers(providers={each.name: each for each in (shop, *others)})


def facts(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.provider, outcome.model, outcome.action


def ignore(_: Event) -> None:
    pass


def provisioned(providers: Providers, model: RoleModel, **options: Any) -> Report:
    return provision(registry=registry_of(chat_record("talk"), general=model), providers=providers, **options)


def test_model_that_is_missing_is_fetched() -> None:
    shop = Shop()

    report = provisioned(asked_of(shop), role_of("large"))

    (outcome,) = report.outcomes
    assert outcome == Outcome("general", "large", "shop", "pulled", outcome.seconds, 10, None)
    assert (report.profile, report.ok, report.unserved, shop.asked) == ("default", True, (), [("large", False)])
    assert 0 <= outcome.seconds < 30


def test_model_that_is_there_is_not_fetched() -> None:
    report = provisioned(asked_of(Shop("shop", "large")), role_of("large"))

    assert report.outcomes == (Outcome("general", "large", "shop", "already_present", report.outcomes[0].seconds),)


def test_report_is_json() -> None:
    report = provisioned(asked_of(Shop()), role_of("large"))

    assert replace(report, outcomes=(replace(report.outcomes[0], seconds=1.23456),)).to_dict() == {
        "profile": "default",
        "ok": True,
        "unserved": [],
        "outcomes": [
            {
                "role": "general",
                "model": "large",
                "provider": "shop",
                "action": "pulled",
                "seconds": 1.235,
                "bytes": 10,
                "reason": None,
            }
        ],
    }


def test_second_report_is_the_first_and_nobody_is_asked() -> None:
    shop = Shop()
    providers = asked_of(shop)
    first = provisioned(providers, role_of("large"))
    shop.availability = Availability("It is down.")

    assert provisioned(providers, role_of("large")) == first
    assert shop.asked == [("large", False)]


def test_force_asks_again() -> None:
    shop = Shop()
    providers = asked_of(shop)
    provisioned(providers, role_of("large"))

    provisioned(providers, role_of("large"), force=True)

    assert shop.asked == [("large", False), ("large", True)]


def test_what_has_failed_under_force_is_ready_no_more() -> None:
    shop = Shop()
    providers = asked_of(shop)
    provisioned(providers, role_of("large"))
    shop.error = DownloadError("large", "the bytes are wrong.", "Try again.")
    provisioned(providers, role_of("large"), force=True)

    report = provisioned(providers, role_of("large"))

    assert [outcome.action for outcome in report.outcomes] == ["failed"]


def test_what_has_failed_for_one_role_is_ready_for_no_other() -> None:
    shop = Shop()
    providers = asked_of(shop)
    registry = registry_of(general=role_of("large"), coding=replace(role_of("large"), role="coding"))
    provision(registry=registry, providers=providers)
    shop.error = DownloadError("large", "the bytes are wrong.", "Try again.")
    provision(["general"], registry=registry, providers=providers, force=True)

    report = provision(["coding"], registry=registry, providers=providers)

    assert [outcome.action for outcome in report.outcomes] == ["failed"]


def test_providers_of_another_set_are_asked_themselves() -> None:
    first, second = Shop(), Shop()
    provisioned(asked_of(first), role_of("large"))

    provisioned(asked_of(second), role_of("large"))

    assert second.asked == [("large", False)]


def test_what_is_known_goes_with_its_providers() -> None:
    providers = asked_of(Shop())
    provisioned(providers, role_of("large"))
    known = weakref.ref(provisioning_module._known_of(providers))

    del providers
    gc.collect()

    assert known() is None


def test_failure_is_told_and_the_next_model_taken() -> None:
    shop = Shop("shop", "small")
    error = ProviderModelError("shop", "large", "It has no such model.", "Choose another.")
    providers = asked_of(shop)

    shop.error = error
    with_both = provisioned(providers, role_of("large"))
    shop.error = None

    (failed,) = with_both.outcomes
    assert (facts(failed), failed.reason) == (
        ("shop", "large", "failed"),
        "It has no such model. Choose another.",
    )
    assert failed.error is error
    assert (with_both.ok, with_both.unserved) == (False, ("general",))


def test_role_whose_first_model_fails_gets_the_next() -> None:
    class Half(Shop):
        def ensure(self, model: Target, **options: Any) -> Ensured:
            if model.name == "large":
                raise DownloadError("large", "the disk is full.", "Free some.")
            return super().ensure(model, **options)

    report = provisioned(asked_of(Half()), role_of("large", "small"))

    assert [facts(outcome) for outcome in report.outcomes] == [("shop", "large", "failed"), ("shop", "small", "pulled")]
    assert (report.ok, report.unserved) == (True, ())


def test_failure_is_tried_again_by_the_next_call() -> None:
    shop = Shop()
    providers = asked_of(shop)
    shop.error = DownloadError("large", "the line is cut.", "Try again.")
    provisioned(providers, role_of("large"))
    shop.error = None

    report = provisioned(providers, role_of("large"))

    assert [outcome.action for outcome in report.outcomes] == ["pulled"]


def test_provider_that_is_down_is_skipped() -> None:
    down, up = Shop("down"), Shop("up")
    down.availability = Availability("Nothing listens there.", "Start it.")
    model = RoleModel("general", "large", "down", True, fallback=("up:small",))

    report = provisioned(asked_of(down, up), model)

    assert [(facts(outcome), outcome.reason) for outcome in report.outcomes] == [
        (("down", "large", "skipped"), "Nothing listens there. Start it."),
        (("up", "small", "pulled"), None),
    ]
    assert (report.ok, report.unserved, down.asked) == (True, (), [])


def test_provider_that_nobody_knows_is_skipped() -> None:
    report = provisioned(asked_of(Shop()), RoleModel("general", "large", "shap"))

    (outcome,) = report.outcomes
    assert facts(outcome) == ("shap", "large", "skipped")
    assert outcome.reason == "There is no provider of this name. Did you mean `shop`?"
    assert (report.ok, report.unserved) == (False, ("general",))


@pytest.mark.parametrize("error", [RuntimeError("no such thing"), ValueError("no such thing")])
def test_provider_that_breaks_keeps_no_other_from_being_asked(error: Exception, caplog: Any) -> None:
    broken, up = Shop("broken"), Shop("up")
    broken.error = error
    model = RoleModel("general", "large", "broken", True, fallback=("up:small",))

    report = provisioned(asked_of(broken, up), model)

    assert [(facts(outcome), outcome.reason) for outcome in report.outcomes] == [
        (("broken", "large", "failed"), f"{type(error).__name__}: no such thing."),
        (("up", "small", "pulled"), None),
    ]
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


def test_role_that_forbids_fetching_takes_what_is_there() -> None:
    shop = Shop("shop", "small")

    report = provisioned(asked_of(shop), role_of("large", "small", auto_download=False))

    assert [(facts(outcome), outcome.reason) for outcome in report.outcomes] == [
        (
            ("shop", "large", "skipped"),
            "It is not there, and the role says that it must not be fetched. Set `auto_download` to true for the role.",
        ),
        (("shop", "small", "already_present"), None),
    ]
    assert shop.asked == []


@pytest.mark.parametrize(("provider", "how"), [("ollama", "`ollama pull talk`"), ("local", "`registry download talk`")])
def test_model_that_must_not_be_fetched_says_how_to_fetch_it(provider: str, how: str) -> None:
    model = RoleModel("general", "talk", provider, False)

    report = provisioned(asked_of(Shop(provider)), model)

    assert report.outcomes[0].reason == (
        "It is not there, and the role says that it must not be fetched. "
        f"Set `auto_download` to true for the role, or fetch it with {how}."
    )


def test_provider_that_goes_away_while_it_is_asked_is_skipped() -> None:
    class Fleeting(Shop):
        def has(self, model: Target) -> bool:
            raise ProviderUnavailableError("shop", model.name, "It has gone.", "Start it.")

    report = provisioned(asked_of(Fleeting()), role_of("large", auto_download=False))

    assert (facts(report.outcomes[0]), report.outcomes[0].reason) == (
        ("shop", "large", "skipped"),
        "It has gone. Start it.",
    )


def test_role_that_says_nothing_of_fetching_allows_it() -> None:
    report = provisioned(asked_of(Shop()), role_of("large", auto_download=None))

    assert [facts(outcome) for outcome in report.outcomes] == [("shop", "large", "pulled")]


def test_role_that_does_not_exist_names_close_ones_and_fetches_nothing() -> None:
    shop = Shop()

    with pytest.raises(RoleNotFoundError) as caught:
        provisioned(asked_of(shop), role_of("large"), roles=["general", "generall"])

    assert (caught.value.close_matches, shop.asked) == (("general",), [])


def test_profile_that_does_not_exist_is_told() -> None:
    with pytest.raises(ProfileNotFoundError):
        provisioned(asked_of(Shop()), role_of("large"), profile="defoult")


def test_one_text_is_no_list_of_roles() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        provisioned(asked_of(Shop()), role_of("large"), roles="general")

    assert str(caught.value) == "`roles`: expected a list of roles, such as `['general']`, got 'general'."


def test_roles_are_provisioned_in_the_order_of_the_caller_and_once() -> None:
    shop = Shop()
    models = {name: replace(role_of(f"model-of-{name}"), role=name) for name in ("coding", "general", "embedding")}
    registry = registry_of(**models)

    report = provision(["general", "coding", "general"], registry=registry, providers=asked_of(shop))

    assert [(outcome.role, outcome.model) for outcome in report.outcomes] == [
        ("general", "model-of-general"),
        ("coding", "model-of-coding"),
    ]


def test_model_of_two_roles_is_fetched_once() -> None:
    shop = Shop()
    registry = registry_of(general=role_of("large"), coding=replace(role_of("large"), role="coding"))

    report = provision(registry=registry, providers=asked_of(shop))

    assert [(outcome.role, outcome.action) for outcome in report.outcomes] == [
        ("general", "pulled"),
        ("coding", "pulled"),
    ]
    assert shop.asked == [("large", False)]


@pytest.mark.parametrize(
    ("provider", "asked"), [("local", [("talk", False)]), ("ollama", [("talk", False), ("t", False)])]
)
def test_id_and_alias_are_one_model_where_records_are_loaded(provider: str, asked: list[tuple[str, bool]]) -> None:
    shop, record = Shop(provider), chat_record("talk", aliases=("t",))
    providers = asked_of(shop)
    by_id = ensure_candidate(Candidate(provider, Target("talk", record), {}, auto_download=True), providers)

    by_alias = ensure_candidate(Candidate(provider, Target("t", record), {}, auto_download=True), providers)

    assert (by_id.model, by_alias.model, shop.asked) == ("talk", "t", asked)


def test_fifty_callers_with_a_registry_of_their_own_cause_one_download(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop("local")
    shop.may_go_on.clear()
    heard: list[Event] = []
    registry = registry_of(chat_record("talk"), general="talk")
    monkeypatch.setattr(Providers, "get", lambda *_: shop)
    with ThreadPoolExecutor(50) as pool:
        futures = [pool.submit(provision, registry=registry, on_event=heard.append) for _ in range(50)]
        until(lambda: len([event for event in heard if event.kind == "provisioning"]) == 50)
        shop.may_go_on.set()
        reports = [future.result(30) for future in futures]
    later = provision(registry=registry)

    assert shop.asked == [("talk", False)]
    assert all(report == later for report in reports)


def test_what_is_known_goes_with_its_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Providers, "get", lambda *_: Shop("local", "talk"))
    registry = registry_of(chat_record("talk"), general="talk")
    provision(registry=registry)
    known = weakref.ref(provisioning_module._known_of(Providers.of(registry)))

    del registry
    gc.collect()

    assert known() is None


def test_registry_of_this_package_is_asked_of_the_providers_that_the_process_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from registry import MODEL_REGISTRY

    shared = asked_of(Shop("local", MODEL_REGISTRY.default_profile.models["embedding"].name))
    monkeypatch.setattr(Providers, "default", lambda: shared)

    assert provision(["embedding"], registry=MODEL_REGISTRY) == provision(["embedding"], providers=shared)


def test_fifty_callers_cause_one_download() -> None:
    shop = Shop()
    shop.may_go_on.clear()
    providers, heard = asked_of(shop), []
    registry = registry_of(general=role_of("large"))
    with ThreadPoolExecutor(50) as pool:
        futures = [
            pool.submit(provision, registry=registry, providers=providers, on_event=heard.append) for _ in range(50)
        ]
        until(lambda: len([event for event in heard if event.kind == "provisioning"]) == 50)
        shop.may_go_on.set()
        reports = [future.result(30) for future in futures]

    assert len(shop.asked) == 1
    assert all(report == reports[0] for report in reports)
    assert [facts(outcome) for outcome in reports[0].outcomes] == [("shop", "large", "pulled")]


def test_failure_is_shared_by_who_waits_for_it() -> None:
    shop = Shop()
    shop.may_go_on.clear()
    shop.error = DownloadError("large", "the line is cut.", "Try again.")
    providers = asked_of(shop)
    candidate = Candidate("shop", Target("large"), {}, auto_download=True)
    with ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(ensure_candidate, candidate, providers, on_event=ignore) for _ in range(10)]
        running = provisioning_module._known_of(providers).flights._running
        until(lambda: sum(len(flight._listeners) for flight in tuple(running.values())) == 10)
        shop.may_go_on.set()
        outcomes = [future.result(30) for future in futures]

    assert {outcome.reason for outcome in outcomes} == {"Cannot fetch `large`: the line is cut. Try again."}
    assert ({outcome.action for outcome in outcomes}, len(shop.asked)) == ({"failed"}, 1)


def test_events_tell_the_way_of_a_role() -> None:
    down, up = Shop("down"), Shop("up")
    down.availability = Availability("Nothing listens there.")
    events: list[Event] = []
    model = RoleModel("general", "large", "down", True, fallback=("up:small",))

    provisioned(asked_of(down, up), model, on_event=events.append)

    assert events == [
        Event("resolving", "general"),
        Event("passed_on", "general", "down", "large", "Nothing listens there."),
        Event("provisioning", "general", "up", "small"),
        Event("progress", "general", "up", "small", progress=Progress("small", "weights", "downloading", 5, 10)),
        Event("done", "general", "up", "small", "pulled"),
    ]


def test_event_of_the_last_model_that_fails_says_that_nobody_serves_the_role() -> None:
    shop = Shop()
    shop.availability = Availability("It is down.")
    events: list[Event] = []

    provisioned(asked_of(shop), role_of("large"), on_event=events.append)

    assert events[-1] == Event("broken", "general", "shop", "large", "It is down.")


def test_listener_that_raises_keeps_nothing_from_being_fetched() -> None:
    def broken(_: Event) -> None:
        raise RuntimeError("the window is closed")

    report = provisioned(asked_of(Shop()), role_of("large"), on_event=broken)

    assert [outcome.action for outcome in report.outcomes] == ["pulled"]


def test_outcomes_are_told_as_they_come() -> None:
    told: list[Outcome] = []

    report = provisioned(asked_of(Shop()), role_of("large"), on_outcome=told.append)

    assert tuple(told) == report.outcomes


def test_outcomes_are_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()
    with caplog.at_level(logging.INFO, "registry.provision"):
        provisioned(asked_of(shop), role_of("large"))
        shop.availability = Availability("It is down.", "Start it.")
        provisioned(asked_of(shop), role_of("other"))

    found = [(record.name, record.levelname, record.event, record.facts["model"]) for record in caplog.records]
    assert found == [
        ("registry.provision", "INFO", "registry.provision.pulled", "large"),
        ("registry.provision", "WARNING", "registry.provision.skipped", "other"),
    ]
    assert caplog.messages[1].endswith(' bytes=0 reason="It is down. Start it."')


def test_provider_is_asked_once_whether_it_is_there_however_many_roles_it_serves() -> None:
    class Counted(Shop):
        looks = 0

        def available(self) -> Availability:
            self.looks += 1
            return Availability("It is down.")

    shop = Counted()
    models = {name: replace(role_of(f"model-of-{name}"), role=name) for name in ("coding", "general", "embedding")}
    providers = asked_of(shop)

    report = provision(registry=registry_of(**models), providers=providers)
    looks_of_one_call = shop.looks
    provision(registry=registry_of(**models), providers=providers)

    assert ([outcome.action for outcome in report.outcomes], looks_of_one_call) == (["skipped"] * 3, 1)
    assert shop.looks == 2


def test_name_that_is_nearly_a_record_and_cannot_be_had_names_the_record() -> None:
    shop = Shop("ollama")
    shop.error = ProviderModelError("ollama", "talk-7b-q6", "Nobody has it.", "Correct the name.")
    registry = registry_of(chat_record("talk-7b-q5"), general="talk-7b-q6")

    report = provision(registry=registry, providers=asked_of(shop))

    assert report.outcomes[0].reason == "Nobody has it. Correct the name. Did you mean the record `talk-7b-q5`?"


def test_setting_that_allows_any_bytes_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pinning(Shop):
        def ensure(self, model: Target, **_: Any) -> Ensured:
            self.asked.append((model.name, model.allow_unpinned))
            return Ensured("pulled")

    monkeypatch.setenv("REGISTRY_PARAMETERS", "allow_unpinned=true")
    shop = Pinning()
    provisioned(asked_of(shop), role_of("large"))

    assert shop.asked == [("large", True)]


def test_setting_that_only_looks_as_if_it_allowed_any_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PARAMETERS", "allow_unpinned=no")

    with pytest.raises(InvalidOptionError, match="`allow_unpinned`: expected true or false, got 'no'"):
        provisioned(asked_of(Shop()), role_of("large"))
