"""How far fetching has come: what a callback is told, and what is drawn."""

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest

from registry.hub.progress import Meter, Progress, Stage, rich_progress

MB = 1_000_000


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Told:
    """What a meter has told, counted at the times that a test states."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []
        self.clock = Clock()
        self.meter = Meter("m", self.seen.append, self.clock)

    def at(self, seconds: float, done: int, total: int | None = 10 * MB, file: str = "a") -> None:
        self.clock.now = seconds
        self.meter.downloading(file, done, total)

    def __iter__(self) -> Iterator[Progress]:
        return iter(self.seen)


def test_first_count_has_no_speed() -> None:
    told = Told()
    told.at(0, MB)

    assert list(told) == [Progress("m", "a", "downloading", MB, 10 * MB, None, None)]


def test_speed_and_time_left_are_those_of_what_came_since() -> None:
    told = Told()
    told.at(0, 4 * MB)
    told.at(1, 6 * MB)

    assert list(told)[-1] == Progress("m", "a", "downloading", 6 * MB, 10 * MB, 2 * MB, 2.0)


def test_speed_is_a_moving_average() -> None:
    told = Told()
    for second, done in enumerate([0, MB, 2 * MB, 2 * MB]):  # a pause at the end
        told.at(second, done)
    speeds = [each.bytes_per_second for each in told]

    assert speeds[1:3] == [MB, MB]
    assert speeds[3] == pytest.approx(0.8187 * MB, rel=1e-3)  # e^(-1/5)


def test_time_left_is_not_told_where_the_size_is_not_known() -> None:
    told = Told()
    told.at(0, 0, None)
    told.at(1, MB, None)

    assert list(told)[-1] == Progress("m", "a", "downloading", MB, None, MB, None)


def test_counts_are_told_ten_times_a_second_and_at_the_end() -> None:
    told = Told()
    for step in range(1001):
        told.at(step / 1000, step * 10_000)

    done = [each.done_bytes for each in told]
    assert (len(done), done[0], done[-1]) == (11, 0, 10 * MB)


def test_end_of_a_file_is_told_at_once() -> None:
    told = Told()
    told.at(0, MB)
    told.at(0.01, 10 * MB)

    assert [each.done_bytes for each in told] == [MB, 10 * MB]


@pytest.mark.parametrize(("file", "done"), [("b", 2 * MB), ("a", 0)], ids=["another file", "begun again"])
def test_what_begins_anew_has_no_speed(file: str, done: int) -> None:
    told = Told()
    told.at(0, MB)
    told.at(1, 2 * MB)
    told.at(1.01, done, file=file)

    assert list(told)[-1] == Progress("m", file, "downloading", done, 10 * MB, None, None)


def test_stages_are_told() -> None:
    told = Told()
    told.meter.waiting()
    told.meter.hashing("a", 1, 2)
    told.meter.copying("a", 1, 2)
    told.meter.done()

    assert list(told) == [
        Progress("m", "", "waiting"),
        Progress("m", "a", "hashing", 1, 2),
        Progress("m", "a", "copying", 1, 2),
        Progress("m", "", "done"),
    ]


def test_without_a_callback_nothing_is_measured() -> None:
    def clock() -> float:
        raise AssertionError("asked for the time")

    Meter("m", None, clock).downloading("a", 1, 2)


def terminal(**options: Any) -> Any:
    console = pytest.importorskip("rich.console")
    return console.Console(file=io.StringIO(), width=120, **({"force_terminal": True, "color_system": None} | options))


def drawn(console: Any, *steps: Progress) -> str:
    """What is drawn of these steps, without what makes a terminal draw it."""
    with rich_progress(console) as progress:
        for step in steps:
            progress(step)
    text: str = console.file.getvalue()
    return text


@pytest.mark.parametrize(
    ("file", "stage", "shown"),
    [
        ("a.gguf", "downloading", "a.gguf "),
        ("a.gguf", "hashing", "hashing a.gguf "),
        ("model.safetensors", "downloading", "m: model.safetensors "),
    ],
)
def test_bar_shows_file_size_speed_and_time_left(file: str, stage: Stage, shown: str) -> None:
    text = drawn(terminal(), Progress("m", file, stage, 5 * MB, 10 * MB, 2.5 * MB, 3723))

    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text).startswith(shown)
    assert "5.0/10.0 MB 2.5 MB/s 1:02:03" in text


def test_bar_of_a_model_that_is_waited_for_is_replaced() -> None:
    waiting = drawn(terminal(), Progress("m", "", "waiting"))
    after = drawn(
        terminal(), Progress("m", "", "waiting"), Progress("m", "a", "hashing", 1, 2), Progress("m", "", "done")
    )

    assert "m: waiting for another process" in waiting
    assert after.rstrip().count("waiting for another process") <= 1


def test_bar_of_a_file_that_is_complete_goes() -> None:
    begun = Progress("m", "a.gguf", "downloading", 1, 2)
    bars = drawn(terminal(), begun, Progress("m", "a.gguf", "downloading", 2, 2), Progress("m", "b", "hashing", 1, 3))

    assert "m: b" in bars
    assert "a.gguf" not in bars.rpartition("m: b")[0].rpartition("\x1b[2K")[2]


def test_nothing_is_drawn_without_a_terminal() -> None:
    assert drawn(terminal(force_terminal=False), Progress("m", "a", "downloading", 1, 2)) == ""


@pytest.mark.parametrize(("value", "quiet"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_nothing_is_drawn_in_ci(value: str, quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", value)

    assert (drawn(terminal(), Progress("m", "a", "downloading", 1, 2)) == "") is quiet
