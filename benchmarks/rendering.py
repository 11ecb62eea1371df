"""Chat prompts: `render` of a 50-message conversation against Jinja2 itself; the parser of answers at two lengths."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.measure import Comparison, Line, Table, Target, in_turn
from benchmarks.workspace import Workspace

RENDER = Target(1.2)
LINEAR = Target(1.2)
MESSAGES = 50
CALLS = 20  # in one measurement
MARKERS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")

# The chat templates that many model files carry, in the vendors' own way of writing them.
_CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)


def measure(workspace: Workspace, rounds: int) -> list[Table]:  # noqa: ARG001 - every group is given one
    """Measure in this process: nothing is imported or read while the clock runs."""
    return [_rendering(10 * rounds), _parsing(rounds)]


def _rendering(rounds: int) -> Table:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from registry.chat import JinjaTemplate, compose, render

    table = Table(f"Prompt of {MESSAGES} messages")
    messages = _conversation()
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)
    own = JinjaTemplate(_CHATML)
    variables = {"messages": messages, "add_generation_prompt": True, "bos_token": "<|begin_of_text|>"}

    def through(template: jinja2.Template) -> Callable[[], str]:
        return lambda: template.render(variables)

    chatml, llama3 = through(plain.from_string(_CHATML)), through(plain.from_string(_LLAMA3))
    boxed = through(sandbox.from_string(_CHATML))
    cases: tuple[tuple[str, str, Callable[[], object], Callable[[], str], Target | None], ...] = (
        (
            "`render`, `chatml`",
            "the same in Jinja2, compiled before",
            lambda: render(messages, "chatml"),
            chatml,
            RENDER,
        ),
        (
            "`render`, `llama3`",
            "the same in Jinja2, compiled before",
            lambda: render(messages, "llama3"),
            llama3,
            RENDER,
        ),
        ("`render`, `chatml`", "the same in Jinja2's sandbox", lambda: render(messages, "chatml"), boxed, RENDER),
        ("`compose`, `chatml`: in pieces", "Jinja2, one string", lambda: compose(messages, "chatml"), chatml, None),
        ("`JinjaTemplate.compose`", "Jinja2's sandbox", lambda: own.compose(messages), boxed, None),
        (
            "`JinjaTemplate.compose` with markers to hide",
            "Jinja2's sandbox",
            lambda: own.compose(messages, markers=MARKERS),
            boxed,
            None,
        ),
    )
    assert chatml() == boxed() == render(messages, "chatml") == own.compose(messages, markers=MARKERS).text
    assert llama3() == render(messages, "llama3")
    for what, against, ours, rival, target in cases:
        found = in_turn(_clock(ours), _clock(rival), rounds)
        table.lines.append(Line.ratio(what, against, found, target))
    table.remarks.append(
        "Checking the conversation is part of ours; Jinja2 checks nothing. One message in ten is not ASCII."
    )
    return table


def _parsing(rounds: int) -> Table:
    from registry.chat import OutputParser

    table = Table("Text of an answer, token by token")
    answers: dict[str, tuple[str, ...]] = {
        "prose": ("The", " quick", " brown", " fox", ".\n"),
        "text full of beginnings of markers": ("<thi", "<|im_", "\n", "<", "</think"),
    }

    def parse(tokens: tuple[str, ...], count: int) -> float:
        start = time.perf_counter_ns()
        parser = OutputParser(["<|im_end|>", "<|im_start|>"], reasoning=("<think>", "</think>"), tools=True)
        for _ in range(count):
            for token in tokens:
                parser.feed(token)
        parser.finish()
        return (time.perf_counter_ns() - start) / (count * len(tokens))

    for what, tokens in answers.items():
        found: Comparison = in_turn(lambda _, t=tokens: parse(t, 8000), lambda _, t=tokens: parse(t, 400), rounds)
        table.lines.append(
            Line.ratio(f"one token of 40,000, {what}", "one of 2,000", found, LINEAR),
        )
    return table


def _clock(call: Callable[[], object]) -> Callable[[int], float]:
    """Make a measurement of one call, in ns: the mean of some, so that the clock itself does not count."""

    def clock(_: int) -> float:
        start = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        return (time.perf_counter_ns() - start) / CALLS

    return clock


def _conversation() -> list[dict[str, str]]:
    """Make a conversation of the length that a long session with an assistant has: 20,000 characters."""
    text = "Some words of a message that is as long as messages are. " * 7
    turns = [
        {"role": ("user", "assistant")[number % 2], "content": text + ("Grüße." if number % 10 == 3 else "Greetings.")}
        for number in range(MESSAGES - 1)
    ]
    return [{"role": "system", "content": "You are a helpful assistant."}, *turns]
