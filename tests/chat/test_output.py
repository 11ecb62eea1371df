import itertools
import json

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.chat import Delta, OutputParser, compose, parse_tool_calls
from registry.errors import InvalidOptionError

THINK = ("<think>", "</think>")
ROLE = ("<|im_start|>assistant\n", "<|im_start|>assistant")


def _parse(parser: OutputParser, *pieces: str) -> tuple[str, str]:
    """Give content and reasoning of an answer in these pieces."""
    deltas = [delta for piece in pieces for delta in parser.feed(piece)] + parser.finish()
    assert all(delta.text for delta in deltas)
    content, reasoning = ("".join(d.text for d in deltas if d.kind == kind) for kind in ("content", "reasoning"))
    return content, reasoning


def _calls(parser: OutputParser) -> list[tuple[str, dict[str, object]]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in parser.tool_calls]


# Pieces: whatever they are, the answer is the same.

FRAGMENTS = (
    *("a", "b", " ", "\n", ".", "{", "}", "<think>", "</think>", "<thi", "nk>", "<", "|", ">"),
    *("<|im_start|>", "assistant", "<|im_end|>", "STOP", "ST", "OP", "<|channel|>", "analysis", "final", "commentary"),
    *("<|message|>", "<|end|>", "<|start|>", "<|return|>", "<|call|>", "<|constrain|>", "to=functions.f"),
    *("<tool_call>", "</tool_call>", '{"name":"f","arguments":{}}', "[TOOL_CALLS]", "<|python_tag|>"),
)
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)


@st.composite
def cuttings(draw: st.DrawFn) -> list[str]:
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]


@hypothesis.settings(max_examples=500)
@given(
    cuttings(),
    st.lists(
        st.sampled_from(["STOP", "<|im_end|>", "OP", "\n\n", "<|im_start|>", "a <", "<|return|>", "b"]), max_size=4
    ),
    st.sampled_from([None, THINK]),
    st.booleans(),
    st.sampled_from([(), ROLE]),
    st.booleans(),
    st.booleans(),
)
def test_answer_does_not_depend_on_its_pieces(
    pieces: list[str],
    stops: list[str],
    reasoning: tuple[str, str] | None,
    opened: bool,
    role: tuple[str, ...],
    channels: bool,
    tools: bool,
) -> None:
    options = {"reasoning": reasoning, "reasoning_open": opened, "role_markers": role, "channels": channels}
    whole, cut, single = (OutputParser(stops, tools=tools, **options) for _ in range(3))  # type: ignore[arg-type]
    text = "".join(pieces)

    expected = _parse(whole, text)

    assert _parse(cut, *pieces) == expected
    assert _parse(single, *text) == expected
    assert cut.stopped == single.stopped == whole.stopped
    assert cut.tool_calls == single.tool_calls == whole.tool_calls


@given(cuttings(), st.lists(st.text("abSTOP<|>", min_size=1, max_size=4), max_size=4))
@example(["ab"], ["b", "abc"])
@example(["ab", "c"], ["b", "abc"])
@example(["a", "b", "d"], ["b", "abc"])
def test_nothing_at_or_after_the_first_stop_is_given(pieces: list[str], stops: list[str]) -> None:
    parser, text = OutputParser(stops), "".join(pieces)
    places = [text.find(stop) for stop in stops if stop in text]

    content, _ = _parse(parser, *pieces)

    assert content == text[: min(places, default=len(text))]
    assert parser.stopped is bool(places)


@given(cuttings())
def test_answer_without_markers_is_given_as_it_is(pieces: list[str]) -> None:
    assert _parse(OutputParser(), *pieces) == ("".join(pieces), "")


@given(st.text(), st.text())
def test_text_is_given_as_soon_as_it_can_be_no_marker(first: str, second: str) -> None:
    parser = OutputParser(["\0stop"], reasoning=("\0think", "\0done"))
    first, second = first.replace("\0", ""), second.replace("\0", "")

    assert [delta.text for delta in parser.feed(first)] == ([first] if first else [])
    assert [delta.text for delta in parser.feed(second)] == ([second] if second else [])


# Stops.


def test_stop_that_is_split_never_leaks() -> None:
    parser = OutputParser(["<|im_end|>"])

    assert parser.feed("Hi <|im") == [Delta("content", "Hi ")]
    assert not parser.stopped
    assert parser.feed("_end|") == []
    assert parser.feed(">more") == []
    assert parser.stopped
    assert parser.feed("more") == []
    assert parser.finish() == []


