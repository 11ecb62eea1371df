"""Steps are told to a listener, whatever it does."""

import pytest

from registry.profiles.events import Event, tell


def test_tell_gives_the_event_to_the_listener() -> None:
    heard: list[Event] = []
    tell(heard.append, Event("trying", "general", "ollama", "qwen3"))
    assert heard == [Event("trying", "general", "ollama", "qwen3", "", None)]


def test_tell_of_a_listener_that_raises_logs_it_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def listener(_: Event) -> None:
        raise ZeroDivisionError("drawing")

    tell(listener, Event("done", "general"))
    assert [record.getMessage() for record in caplog.records] == [
        "registry.profiles.listener_failed kind=done role=general"
    ]
    assert "ZeroDivisionError: drawing" in caplog.text


def test_tell_of_a_listener_that_ends_the_program_does_not_stop_it() -> None:
    def listener(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tell(listener, Event("done", "general"))
