import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InvalidInputError
from registry.loaders import TruncationWarning
from registry.loaders.texts import batches, check_text, check_texts, cut_texts


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (None, "None"),
        ("a text", "one str"),
        (b"bytes", "one bytes"),
        (5, "5"),
        ({"a": 1}, "{'a': 1}"),
        ({"a"}, "{'a'}"),
    ],
)
def test_what_is_no_list_is_refused(texts: Any, shown: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_texts(texts)
    assert str(caught.value) == f"`texts`: expected a list of strings, got {shown}. Write it as `[text]`."


@pytest.mark.parametrize(("text", "shown"), [(None, "None"), (b"x", "one bytes"), (3, "3"), (["a"], "['a']")])
def test_what_is_no_string_is_refused_by_its_position(text: Any, shown: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_texts(["a", text, None], "documents")
    assert str(caught.value) == f"`documents[1]`: expected a string, got {shown}."
    assert caught.value.place == "documents[1]"


@pytest.mark.parametrize("half", [chr(0xD800), chr(0xDFFF)])
def test_lone_surrogate_is_refused_by_its_place(half: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_text(f"ab{half}c", "query")
    assert str(caught.value) == (
        f"`query`: expected text, got half of a surrogate pair ({half!r}) at character 2. "
        'Decode the source again, or replace it with `text.encode("utf-8", "replace").decode()`.'
    )


def test_remedy_of_a_lone_surrogate_works() -> None:
    check_text("ab\ud800c".encode("utf-8", "replace").decode(), "query")


def test_any_iterable_of_strings_is_taken_once_and_kept_in_order() -> None:
    class Name(str):
        pass

    def some() -> Iterator[str]:
        yield from ("b", "", "a")

    assert check_texts(some()) == ["b", "", "a"]  # type: ignore[arg-type]
    assert check_texts(("x", Name("y"), "\0", "🎉")) == ["x", "y", "\0", "🎉"]
    assert check_texts([]) == []


def test_given_list_is_copied() -> None:
    texts = ["a"]
    assert check_texts(texts) is not texts


@given(st.lists(st.integers(0, 50)), st.integers(1, 200))
def test_batches_hold_each_text_once_and_keep_the_budget(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, budget))
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        padded = len(batch) * max(lengths[index] for index in batch)
        assert padded <= budget or len(batch) == 1
    order = [lengths[index] for batch in found for index in batch]
    assert order == sorted(order, reverse=True)


def test_batches_are_as_few_as_the_budget_allows() -> None:
    assert list(batches([1, 10, 2, 9, 3], 20)) == [[1, 3], [4, 2, 0]]
    assert list(batches([5, 5, 5], 4)) == [[0], [1], [2]]
    assert list(batches([], 10)) == []


def test_texts_that_fit_are_not_cut_and_not_warned_about() -> None:
    assert cut_texts([3, 8, 0], 8, "mine") == ()
    assert cut_texts([3, 10**9], None, "mine") == ()
    assert cut_texts([], 8, "mine") == ()


def test_cut_texts_are_counted_and_the_warning_points_at_the_caller() -> None:
    with pytest.warns(TruncationWarning) as caught:
        line, found = sys._getframe().f_lineno, cut_texts([3, 9, 8, 20], 8, "mine", "queries")
    assert found == (1, 3)
    (warning,) = caught
    assert str(warning.message) == (
        "2 of 4 queries are longer than the 8 tokens that `mine` reads and were cut; the longest has 20. "
        "Split them, or look at `.truncated` of the result."
    )
    assert (Path(warning.filename), warning.lineno) == (Path(__file__), line)


def test_truncation_warning_can_be_made_an_error_or_silenced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        assert cut_texts([9], 8, "mine") == (0,)
        warnings.simplefilter("error", TruncationWarning)
        with pytest.raises(TruncationWarning):
            cut_texts([9], 8, "mine")
