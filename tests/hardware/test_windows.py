"""Which layers have a window, as llama.cpp decides it."""

import pytest

from registry.hardware.windows import windows


def full(
    architecture: str, layers: int = 8, window: int | None = 1024, pattern: tuple[bool, ...] | int | None = None
) -> tuple[int, list[int]]:
    """Give the window and the numbers of the layers that have none."""
    size, windowed = windows(architecture, layers, window, pattern)
    return size, [layer for layer, has in enumerate(windowed) if not has]


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("gemma2", (1024, [1, 3, 5, 7])),
        ("gemma3", (1024, [5])),
        ("gemma3n", (1024, [4])),
        ("cohere2", (1024, [3, 7])),
        ("cohere2moe", (1024, [0, 4])),
        ("gpt-oss", (1024, [1, 3, 5, 7])),
        ("llama4", (8192, [3, 7])),
        ("smallthinker", (4096, [0, 4])),
        ("modern-bert", (1024, [0, 3, 6])),
        ("gemma4", (1024, list(range(8)))),
    ],
)
def test_pattern_is_that_of_the_architecture(architecture: str, expected: tuple[int, list[int]]) -> None:
    assert full(architecture) == expected


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "phi3", ""])
def test_architecture_without_windows_ignores_what_a_file_states(architecture: str) -> None:
    assert full(architecture) == (0, list(range(8)))


@pytest.mark.parametrize(
    ("architecture", "size"), [("gemma2", 4096), ("llama4", 8192), ("gemma3", 0), ("gpt-oss", 0), ("smallthinker", 0)]
)
def test_window_that_is_not_stated_is_that_of_the_architecture(architecture: str, size: int) -> None:
    assert full(architecture, window=None)[0] == size


def test_window_of_0_tokens_is_none() -> None:
    assert full("llama4", window=0) == (0, list(range(8)))


@pytest.mark.parametrize(("layers", "expected"), [(30, 0), (64, 1024)])
def test_exaone_4_has_windows_in_its_large_size_only(layers: int, expected: int) -> None:
    assert windows("exaone4", layers, 1024, None)[0] == expected


def test_pattern_in_the_file_holds() -> None:
    assert full("gemma3", layers=4, pattern=(True, False, True, False)) == (1024, [1, 3])


def test_period_in_the_file_holds() -> None:
    assert full("gemma3", layers=4, pattern=2) == (1024, [1, 3])


def test_pattern_that_is_too_short_leaves_the_rest_without_windows() -> None:
    assert full("gemma3", layers=4, pattern=(True,)) == (1024, [1, 2, 3])
