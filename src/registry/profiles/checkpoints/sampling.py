"""How the next token of a checkpoint is drawn, and how tokens become text as they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_COLDEST = 1e-6  # to divide by less is to leave the numbers that 32 bits can hold
_UNFINISHED = "\ufffd"  # what a decoder gives for a character of which bytes are missing
# Tokens: a character has at most four bytes, and a model that says nothing but bytes of no character shall not be
# waited for until its end.
_LONGEST_HELD = 16


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        temperature: 0 takes the likeliest token every time.
        top_p: Probability mass that is drawn from; 1 keeps all.
        top_k: Number of likeliest tokens that are drawn from; 0 keeps all.
        min_p: Least probability that a token needs, as a share of the likeliest one's; 0 keeps all.
        repeat_penalty: Factor against tokens of the prompt and the answer so far; 1 is none.
        seed: Seed of the draws; `None` for a random one.
    """

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repeat_penalty: float
    seed: int | None


def processors(sampling: Sampling) -> list[Any]:
    """Give the processors of logits by which taking the likeliest token is to draw one as asked.

    So `generate` needs no draw of its own, which would use, and need, the random numbers of the whole process.
    """
    logits: Any = import_module("transformers.generation.logits_process")
    found: list[Any] = []
    if sampling.repeat_penalty != 1:
        found.append(logits.RepetitionPenaltyLogitsProcessor(float(sampling.repeat_penalty)))
    if sampling.temperature <= _COLDEST:
        return found
    if sampling.temperature != 1:
        found.append(logits.TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        found.append(logits.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        found.append(logits.TopPLogitsWarper(float(sampling.top_p)))
    if sampling.min_p:
        found.append(logits.MinPLogitsWarper(float(sampling.min_p)))
    return [*found, GumbelNoise(sampling.seed)]


class GumbelNoise:
    """Adds noise to logits, so that the largest sum is token i with the probability that softmax gives it.

    The Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, "A* Sampling"), with random numbers of its own.

    Args:
        seed: Seed; `None` for a random one.
    """

    def __init__(self, seed: int | None) -> None:
        self._seed = seed
        self._generator: Any = None

    def __call__(self, _input_ids: Any, scores: Any) -> Any:
        """Give logits with noise, of the same shape (batch, vocabulary)."""
        torch: Any = import_module("torch")
        if self._generator is None:
            self._generator = torch.Generator(device=scores.device)
            if self._seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(self._seed)
        scores = scores.float()
        drawn = torch.empty_like(scores).exponential_(generator=self._generator)
        return scores - drawn.clamp_min(torch.finfo(torch.float32).tiny).log()


class Detokenizer:
    """Takes the tokens of an answer one by one, and gives text as soon as it is sure.

    A tokenizer decodes a token by those before it: where a word begins, and which bytes make a character. So the text
    of a token is what decoding gives more with it than without, over the last few tokens only.

    Args:
        decode: Gives the text of tokens.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []  # tokens that were given, for their company, and then those that are held
        self._given = 0

    def feed(self, token: int) -> str:
        """Take a token; give the text that is sure now, which may be empty."""
        self._window.append(token)
        before, text = self._decode(self._window[: self._given]), self._decode(self._window)
        held = len(self._window) - self._given
        if text.endswith(_UNFINISHED) and held < _LONGEST_HELD:
            return ""
        return self._give(text[len(before) :])

    def finish(self) -> str:
        """Give what was held back: half of a character, shown as U+FFFD."""
        before, text = self._decode(self._window[: self._given]), self._decode(self._window)
        return self._give(text[len(before) :])

    def _give(self, text: str) -> str:
        self._window = self._window[self._given :]
        self._given = len(self._window)
        return text
