"""Places of results in the compute buffer."""

import pytest

from registry.hardware.arena import Result, lay_out, touched


def chain(*sizes: int, in_place: bool = False) -> list[Result]:
    """Results, each made from the one before."""
    made: list[Result] = []
    for size in sizes:
        made.append(Result(size, tuple(made[-1:]), in_place=in_place and bool(made)))
    return made


def test_place_is_given_back_after_the_last_reader() -> None:
    first, second, third = results = chain(64, 64, 64)

    assert lay_out(results) == 128
    assert (first.offset, second.offset, third.offset) == (0, 64, 0)


def test_result_in_place_of_its_source_takes_no_more() -> None:
    assert lay_out(chain(64, 64, 64, in_place=True)) == 64


def test_result_is_not_put_in_place_of_a_source_that_others_read() -> None:
    source = Result(64)
    results = [source, Result(64, (source,), in_place=True), Result(64, (source,), in_place=True)]

    assert lay_out(results) == 128
    assert results[2].offset == 0


def test_result_that_is_kept_keeps_its_place() -> None:
    first = Result(64, kept=True)
    second = Result(64, (first,), in_place=True)
    results = [first, second, Result(64, (second,))]

    assert lay_out(results) == 192


def test_smallest_block_that_is_large_enough_is_taken() -> None:
    large, bar, small, end = Result(256), Result(32), Result(64), Result(32)
    free = Result(0, (large, small))
    results = [large, bar, small, end, free, Result(64), Result(0, (bar, end))]

    lay_out(results)

    assert results[5].offset == small.offset


def test_free_neighbours_become_one_block() -> None:
    one, two, end = Result(64), Result(64), Result(32)
    results = [one, two, end, Result(0, (one,)), Result(0, (two,)), Result(128), Result(0, (end,))]

    assert lay_out(results) == 160
    assert results[5].offset == 0


def test_inputs_come_first_and_sizes_are_rounded_up() -> None:
    result, given = Result(33), Result(1, is_input=True)

    assert lay_out([result, given]) == 96
    assert (given.offset, result.offset) == (0, 32)


@pytest.mark.parametrize(
    ("sizes", "pages"), [((4096, 4096), 2), ((1, 4096), 2), ((4096, 1), 2), ((0, 1), 1), ((0, 0), 0), ((1, 0), 1)]
)
def test_pages_are_touched_as_far_as_results_reach(sizes: tuple[int, int], pages: int) -> None:
    results = [Result(4096), Result(4096)]
    lay_out(results)

    assert touched(results, sizes) == pages * 4096


def test_page_that_two_results_share_counts_once() -> None:
    results = [Result(1000), Result(1000), Result(9000)]
    lay_out(results)

    assert touched(results, [1000, 1000, 9000]) == 3 * 4096


def test_input_that_is_never_written_is_not_touched() -> None:
    results = [Result(8192, is_input=True, written=False), Result(4096)]

    assert lay_out(results) == 12_288
    assert touched(results, [8192, 4096]) == 4096
