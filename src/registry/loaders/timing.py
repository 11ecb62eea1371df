"""How fast a loaded model is: a warm-up, then runs that are timed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from registry.loaders.measured import Measurement, median_of
from registry.loaders.texts import TruncationWarning
from registry.loaders.workload import QUERY, conversation, documents

if TYPE_CHECKING:
    from registry.chat import Messages
    from registry.loaders._load import Encoder, LoadedModel
    from registry.loaders.chat import Chat
    from registry.loaders.reranker import Reranker

_SEED = 1
_ANSWER_TOKENS = (16, 128)
_ANSWER_S = 10.0  # a run takes about so long at most, on a slow machine with a shorter answer
_SENTENCES = (18, 12, 8, 5, 3, 2, 1, 0)  # of the prompt: the first that fits into the context
_TEXTS = (8, 256)
_TEXTS_S = 2.0


class Speed(NamedTuple):
    """How fast a model is.

    Attributes:
        measurements: The numbers.
        workload: What each run did, see `Measured`.
        notes: What could not be measured.
    """

    measurements: tuple[Measurement, ...]
    workload: Mapping[str, int]
    notes: tuple[str, ...] = ()


def time_model(model: LoadedModel, runs: int, begin: Callable[[str], None]) -> Speed:
    """Measure how fast a loaded model is.

    Args:
        model: The model. Nothing else may use it meanwhile.
        runs: How often to measure, after a warm-up.
        begin: Called with the name of each step before it begins: of the warm-up, and of every run.
    """
    from registry.loaders.chat import Chat
    from registry.loaders.reranker import Reranker

    if isinstance(model, Chat):
        return _time_chat(model, runs, begin)
    work = _work_of_reranker(model) if isinstance(model, Reranker) else _work_of_encoder(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # to cut long documents is what such a model does in use
        return _time_texts(work, runs, begin)


class _Answer(NamedTuple):
    """When the tokens of an answer came."""

    prompt_tokens: int
    asked_s: float
    begun_s: float  # the prompt is made and cut into tokens
    tokens_s: tuple[float, ...]

    @property
    def first_token_ms(self) -> float:
        return 1000 * (self.tokens_s[0] - self.asked_s)

    @property
    def prompt_speed(self) -> float:
        return self.prompt_tokens / (self.tokens_s[0] - self.begun_s)

    @property
    def speed(self) -> float:
        return (len(self.tokens_s) - 1) / (self.tokens_s[-1] - self.tokens_s[0])


def _time_chat(chat: Chat, runs: int, begin: Callable[[str], None]) -> Speed:
    least, most = _ANSWER_TOKENS
    begin("Warming up")
    messages = _messages_that_fit(chat, min(most, chat.context_length // 4))
    first = _answer(chat, messages, least)
    if len(first.tokens_s) == least:
        least = max(least, min(most, int(first.speed * _ANSWER_S)))
    answers = []
    for _ in range(runs):
        begin("Answering")
        answers.append(_answer(chat, messages, least))
    return _speed_of(answers)


def _messages_that_fit(chat: Chat, answer_tokens: int) -> Messages:
    """Give the longest prompt that leaves room for an answer; the shortest where none does."""
    prompts = [conversation(sentences) for sentences in _SENTENCES]
    room = chat.context_length - answer_tokens
    return next((messages for messages in prompts if chat.count_tokens(messages) <= room), prompts[-1])


def _answer(chat: Chat, messages: Messages, most: int) -> _Answer:
    """Put a question and note when each token comes, whether it is shown or not.

    A piece of a stream may be several tokens, and the first ones of an answer are often none that is shown. With a seed
    the model reads the prompt anew each time.
    """
    asked = perf_counter()
    request = chat._request(messages, {"seed": _SEED, "max_tokens": most})
    begun = perf_counter()
    made = chat._llama.generate(request.tokens, request.params, seed=_SEED, grammar=None, kept=())
    with closing(made):
        room = chat.context_length - len(request.tokens)
        stamps = tuple(perf_counter() for _ in islice(made, min(most, room)))
    return _Answer(len(request.tokens), asked, begun, stamps)


def _speed_of(answers: list[_Answer]) -> Speed:
    """Sum up; an answer that ended at once says nothing of speed."""
    begun = [answer for answer in answers if answer.tokens_s]
    longer = [answer for answer in answers if len(answer.tokens_s) > 1]
    found, notes = [], []
    if begun:
        found.append(median_of("time_to_first_token", "ms", [answer.first_token_ms for answer in begun]))
        speeds = [answer.prompt_speed for answer in begun]
        found.append(median_of("prompt_tokens_per_second", "tokens/s", speeds))
    if longer:
        found.append(median_of("tokens_per_second", "tokens/s", [answer.speed for answer in longer]))
    else:
        told = "with its first token" if begun else "before its first token"
        notes.append(f"Tokens/s could not be measured: the model ended every answer {told}.")
    workload = {
        "prompt_tokens": answers[0].prompt_tokens,
        "answer_tokens": max(len(answer.tokens_s) for answer in answers),
    }
    return Speed(tuple(found), workload, tuple(notes))


class _TextWork(NamedTuple):
    """What is done with texts."""

    step: str
    metric_type: str
    unit: str
    run: Callable[[list[str]], object]
    count_tokens: Callable[[list[str]], list[int]]
    limit: int | None


def _work_of_encoder(model: Encoder) -> _TextWork:
    limit: Any = getattr(model, "max_tokens", None) or getattr(model, "document_length", None)
    return _TextWork(
        "Encoding", "embeddings_per_second", "embeddings/s", model.encode_document, model.count_tokens, limit
    )


def _work_of_reranker(model: Reranker) -> _TextWork:
    def count_tokens(texts: list[str]) -> list[int]:
        return model.count_tokens([f"{QUERY} {text}" for text in texts])

    def run(texts: list[str]) -> object:
        return model.score(QUERY, texts)

    return _TextWork("Scoring", "pairs_per_second", "pairs/s", run, count_tokens, model.max_tokens)


def _time_texts(work: _TextWork, runs: int, begin: Callable[[str], None]) -> Speed:
    """Run texts through a model: as many at once as take about two seconds."""
    fewest, most = _TEXTS
    begin("Warming up")
    work.run(documents(fewest))
    speed = _speed(work, documents(fewest))
    texts = documents(max(fewest, min(most, int(speed * _TEXTS_S))))
    speeds = []
    for _ in range(runs):
        begin(work.step)
        speeds.append(_speed(work, texts))
    tokens = sum(min(count, work.limit or count) for count in work.count_tokens(texts))
    workload = {"texts": len(texts), "text_tokens": tokens}
    return Speed((median_of(work.metric_type, work.unit, speeds),), workload)


def _speed(work: _TextWork, texts: list[str]) -> float:
    begun = perf_counter()
    work.run(texts)
    return len(texts) / (perf_counter() - begun)
