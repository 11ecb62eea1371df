"""What counts as fetched."""

from typing import Any

from registry.hub.progress import Progress
from registry.profiles.providers.fetched import Fetched


def told(*steps: tuple[Any, str, int]) -> Fetched:
    fetched = Fetched()
    for stage, file, done in steps:
        fetched(Progress("m", file, stage, done, 100))
    return fetched


def test_fetched_counts_files_that_come_in_one_piece_or_in_several() -> None:
    assert told(("downloading", "a", 100), ("downloading", "b", 40), ("downloading", "b", 100)).bytes == 200


def test_fetched_does_not_count_what_an_earlier_call_has_left() -> None:
    assert (
        told(("hashing", "a", 20), ("hashing", "a", 60), ("downloading", "a", 70), ("downloading", "a", 100)).bytes
        == 40
    )


def test_fetched_counts_again_what_has_to_come_again() -> None:
    assert told(("hashing", "a", 100), ("downloading", "a", 30), ("downloading", "a", 100)).bytes == 100


def test_fetched_does_not_count_what_is_only_read() -> None:
    assert told(("waiting", "", 0), ("hashing", "a", 100), ("copying", "a", 100), ("done", "", 0)).bytes == 0


def test_fetched_hands_the_progress_on() -> None:
    seen: list[Progress] = []
    step = Progress("m", "a", "downloading", 1, 2)

    Fetched(seen.append)(step)

    assert seen == [step]
