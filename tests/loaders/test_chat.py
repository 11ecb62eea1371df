"""Conversations with tiny models that say what they are told to."""

import asyncio
import gc
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

import pytest
import tiny
from waiting import WAIT_S, until, within

from registry.chat import JinjaTemplate, Template, Turn, compose, get_template, render
from registry.errors import (
    ContextOverflowError,
    InvalidInputError,
    InvalidMessageError,
    InvalidOptionError,
    ModelClosedError,
    RegistryError,
    TemplateError,
)
from registry.loaders import Chat, load
from registry.records import RuntimeDefaults, SamplingDefaults

llama_cpp = pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")
from registry.loaders.llama import LlamaModel  # noqa: E402 - after it is known that it can be imported

HELLO = [{"role": "user", "content": "hello"}]


class Maker:
    """Makes and loads tiny models."""

    def __init__(self, made: Callable[..., Path], stack: ExitStack) -> None:
        self._made = made
        self._stack = stack

    def __call__(
        self,
        script: Any = None,
        *,
        record: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        **gguf: Any,
    ) -> Chat:
        path = self._made(tiny.chat_gguf, script=script, **gguf)
        chat = load(tiny.chat_record(path, **(record or {})), path=path, **(options or {}))
        self._stack.callback(chat.close)
        return chat

    def endless(self, **options: Any) -> Chat:
        """Load a model that does not end within a test, however long that waits."""
        tokens = 16_384
        record = {
            "context_length": tokens,
            "runtime": RuntimeDefaults(context_length=tokens, gpu_layers=0, threads=1),
            "defaults": SamplingDefaults(max_tokens=tokens),
        }
        return self(["la ", "la ", "li "], repeat=True, layers=1, context_length=tokens, record=record, **options)


@pytest.fixture
def chat(made: Callable[..., Path]) -> Iterator[Maker]:
    with ExitStack() as stack:
        yield Maker(made, stack)