def test_stop_that_begins_a_longer_one_stops_at_once() -> None:
    parser = OutputParser(["ab", "abc"])

    assert parser.feed("xab") == [Delta("content", "x")]
    assert parser.stopped


def test_beginning_of_a_stop_that_comes_to_nothing_is_given() -> None:
    parser = OutputParser(["<|im_end|>"])

    assert parser.feed("a <|im") == [Delta("content", "a ")]
    assert parser.feed("possible") == [Delta("content", "<|impossible")]
    assert parser.feed("<|im_en") == []
    assert parser.finish() == [Delta("content", "<|im_en")]
    assert not parser.stopped


def test_stop_in_thoughts_stops() -> None:
    parser = OutputParser(["END"], reasoning=THINK)

    assert _parse(parser, "<think>one E", "ND two</think>three") == ("", "one ")
    assert parser.stopped


def test_second_finish_gives_nothing_and_later_text_is_refused() -> None:
    parser = OutputParser(["ab"])
    parser.feed("a")

    assert parser.finish() == [Delta("content", "a")]
    assert parser.finish() == []
    with pytest.raises(ValueError, match="expected no text after `finish`"):
        parser.feed("b")


@pytest.mark.parametrize(
    ("stops", "problem"),
    [
        ([""], "`stops`: expected strings that are not empty, got ''."),
        ([None], "`stops`: expected strings that are not empty, got None."),
        ("END", "`stops`: expected a list of strings, got 'END'. Write `['END']`."),
    ],
)
def test_stop_that_is_no_text_is_refused(stops: object, problem: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        OutputParser(stops)

    assert str(caught.value) == problem


# Thoughts.


@pytest.mark.parametrize(
    ("text", "content", "reasoning"),
    [
        ("<think>\nHm.\n\nSo.\n</think>\n\n42", "42", "Hm.\n\nSo."),
        ("<think>\n\n</think>\n\n42", "42", ""),
        ("42", "42", ""),
        ("a<think>b</think>c<think>d</think>e", "ace", "bd"),
        ("<think>never closed", "", "never closed"),
        ("no thoughts </think> here", "no thoughts </think> here", ""),
        ("<thin", "<thin", ""),
        ("<think>half </thin", "", "half </thin"),
    ],
)
def test_thoughts_are_kept_apart(text: str, content: str, reasoning: str) -> None:
    assert _parse(OutputParser(reasoning=THINK), text) == (content, reasoning)


@pytest.mark.parametrize("text", ["\nHm.</think>42", "<think>\nHm.</think>42", "Hm.</think>\n\n42"])
def test_thoughts_that_the_prompt_has_opened_are_kept_apart(text: str) -> None:
    assert _parse(OutputParser(reasoning=THINK, reasoning_open=True), text) == ("42", "Hm.")


def test_line_ends_inside_thoughts_are_kept_however_they_come() -> None:
    assert _parse(OutputParser(reasoning=THINK), "<think>\na", "\n", "\n", "b\n", "</think>", "\n", "c") == (
        "c",
        "a\n\nb",
    )


def test_other_markers_of_thoughts_will_do() -> None:
    assert _parse(OutputParser(reasoning=("[THINK]", "[/THINK]")), "[THINK]a[/THINK]b") == ("b", "a")


# Role markers.


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>assistant\nHi",
        "<|im_start|>assistant Hi",
        "\n<|im_start|>assistant\n\nHi",
        "<|im_start|>assistant\n<|im_start|>assistant\nHi",
    ],
)
def test_role_marker_at_the_start_is_left_out(text: str) -> None:
    parser = OutputParser(["<|im_start|>"], role_markers=ROLE)

    assert _parse(parser, text) == ("Hi", "")
    assert not parser.stopped


@pytest.mark.parametrize("text", ["Hi\n", "  indented", "<|im", " " * 20 + "<|im_start|>assistant\nHi"])
def test_start_that_is_no_role_marker_is_given(text: str) -> None:
    assert _parse(OutputParser(role_markers=ROLE), text) == (text, "")


def test_marker_of_a_new_turn_ends_the_answer() -> None:
    parser = OutputParser.for_prompt(compose([{"role": "user", "content": "Hi"}], "chatml"))

    assert _parse(parser, "<|im_start|>assistant\nHello!\n<|im_start|>user\nMe again") == ("Hello!\n", "")
    assert parser.stopped


