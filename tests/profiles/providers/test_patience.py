"""Deadlines of connections, below the HTTP client: what the tests of providers cannot bring about at will."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from registry.profiles.providers.patience import Patience, transport


class LateError(Exception):
    """What the client takes for a time-out."""


class Endless:
    """A connection over which bytes never cease to come."""

    def __init__(self) -> None:
        self.timeouts: list[float | None] = []
        self.cuts = 0

    def read(self, _: int, timeout: float | None = None) -> bytes:
        self.timeouts.append(timeout)
        return b"x"

    def get_extra_info(self, info: str) -> Any:
        assert info == "socket"
        return self

    def shutdown(self, _: int) -> None:
        self.cuts += 1


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
def stream(endless: Endless) -> Any:
    """That connection, as the client has it."""
    core = SimpleNamespace(
        SyncBackend=lambda: SimpleNamespace(connect_tcp=lambda *_, **__: endless),
        ConnectError=OSError,
        ConnectTimeout=LateError,
        ReadTimeout=LateError,
    )
    http = SimpleNamespace(
        Limits=lambda **_: None, HTTPTransport=lambda **_: SimpleNamespace(_pool=SimpleNamespace(_network_backend=None))
    )
    backend = transport(http, core, proxy=None)._pool._network_backend
    return backend.connect_tcp("127.0.0.1", 9, timeout=5.0)


def test_read_without_patience_has_the_time_out_of_the_client(stream: Any, endless: Endless) -> None:
    stream.read(10, timeout=7.0)
    stream.read(10)

    assert endless.timeouts == [7.0, None]


def test_read_has_what_is_left_of_the_time(stream: Any, endless: Endless) -> None:
    patience = Patience()

    with patience.waiting(100.0, "nothing"):
        stream.read(10)
        stream.read(10, timeout=7.0)

    first, second = endless.timeouts
    assert first is not None
    assert 90 < first <= 100
    assert second == 7.0


def test_read_after_the_time_is_late_even_where_bytes_are_there(stream: Any, endless: Endless) -> None:
    patience = Patience()

    with patience.waiting(0.0, "no first token"), pytest.raises(LateError):
        stream.read(10)
    assert endless.timeouts == []
    assert patience.problem == "It gave no first token within 0 s."


def test_cancel_cuts_the_connection_in_use_and_ends_the_reading(stream: Any, endless: Endless) -> None:
    patience = Patience()
    with patience.waiting(100.0, "nothing"):
        stream.read(10)
        thread = threading.Thread(target=patience.cancel)
        thread.start()
        thread.join()

        with pytest.raises(LateError):
            stream.read(10)
    assert (endless.cuts, patience.is_cancelled) == (1, True)


def test_cancel_of_a_complete_answer_leaves_the_connection_to_others(stream: Any, endless: Endless) -> None:
    patience = Patience()
    with patience.waiting(100.0, "nothing"):
        stream.read(10)
        patience.over()
        stream.read(10)

    patience.cancel()

    assert (endless.cuts, patience.is_cancelled) == (0, False)