@pytest.fixture
def made_tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the tokens that are made: a model that goes on unseen is not free."""
    made: list[int] = []
    sample = llama_cpp.Llama.sample

    def counted(self: Any, *given: Any, **options: Any) -> int:
        made.append(1)
        return sample(self, *given, **options)

    monkeypatch.setattr(llama_cpp.Llama, "sample", counted)
    return made


def content(answer: Any) -> str | None:
    return answer["choices"][0]["message"]["content"]


def streamed(chunks: Any) -> tuple[str, str, str | None, Any]:
    """Join a stream: content, thoughts, finish reason, the last chunk."""
    chunks = list(chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    joined = ["".join(delta.get(key, "") for delta in deltas) for key in ("content", "reasoning_content")]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])
    return joined[0], joined[1], chunks[-1]["choices"][0]["finish_reason"], chunks[-1]


def both(chat: Chat, messages: Any = HELLO, **options: Any) -> tuple[str | None, str, str]:
    """Ask for a whole answer and for a stream, which must be the same; give content, thoughts and finish reason."""
    whole = chat.reply(messages, **options)["choices"][0]
    said, thought, why, _ = streamed(chat.stream(messages, **options))
    assert (said, thought, why) == (
        whole["message"]["content"] or "",
        whole["message"].get("reasoning_content", ""),
        whole["finish_reason"],
    )
    return whole["message"]["content"], thought, whole["finish_reason"]


# The shape of answers

SCRIPT = ["Hel", "lo", " wor", "ld", "."]


def test_reply_has_the_shape_of_openais_answers(chat: Maker) -> None:
    answer = chat(SCRIPT).reply(HELLO)
    assert answer == {
        "id": answer["id"],
        "object": "chat.completion",
        "created": answer["created"],
        "model": "tiny-chat",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello world."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 24, "completion_tokens": 5, "total_tokens": 29},
    }
    assert answer["id"].startswith("chatcmpl-")
    json.dumps(answer)


def test_stream_has_the_shape_of_openais_chunks(chat: Maker) -> None:
    chunks = list(chat(SCRIPT).stream(HELLO))
    assert [chunk["choices"] for chunk in chunks] == [
        [{"index": 0, "delta": delta, "finish_reason": None}]
        for delta in ({"role": "assistant", "content": ""}, *({"content": piece} for piece in SCRIPT))
    ] + [[{"index": 0, "delta": {}, "finish_reason": "stop"}]]
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", "tiny-chat")}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert ["usage" in chunk for chunk in chunks] == [False] * 6 + [True]
    assert chunks[-1]["usage"] == {"prompt_tokens": 24, "completion_tokens": 5, "total_tokens": 29}


def test_two_answers_have_two_ids(chat: Maker) -> None:
    opened = chat(SCRIPT)
    assert opened.reply(HELLO)["id"] != opened.reply(HELLO)["id"]


def test_async_forms_give_the_same(chat: Maker) -> None:
    opened = chat(SCRIPT)

    async def ask() -> Any:
        return await opened.areply(HELLO), [chunk async for chunk in opened.astream(HELLO)]

    whole, chunks = asyncio.run(ask())
    assert content(whole) == "Hello world."
    assert streamed(chunks)[:3] == ("Hello world.", "", "stop")


def test_empty_answer_is_an_answer(chat: Maker) -> None:
    assert both(chat([])) == ("", "", "stop")


def test_count_tokens_counts_what_a_reply_would_read(chat: Maker) -> None:
    opened = chat(SCRIPT)
    assert opened.count_tokens(HELLO) == opened.reply(HELLO)["usage"]["prompt_tokens"] == 24
    assert opened.count_tokens(" the cat") == 3
    assert opened.count_tokens("<|im_end|>") == 1 + len("<|im_end|>")
    assert opened.count_tokens("") == 1


def test_complete_goes_on_without_template(chat: Maker) -> None:
    answer = chat([" Hel", "lo", "<|user|>", "</s>"]).complete(" the cat", stop="zzz")
    assert answer == {
        "id": answer["id"],
        "object": "text_completion",
        "created": answer["created"],
        "model": "tiny-chat",
        "choices": [{"index": 0, "text": " Hello", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    }
    assert answer["id"].startswith("cmpl-")


def test_complete_keeps_control_tokens_of_the_prompt_and_stops_at_those_of_the_caller(chat: Maker) -> None:
    opened = chat(["a", "b", "<|user|>", "c"])
    assert opened.complete("<|im_start|><|im_end|>")["usage"]["prompt_tokens"] == 3
    assert opened.complete("hello", stop="<|user|>")["choices"][0]["text"] == "ab"
    assert opened.complete("hello", stop=["b"], max_tokens=1)["choices"][0] == {
        "index": 0,
        "text": "a",
        "finish_reason": "length",
    }
    for wrong in ("", "\ud800"):
        with pytest.raises(InvalidInputError):
            opened.complete(wrong)


def test_stream_completion_has_the_shape_of_openais_chunks(chat: Maker) -> None:
    chunks = list(chat([" Hel", "lo", "<|user|>", "</s>"]).stream_completion(" the cat", stop="zzz"))
    assert [chunk["choices"] for chunk in chunks] == [
        [{"index": 0, "text": text, "finish_reason": reason}]
        for text, reason in ((" Hel", None), ("lo", None), ("", "stop"))
    ]
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("text_completion", "tiny-chat")}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert ["usage" in chunk for chunk in chunks] == [False, False, True]
    assert chunks[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert chunks[0]["id"].startswith("cmpl-")


@pytest.mark.parametrize("options", [{}, {"stop": "lo w"}, {"max_tokens": 2}, {"stop": ["."], "seed": 1}], ids=str)
def test_stream_completion_adds_up_to_the_whole(options: Any, chat: Maker) -> None:
    opened = chat(SCRIPT)
    whole = opened.complete(" the cat", **options)
    *_, last = chunks = list(opened.stream_completion(" the cat", **options))
    said = "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert (said, last["choices"][0]["finish_reason"]) == tuple(
        whole["choices"][0][key] for key in ("text", "finish_reason")
    )
    assert last["usage"] == whole["usage"]


def test_stream_completion_that_is_closed_frees_the_model_within_a_token(chat: Maker, made_tokens: list[int]) -> None:
    opened = chat.endless()
    with opened.stream_completion(" the cat") as stream:
        next(stream)
        next(stream)
    assert len(made_tokens) == 2
    assert list(stream) == []
    assert opened.complete(" the cat", max_tokens=1)["usage"]["completion_tokens"] == 1


def test_stream_completion_refuses_at_once_what_is_wrong(chat: Maker) -> None:
    opened = chat(SCRIPT)
    with pytest.raises(InvalidInputError, match=r"^`prompt`: expected some text, got an empty string\."):
        opened.stream_completion("")
    with pytest.raises(ContextOverflowError):
        opened.stream_completion("x" * 600)
    with pytest.raises(TypeError, match=r"^`tools` is not an option of `stream_completion`\."):
        opened.stream_completion("hello", tools=[])


# Thoughts, stops, role markers


@pytest.mark.parametrize("template", ["chatml", "gguf"])
def test_thoughts_are_apart_from_the_answer(template: str, chat: Maker) -> None:
    source = tiny.CHATML + "{# <think> #}"
    script = ["<think>", "\nhm", " so", "\n", "</think>", "\n\n", "Hel", "lo"]
    opened = chat(script, template=source, record={"template": None if template == "gguf" else template})
    assert both(opened) == ("Hello", "hm so", "stop")
    assert opened.reply(HELLO)["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hello",
        "reasoning_content": "hm so",
    }


def test_thoughts_that_the_prompt_opens_and_that_are_cut_off_are_thoughts(chat: Maker) -> None:
    source = tiny.CHATML.replace("assistant\\n' }}{%- endif", "assistant\\n<think>\\n' }}{%- endif")
    source = tiny.CHATML.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")
    opened = chat(["Hm", " so", "</think>", "Hel", "lo"], template=source, record={"template": None})
    assert both(opened) == ("Hello", "Hm so", "stop")
    assert both(opened, max_tokens=2) == ("", "Hm so", "length")


def test_json_where_the_prompt_opens_thoughts_is_the_answer(chat: Maker) -> None:
    source = tiny.CHATML.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")
    opened = chat(['{"a"', ": 1}"], template=source, record={"template": None})
    assert both(opened, response_format={"type": "json_object"}) == ('{"a": 1}', "", "stop")


STOPS = ["Hel", "lo", " and", " stop", " here", " not"]


@pytest.mark.parametrize(
    ("where", "stop", "expected"),
    [
        ("caller", " stop", "Hello and"),
        ("caller", ["here", "stop h"], "Hello and "),
        ("caller", ("lo and st",), "Hel"),
        ("caller", "nowhere", "Hello and stop here not"),
        ("caller", [], "Hello and stop here not"),
        ("caller", None, "Hello and stop here not"),
        ("caller", "H", ""),
        ("record", ("and stop",), "Hello "),
        ("template", "op her", "Hello and st"),
    ],
)
def test_stop_of_caller_record_and_template_ends_the_answer_and_never_shows(
    where: str, stop: Any, expected: str, chat: Maker
) -> None:
    record: dict[str, Any] = {"stop_sequences": stop} if where == "record" else {}
    options = {}
    if where == "template":
        turn = Turn("<|im_start|>user\n", "<|im_end|>\n")
        options = {
            "template": Template(
                name="mine", source="this test", user=turn, assistant=turn, generation_prompt="A:", stops=(stop,)
            )
        }
    opened = chat(STOPS, record=record, options=options)
    assert both(opened, **({"stop": stop} if where == "caller" else {})) == (expected, "", "stop")


def test_stop_of_the_caller_is_added_to_those_of_the_record(chat: Maker) -> None:
    opened = chat(STOPS, record={"stop_sequences": (" here",)})
    assert both(opened, stop="zzz")[0] == "Hello and stop"
    assert both(opened, stop=" stop")[0] == "Hello and"


def test_stop_split_over_tokens_and_bytes_never_leaks(chat: Maker) -> None:
    script = ["a", "<0xE2>", "<0x82>", "<0xAC>", "b", "END", " of", " it"]
    opened = chat(script)
    assert both(opened)[0] == "a€bEND of it"
    assert both(opened, stop="€b")[0] == "a"
    assert both(opened, stop="€bE")[0] == "a"
    assert both(opened, stop="€x")[0] == "a€bEND of it"
    assert both(opened, stop="END of i")[0] == "a€b"
    for stop in ("€bEND of", "END of it"):
        said = [chunk["choices"][0]["delta"].get("content", "") for chunk in opened.stream(HELLO, stop=stop)]
        assert not any("E" in piece for piece in said)


def test_stop_counts_its_tokens_and_ends_the_generation(chat: Maker) -> None:
    usage = chat(STOPS).reply(HELLO, stop=" stop")["usage"]
    assert usage["completion_tokens"] == 4


def test_stop_with_the_last_token_that_is_allowed_is_a_stop(chat: Maker) -> None:
    assert both(chat(STOPS), stop=" stop", max_tokens=4)[2] == "stop"


@pytest.mark.parametrize("wrong", ["", [""], ["a", ""], 5, [5], b"a", [None]])
def test_stop_that_is_no_text_is_refused(wrong: Any, chat: Maker) -> None:
    with pytest.raises(InvalidOptionError, match=r"^`stop`: expected a text, or a list of texts, none of them empty"):
        chat(STOPS).reply(HELLO, stop=wrong)


@pytest.mark.parametrize("template", ["chatml", "gguf", "llama3", "gemma", "phi3"])
def test_role_markers_at_the_start_are_left_out_and_a_new_turn_ends_the_answer(template: str, chat: Maker) -> None:
    source = {
        "gguf": tiny.CHATML,
        "llama3": None,
    }.get(template)
    opening, role, closing, turn = {
        "chatml": ("<|im_start|>", "assistant\n", "<|im_end|>", ["<|im_start|>", "user", "\nobey"]),
        "gguf": ("<|im_start|>", "assistant\n", "<|im_end|>", ["<|im_start|>", "user", "\nobey"]),
        "llama3": ("<|start_header_id|>", "assistant", "<|eot_id|>", ["<|start_header_id|>", "user", "\nobey"]),
        "gemma": ("<start_of_turn>", "model\n", "<end_of_turn>", ["<start_of_turn>", "user", "\nobey"]),
        "phi3": ("<|assistant|>", "\n", "<|end|>", ["<|user|>", "obey", "\nnow"]),
    }[template]
    start = [opening, role] + (["<|end_header_id|>", "\n\n"] if template == "llama3" else [])
    opened = chat(
        [*start, "Hel", "lo", *turn],
        template=source,
        eos_token=closing,
        record={"template": None if template == "gguf" else template, "stop_sequences": ()},
    )
    assert both(opened) == ("Hello", "", "stop")


def test_new_turn_by_a_template_in_the_file_ends_the_answer_whatever_its_role(chat: Maker) -> None:
    source = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}<|assistant|>"
    opened = chat(["Hel", "lo", "<|user|>", "obey"], template=source, eos_token="<|end|>", record={"template": None})
    assert both(opened) == ("Hello", "", "stop")


def test_control_tokens_of_no_meaning_are_not_shown(chat: Maker) -> None:
    opened = chat(["Hel", "<|system|>", "lo", "<|user|>"], record={"template": None, "stop_sequences": ()})
    assert both(opened)[0] == "Hello"


def test_space_before_the_first_word_is_left_out_and_others_stay(chat: Maker) -> None:
    assert both(chat(["  ", " \n", " Hel", "lo", "  ", "x", " \n"]))[0] == "Hello  x \n"


def test_characters_split_over_tokens_come_whole(chat: Maker) -> None:
    script = [f"<0x{byte:02X}>" for byte in "é日🎉".encode()]
    opened = chat(script)
    pieces = [chunk["choices"][0]["delta"].get("content") for chunk in opened.stream(HELLO)]
    assert [piece for piece in pieces if piece] == ["é", "日", "🎉"]
    assert both(opened)[0] == "é日🎉"


def test_character_that_is_cut_off_is_replaced(chat: Maker) -> None:
    opened = chat(["a", "<0xE2>", "<0x82>", "b"])
    assert both(opened)[0] == "a�b"
    assert both(opened, max_tokens=3) == ("a�", "", "length")


def test_long_token_is_whole(chat: Maker) -> None:
    long = "x" * 1000
    assert both(chat(["a", long, "b"]))[0] == f"a{long}b"


# Sampling


def test_seed_gives_the_same_answer_whatever_was_asked_before(chat: Maker) -> None:
    opened = chat()
    other = [{"role": "user", "content": "hello the cat"}]
    options: dict[str, Any] = {"temperature": 1.5, "top_p": 1.0, "top_k": 0, "max_tokens": 12}
    for seed in (0, 1, 2**32 - 1, 2**40):
        said = {content(opened.reply(HELLO, seed=seed, **options))}
        opened.reply(other, max_tokens=3)
        said.add(content(opened.reply(HELLO, seed=seed, **options)))
        opened.reply(HELLO, max_tokens=1)
        said.add(streamed(opened.stream(HELLO, seed=seed, **options))[0])
        assert len(said) == 1
    assert len({content(opened.reply(HELLO, seed=seed, **options)) for seed in range(8)}) > 4


def test_seed_reads_the_whole_prompt_anew(chat: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = chat()
    read: list[int] = []
    whole = llama_cpp.Llama.eval
    monkeypatch.setattr(llama_cpp.Llama, "eval", lambda self, tokens: (read.append(len(tokens)), whole(self, tokens)))
    for options in ({"seed": 1}, {"seed": 1}, {}, {}):
        opened.reply(HELLO, max_tokens=2, **options)
    first = [number for number in read if number != 1]
    assert first == [25, 25]  # and then the prompt was there already


def test_seed_of_the_load_is_for_calls_that_name_none(chat: Maker) -> None:
    options: dict[str, Any] = {"temperature": 1.5, "max_tokens": 12}
    opened = chat(options={"seed": 0})
    assert content(opened.reply(HELLO, **options)) == content(opened.reply(HELLO, seed=0, **options))
    assert len({content(opened.reply(HELLO, seed=seed, **options)) for seed in range(4)}) > 1


def test_no_seed_is_another_one_every_time(chat: Maker) -> None:
    opened = chat()
    assert len({content(opened.reply(HELLO, temperature=1.5, max_tokens=12)) for _ in range(8)}) > 4


@pytest.mark.parametrize("wrong", [-1, 1.0, "1", True])
def test_seed_that_is_none_is_refused(wrong: Any, chat: Maker) -> None:
    with pytest.raises(InvalidOptionError, match=r"^`seed`: expected an integer of at least 0"):
        chat().reply(HELLO, seed=wrong)


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-40, 1e-300])
def test_temperature_of_nothing_takes_the_likeliest_token(temperature: float, chat: Maker) -> None:
    opened = chat()
    said = {content(opened.reply(HELLO, temperature=temperature, max_tokens=8, seed=seed)) for seed in range(4)}
    assert said == {content(opened.reply(HELLO, temperature=0, max_tokens=8))}


def test_extreme_but_valid_parameters_do_no_harm(chat: Maker) -> None:
    opened = chat()
    for options in ({"top_k": 1}, {"top_k": 2**33}, {"top_p": 1e-9}, {"repeat_penalty": 1e-9}, {"temperature": 2}):
        assert content(opened.reply(HELLO, max_tokens=3, **options))
    assert (
        len({content(opened.reply(HELLO, max_tokens=5, top_k=1, seed=seed, temperature=2)) for seed in range(4)}) == 1
    )


@pytest.mark.parametrize(
    ("option", "wrong"),
    [("temperature", 2.1), ("max_tokens", 0), ("top_p", 0), ("top_k", -1), ("repeat_penalty", 0), ("top_k", 1.0)],
)
def test_parameter_out_of_its_range_is_refused(option: str, wrong: float, chat: Maker) -> None:
    opened = chat()
    for call in (opened.reply, opened.stream):
        with pytest.raises(InvalidOptionError, match=f"^`{option}`: "):
            call(HELLO, **{option: wrong})
    with pytest.raises(InvalidOptionError, match=f"^`{option}`: "):
        opened.complete("hello", **{option: wrong})


def test_max_tokens_cuts_and_the_records_is_the_default(chat: Maker) -> None:
    opened = chat(SCRIPT, record={"defaults": SamplingDefaults(max_tokens=2)})
    assert both(opened) == ("Hello", "", "length")
    assert both(opened, max_tokens=3) == ("Hello wor", "", "length")
    assert both(opened, max_tokens=None) == ("Hello", "", "length")
    assert both(opened, max_tokens=6) == ("Hello world.", "", "stop")
    assert opened.reply(HELLO, max_tokens=1)["usage"]["completion_tokens"] == 1


def test_unknown_option_is_a_type_error(chat: Maker) -> None:
    opened = chat()
    for call in (opened.reply, opened.stream):
        with pytest.raises(
            TypeError, match=r"^`temprature` is not an option of `reply`\. The options are max_tokens, "
        ):
            call(HELLO, temprature=1)
    with pytest.raises(TypeError, match=r"^`tools` is not an option of `complete`\."):
        opened.complete("hello", tools=[])

    async def ask() -> None:
        with pytest.raises(TypeError):
            await opened.areply(HELLO, temprature=1)
        with pytest.raises(TypeError):
            _ = [chunk async for chunk in opened.astream(HELLO, temprature=1)]

    asyncio.run(ask())


# JSON


def _checked_json(answer: Any) -> Any:
    """Give the value, or nothing where the answer was cut off."""
    choice = answer["choices"][0]
    with suppress(ValueError):
        return json.loads(choice["message"]["content"])
    assert choice["finish_reason"] == "length"
    return None


def test_json_mode_gives_an_object_of_a_model_that_babbles(chat: Maker) -> None:
    opened = chat()
    found = [
        _checked_json(opened.reply(HELLO, seed=seed, temperature=2, max_tokens=40, response_format=form))
        for seed in range(6)
        for form in ({"type": "json_object"}, {"type": "json_object", "schema": {"type": "object"}})
    ]
    assert all(isinstance(value, dict) for value in found if value is not None)
    assert [value for value in found if value is not None]


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"enum": ["fox", 'a "quoted" one', "back\\slash", "日本", "new\nline"]},
        "size": {"type": "integer"},
        "tags": {"type": "array", "items": {"const": "é\\"}, "minItems": 1, "maxItems": 3},
        "note": {"type": "string", "maxLength": 3},
        "none": {"type": "array", "items": {"type": "null"}, "maxItems": 0},
    },
    "required": ["name", "size", "tags", "note", "none"],
    "additionalProperties": False,
}


def _format(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}


def test_json_schema_is_followed_by_a_model_that_babbles(chat: Maker) -> None:
    opened = chat()
    found = [
        _checked_json(opened.reply(HELLO, seed=seed, temperature=2, max_tokens=200, response_format=_format(SCHEMA)))
        for seed in range(12)
    ]
    whole = [value for value in found if value is not None]
    assert len(whole) > 6
    for value in whole:
        assert list(value) == SCHEMA["required"]
        assert value["name"] in SCHEMA["properties"]["name"]["enum"]
        assert type(value["size"]) is int
        assert value["tags"] in (["é\\"], ["é\\"] * 2, ["é\\"] * 3)
        assert len(value["note"]) <= 3
        assert value["none"] == []
    assert len({value["name"] for value in whole}) > 1


def test_json_that_the_model_would_have_said_passes_and_text_does_not(chat: Maker) -> None:
    opened = chat(['{"a"', ": [1", ', "b', '\\"c"]', "}"])
    for form in ({"type": "json_object"}, _format({"type": "object"}), _format({}), {"type": "text"}, None):
        assert both(opened, response_format=form) == ('{"a": [1, "b\\"c"]}', "", "stop")
    said = chat(SCRIPT).reply(HELLO, response_format={"type": "json_object"}, max_tokens=20)
    assert content(said)[0] == "{"  # type: ignore[index]


def test_json_in_complete_and_stream_follows_the_grammar(chat: Maker) -> None:
    opened = chat()
    schema = _format({"enum": ["yes", "no"]})
    assert opened.complete("hello", response_format=schema, seed=1)["choices"][0]["text"] in ('"yes"', '"no"')
    assert streamed(opened.stream(HELLO, response_format=schema))[0] in ('"yes"', '"no"')


def test_json_by_a_schema_has_no_control_characters_in_its_strings(chat: Maker) -> None:
    opened = chat(['{"a": "x', "\n", 'y"}'])
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    answer = opened.reply(HELLO, response_format=_format(schema), temperature=0, max_tokens=20)
    assert "\n" not in (content(answer) or "")
    _checked_json(answer)


def test_list_of_a_schema_may_be_empty_where_it_says_so(chat: Maker) -> None:
    opened = chat(["[", "]", "}"])
    for least, expected in ((0, "[]"), (1, "[")):
        schema = {"type": "array", "items": {"enum": ["x"]}, "minItems": least, "maxItems": 2}
        said = content(opened.reply(HELLO, response_format=_format(schema), temperature=0, max_tokens=2))
        assert (said == "[]") == (expected == "[]"), said


@pytest.mark.parametrize("length", [2, 999, 2000])
def test_long_lengths_of_a_schema_are_kept(length: int, chat: Maker) -> None:
    opened = chat(["(", ")"] + [f"{number:03d} " for number in range(9)])
    for schema in (
        {"type": "string", "maxLength": length},
        {"type": "string", "minLength": 1, "maxLength": length},
        {"type": "array", "items": {"type": "string"}, "maxItems": length},
    ):
        assert opened.reply(HELLO, response_format=_format(schema), max_tokens=5)


BAD_SCHEMAS: list[Any] = [
    {"type": "nonsense"},
    {"enum": []},
    {"anyOf": []},
    {"type": "object", "properties": 5},
    {"type": "object", "properties": {"a": True}},
    {"$ref": 5},
    {"$ref": "https://example.com/schema.json"},
    {"$ref": "#/nowhere"},
    {"$ref": "file:///etc/passwd"},
    {"type": "string", "pattern": "("},
    {"type": "string", "pattern": "^\\d$"},
    {"type": "string", "pattern": "^a{0,100000}$"},
    {"type": "string", "maxLength": 1_000_000},
    {"type": "string", "maxLength": -1},
    {"type": "string", "minLength": 3, "maxLength": 2},
    {"type": "string", "maxLength": "3"},
    {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    {"const": "\ud800"},
    {"const": object()},
    {"type": 5},
]


@pytest.mark.parametrize("schema", BAD_SCHEMAS, ids=str)
def test_schema_that_makes_no_grammar_is_refused(schema: Any, chat: Maker) -> None:
    opened = chat(SCRIPT)
    for call in (opened.reply, opened.stream):
        with pytest.raises(InvalidOptionError, match=r"^`response_format`: expected a"):
            call(HELLO, response_format=_format(schema))
    assert content(opened.reply(HELLO)) == "Hello world."


def test_schema_that_is_circular_or_very_deep_is_refused(chat: Maker) -> None:
    circular: dict[str, Any] = {"type": "array"}
    circular["items"] = circular
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"type": "array", "items": deep}
    opened = chat(SCRIPT)
    for schema in (circular, deep):
        with pytest.raises(InvalidOptionError) as caught:
            opened.reply(HELLO, response_format=_format(schema))
        assert len(str(caught.value)) < 10_000
    while deep:  # or freeing it would nest as deep
        deep = deep["items"]


@pytest.mark.parametrize(
    "schema", [{"type": "string", "pattern": "^[z-a]$"}, {"type": "string", "pattern": "^[\\x00]$"}], ids=str
)
def test_schema_that_no_token_can_follow_is_an_error_and_the_model_goes_on(schema: Any, chat: Maker) -> None:
    opened = chat(SCRIPT)
    with pytest.raises(InvalidOptionError, match="got 'one that allows no next token'"):
        opened.reply(HELLO, response_format=_format(schema), max_tokens=9)
    assert content(opened.reply(HELLO)) == "Hello world."


@pytest.mark.parametrize(
    "wrong",
    [
        *("json", 5, {}, [], {"type": "xml"}, {"type": ["text"]}, {"type": "json_object", "schema": "x"}),
        *({"type": "json_schema"}, {"type": "json_schema", "json_schema": 5}, _format(5)),
    ],
    ids=str,
)
def test_response_format_of_another_shape_is_refused(wrong: Any, chat: Maker) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        chat(SCRIPT).reply(HELLO, response_format=wrong)
    assert caught.value.expected == (
        '{"type": "json_object"} or {"type": "json_schema", "json_schema": {"schema": {...}}}'
    )


def test_grammars_of_many_schemas_are_not_all_kept(chat: Maker) -> None:
    opened = chat(SCRIPT)
    for number in range(100):
        opened.reply(HELLO, response_format=_format({"const": number}), max_tokens=1)
    assert len(opened._grammars) <= 32


# Tools

TOOLS = [
    {
        "type": "function",
        "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}},
    }
]
TOOL_TEMPLATE = (
    "{%- if tools -%}<|im_start|>system\nTools: {{ tools | tojson }}<|im_end|>\n{% endif -%}"
    "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' }}{{ m.content or '' }}"
    "{%- for call in m.tool_calls or [] -%}{{ '<tool_call>' }}{{ call.function | tojson }}{{ '</tool_call>' }}"
    "{%- endfor -%}{{ '<|im_end|>\n' }}{%- endfor -%}<|im_start|>assistant\n"
)
CALL = ["Sure", ".", "<tool_call>", '{"name": "add",', ' "arguments"', ': {"a": 1}}', "</tool_call>"]


@pytest.mark.parametrize("control", [tiny.CONTROL_TOKENS, (*tiny.CONTROL_TOKENS, "<tool_call>", "</tool_call>")])
def test_tool_calls_are_parsed_in_reply_and_stream(control: tuple[str, ...], chat: Maker) -> None:
    opened = chat(CALL, template=TOOL_TEMPLATE, control=control, record={"template": None})
    answer = opened.reply(HELLO, tools=TOOLS)["choices"][0]
    call = {
        "id": answer["message"]["tool_calls"][0]["id"],
        "type": "function",
        "function": {"name": "add", "arguments": '{"a": 1}'},
    }
    assert answer == {
        "index": 0,
        "message": {"role": "assistant", "content": "Sure.", "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    said, thought, why, last = streamed(opened.stream(HELLO, tools=TOOLS))
    assert (said, thought, why) == ("Sure.", "", "tool_calls")
    assert last["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **call}]


def test_tool_calls_and_their_results_go_back_into_the_conversation(chat: Maker) -> None:
    opened = chat(CALL, template=TOOL_TEMPLATE, record={"template": None})
    message = opened.reply(HELLO, tools=TOOLS)["choices"][0]["message"]
    result = {"role": "tool", "content": "2", "tool_call_id": message["tool_calls"][0]["id"]}
    again = opened.reply([*HELLO, message, result], tools=TOOLS)
    assert again["choices"][0]["finish_reason"] == "tool_calls"
    assert again["usage"]["prompt_tokens"] > opened.count_tokens(HELLO)


def test_tools_are_in_the_prompt_unless_the_choice_is_none(chat: Maker) -> None:
    opened = chat(CALL, template=TOOL_TEMPLATE, record={"template": None})
    plain = opened.reply(HELLO)["usage"]["prompt_tokens"]
    assert opened.reply(HELLO, tools=TOOLS)["usage"]["prompt_tokens"] > plain
    assert opened.reply(HELLO, tools=[])["usage"]["prompt_tokens"] == plain
    none = opened.reply(HELLO, tools=TOOLS, tool_choice="none")
    assert none["usage"]["prompt_tokens"] == plain
    assert none["choices"][0]["message"]["content"] == "".join(CALL)
    assert "tool_calls" not in none["choices"][0]["message"]


def test_text_beside_tools_stays_text(chat: Maker) -> None:
    opened = chat(SCRIPT, template=TOOL_TEMPLATE, record={"template": None})
    assert both(opened, tools=TOOLS) == ("Hello world.", "", "stop")


@pytest.mark.parametrize(("template", "name"), [("chatml", "chatml"), (None, "gguf")])
def test_tools_by_a_template_without_them_are_refused(template: str | None, name: str, chat: Maker) -> None:
    opened = chat(SCRIPT, record={"template": template})
    for call in (opened.reply, opened.stream):
        with pytest.raises(TemplateError, match="has no way to offer tools") as caught:
            call(HELLO, tools=TOOLS)
        assert caught.value.template == name
        assert caught.value.reason.endswith(
            (
                'Use `template="gguf"` when you load the model, to use the template in its file.',
                "whose template has one.",
            )
        )


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}, None, "any"])
def test_tool_choice_that_cannot_be_had_is_refused(choice: Any, chat: Maker) -> None:
    opened = chat(SCRIPT, template=TOOL_TEMPLATE, record={"template": None})
    with pytest.raises(InvalidOptionError, match=r"^`tool_choice`: expected auto or none") as caught:
        opened.reply(HELLO, tools=TOOLS, tool_choice=choice)
    assert "A call cannot be forced" in caught.value.remedy


@pytest.mark.parametrize("wrong", ["add", [5], [{}], {"type": "function"}, [{"type": "function", "function": {}}]])
def test_tools_of_another_shape_are_refused(wrong: Any, chat: Maker) -> None:
    opened = chat(SCRIPT, template=TOOL_TEMPLATE, record={"template": None})
    with pytest.raises(InvalidOptionError, match=r"^`tools"):
        opened.reply(HELLO, tools=wrong)


# Templates


def test_template_of_the_caller_goes_before_the_records_and_that_before_the_files(chat: Maker) -> None:
    def template(**given: Any) -> Any:
        return chat(
            SCRIPT, record={"template": given.get("record")}, options={"template": given.get("caller")}
        ).template

    assert template(caller="zephyr", record="chatml") is get_template("zephyr")
    assert template(caller=get_template("gemma"), record="chatml") is get_template("gemma")
    assert template(record="chatml") is get_template("chatml")
    for file in (template(), template(record="gguf"), template(caller="gguf", record="chatml")):
        assert isinstance(file, JinjaTemplate)
        assert (file.source, file.bos_token, file.eos_token) == (tiny.CHATML, "<s>", "<|im_end|>")


def test_template_of_the_file_gives_the_prompt_of_the_catalogues(chat: Maker) -> None:
    messages = [{"role": "system", "content": "Talk like a fox."}, *HELLO]
    assert chat(SCRIPT, record={"template": None}).count_tokens(messages) == chat(SCRIPT).count_tokens(messages)


def test_template_that_is_nowhere_is_told_and_complete_needs_none(chat: Maker) -> None:
    opened = chat(SCRIPT, template=None, record={"template": None})
    for call in (opened.reply, opened.stream, opened.count_tokens):
        with pytest.raises(TemplateError) as caught:
            call(HELLO)
        assert str(caught.value) == (
            "Chat template `gguf`: the record `tiny-chat` names no template, and the file has none. "
            "Load it with `template=`, or use `complete`."
        )
    assert opened.complete("hello")["choices"][0]["text"] == "Hello world."


def test_template_of_the_file_where_there_is_none_is_refused_at_load(chat: Maker) -> None:
    with pytest.raises(TemplateError) as caught:
        chat(SCRIPT, template=None, options={"template": "gguf"})
    assert caught.value.reason == "the file has none. Load it with `template=`, or use `complete`."


@pytest.mark.parametrize("name", ["chatlm", "", "GGUF", 5])
def test_misspelt_template_is_refused_at_load(name: Any, chat: Maker) -> None:
    with pytest.raises(TemplateError, match="there is none of this name"):
        chat(SCRIPT, options={"template": name})


def test_broken_template_of_the_file_is_told_when_it_is_needed(chat: Maker) -> None:
    broken = "{% for m in messages %}\n{{ m.content }"
    opened = chat(SCRIPT, template=broken, record={"template": None})
    assert opened.complete("hello")["choices"][0]["text"] == "Hello world."
    with pytest.raises(TemplateError, match=r"^Chat template `gguf`: it is no valid Jinja in line 2: "):
        opened.reply(HELLO)
    assert content(chat(SCRIPT, template=broken).reply(HELLO)) == "Hello world."
    with pytest.raises(TemplateError, match="no valid Jinja"):
        chat(SCRIPT, template=broken, options={"template": "gguf"})


def test_template_that_fails_while_it_is_rendered_leaves_the_model_usable(chat: Maker) -> None:
    opened = chat(SCRIPT, template="{{ raise_exception('no foxes') }}", record={"template": None})
    with pytest.raises(TemplateError, match="it refuses the conversation: no foxes"):
        opened.reply(HELLO)
    assert opened.complete("hello")["choices"][0]["text"] == "Hello world."


def test_generation_tag_in_the_template_of_the_file_is_known(chat: Maker) -> None:
    source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    assert content(chat(SCRIPT, template=source, record={"template": None}).reply(HELLO)) == "Hello world."


def test_options_of_the_template_reach_it(chat: Maker) -> None:
    source = tiny.CHATML + "{% if enable_thinking %}the cat{% endif %}"
    opened = chat(SCRIPT, template=source, record={"template": None})
    plain = opened.reply(HELLO)["usage"]["prompt_tokens"]
    with_option = opened.reply(HELLO, template_options={"enable_thinking": True})["usage"]["prompt_tokens"]
    assert with_option == plain + 2 or with_option > plain
    with pytest.raises(InvalidOptionError):
        opened.reply(HELLO, template_options={"messages": []})
    with pytest.raises(InvalidOptionError):
        chat(SCRIPT).reply(HELLO, template_options={"enable_thinking": True})


# Conversations that are none, and the context


@pytest.mark.parametrize(
    ("messages", "place"),
    [
        ([], "messages"),
        ("hello", "messages"),
        (None, "messages"),
        ([{"role": "fox", "content": "hello"}], "messages[0].role"),
        ([{"content": "hello"}], "messages[0].role"),
        ([{"role": "system", "content": "a"}, {"role": "system", "content": "b"}], "messages[1].role"),
        ([{"role": "user", "content": "\ud800"}], "messages[0].content"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": None}], "messages[0].content"),
        ([None], "messages[0]"),
    ],
)
@pytest.mark.parametrize("template", ["chatml", None])
def test_conversation_that_is_none_is_refused(messages: Any, place: str, template: str | None, chat: Maker) -> None:
    opened = chat(SCRIPT, record={"template": template})
    for call in (opened.reply, opened.stream):
        with pytest.raises(InvalidMessageError) as caught:
            call(messages)
        assert caught.value.place == place


def test_prompt_over_the_context_is_refused_with_its_numbers(chat: Maker) -> None:
    opened = chat(SCRIPT, options={"context_length": 64})
    long = [{"role": "user", "content": "cat " * 200}]
    count = opened.count_tokens(long)
    for call in (opened.reply, opened.stream):
        with pytest.raises(ContextOverflowError) as caught:
            call(long)
        assert (caught.value.prompt_tokens, caught.value.context_length, caught.value.maximum) == (count, 64, 512)
    with pytest.raises(ContextOverflowError):
        opened.complete("cat " * 200)
    assert content(opened.reply(HELLO)) == "Hello world."


def test_conversation_that_fills_the_context_exactly(chat: Maker) -> None:
    opened = chat(SCRIPT, options={"context_length": 100})
    filling = [{"role": "user", "content": ""}]
    filling[0]["content"] = "x" * (100 - opened.count_tokens(filling))
    assert opened.count_tokens(filling) == 100
    with pytest.raises(ContextOverflowError):
        opened.reply(filling)
    for room in (1, 2, 3):
        messages = [{"role": "user", "content": filling[0]["content"][:-room]}]
        answer = opened.reply(messages)
        assert answer["usage"] == {"prompt_tokens": 100 - room, "completion_tokens": room, "total_tokens": 100}
        assert answer["choices"][0]["finish_reason"] == "length"
    full = chat(SCRIPT)
    filling[0]["content"] += "x" * 412
    with pytest.raises(ContextOverflowError):
        full.reply(filling)
    assert full.reply([{"role": "user", "content": filling[0]["content"][1:]}])["usage"]["total_tokens"] == 512


def test_answer_goes_on_to_the_end_of_the_context(chat: Maker) -> None:
    opened = chat(["la ", "la ", "li "], repeat=True)
    answer = opened.reply(HELLO)
    assert (answer["usage"]["total_tokens"], answer["choices"][0]["finish_reason"]) == (512, "length")
    assert content(opened.reply(HELLO, max_tokens=3)) == "la la li "


# Closing


@pytest.mark.parametrize("template", ["chatml", None])
def test_use_after_close_is_an_error(template: str | None, chat: Maker) -> None:
    opened = chat(SCRIPT, record={"template": template})
    waiting = opened.stream(HELLO)
    started = opened.stream(HELLO)
    next(started)  # which only tells the role: the model is not asked yet
    opened.close()
    opened.close()
    calls: list[Callable[[], Any]] = [
        lambda: opened.reply(HELLO),
        lambda: opened.stream(HELLO),
        lambda: opened.complete("hello"),
        lambda: opened.count_tokens("hello"),
        lambda: opened.count_tokens(HELLO),
        lambda: list(waiting),
        lambda: list(started),
        lambda: asyncio.run(opened.areply(HELLO)),
        lambda: opened.__enter__(),
        lambda: opened.reply(HELLO, response_format={"type": "json_object"}),
    ]
    for call in calls:
        with pytest.raises(ModelClosedError):
            call()
    assert opened.closed
    assert repr(opened) == "<Chat tiny-chat: closed>"
    assert (opened.context_length, opened.path.name) == (512, "model.gguf")
    assert opened.template is not None


def test_close_waits_for_a_stream_of_another_thread(chat: Maker) -> None:
    opened = chat.endless()
    stream = opened.stream(HELLO, max_tokens=500)
    pieces = [next(stream), next(stream)]
    closer = threading.Thread(target=opened.close, daemon=True)
    closer.start()
    pieces += stream
    closer.join(WAIT_S)
    assert (opened.closed, len(pieces) > 100, pieces[-1]["usage"]["completion_tokens"]) == (True, True, 500)
    with pytest.raises(ModelClosedError):
        opened.reply(HELLO)


def test_close_while_this_thread_reads_a_stream_is_an_error_not_a_deadlock(chat: Maker) -> None:
    opened = chat.endless()

    def misuse() -> None:
        with opened.stream(HELLO) as stream:
            next(stream), next(stream)
            for call in (opened.close, lambda: opened.reply(HELLO), lambda: opened.stream(HELLO)):
                with pytest.raises(RegistryError, match="while this thread reads a stream of it"):
                    call()
            with pytest.raises(RegistryError, match=r"^Cannot call `tiny-chat` while this thread reads a stream"):
                opened.count_tokens("hello")
        assert opened.reply(HELLO, max_tokens=3)

    within(misuse)


def test_stream_on_the_thread_of_an_event_loop_and_a_call_in_another_task_is_an_error(chat: Maker) -> None:
    opened = chat.endless()

    async def other() -> None:
        with pytest.raises(RegistryError, match="while this thread reads a stream of it"):
            opened.reply(HELLO)

    async def misuse() -> None:
        with opened.stream(HELLO) as stream:
            next(stream), next(stream)
            await asyncio.get_running_loop().create_task(other(), context=Context())

    within(lambda: asyncio.run(misuse()))


def test_stream_read_by_a_pool_does_not_keep_its_threads_from_other_calls(chat: Maker) -> None:
    # as web servers do it: each piece is asked for in any thread of a pool, in a copy of the request's context
    opened = chat.endless()
    stream = opened.stream(HELLO, max_tokens=40)
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as other:
        read = lambda: [next(stream, None) for _ in range(2)]  # noqa: E731 - what both do
        pool.submit(copy_context().run, read).result(WAIT_S)
        whole = pool.submit(copy_context().run, lambda: opened.reply(HELLO, max_tokens=3))
        while None not in other.submit(copy_context().run, read).result(WAIT_S):
            pass
        assert content(whole.result(WAIT_S)) == "la la li "


def test_stream_that_another_thread_goes_on_with_is_told_from_ones_own(chat: Maker) -> None:
    opened = chat.endless()
    stream = opened.stream(HELLO, max_tokens=2000)
    next(stream), next(stream)
    reading = threading.Event()

    def read() -> int:
        next(stream)
        reading.set()
        return sum(1 for _ in stream)

    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(read)
        assert reading.wait(WAIT_S)
        assert content(opened.reply(HELLO, max_tokens=3)) == "la la li "
        assert rest.result(WAIT_S) > 1000


@pytest.mark.parametrize("how", ["close", "with", "drop", "collect", "error", "exhaust"])
def test_stream_that_ends_in_any_way_frees_the_model(how: str, chat: Maker) -> None:
    opened = chat.endless()
    stream = opened.stream(HELLO, max_tokens=20)
    next(stream), next(stream)
    if how == "close":
        stream.close()
        stream.close()
        assert list(stream) == []
    elif how == "with":
        with stream:
            next(stream)
    elif how == "drop":
        del stream
    elif how == "collect":
        circle = [stream]
        circle.append(circle)  # type: ignore[arg-type]
        del stream, circle
        gc.collect()
    elif how == "error":
        with suppress(ZeroDivisionError), stream:
            _ = 1 / 0
    else:
        assert list(stream)
    assert content(within(lambda: opened.reply(HELLO, max_tokens=3))) == "la la li "
    assert content(opened.reply(HELLO, max_tokens=3)) == "la la li "


def test_stream_closed_by_another_thread_while_it_is_read_ends(chat: Maker, made_tokens: list[int]) -> None:
    opened = chat.endless()
    stream = opened.stream(HELLO)
    begun = threading.Event()

    def read() -> list[Any]:
        chunks = []
        for chunk in stream:
            chunks.append(chunk)
            if len(chunks) == 3:
                begun.set()
        return chunks

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert begun.wait(WAIT_S)
        stream.close()
        chunks = reading.result(WAIT_S)
    assert len(made_tokens) < 8000
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    assert content(within(lambda: opened.reply(HELLO, max_tokens=3))) == "la la li "


def test_stream_read_by_several_threads_gives_each_piece_once(chat: Maker) -> None:
    opened = chat.endless()
    stream = opened.stream(HELLO, max_tokens=200, temperature=0)
    with ThreadPoolExecutor(4) as pool:
        parts = [job.result(WAIT_S) for job in [pool.submit(list, stream) for _ in range(4)]]
    chunks = [chunk for part in parts for chunk in part]
    assert sum("content" in chunk["choices"][0]["delta"] for chunk in chunks) >= 200
    assert sum("usage" in chunk for chunk in chunks) == 1


# Threads


def test_calls_of_eight_threads_queue_and_all_get_whole_answers(chat: Maker) -> None:
    opened = chat(SCRIPT)
    start = threading.Barrier(8)

    def ask(number: int) -> list[Any]:
        start.wait(WAIT_S)
        if number % 4 == 0:
            return [streamed(opened.stream(HELLO))[0] for _ in range(4)]
        if number % 4 == 1:
            return [asyncio.run(opened.areply(HELLO))["choices"][0]["message"]["content"] for _ in range(4)]
        if number % 4 == 2:
            return [opened.complete("hello")["choices"][0]["text"] for _ in range(4)]
        return [content(opened.reply(HELLO)) for _ in range(4)]

    with ThreadPoolExecutor(8) as pool:
        said = [job.result(WAIT_S) for job in [pool.submit(ask, number) for number in range(8)]]
    assert said == [["Hello world."] * 4] * 8


def test_calls_come_in_the_order_in_which_they_were_made(chat: Maker) -> None:
    opened = chat.endless()
    order: list[int] = []
    stream = opened.stream(HELLO, max_tokens=10)
    next(stream), next(stream)
    queue = opened._gate._queue
    threads = []
    for number in range(6):
        thread = threading.Thread(target=lambda number=number: (opened.count_tokens("a"), order.append(number)))
        thread.start()
        threads.append(thread)
        until(lambda number=number: len(queue) > number)
    stream.close()
    for thread in threads:
        thread.join(WAIT_S)
    assert order == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("what", ["areply", "astream", "left", "asend"])
def test_cancelled_task_frees_the_model(what: str, chat: Maker, made_tokens: list[int]) -> None:
    opened = chat.endless()

    async def ask() -> str | None:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in opened.astream(HELLO):
                begun.set()

        if what == "areply":
            task = asyncio.create_task(opened.areply(HELLO))
            while opened._now is None:
                await asyncio.sleep(0)
        elif what == "astream":
            task = asyncio.create_task(read())
            await begun.wait()
        else:
            chunks = opened.astream(HELLO)
            await anext(chunks), await anext(chunks)
            if what == "left":
                async for _ in chunks:
                    break
                del chunks
            else:
                await chunks.aclose()
            return content(await opened.areply(HELLO, max_tokens=3))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return content(await opened.areply(HELLO, max_tokens=3))

    assert within(lambda: asyncio.run(ask())) == "la la li "
    assert opened.reply(HELLO, max_tokens=1)
    assert len(made_tokens) < 8000  # of the 16,000 that it would have made


def test_cancelled_task_that_waits_for_its_turn_returns_at_once_and_asks_nothing(
    chat: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = chat.endless()
    answers: list[Any] = []
    generate = LlamaModel.generate
    monkeypatch.setattr(LlamaModel, "generate", lambda *given, **named: answers.append(1) or generate(*given, **named))

    async def ask() -> None:
        stream = opened.astream(HELLO)
        await anext(stream), await anext(stream)
        for call in (opened.areply, lambda messages: anext(opened.astream(messages))):
            task = asyncio.ensure_future(call(HELLO))
            while not opened._gate._queue:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await stream.aclose()

    within(lambda: asyncio.run(ask()))
    assert opened.reply(HELLO, max_tokens=1)
    assert len(answers) == 2  # of the stream, and of the last


def test_errors_come_out_of_the_async_forms(chat: Maker) -> None:
    opened = chat(SCRIPT)

    async def ask() -> None:
        with pytest.raises(InvalidMessageError):
            await opened.areply([])
        with pytest.raises(InvalidMessageError):
            await anext(opened.astream([]))
        schema = _format({"type": "string", "pattern": "^[z-a]$"})
        with pytest.raises(InvalidOptionError, match="no next token"):
            _ = [chunk async for chunk in opened.astream(HELLO, response_format=schema)]
        assert content(await opened.areply(HELLO)) == "Hello world."

    within(lambda: asyncio.run(ask()))


@pytest.mark.parametrize("error", [RuntimeError("llama_decode returned 1"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_exception_inside_llama_leaves_the_model_usable(
    at: int, error: BaseException, chat: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = chat(SCRIPT)
    expected = opened.reply(HELLO)["choices"]
    decode = llama_cpp._internals.LlamaContext.decode
    calls = iter(range(1000))

    def failing(self: Any, batch: Any) -> None:
        decode(self, batch)
        if next(calls) == at:
            raise error

    opened.reply([{"role": "user", "content": "the cat"}])  # or the prompt would not be read again
    with monkeypatch.context() as patched:
        patched.setattr(llama_cpp._internals.LlamaContext, "decode", failing)
        with pytest.raises(type(error)):
            opened.reply(HELLO)
    assert opened.reply(HELLO)["choices"] == expected
    assert within(lambda: opened.reply(HELLO))["choices"] == expected


def test_program_that_never_closes_ends_in_silence(made: Callable[..., Path]) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import tiny
from pathlib import Path
from registry.loaders import load
path = Path({str(made(tiny.chat_gguf))!r})
chat = load(tiny.chat_record(path), path=path)
stream = chat.stream([{{"role": "user", "content": "hello"}}])
next(stream), next(stream)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The default model


def test_load_without_argument_takes_the_default_model(
    home: Path, made: Callable[..., Path], opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import registry

    path = made(tiny.chat_gguf, script="Hi.")
    record = tiny.chat_record(path, id="mine")

    class Mine:
        def get_default_model(self) -> Any:
            return record

    monkeypatch.setattr(registry, "MODEL_REGISTRY", Mine())
    (home / "models").mkdir(parents=True)
    (home / "models" / "mine.gguf").write_bytes(path.read_bytes())
    chat = opened()
    assert (chat.model, chat.origin, content(chat.reply(HELLO))) == (record, "home", "Hi.")


def test_default_model_of_the_package_is_looked_for_under_its_file_name(home: Path, made: Callable[..., Path]) -> None:
    from registry import get_default_model

    record = get_default_model()
    (home / "models").mkdir(parents=True)
    (home / "models" / record.file.name).write_bytes(made(tiny.chat_gguf).read_bytes())
    with pytest.raises(RegistryError) as caught:
        load()
    size = made(tiny.chat_gguf).stat().st_size
    assert f"expected {record.file.size_bytes} bytes, got {size} bytes" in str(caught.value)


# What the signature says


def test_options_in_the_signature_are_those_that_are_checked() -> None:
    from registry.loaders.completion import CompleteKeywords, ReplyKeywords

    assert set(ReplyKeywords.__annotations__) >= set(CompleteKeywords.__annotations__)
    for name in ("reply", "stream", "areply", "astream"):
        assert inspect.signature(getattr(Chat, name)).parameters["options"].kind is inspect.Parameter.VAR_KEYWORD


def test_prompt_is_that_of_render(chat: Maker) -> None:
    messages = [{"role": "system", "content": "Talk like a fox."}, *HELLO]
    opened = chat(SCRIPT)
    assert compose(messages, "chatml").text == render(messages, opened.model)
    assert opened.count_tokens(messages) == opened.complete(render(messages, "chatml"))["usage"]["prompt_tokens"]


def test_error_that_leaves_a_stream_half_read_is_the_one_that_is_seen_and_frees_the_model(
    made: Callable[..., Path],
) -> None:
    path = made(tiny.chat_gguf, script=["la"], repeat=True)
    opened = load(tiny.chat_record(path), path=path)

    def leave() -> None:
        with opened:
            for index, _ in enumerate(opened.stream(HELLO)):
                if index == 3:
                    raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        leave()
    assert opened.closed


def test_with_block_that_leaves_a_stream_half_read_frees_the_model(made: Callable[..., Path]) -> None:
    path = made(tiny.chat_gguf, script=["la"], repeat=True)
    with load(tiny.chat_record(path), path=path) as opened:
        stream = opened.stream(HELLO)
        next(stream)
        next(stream)
    assert opened.closed
    assert list(stream) == []


def test_asynchronous_call_while_the_same_task_reads_a_stream_is_an_error_not_a_deadlock(
    made: Callable[..., Path],
) -> None:
    path = made(tiny.chat_gguf, script=["la"], repeat=True)

    async def call() -> None:
        with opened.stream(HELLO) as stream:
            next(stream)
            next(stream)
            await asyncio.wait_for(opened.areply(HELLO), WAIT_S)

    message = "Cannot call `tiny-chat` while this thread reads a stream of it"
    with load(tiny.chat_record(path), path=path) as opened, pytest.raises(RegistryError, match=message):
        asyncio.run(call())
