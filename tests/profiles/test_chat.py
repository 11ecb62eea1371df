"""A role answers with whoever can serve it, before the first token, and says who that was."""

import asyncio
import gc
import logging
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from typing import Any

import pytest
from waiting import until, within

from registry import MODEL_REGISTRY
from registry.errors import (
    ContextOverflowError,
    DownloadError,
    InsufficientMemoryError,
    InvalidMessageError,
    InvalidOptionError,
    MissingExtraError,
    ModelBusyError,
    ModelClosedError,
    ModelNotDownloadedError,
    NoProviderError,
    ProviderError,
    ProviderModelError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RoleNotFoundError,
    StreamBrokenError,
)
from registry.profiles import Availability, Chat, Event, Providers, circuit, provision
from registry.profiles.chunks import Chunks
from registry.profiles.faults import words_of
from registry.profiles.providers.services import MissingModelError
from registry.records import RoleModel

from .fakes import USAGE, Fake, chunk, completion, held, providers
from .small import Registry, chat_record, registry_of

HELLO: Any = [{"role": "user", "content": "Hello"}]
DOWN = ProviderUnavailableError("first", "m", "Nothing listens.", "Start it.")


def role(**changes: Any) -> Registry:
    """The role `general`: model `m` of `first`, then `n` of `second`."""
    stated: dict[str, Any] = {"provider": "first", "fallback": ("second:n",)} | changes
    return registry_of(general=RoleModel("general", "m", **stated))


def chat_of(*fakes: Fake, registry: Registry | None = None, **options: Any) -> Chat:
    return Chat(registry=role() if registry is None else registry, providers=providers(*fakes), **options)


@pytest.fixture
def first() -> Fake:
    return Fake("first")


@pytest.fixture
def second() -> Fake:
    return Fake("second")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def timed_chat_of(*fakes: Fake, **options: Any) -> tuple[Chat, Clock]:
    """A chat whose circuits open for exactly 30 s of the clock."""
    asked, clock = providers(*fakes), Clock()
    circuit._OF_PROVIDERS[asked] = circuit.Circuits(clock=clock, chance=lambda: 0.0)
    return Chat(registry=role(**options), providers=asked), clock


SERVED_BY_FIRST = {"provider": "first", "model": "m", "role": "general", "degraded": False, "attempts": []}


def served_by_second(error: str = "Nothing listens. Start it.") -> dict[str, Any]:
    attempts = [{"provider": "first", "model": "m", "error": error}]
    return {"provider": "second", "model": "n", "role": "general", "degraded": True, "attempts": attempts}


def deltas(chunks: Any) -> list[Any]:
    return [each["choices"][0]["delta"].get("content") for each in chunks]


# A whole answer.


def test_reply_gives_the_answer_and_who_gave_it(first: Fake, second: Fake) -> None:
    answer = chat_of(first, second).reply(HELLO)
    assert answer == completion("first answers") | {"served_by": SERVED_BY_FIRST}
    assert second.calls == []


