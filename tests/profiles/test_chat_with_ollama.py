"""A role whose first model is Ollama's: what becomes of an answer for each way in which Ollama fails, over sockets."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ollama_server import Fault, Ollama, swallowing, unused_port
from waiting import until, within

pytest.importorskip("ollama")

from registry.errors import NoProviderError, ProviderError, StreamBrokenError
from registry.profiles import Chat, Event, Providers, circuit
from registry.profiles.providers.ollama import OllamaProvider
from registry.records import RoleModel

from .small import registry_of

HELLO: Any = [{"role": "user", "content": "Hello"}]
NEVER = math.inf
SOON_S = 0.3


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    """The Ollama that the role asks first. It has the model."""
    with Ollama() as peer:
        peer.add("m", ["Hel", "lo", "!"])
        yield peer


@pytest.fixture
def other() -> Iterator[Ollama]:
    """The one that it falls back on."""
    with Ollama() as peer:
        peer.add("n", ["Good", " day"])
        yield peer


@pytest.fixture
def chat_of(other: Ollama) -> Iterator[Callable[..., Chat]]:
    """Makes a chat that asks the Ollama at an address, and then the other one."""
    with ExitStack() as opened:

        def make(
            host: str,
            *fallback: str,
            connect_s: float = 60.0,
            first_s: float = 60.0,
            between_s: float = 60.0,
            clock: Clock | None = None,
            on_event: Any = None,
            **stated: Any,
        ) -> Chat:
            first = OllamaProvider(
                host, connect_timeout_s=connect_s, first_token_timeout_s=first_s, between_tokens_timeout_s=between_s
            )
            known = {"ollama": first, "other": OllamaProvider(other.host)}
            asked = opened.enter_context(Providers(providers=known))
            if clock is not None:
                circuit._OF_PROVIDERS[asked] = circuit.Circuits(clock=clock, chance=lambda: 0.0)
            general = RoleModel("general", "m", "ollama", fallback=fallback or ("other:n",), **stated)
            return opened.enter_context(Chat(registry=registry_of(general=general), providers=asked, on_event=on_event))

        yield make


def said(value: object) -> str | None:
    """Name a fault by what is peculiar to it."""
    if not isinstance(value, Fault):
        return None
    return ",".join(
        f"{each.name}={getattr(value, each.name)}"
        for each in fields(Fault)
        if getattr(value, each.name) not in (each.default, {})
    )


def text(answer: Any) -> str:
    return str(answer["choices"][0]["message"]["content"])


def error(answer: Any) -> str:
    """The one reason why it was not the first choice that has answered."""
    (attempt,) = answer["served_by"]["attempts"]
    return str(attempt["error"])


def test_ollama_that_is_there_answers(chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama) -> None:
    answer = chat_of(ollama.host).reply(HELLO)
    assert (text(answer), answer["served_by"]["degraded"], other.requests) == ("Hello!", False, [])


def test_ollama_that_is_absent_is_passed_over_and_not_asked_again(chat_of: Callable[..., Chat], other: Ollama) -> None:
    host = f"http://127.0.0.1:{unused_port()}"
    chat = chat_of(host)
    reason = f"Nothing listens at `{host}`. Start it with `ollama serve`, or set `OLLAMA_HOST` to where it runs."
    assert (text(first := chat.reply(HELLO)), error(first)) == ("Good day", reason)
    assert (text(second := chat.reply(HELLO)), error(second).partition("Its")[2]) == (
        "Good day",
        f" last fault: {reason}",
    )


def test_ollama_that_comes_back_is_asked_after_its_time(
    chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama
) -> None:
    clock = Clock()
    chat = chat_of(ollama.host, clock=clock)
    ollama.stop()
    assert text(chat.reply(HELLO)) == "Good day"
    ollama.start()
    clock.now_s = 29.0
    assert text(chat.reply(HELLO)) == "Good day"
    clock.now_s = 30.0
    assert text(chat.reply(HELLO)) == "Hello!"
    assert len(ollama.asked("/api/chat")) == 1


def test_ollama_that_comes_back_is_asked_at_once_where_nobody_else_is_left(
    chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama
) -> None:
    chat = chat_of(ollama.host)
    ollama.stop()
    other.stop()
    with pytest.raises(NoProviderError):
        chat.reply(HELLO)
    ollama.start()
    assert text(chat.reply(HELLO)) == "Hello!"


@pytest.mark.parametrize("way", ["reply", "stream", "areply"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(before_headers_s=NEVER), "It gave no first token within 0.3 s."),
        (Fault(before_first_s=NEVER), "It gave no first token within 0.3 s."),
        (Fault(between_bytes_s=0.1), "It gave no first token within 0.3 s."),
        (Fault(hang_up=True), "cut the connection"),
        (Fault(hang_up=True, reset=True), "cut the connection"),
        (Fault(cut_after=0), "cut the connection"),
        (Fault(end_after=0), "The answer ended after 0 pieces, without its last line."),
        (Fault(error_after=0, error="model runner has stopped"), "model runner has stopped"),
        (Fault(status=500, error="out of memory"), "out of memory"),
        (Fault(status=503, error="server busy"), "server busy"),
        (Fault(status=401), "answered 401"),
    ],
    ids=said,
)
def test_ollama_that_fails_before_the_first_token_is_passed_over_and_not_asked_again(
    chat_of: Callable[..., Chat], way: str, fault: Fault, reason: str, ollama: Ollama, other: Ollama
) -> None:
    ollama.misbehave("/api/chat", fault)
    chat = chat_of(ollama.host, first_s=SOON_S if "within" in reason else 60)
    if way == "stream":
        with chat.stream(HELLO) as stream:
            list(stream)
        found, served_by = stream.text, stream.served_by
    else:
        answer = chat.reply(HELLO) if way == "reply" else asyncio.run(chat.areply(HELLO))
        found, served_by = text(answer), answer["served_by"]
    assert (found, served_by is not None and served_by["degraded"]) == ("Good day", True)
    assert served_by is not None
    assert reason in served_by["attempts"][0]["error"]
    assert text(chat.reply(HELLO)) == "Good day"
    assert len(ollama.asked("/api/chat")) == 1


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(cut_after=2), "cut the connection"),
        (Fault(cut_after=2, reset=True), "cut the connection"),
        (Fault(end_after=2), "The answer ended after 2 pieces, without its last line."),
        (Fault(error_after=2, error="model runner has stopped"), "model runner has stopped"),
        (Fault(raw_after=2, raw=b"{half a line\n"), "does not answer as expected"),
    ],
    ids=said,
)
def test_stream_that_ollama_breaks_off_raises_with_its_text_and_asks_nobody_else(
    chat_of: Callable[..., Chat], fault: Fault, problem: str, ollama: Ollama, other: Ollama
) -> None:
    ollama.misbehave("/api/chat", fault)
    stream = chat_of(ollama.host).stream(HELLO)
    with pytest.raises(StreamBrokenError) as caught:
        list(stream)
    assert (caught.value.provider, caught.value.model, caught.value.text, stream.text) == (
        "ollama",
        "m",
        "Hello",
        "Hello",
    )
    assert problem in caught.value.problem
    assert other.requests == []


def test_stream_that_ollama_lets_stand_still_raises_after_the_time_between_tokens(
    chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama
) -> None:
    ollama.misbehave("/api/chat", Fault(between_s=NEVER))
    with pytest.raises(StreamBrokenError) as caught:
        list(chat_of(ollama.host, between_s=SOON_S).stream(HELLO))
    assert (caught.value.problem, caught.value.text) == ("It gave no further token after 1 within 0.3 s.", "Hel")
    assert other.requests == []


@pytest.mark.parametrize("fault", [Fault(cut_after=2), Fault(between_s=NEVER)], ids=said)
def test_reply_that_ollama_breaks_off_is_begun_again_by_the_next(
    chat_of: Callable[..., Chat], fault: Fault, ollama: Ollama, other: Ollama
) -> None:
    ollama.misbehave("/api/chat", fault)
    assert text(chat_of(ollama.host, between_s=SOON_S).reply(HELLO)) == "Good day"


def test_ollama_without_the_model_is_passed_over(chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama) -> None:
    ollama.models.clear()
    answer = chat_of(ollama.host).reply(HELLO)
    assert text(answer) == "Good day"
    assert error(answer) == (
        f"`{ollama.host}` answered 404: model 'm' not found. "
        "Fetch it with `ollama pull m`, or with `registry provision`."
    )


def test_ollama_without_the_model_pulls_it_once_where_it_may(
    chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama
) -> None:
    ollama.models.clear()
    ollama.publish("m", ["Hello", "!"])
    heard: list[Event] = []
    chat = chat_of(ollama.host, auto_download=True, on_event=heard.append)
    assert [text(chat.reply(HELLO)) for _ in range(3)] == ["Hello!"] * 3
    assert len(ollama.asked("/api/pull")) == 1
    assert [event.progress.total_bytes for event in heard if event.progress][-2:] == [1500, None]
    assert [event.kind for event in heard if event.kind not in ("progress", "provisioning")][:4] == [
        "resolving",
        "trying",
        "serving",
        "done",
    ]


def test_ollama_whose_model_was_removed_pulls_it_again_in_the_next_call(
    chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama
) -> None:
    ollama.models.clear()
    ollama.publish("m", ["Hello", "!"])
    chat = chat_of(ollama.host, auto_download=True)
    assert text(chat.reply(HELLO)) == "Hello!"
    ollama.models.clear()
    assert [text(chat.reply(HELLO)) for _ in range(2)] == ["Good day", "Hello!"]
    assert len(ollama.asked("/api/pull")) == 2


@pytest.mark.parametrize(
    "fault", [Fault(cut_after=3), Fault(error_after=3, error="disk is full"), Fault(end_after=3)], ids=said
)
def test_pull_that_is_cut_off_passes_on_to_the_next_and_goes_on_later(
    chat_of: Callable[..., Chat], fault: Fault, ollama: Ollama, other: Ollama
) -> None:
    ollama.models.clear()
    ollama.publish("m", ["Hello", "!"])
    ollama.misbehave("/api/pull", fault)
    clock = Clock()
    chat = chat_of(ollama.host, auto_download=True, clock=clock)
    assert text(chat.reply(HELLO)) == "Good day"
    assert ollama.asked("/api/chat") == []
    clock.now_s = 30.0
    assert text(chat.reply(HELLO)) == "Hello!"


def test_ollama_is_told_that_there_is_no_limit(chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama) -> None:
    chat_of(ollama.host, parameters={"num_predict": 0}).reply(HELLO)
    assert ollama.asked("/api/chat")[0].body["options"] == {"num_predict": -1}


def test_request_that_ollama_refuses_is_the_callers_fault(
    chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama
) -> None:
    ollama.misbehave("/api/chat", Fault(status=400, error="invalid option"))
    with pytest.raises(ProviderError) as caught:
        chat_of(ollama.host).reply(HELLO)
    assert (type(caught.value), other.requests) == (ProviderError, [])


def test_host_that_answers_no_packet_costs_its_time_out_once_for_all_its_models(
    chat_of: Callable[..., Chat], other: Ollama
) -> None:
    with swallowing() as host:
        answer = chat_of(host, "ollama:m2", "ollama:m3", "other:n", connect_s=SOON_S).reply(HELLO)
    errors = [attempt["error"] for attempt in answer["served_by"]["attempts"]]
    assert text(answer) == "Good day"
    assert errors[0].startswith(f"No connection to `{host}` within 0.3 s.")
    assert [each.partition(" for")[0] for each in errors[1:]] == ["Not asked", "Not asked"]


def test_stream_that_is_closed_early_hangs_up(chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama) -> None:
    ollama.misbehave("/api/chat", Fault(between_s=NEVER))
    stream = chat_of(ollama.host).stream(HELLO)
    next(stream)
    within(stream.close)
    assert ollama.requests[-1].left.wait(30)


def test_stream_that_is_closed_while_ollama_is_silent_ends_at_once(
    chat_of: Callable[..., Chat], ollama: Ollama, other: Ollama
) -> None:
    ollama.misbehave("/api/chat", Fault(before_first_s=NEVER))
    chat = chat_of(ollama.host)
    stream = chat.stream(HELLO)
    with ThreadPoolExecutor(1) as thread:
        read = thread.submit(list, stream)
        until(lambda: bool(ollama.asked("/api/chat")))
        stream.close()
        assert read.result(30) == []
    assert other.requests == []
    assert text(chat.reply(HELLO)) == "Hello!"


@pytest.mark.parametrize("way", ["areply", "astream"])
def test_task_that_is_cancelled_while_ollama_is_silent_hangs_up(
    chat_of: Callable[..., Chat], way: str, ollama: Ollama, other: Ollama
) -> None:
    ollama.misbehave("/api/chat", Fault(before_first_s=NEVER))
    chat = chat_of(ollama.host)

    async def use() -> None:
        if way == "areply":
            await chat.areply(HELLO)
        async for _ in chat.astream(HELLO):
            pass

    async def cancel() -> None:
        task = asyncio.create_task(use())
        while not ollama.asked("/api/chat"):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    within(lambda: asyncio.run(cancel()))
    assert ollama.requests[-1].left.wait(30)
    assert other.requests == []
    assert text(chat.reply(HELLO)) == "Hello!"


def test_fifty_threads_without_ollama_are_all_answered(chat_of: Callable[..., Chat], other: Ollama) -> None:
    chat = chat_of(f"http://127.0.0.1:{unused_port()}")
    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(lambda _: text(chat.reply(HELLO)), range(50))) == {"Good day"}


@pytest.mark.skipif(os.name == "nt", reason="a process is killed by a signal")
def test_ollama_that_is_killed_in_the_midst_breaks_the_stream_and_is_passed_over_from_then_on(
    chat_of: Callable[..., Chat], other: Ollama
) -> None:
    script = Path(__file__).parents[1] / "ollama_server.py"
    command = [sys.executable, str(script), "m", *["word"] * 20_000]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            chat = chat_of(process.stdout.readline().strip())
            stream = chat.stream(HELLO)
            for _ in range(3):
                next(stream)
            process.send_signal(signal.SIGKILL)
            with pytest.raises(StreamBrokenError):
                within(lambda: list(stream))
        finally:
            process.kill()
    assert stream.text.startswith("word word ")
    assert other.requests == []
    assert text(chat.reply(HELLO)) == "Good day"