def test_alpaca_markers_do_not_reach_the_answer() -> None:
    parser = OutputParser.for_prompt(compose([{"role": "user", "content": "Hi"}], "alpaca"))

    assert _parse(parser, "\n### Response:\nHello!\n\n### Instruction:\nMore") == ("Hello!\n\n", "")


def test_stops_of_the_caller_are_added_to_those_of_the_prompt() -> None:
    prompt = compose([{"role": "user", "content": "Hi"}], "chatml")

    for text in ("Hello<|im_end|>x", "Hello###x", "Hello<|im_start|>x"):
        assert _parse(OutputParser.for_prompt(prompt, ["###"]), text) == ("Hello", "")


# Channels.

HARMONY = (
    "<|channel|>analysis<|message|>Simple arithmetic.<|end|><|start|>assistant<|channel|>final<|message|>2 + 2 = 4."
)


def test_channels_are_kept_apart() -> None:
    # openai/harmony docs/format.md, "Example output".
    prompt = compose([{"role": "user", "content": "What is 2 + 2?"}], "harmony")

    for text in (HARMONY, f"{HARMONY}<|return|>", f"{HARMONY}<|end|>", f"<|start|>assistant{HARMONY}"):
        assert _parse(OutputParser.for_prompt(prompt), text) == ("2 + 2 = 4.", "Simple arithmetic.")


def test_call_in_the_commentary_channel_is_taken_out() -> None:
    # openai/harmony docs/format.md, "Receiving tool calls".
    text = (
        "<|channel|>analysis<|message|>Need to use function get_weather.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.get_weather <|constrain|>json<|message|>{"location":"San Francisco"}<|call|>'
    )
    parser = OutputParser.for_prompt(compose([{"role": "user", "content": "Hi"}], "harmony"))

    assert _parse(parser, text) == ("", "Need to use function get_weather.")
    assert _calls(parser) == [("get_weather", {"location": "San Francisco"})]


def test_recipient_may_stand_in_the_role() -> None:
    parser = OutputParser(channels=True)

    assert _parse(parser, ' to=functions.f<|channel|>commentary<|message|>{"a": 1}') == ("", "")
    assert _calls(parser) == [("f", {"a": 1})]


def test_preamble_is_content_and_a_broken_call_stays_content() -> None:
    parser = OutputParser(channels=True)
    first = "<|channel|>commentary<|message|>I will look.<|end|><|start|>assistant"
    text = f"{first} to=f<|channel|>commentary<|message|>{{bad<|call|>"

    assert _parse(parser, text) == ("I will look.{bad", "")
    assert parser.tool_calls == ()


@pytest.mark.parametrize("text", ['{"answer": 4}', "Plain text.", "  two spaces", "t", "top"])
def test_answer_without_channels_is_content(text: str) -> None:
    assert _parse(OutputParser(channels=True), text) == (text, "")


@given(cuttings())
def test_markup_of_channels_never_leaks(pieces: list[str]) -> None:
    content, reasoning = _parse(OutputParser(channels=True), *pieces)

    for markup in ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>"):
        assert markup not in content
        assert markup not in reasoning


# Tool calls.

ADD = {"name": "add", "arguments": {"a": 1}}
ONE = json.dumps(ADD)
LLAMA = '{"name": "add", "parameters": {"a": 1}}'


@pytest.mark.parametrize(
    ("text", "content", "count"),
    [
        (f"<tool_call>\n{ONE}\n</tool_call>", "", 1),
        (f"<tool_call>{ONE}</tool_call>\n<tool_call>{ONE}</tool_call>", "", 2),
        (f"Let me see.\n\n<tool_call>\n{ONE}\n</tool_call>", "Let me see.", 1),
        (f"<tool_call>[{ONE}, {ONE}]</tool_call>", "", 2),
        (f"<tool_call>{ONE}", "", 1),
        (f"[TOOL_CALLS] [{ONE}]", "", 1),
        (f"[TOOL_CALLS][{ONE},{ONE}]", "", 2),
        (f"<|tool_call|>[{ONE}]<|/tool_call|>", "", 1),
        (f"<|tool_call|>{ONE}<|/tool_call|>", "", 1),
        (LLAMA, "", 1),
        (f" \n{LLAMA}\n", "", 1),
        (f"<|python_tag|>{LLAMA}", "", 1),
        (f"{LLAMA}; {LLAMA}", "", 2),
        ('{"type": "function", "function": {"name": "add", "parameters": {"a": 1}}}', "", 1),
        ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>', "", 1),
    ],
)
def test_call_is_found_in_the_forms_of_the_field(text: str, content: str, count: int) -> None:
    found, calls = parse_tool_calls(text)

    assert found == content
    assert [call["id"] for call in calls] == ["call00000", "call00001"][:count]
    assert {call["type"] for call in calls} == {"function"}
    assert [call["function"] for call in calls] == [{"name": "add", "arguments": '{"a": 1}'}] * count