@pytest.mark.parametrize(
    "fault",
    [
        ProviderUnavailableError("first", "m", "Nothing listens.", "Start it."),
        ProviderTimeoutError("first", "m", "No first token."),
        ProviderModelError("first", "m", "No such model."),
        StreamBrokenError("first", "m", "It broke off."),
        MissingExtraError("ollama", "ollama", "Asking Ollama"),
        InsufficientMemoryError("m", "It needs 8 GB."),
        ModelNotDownloadedError("m", (), "Fetch it."),
        DownloadError("m", "The hub is away.", "Try again."),
        ModelBusyError("m", "Its queue is full.", 3),
        ConnectionResetError("reset"),
        PermissionError("may not read"),
        TimeoutError("late"),
        MemoryError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_reply_of_a_provider_that_cannot_serve_passes_on_to_the_next(
    fault: Exception, first: Fake, second: Fake
) -> None:
    first.fault = fault
    answer = chat_of(first, second).reply(HELLO)
    assert answer["choices"][0]["message"]["content"] == "second answers"
    assert answer["served_by"]["degraded"] is True


@pytest.mark.parametrize(
    "fault",
    [
        InvalidOptionError("temperature", "0 to 2", 3),
        InvalidMessageError("messages[0]", "expected a role."),
        ContextOverflowError("m", 9000, 4096),
        ProviderError("first", "m", "It refuses the request."),
        ZeroDivisionError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_reply_of_a_fault_of_the_caller_raises_it_at_once(fault: Exception, first: Fake, second: Fake) -> None:
    first.fault = fault
    with pytest.raises(type(fault)) as caught:
        chat_of(first, second).reply(HELLO)
    assert caught.value is fault
    assert second.calls == []


@pytest.mark.parametrize(
    "fault",
    [
        InvalidOptionError("context_length", "at most 4096", 8192),
        InvalidMessageError("messages[0]", "expected no picture."),
        ContextOverflowError("n", 9000, 4096),
        ProviderError("second", "n", "It answered 400: it does not support tools."),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_reply_of_a_fallback_that_cannot_do_what_is_asked_passes_on_to_the_next(
    fault: Exception, first: Fake, second: Fake
) -> None:
    third = Fake("third")
    first.fault, second.fault = DOWN, fault
    chat = chat_of(first, second, third, registry=role(fallback=("second:n", "third:o")))
    for _ in range(2):
        served_by = chat.reply(HELLO)["served_by"]
        assert served_by["provider"] == "third"
        assert served_by["attempts"][1] == {"provider": "second", "model": "n", "error": words_of(fault)}
    assert second.calls == ["n", "n"]


def test_reply_that_no_fallback_can_do_says_why_of_each(first: Fake, second: Fake) -> None:
    first.fault, second.fault = DOWN, ProviderError("second", "n", "It does not support tools.", "Change the request.")
    with pytest.raises(NoProviderError) as caught:
        chat_of(first, second).reply(HELLO)
    assert caught.value.attempts == (
        "`first` with `m`: Nothing listens. Start it.",
        "`second` with `n`: It does not support tools. Change the request.",
    )


def test_reply_of_a_fallback_with_a_fault_of_the_program_raises_it(first: Fake, second: Fake) -> None:
    first.fault, second.fault = DOWN, ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        chat_of(first, second).reply(HELLO)


def test_reply_after_a_fault_of_the_caller_asks_the_same_provider_again(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    first.fault = ProviderError("first", "m", "It refuses the request.")
    with pytest.raises(ProviderError):
        chat.reply(HELLO)
    first.fault = None
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_reply_tells_why_others_were_passed_over(first: Fake, second: Fake) -> None:
    first.fault = DOWN
    assert chat_of(first, second).reply(HELLO)["served_by"] == served_by_second()


def test_reply_does_not_ask_a_dead_provider_in_the_next_call(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    first.fault = DOWN
    chat.reply(HELLO)
    error = chat.reply(HELLO)["served_by"]["attempts"][0]["error"]
    assert (first.calls, second.calls) == (["m"], ["n", "n"])
    assert error.startswith("Not asked for another ")
    assert error.endswith(" s. Its last fault: Nothing listens. Start it.")


def test_reply_of_another_chat_with_the_same_providers_knows_who_is_dead(first: Fake, second: Fake) -> None:
    shared = providers(first, second)
    first.fault = DOWN
    for _ in range(2):
        Chat(registry=role(), providers=shared).reply(HELLO)
    assert first.calls == ["m"]


def test_reply_of_a_provider_that_is_back_after_its_time_is_its_own_again(first: Fake, second: Fake) -> None:
    chat, clock = timed_chat_of(first, second)
    first.fault = DOWN
    chat.reply(HELLO)
    first.fault, clock.now_s = None, 30.0
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST
    assert circuit.circuits_of(chat.providers)._open == {}


def test_reply_of_a_probe_that_ends_with_a_fault_of_the_caller_leaves_it_to_the_next(first: Fake, second: Fake) -> None:
    chat, clock = timed_chat_of(first, second)
    first.fault = DOWN
    chat.reply(HELLO)
    first.fault, clock.now_s = ProviderError("first", "m", "It refuses the request."), 30.0
    with pytest.raises(ProviderError):
        chat.reply(HELLO)
    first.fault = None
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_reply_after_provisioning_asks_the_first_choice_again(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    first.fault = ProviderModelError("first", "m", "It is not there.")
    chat.reply(HELLO)
    first.fault = None

    provision(["general"], registry=role(), providers=chat.providers)

    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_reply_after_provisioning_that_failed_does_not_ask_again(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    first.fault = ProviderModelError("first", "m", "It is not there.")
    chat.reply(HELLO)

    provision(["general"], registry=role(fallback=()), providers=chat.providers)
    chat.reply(HELLO)

    assert first.calls == ["m"]


def test_reply_of_a_busy_model_asks_again_when_it_says(first: Fake, second: Fake) -> None:
    chat, clock = timed_chat_of(first, second)
    first.fault = ModelBusyError("m", "Its queue is full.", 3)
    chat.reply(HELLO)
    first.fault, clock.now_s = None, 3.0
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_reply_does_not_ask_for_a_failing_record_by_its_other_name(second: Fake) -> None:
    record, first = chat_record("small-chat", aliases=("small",)), Fake("local")
    asked = providers(first, second)
    first.fault = ProviderModelError("local", "m", "It does not fit.")
    for name in ("small-chat", "small"):
        general = RoleModel("general", name, "local", fallback=("second:n",))
        Chat(registry=registry_of(record, general=general), providers=asked).reply(HELLO)
    assert (first.calls, second.calls) == (["small-chat"], ["n", "n"])


def test_reply_asks_for_a_missing_model_by_its_other_name_where_the_name_is_what_is_sent(second: Fake) -> None:
    class Ollama(Fake):
        def _asked(self, model: Any, parameters: Any) -> None:
            super()._asked(model, parameters)
            if model.name != "small":
                raise ProviderModelError("ollama", model.name, "It is not there.")

    record, ollama = chat_record("small-chat", aliases=("small",)), Ollama("ollama")
    general = RoleModel("general", "small-chat", "ollama", fallback=("ollama:small", "second:n"))
    chat = Chat(registry=registry_of(record, general=general), providers=providers(ollama, second))
    for _ in range(2):
        assert chat.reply(HELLO)["served_by"]["model"] == "small"
    assert (ollama.calls, second.calls) == (["small-chat", "small", "small"], [])


def test_reply_when_nobody_answers_says_why_of_each(first: Fake, second: Fake) -> None:
    first.fault, second.fault = DOWN, InsufficientMemoryError("n", "It needs 8 GB.")
    with pytest.raises(NoProviderError) as caught:
        chat_of(first, second).reply(HELLO)
    assert caught.value.attempts == (
        "`first` with `m`: Nothing listens. Start it.",
        f"`second` with `n`: {second.fault}",
    )
    assert caught.value.__cause__ is second.fault


def test_reply_when_nobody_else_is_left_asks_again_whose_fault_shows_at_once(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    first.fault = second.fault = DOWN
    with pytest.raises(NoProviderError):
        chat.reply(HELLO)
    first.fault = None
    served_by = chat.reply(HELLO)["served_by"]
    assert (served_by["provider"], served_by["degraded"]) == ("first", False)
    assert [attempt["provider"] for attempt in served_by["attempts"]] == ["second"]


def test_reply_of_an_unknown_provider_passes_it_over(second: Fake) -> None:
    answer = chat_of(second, registry=role(provider="frist")).reply(HELLO)
    attempt = answer["served_by"]["attempts"][0]
    assert (attempt["provider"], answer["served_by"]["degraded"]) == ("frist", True)
    assert attempt["error"].startswith("There is no provider of this name.")


def test_reply_of_the_first_choice_is_not_degraded_by_an_unknown_provider_behind_it(first: Fake) -> None:
    registry = role(fallback=("nobody:x",))
    assert chat_of(first, registry=registry).reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_reply_with_a_wrong_conversation_asks_nobody(first: Fake, second: Fake) -> None:
    with pytest.raises(InvalidMessageError):
        chat_of(first, second).reply([])
    assert first.calls == []


# Those who use one registry.


def test_chats_of_one_registry_know_who_is_dead(first: Fake, second: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = role()
    monkeypatch.setattr(Providers.of(registry), "_given", {"first": first, "second": second})
    first.fault = DOWN
    for _ in range(3):
        with Chat(registry=registry) as chat:
            assert chat.reply(HELLO)["served_by"]["provider"] == "second"
    assert first.calls == ["m"]


def test_chats_of_one_registry_and_provisioning_fetch_a_model_once(
    first: Fake, second: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, together = role(auto_download=True), threading.Barrier(13)
    monkeypatch.setattr(Providers.of(registry), "_given", {"first": first, "second": second})

    def reply(_: int) -> None:
        together.wait(30)
        with Chat(registry=registry) as chat:
            chat.reply(HELLO)

    with ThreadPoolExecutor(12) as threads:
        answers = [threads.submit(reply, number) for number in range(12)]
        together.wait(30)
        report = provision(registry=registry)
        for answer in answers:
            answer.result(30)
    assert (first.ensured, report.unserved) == (["m"], ())


def test_chat_of_the_registry_of_this_package_asks_the_providers_that_the_process_shares() -> None:
    with Chat("general", registry=MODEL_REGISTRY) as named, Chat("general") as unnamed:
        assert named.providers is unnamed.providers is Providers.default()


# Parameters.


def test_reply_gives_parameters_of_call_over_chat_over_role(first: Fake) -> None:
    registry = role(parameters={"temperature": 0.1, "top_p": 0.2, "num_ctx": 4096})
    chat = chat_of(first, Fake("second"), registry=registry, top_p=0.5, num_predict=9)
    chat.reply(HELLO, max_tokens=7, tools=[])
    assert first.seen == [
        {"temperature": 0.1, "top_p": 0.5, "max_tokens": 7, "context_length": 4096, "tools": []},
    ]


def test_reply_with_another_name_of_a_parameter_hides_that_of_the_chat(first: Fake, second: Fake) -> None:
    chat_of(first, second, max_tokens=9).reply(HELLO, num_predict=7)
    assert first.seen == [{"max_tokens": 7}]


def test_reply_with_none_for_a_parameter_leaves_that_of_the_chat(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second, registry=role(parameters={"top_p": 0.5}), temperature=0.2, max_tokens=9)
    chat.reply(HELLO, temperature=None, num_predict=None, top_p=None)
    chat.reply(HELLO, temperature=None, seed=1)
    stated = {"temperature": 0.2, "max_tokens": 9, "top_p": 0.5}
    assert first.seen == [stated, stated | {"seed": 1}]


def test_reply_with_parameters_makes_no_provider_anew_that_could_not_be_made(second: Fake) -> None:
    made: list[int] = []

    def make() -> Any:
        made.append(1)
        raise OSError("broken")

    known: dict[str, Any] = {"first": make, "second": second}
    chat = Chat(registry=role(), providers=Providers(providers=known))
    for seed in range(3):
        assert chat.reply(HELLO, seed=seed)["served_by"]["provider"] == "second"
    assert (len(made), [each["seed"] for each in second.seen]) == (1, [0, 1, 2])


def test_reply_with_a_wrong_parameter_asks_nobody(first: Fake, second: Fake) -> None:
    with pytest.raises(InvalidOptionError):
        chat_of(first, second).reply(HELLO, temperature=9)
    assert first.calls == []


def test_chat_of_an_unknown_role_names_those_that_are_known(first: Fake, second: Fake) -> None:
    with pytest.raises(RoleNotFoundError) as caught:
        chat_of(first, second, role="generl")
    assert caught.value.close_matches == ("general",)


# The log, and events.


def test_degraded_service_is_logged_with_its_facts(first: Fake, second: Fake, caplog: pytest.LogCaptureFixture) -> None:
    first.fault = DOWN
    chat_of(first, second).reply(HELLO)
    record = caplog.records[-1]
    line = 'role=general served_by=second/n passed_over=first/m reason="Nothing listens. Start it."'
    assert (record.name, record.levelno) == ("registry.profiles", logging.WARNING)
    assert record.getMessage() == f"registry.profiles.degraded {line}"
    assert record.__dict__["facts"] == {
        "role": "general",
        "served_by": "second/n",
        "passed_over": ["first/m"],
        "reason": "Nothing listens. Start it.",
    }


def test_service_by_the_first_choice_is_not_logged(first: Fake, second: Fake, caplog: pytest.LogCaptureFixture) -> None:
    chat_of(first, second).reply(HELLO)
    assert caplog.messages == []


def test_reply_tells_each_step_to_the_listener(first: Fake, second: Fake) -> None:
    heard: list[Event] = []
    first.fault = DOWN
    chat_of(first, second, on_event=heard.append).reply(HELLO)
    assert heard == [
        Event("resolving", "general", "first", "m", "Profile `default`: first/m, then second/n."),
        Event("trying", "general", "first", "m"),
        Event("passed_on", "general", "first", "m", "Nothing listens. Start it."),
        Event("trying", "general", "second", "n"),
        Event("serving", "general", "second", "n"),
        Event("done", "general", "second", "n"),
    ]


def test_listener_that_raises_does_not_break_the_answer(first: Fake, second: Fake) -> None:
    def listener(event: Event) -> None:
        raise ZeroDivisionError(event.kind)

    assert chat_of(first, second, on_event=listener).reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_model_that_may_be_fetched_is_fetched_once_before_the_first_call(first: Fake, second: Fake) -> None:
    heard: list[str] = []
    chat = chat_of(first, second, registry=role(auto_download=True), on_event=lambda event: heard.append(event.kind))
    for _ in range(3):
        chat.reply(HELLO)
    assert (first.ensured, first.calls, second.ensured) == (["m"], ["m", "m", "m"], [])
    assert heard.index("provisioning") < heard.index("trying")


@pytest.mark.parametrize(
    "gone", [MissingModelError("first", "m", "It is not there."), ModelNotDownloadedError("m", (), "Fetch it.")]
)
def test_model_that_is_gone_is_fetched_again_before_the_next_call(gone: Exception, first: Fake, second: Fake) -> None:
    chat = chat_of(first, second, registry=role(auto_download=True))
    chat.reply(HELLO)
    first.fault = gone
    assert chat.reply(HELLO)["served_by"]["provider"] == "second"
    first.fault = None
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST
    assert first.ensured == ["m", "m"]


def test_model_that_is_gone_is_fetched_by_the_next_provisioning(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    provision(["general"], registry=role(), providers=chat.providers)
    first.fault = MissingModelError("first", "m", "It is not there.")
    chat.reply(HELLO)
    first.fault = None
    report = provision(["general"], registry=role(), providers=chat.providers)
    assert (first.ensured, report.outcomes[0].action) == (["m", "m"], "pulled")
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_model_that_fails_otherwise_stays_ready(first: Fake, second: Fake) -> None:
    chat, clock = timed_chat_of(first, second, auto_download=True)
    chat.reply(HELLO)
    first.fault = ProviderModelError("first", "m", "It does not fit.")
    chat.reply(HELLO)
    first.fault, clock.now_s = None, 30.0
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST
    assert first.ensured == ["m"]


def test_model_that_may_not_be_fetched_is_not(first: Fake, second: Fake) -> None:
    chat_of(first, second, registry=role(auto_download=False)).reply(HELLO)
    assert first.ensured == []


def test_model_that_cannot_be_fetched_passes_on_to_the_next(first: Fake, second: Fake) -> None:
    class Broken(Fake):
        def ensure(self, *_: Any, **__: Any) -> Any:
            raise DownloadError("m", "The hub is away.", "Try again.")

    broken = Broken("first")
    answer = chat_of(broken, second, registry=role(auto_download=True)).reply(HELLO)
    assert answer["served_by"]["attempts"][0]["error"] == str(DownloadError("m", "The hub is away.", "Try again."))
    assert (broken.calls, second.calls) == ([], ["n"])


def test_provider_that_is_not_there_is_asked_once_for_all_its_models(first: Fake, second: Fake) -> None:
    class Absent(Fake):
        asked = 0

        def available(self) -> Availability:
            self.asked += 1
            return Availability("Nothing listens.", "Start it.")

    absent = Absent("first")
    registry = role(auto_download=True, fallback=("first:m2", "second:n"))
    answer = chat_of(absent, second, registry=registry).reply(HELLO)
    assert (absent.asked, answer["served_by"]["provider"]) == (1, "second")


# Streams.


def test_stream_gives_chunks_and_says_who_makes_them(first: Fake, second: Fake) -> None:
    stream = chat_of(first, second).stream(HELLO)
    assert deltas(stream) == ["", "Hel", "lo", None]
    assert (stream.served_by, stream.text) == (SERVED_BY_FIRST, "Hello")


def test_stream_asks_nobody_before_the_first_chunk_is_wanted(first: Fake, second: Fake) -> None:
    with chat_of(first, second).stream(HELLO) as stream:
        assert (stream.served_by, stream.text, first.calls) == (None, "", [])


def test_stream_of_a_wrong_conversation_raises_at_once(first: Fake, second: Fake) -> None:
    with pytest.raises(InvalidMessageError):
        chat_of(first, second).stream([])


def test_stream_knows_who_serves_it_with_the_first_chunk(first: Fake, second: Fake) -> None:
    first.fault = DOWN
    with chat_of(first, second).stream(HELLO) as stream:
        next(stream)
        assert (stream.served_by, stream.text) == (served_by_second(), "")


@pytest.mark.parametrize("sent", [[], [chunk()], [chunk(), chunk("")]], ids=["nothing", "role", "empty text"])
def test_stream_that_breaks_before_its_first_token_is_begun_by_the_next(
    sent: list[Any], first: Fake, second: Fake
) -> None:
    first.chunks = [*sent, DOWN]
    assert deltas(chat_of(first, second).stream(HELLO)) == ["", "Hel", "lo", None]
    assert first.open_streams == 0


@pytest.mark.parametrize("sent", [[], [chunk()]], ids=["nothing", "role"])
def test_stream_that_ends_before_its_first_token_is_begun_by_the_next(
    sent: list[Any], first: Fake, second: Fake
) -> None:
    first.chunks = sent
    with chat_of(first, second).stream(HELLO) as stream:
        next(stream)
        assert stream.served_by == served_by_second("Its answer ended before it began.")


def test_stream_that_has_nothing_to_say_and_says_so_is_an_answer(first: Fake, second: Fake) -> None:
    first.chunks = [chunk(), chunk(end="stop")]
    stream = chat_of(first, second).stream(HELLO)
    assert len(list(stream)) == 2
    assert (stream.served_by, stream.text) == (SERVED_BY_FIRST, "")


@pytest.mark.parametrize(
    "fault",
    [
        ProviderUnavailableError("first", "m", "It cut the connection.", "Look into its log."),
        ProviderError("first", "m", "It cut the connection.", "Look into its log."),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_stream_that_breaks_after_its_first_token_raises_and_asks_nobody_else(
    fault: Exception, first: Fake, second: Fake
) -> None:
    first.chunks = [chunk(), chunk("Hel"), fault]
    read: list[Any] = []
    stream = chat_of(first, second).stream(HELLO)
    with pytest.raises(StreamBrokenError) as caught:
        read.extend(each["choices"][0]["delta"] for each in stream)
    assert caught.value.args == ("first", "m", "It cut the connection.", "Look into its log.", "Hel")
    assert caught.value.__cause__ is fault
    assert (second.calls, stream.text, first.open_streams) == ([], "Hel", 0)


def test_stream_that_breaks_is_passed_over_in_the_next_call(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    first.chunks = [chunk("Hel"), DOWN]
    with pytest.raises(StreamBrokenError):
        list(chat.stream(HELLO))
    assert chat.reply(HELLO)["served_by"]["provider"] == "second"


def test_stream_that_broke_late_is_asked_for_again_at_once_where_nobody_else_answers(first: Fake) -> None:
    chat, clock = timed_chat_of(first, fallback=())

    def wait() -> None:
        clock.now_s += 60

    first.chunks = [wait, chunk("Hel"), wait, DOWN]
    with pytest.raises(StreamBrokenError):
        list(chat.stream(HELLO))
    first.chunks = [chunk("Hello"), chunk(end="stop")]
    with chat.stream(HELLO) as stream:
        list(stream)
    assert (stream.text, stream.served_by) == ("Hello", SERVED_BY_FIRST)


def test_stream_of_a_fault_of_the_program_raises_it_as_it_is(first: Fake, second: Fake) -> None:
    first.chunks = [chunk("Hel"), ZeroDivisionError("bug")]
    with pytest.raises(ZeroDivisionError):
        list(chat_of(first, second).stream(HELLO))


def test_stream_when_nobody_answers_raises_when_it_is_read(first: Fake, second: Fake) -> None:
    first.fault = second.fault = DOWN
    stream = chat_of(first, second).stream(HELLO)
    with pytest.raises(NoProviderError):
        next(stream)


def test_stream_tells_its_end_to_the_listener(first: Fake, second: Fake) -> None:
    heard: list[str] = []
    chat = chat_of(first, second, on_event=lambda event: heard.append(event.kind))
    list(chat.stream(HELLO))
    assert heard == ["resolving", "trying", "serving", "done"]


def test_stream_that_breaks_tells_the_listener(first: Fake, second: Fake) -> None:
    heard: list[Event] = []
    first.chunks = [chunk("Hel"), DOWN]
    with pytest.raises(StreamBrokenError):
        list(chat_of(first, second, on_event=heard.append).stream(HELLO))
    assert heard[-1] == Event("broken", "general", "first", "m", "Nothing listens.")


def test_stream_that_is_closed_early_frees_the_provider(first: Fake, second: Fake) -> None:
    stream = chat_of(first, second).stream(HELLO)
    next(stream)
    assert first.open_streams == 1
    stream.close()
    assert (first.open_streams, list(stream)) == (0, [])


def test_stream_that_is_closed_early_is_not_told_as_done(first: Fake, second: Fake) -> None:
    heard: list[str] = []
    stream = chat_of(first, second, on_event=lambda event: heard.append(event.kind)).stream(HELLO)
    for _ in stream:
        stream.close()
    assert heard == ["resolving", "trying", "serving"]


def test_stream_that_is_forgotten_frees_the_provider(first: Fake, second: Fake) -> None:
    gc.disable()
    try:
        stream = chat_of(first, second).stream(HELLO)
        next(stream)
        del stream
        assert first.open_streams == 0
    finally:
        gc.enable()


def test_stream_that_another_thread_closes_ends_at_its_next_chunk(first: Fake, second: Fake) -> None:
    is_waiting, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        is_waiting.set()
        assert may_go_on.wait(30)

    heard: list[str] = []
    first.chunks = [chunk("Hel"), wait, chunk("lo"), chunk(end="stop")]
    stream = chat_of(first, second, on_event=lambda event: heard.append(event.kind)).stream(HELLO)
    with ThreadPoolExecutor(1) as thread:
        read = thread.submit(lambda: deltas(stream))
        assert is_waiting.wait(30)
        within(stream.close)
        may_go_on.set()
        assert read.result(30) == ["Hel"]
    assert (first.open_streams, heard[-1]) == (0, "serving")


class Wakeable(Fake):
    """A provider whose stream can be closed while a thread waits for it, which then sees the connection cut."""

    def __init__(self, name: str, chunks: list[Any]) -> None:
        super().__init__(name, chunks=chunks)
        self.is_waiting = threading.Event()

    def stream(self, model: Any, _: Any, parameters: Any) -> Any:
        woken = threading.Event()
        inner = super().stream(model, _, parameters)

        def read() -> Generator[Any, None, None]:
            for made in inner:
                if made == "wait":
                    self.is_waiting.set()
                    assert woken.wait(30)
                    raise ProviderUnavailableError("first", "m", "The connection was cut.")
                yield made

        return Chunks(read(), woken.set)


@pytest.mark.parametrize("sent", [["wait"], [chunk("Hel"), "wait"]], ids=["before the first token", "after it"])
def test_stream_that_is_closed_while_it_waits_ends_at_once_and_is_no_fault(sent: list[Any], second: Fake) -> None:
    first = Wakeable("first", chunks=sent)
    chat = chat_of(first, second)
    stream = chat.stream(HELLO)
    with ThreadPoolExecutor(1) as thread:
        read = thread.submit(lambda: deltas(stream))
        assert first.is_waiting.wait(30)
        stream.close()
        assert read.result(30) == (["Hel"] if len(sent) > 1 else [])
    assert second.calls == []
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST


# Asynchronous calls.


def test_areply_gives_the_answer_that_was_streamed(first: Fake, second: Fake) -> None:
    answer = asyncio.run(chat_of(first, second).areply(HELLO))
    assert answer == completion("Hello") | {"served_by": SERVED_BY_FIRST}


def test_areply_that_breaks_in_the_midst_is_begun_again_by_the_next(first: Fake, second: Fake) -> None:
    first.chunks = [chunk("Hel"), DOWN]
    answer = asyncio.run(chat_of(first, second).areply(HELLO))
    assert (answer["choices"][0]["message"]["content"], answer["usage"]) == ("Hello", USAGE)
    assert answer["served_by"] == served_by_second()


def test_areply_when_nobody_answers_raises(first: Fake, second: Fake) -> None:
    first.fault = second.fault = DOWN
    with pytest.raises(NoProviderError):
        asyncio.run(chat_of(first, second).areply(HELLO))


def test_areply_does_not_block_the_event_loop_with_more_calls_than_its_pool_has_threads(second: Fake) -> None:
    together = threading.Barrier(50)
    first = Fake("first", chunks=[lambda: together.wait(30), chunk("Hi"), chunk(end="stop")])
    chat = chat_of(first, second)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(chat.areply(HELLO) for _ in range(50)))

    assert len(within(lambda: asyncio.run(ask()))) == 50


def test_areply_that_is_cancelled_returns_at_once_and_frees_the_provider(first: Fake, second: Fake) -> None:
    may_go_on, after = threading.Event(), threading.Event()
    first.chunks = [chunk("Hel"), lambda: may_go_on.wait(30), chunk("lo"), after.set, chunk(end="stop")]

    async def ask() -> None:
        task = asyncio.create_task(chat_of(first, second).areply(HELLO))
        while not first.open_streams:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    within(lambda: asyncio.run(ask()))
    may_go_on.set()
    until(lambda: first.open_streams == 0)
    assert (after.is_set(), second.calls) == (False, [])


def test_areply_that_is_cancelled_asks_no_other_provider(first: Fake, second: Fake) -> None:
    first.fault = DOWN
    chat = chat_of(first, second)

    async def ask() -> None:
        with held(first) as gate:
            task = asyncio.create_task(chat.areply(HELLO))
            while not first.calls:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.set()

    within(lambda: asyncio.run(ask()))
    first.fault = None
    until(lambda: not any(each.name == "registry-role" for each in threading.enumerate()))
    assert second.calls == []
    assert chat.reply(HELLO)["served_by"] == SERVED_BY_FIRST


def test_astream_gives_chunks_and_says_who_makes_them(first: Fake, second: Fake) -> None:
    async def read() -> tuple[list[Any], Any, str]:
        async with chat_of(first, second).astream(HELLO) as stream:
            found = [each["choices"][0]["delta"].get("content") async for each in stream]
            return found, stream.served_by, stream.text

    assert asyncio.run(read()) == (["", "Hel", "lo", None], SERVED_BY_FIRST, "Hello")


def test_astream_that_breaks_raises_what_was_given_so_far(first: Fake, second: Fake) -> None:
    first.chunks = [chunk("Hel"), DOWN]

    async def read() -> None:
        async for _ in chat_of(first, second).astream(HELLO):
            pass

    with pytest.raises(StreamBrokenError) as caught:
        asyncio.run(read())
    assert caught.value.text == "Hel"


@pytest.mark.parametrize("leave", ["break", "cancel"])
def test_astream_that_is_left_frees_the_provider(leave: str, first: Fake, second: Fake) -> None:
    may_go_on = threading.Event()
    first.chunks = [chunk("Hel"), lambda: may_go_on.wait(30), chunk("lo")]

    async def read() -> None:
        async with aclosing(chat_of(first, second).astream(HELLO)) as stream:
            async for _ in stream:
                if leave == "break":
                    break

    async def run() -> None:
        task = asyncio.create_task(read())
        if leave == "cancel":
            while not first.open_streams:
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    within(lambda: asyncio.run(run()))
    may_go_on.set()
    until(lambda: first.open_streams == 0)
    assert second.calls == []


# Many threads.


def test_fifty_threads_that_find_a_provider_dead_together_count_as_one_fault(first: Fake, second: Fake) -> None:
    first.fault = DOWN
    chat = chat_of(first, second)
    with held(first) as gate, ThreadPoolExecutor(50) as threads:
        answers = [threads.submit(chat.reply, HELLO) for _ in range(50)]
        until(lambda: len(first.calls) == 50)
        gate.set()
        served = {answer.result(30)["served_by"]["provider"] for answer in answers}
    wait_s = float(chat.reply(HELLO)["served_by"]["attempts"][0]["error"].split()[4])
    assert (served, len(first.calls)) == ({"second"}, 50)
    assert 20 <= wait_s <= 30


def test_fifty_threads_at_an_open_circuit_ask_the_next_without_waiting(first: Fake, second: Fake) -> None:
    chat = chat_of(first, second)
    first.fault = DOWN
    chat.reply(HELLO)
    with held(first), ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: chat.reply(HELLO), range(50)))
    assert {answer["served_by"]["provider"] for answer in answers} == {"second"}
    assert first.calls == ["m"]


# The end.


def test_close_ends_streams_and_refuses_calls(first: Fake, second: Fake) -> None:
    with chat_of(first, second) as chat:
        stream = chat.stream(HELLO)
        next(stream)
    assert (first.open_streams, list(stream)) == (0, [])
    with pytest.raises(ModelClosedError) as caught:
        chat.reply(HELLO)
    assert caught.value.model_id == "Chat('general')"


def test_close_leaves_providers_that_the_caller_brought(first: Fake, second: Fake) -> None:
    chat_of(first, second).close()
    assert first.closed == 0


def test_close_leaves_providers_that_others_use_too(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, closed = role(provider="ollama", fallback=()), list[Providers]()
    monkeypatch.setattr(Providers, "close", lambda self: closed.append(self))
    Chat(registry=registry).close()
    assert closed == []


def test_close_while_areply_waits_ends_it(first: Fake, second: Fake) -> None:
    may_go_on = threading.Event()
    first.chunks = [chunk("Hel"), lambda: may_go_on.wait(30), chunk("lo")]
    chat = chat_of(first, second)

    async def ask() -> None:
        task = asyncio.create_task(chat.areply(HELLO))
        while not first.open_streams:
            await asyncio.sleep(0)
        chat.close()
        may_go_on.set()
        with pytest.raises(ModelClosedError):
            await task

    within(lambda: asyncio.run(ask()))
    assert second.calls == []


def test_close_while_areply_waits_for_a_connection_ends_it_at_once(second: Fake) -> None:
    first = Wakeable("first", chunks=["wait"])
    chat = chat_of(first, second)

    async def ask() -> None:
        task = asyncio.create_task(chat.areply(HELLO))
        while not first.is_waiting.is_set():
            await asyncio.sleep(0)
        chat.close()
        with pytest.raises(ModelClosedError):
            await task

    within(lambda: asyncio.run(ask()))
    assert second.calls == []


def test_chat_shows_its_role_and_who_is_asked_first(first: Fake, second: Fake) -> None:
    with closing(chat_of(first, second)) as chat:
        assert repr(chat) == "<Chat general of default: first/m first>"
    assert repr(chat) == "<Chat general of default: closed>"
