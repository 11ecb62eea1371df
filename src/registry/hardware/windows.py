"""Which layers attend to a window of the last tokens only, as llama.cpp decides it.

A file states the size of the window, and only newer files which layers have it: for the rest llama.cpp has the rule of
each architecture in its code (`src/models/*.cpp`, as of the llama.cpp in llama-cpp-python 0.3.36).
"""

from __future__ import annotations

from typing import NamedTuple


class _Rule(NamedTuple):
    """A pattern that repeats over the layers.

    Attributes:
        period: Of each so many layers, one attends to everything.
        full_first: Whether that is the first of them; else the last.
        window: Size in tokens that holds where the file states none; 0: no layer is windowed then.
        forced: Whether that size holds whatever the file states.
    """

    period: int
    full_first: bool = False
    window: int = 0
    forced: bool = False


_RULES = {
    "afmoe": _Rule(4),
    "cohere2": _Rule(4),
    "cohere2moe": _Rule(4, full_first=True),
    "exaone-moe": _Rule(4, window=128),
    "exaone4": _Rule(4, window=4096),
    "gemma-embedding": _Rule(6),
    "gemma2": _Rule(2, window=4096),
    "gemma3": _Rule(6),
    "gemma3n": _Rule(5),
    "gpt-oss": _Rule(2),
    "laguna": _Rule(4, full_first=True),
    "llama4": _Rule(4, window=8192, forced=True),
    "mellum": _Rule(4),
    "modern-bert": _Rule(3, full_first=True),
    "muse-glimmer": _Rule(4),
    "olmo2": _Rule(4),
    "plamo3": _Rule(8),
    "smallthinker": _Rule(4, full_first=True, window=4096, forced=True),
}
# These state it for each layer; without that llama.cpp refuses the file.
_STATED = frozenset({"gemma4", "granite_swa", "maple", "mimo2", "spark2_5", "step35"})


def knows_windows(architecture: str) -> bool:
    """True where llama.cpp has windows for this architecture at all: for others it ignores what a file states."""
    return architecture in _RULES or architecture in _STATED


def windows(
    architecture: str, layers: int, stated_window: int | None, pattern: tuple[bool, ...] | int | None
) -> tuple[int, tuple[bool, ...]]:
    """Give the window in tokens, 0 for none, and for each layer whether it has one.

    Args:
        architecture: llama.cpp's name.
        layers: How many layers there are.
        stated_window: Size that the file states.
        pattern: What the file states about layers: one value for each, or the period.
    """
    rule = _RULES.get(architecture, _Rule(0))
    window = _window(architecture, rule, layers, stated_window)
    if not window or not knows_windows(architecture):
        return 0, (False,) * layers
    if isinstance(pattern, tuple):
        return window, (tuple(map(bool, pattern)) + (False,) * layers)[:layers]
    period = pattern if pattern is not None else rule.period
    if not period:
        return window, (architecture not in _STATED,) * layers
    full = 0 if rule.full_first else period - 1
    return window, tuple(layer % period != full for layer in range(layers))


def _window(architecture: str, rule: _Rule, layers: int, stated: int | None) -> int:
    if architecture == "exaone4" and layers != 64:
        return 0  # the small one of the family has full attention in every layer
    if architecture == "smallthinker" and not stated:
        return 0
    if rule.forced and stated != 0:
        return rule.window
    return rule.window if stated is None else stated
