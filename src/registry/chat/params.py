"""How a model samples: the caller's word, else the record's, else the standard one; ranges checked."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan

from registry.errors import InvalidOptionError, UnsupportedModelError
from registry.records import ChatModel, ModelInfo


@dataclass(frozen=True)
class GenerationParams:
    """How a chat model samples.

    Attributes:
        temperature: 0 to 2. 0 takes the likeliest token every time.
        max_tokens: Longest answer in tokens, at least 1.
        top_p: Probability mass that is sampled from, above 0 and at most 1. 1 keeps all.
        top_k: Number of likeliest tokens that are sampled from; 0 keeps all.
        repeat_penalty: Factor against tokens that were just used, above 0. 1 is none.

    Raises:
        InvalidOptionError: A value is out of its range, or no number.

    Example:
        >>> GenerationParams(temperature=0).temperature
        0
    """

    temperature: float = 0.7
    max_tokens: int = 2000
    top_p: float = 0.9
    top_k: int = 40
    repeat_penalty: float = 1.1

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, "a number from 0 to 2", 0 <= _number(self.temperature) <= 2)
        _check("max_tokens", self.max_tokens, "an integer of at least 1", _integer(self.max_tokens) >= 1)
        _check("top_p", self.top_p, "a number above 0, at most 1", 0 < _number(self.top_p) <= 1)
        _check("top_k", self.top_k, "an integer of at least 0", _integer(self.top_k) >= 0)
        _check("repeat_penalty", self.repeat_penalty, "a number above 0", _number(self.repeat_penalty) > 0)


def apply_overrides(
    model_or_id: ChatModel | str,
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    repeat_penalty: float | None = None,
) -> GenerationParams:
    """Give the sampling parameters of a model: the caller's, else the record's, else the standard ones.

    Args:
        model_or_id: Id or alias of a chat model, or a chat record of any generated registry.
        temperature: 0 to 2; `None`, as for all: what the record says.
        max_tokens: Longest answer in tokens.
        top_p: Probability mass that is sampled from, above 0 and at most 1.
        top_k: Number of likeliest tokens that are sampled from; 0 keeps all.
        repeat_penalty: Above 0; 1 is none.

    Raises:
        InvalidOptionError: A value is out of its range, or no number.
        ModelNotFoundError: No record has this id or alias.
        UnsupportedModelError: The model generates no text.

    Example:
        >>> apply_overrides("qwen2.5-coder-3b-q4_k_m", temperature=0.2).temperature
        0.2
    """
    defaults = _chat_model(model_or_id).defaults
    return GenerationParams(
        defaults.temperature if temperature is None else temperature,
        defaults.max_tokens if max_tokens is None else max_tokens,
        defaults.top_p if top_p is None else top_p,
        defaults.top_k if top_k is None else top_k,
        defaults.repeat_penalty if repeat_penalty is None else repeat_penalty,
    )


def _chat_model(model: ChatModel | str) -> ChatModel:
    record: object = model
    if isinstance(model, str):
        from registry import lookup_model

        record = lookup_model(model)
    if isinstance(record, ChatModel):
        return record
    if isinstance(record, ModelInfo):
        reason = "it generates no text, so it has no sampling parameters. Choose a chat model."
        raise UnsupportedModelError(record.id, reason)
    raise TypeError(f"expected the id of a chat model as a string, or a chat record, got {model!r}")


def _number(value: object) -> float:
    """Give a number; NaN, which is in no range, for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return nan
    try:
        number = float(value)
    except OverflowError:
        return nan
    return number if isfinite(number) else nan


def _integer(value: object) -> float:
    return nan if isinstance(value, float) else _number(value)


def _check(option: str, value: object, expected: str, valid: bool) -> None:
    if not valid:
        raise InvalidOptionError(option, expected, value)