def test_call_without_arguments_has_none() -> None:
    assert parse_tool_calls('<tool_call>{"name": "now"}</tool_call>')[1][0]["function"]["arguments"] == "{}"


def test_id_of_the_model_is_kept_and_numbers_go_on() -> None:
    text = '[TOOL_CALLS][{"name": "a", "arguments": {}, "id": "AbCdEf123"}, {"name": "b", "arguments": {}}]'

    assert [call["id"] for call in parse_tool_calls(text, first=7)[1]] == ["AbCdEf123", "call00008"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        "<tool_call>",
        "<tool_call>{bad json}</tool_call>",
        '<tool_call>{"name": "add", "arguments": {"a": </tool_call>',
        '<tool_call>{"name": 7, "arguments": {}}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',
        "<tool_call>[]</tool_call>",
        f"<tool_call>[{ONE}, 7]</tool_call>",
        "[TOOL_CALLS] none",
        '{"name": "Ann", "age": 7}',
        '{"name": "add", "parameters": {"a": 1}} and more',
        f"Use {LLAMA}",
        "{" * 100_000,
        '<tool_call>{"name": "a", "arguments": ' + "[" * 100_000,
    ],
)
def test_what_is_no_call_stays_content(text: str) -> None:
    assert parse_tool_calls(text) == (text, [])


def test_good_call_beside_a_bad_one_is_found() -> None:
    text = f"<tool_call>{{bad}}</tool_call><tool_call>{ONE}</tool_call>"

    content, calls = parse_tool_calls(text)

    assert content == "<tool_call>{bad}</tool_call>"
    assert len(calls) == 1


def test_marker_inside_arguments_is_text() -> None:
    call = json.dumps({"name": "print", "arguments": {"text": "</tool_call><tool_call>[TOOL_CALLS]"}})

    content, calls = parse_tool_calls(f"<tool_call>{call}</tool_call>")

    assert (content, len(calls)) == ("", 1)
    assert json.loads(calls[0]["function"]["arguments"])["text"] == "</tool_call><tool_call>[TOOL_CALLS]"


def test_half_of_a_surrogate_pair_in_arguments_stays_an_escape() -> None:
    arguments = parse_tool_calls('<tool_call>{"name": "f", "arguments": {"a": "\\ud800"}}</tool_call>')[1][0][
        "function"
    ]["arguments"]

    assert arguments == '{"a": "\\ud800"}'
    assert arguments.encode()


def test_calls_are_held_back_and_the_rest_is_streamed() -> None:
    parser = OutputParser(reasoning=THINK, tools=True)

    assert parser.feed("<think>Hm.</think>Let me see. <tool") == [
        Delta("reasoning", "Hm."),
        Delta("content", "Let me see. "),
    ]
    assert parser.feed(f"_call>{ONE}</tool_call>") == []
    assert parser.finish() == []
    assert _calls(parser) == [("add", {"a": 1})]


@pytest.mark.parametrize("pieces", [[f" \n{LLAMA}"], [" ", "\n", LLAMA]])
def test_white_space_before_a_call_is_left_out(pieces: list[str]) -> None:
    parser = OutputParser(tools=True)

    assert _parse(parser, *pieces) == ("", "")
    assert _calls(parser) == [("add", {"a": 1})]


def test_bare_call_is_held_back_and_other_json_comes_in_the_end() -> None:
    bare, other = OutputParser(tools=True), OutputParser(tools=True)

    assert bare.feed(LLAMA) == bare.finish() == []
    assert _calls(bare) == [("add", {"a": 1})]
    assert other.feed('{"answer": 4}') == []
    assert other.finish() == [Delta("content", '{"answer": 4}')]


def test_call_is_content_where_no_tools_were_offered() -> None:
    assert _parse(OutputParser(), f"<tool_call>{ONE}</tool_call>") == (f"<tool_call>{ONE}</tool_call>", "")


def test_calls_are_numbered_on_from_those_of_the_conversation() -> None:
    parser = OutputParser(tools=True, first_call=2)
    parser.feed('<tool_call>{"name": "add", "arguments": {}}</tool_call>')
    parser.finish()
    assert [call["id"] for call in parser.tool_calls] == ["call00002"]
