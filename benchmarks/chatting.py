"""Tokens a second of `reply` and `stream`, against llama-cpp-python's own chat calls on the same file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Comparison, Line, Table, Target, missing
from benchmarks.models import CONTEXT_LENGTH, SHAPE, chat_gguf, chat_record
from benchmarks.texts import texts
from benchmarks.workspace import Workspace

TOKENS = 200
SPEED = Target(0.97, "x faster", at_least=True)
SAMPLING = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "repeat_penalty": 1.1, "max_tokens": TOKENS}
TITLE = f"Chat, {SHAPE.parameters / 1e6:.0f} M parameters at 8 bits, answers of {TOKENS} tokens, CPU"


class _Answer(NamedTuple):
    """An answer, the tokens of its prompt where the side tells, and its own."""

    text: str
    prompt_tokens: int | None
    tokens: int


_Ask = Callable[..., _Answer]


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure with one thread, and with one for each core."""
    if absent := missing("llama_cpp", "gguf"):
        return [Table(TITLE, remarks=[absent])]
    from registry.hardware import usable_cores

    path = chat_gguf(workspace.folder / "benchmark.gguf")
    return [_table(path, threads, rounds) for threads in sorted({1, usable_cores()})]


def _table(path: Path, threads: int, rounds: int) -> Table:
    """Compare with the same file, threads, context, batch, sampler, seeds and prompts on both sides."""
    from llama_cpp import Llama

    from registry.loaders import load

    record = chat_record(path)
    settings = {"n_ctx": CONTEXT_LENGTH, "n_batch": record.runtime.batch_size}
    rival = Llama(str(path), n_threads=threads, n_threads_batch=threads, verbose=False, **settings)
    # llama-cpp-python leaves out what is below 0.05 of the likeliest token unless told otherwise; `load` never does.
    theirs = {**SAMPLING, "min_p": 0.0}
    table = Table(f"{TITLE}, threads: {threads}")
    with load(record, path=path, context_length=CONTEXT_LENGTH, threads=threads) as chat:
        cases: tuple[tuple[str, str, _Ask, _Ask], ...] = (
            (
                "`reply`",
                "`Llama.create_chat_completion`",
                lambda **asked: _whole(chat.reply(**asked, **SAMPLING)),
                lambda **asked: _whole(rival.create_chat_completion(**asked, **theirs)),
            ),
            (
                "`stream`",
                "the same with `stream=True`",
                lambda **asked: _streamed(chat.stream(**asked, **SAMPLING)),
                lambda **asked: _streamed(rival.create_chat_completion(**asked, **theirs, stream=True)),
            ),
        )
        for what, against, ours, others in cases:
            found, remark = _compare(ours, others, rounds)
            table.lines.append(Line.ratio(f"tokens/s of {what}", against, found, SPEED, faster=True))
            table.remarks.append(f"{what}: {remark}")
    rival.close()
    return table


def _compare(ours: _Ask, rival: _Ask, rounds: int) -> tuple[Comparison, str]:
    """Ask both for the answers to the same prompts in turn, and see that they did the same work."""
    times: tuple[list[float], list[float]] = ([], [])
    same = 0
    for turn, question in enumerate(texts(rounds + 1, least=60, most=60, seed=1), start=-1):
        asked = {"messages": [{"role": "user", "content": question}], "seed": turn + 1}
        answers: list[_Answer] = [_NONE, _NONE]
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            start = time.perf_counter_ns()
            answers[side] = (ours, rival)[side](**asked)
            if turn >= 0:  # the round before is thrown away
                times[side].append(time.perf_counter_ns() - start)
        if answers[0][1:] != answers[1][1:] or answers[0].tokens != TOKENS:
            raise RuntimeError(f"expected {TOKENS} tokens of both sides for the same prompt, got {answers}")
        same += turn >= 0 and answers[0].text.strip() == answers[1].text.strip()
    found = Comparison.of(*times)
    ours_speed, rival_speed = (TOKENS / side.median * 1e9 for side in (found.ours, found.rival))
    speeds = f"{ours_speed:.0f} tokens/s, the rival {rival_speed:.0f}"
    return found, f"{speeds}; {same} of {rounds} pairs of answers are the same, letter for letter."


_NONE = _Answer("", None, 0)


def _whole(answer: Any) -> _Answer:
    usage = answer["usage"]
    return _Answer(answer["choices"][0]["message"]["content"], usage["prompt_tokens"], usage["completion_tokens"])


def _streamed(chunks: Any) -> _Answer:
    """Read a stream to its end; the rival's tells no usage, and has one chunk a token."""
    pieces, usage = [], None
    for chunk in chunks:
        usage = chunk.get("usage", usage)
        if text := chunk["choices"][0]["delta"].get("content"):
            pieces.append(text)
    return _Answer("".join(pieces), None, usage["completion_tokens"] if usage else len(pieces))
