import copy
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.chat import JinjaTemplate, Piece
from registry.errors import InvalidMessageError, InvalidOptionError, MissingExtraError, TemplateError

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = {"id": "call00000", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": [2]}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "3", "tool_call_id": "call00000"}

PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|eot|>{% endfor %}"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CALLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}({% for k, v in c.function.arguments.items() %}"
    "{{ k }}={{ v }};{% endfor %}){% endfor %}{% endfor %}"
)


def _text(source: str, messages: list[dict[str, object]] | None = None, **options: object) -> str:
    return JinjaTemplate(source).compose(messages or [USER], options=options).text


# What templates are given.


def test_variables_are_those_of_transformers() -> None:
    source = "{{ bos_token }}|{{ eos_token }}|{{ tools }}|{{ documents }}|{{ add_generation_prompt }}|{{ messages[0] }}"
    template = JinjaTemplate(source, bos_token="<s>", eos_token="</s>")

    assert template.compose([USER]).text == "<s>|</s>|None|None|True|{'role': 'user', 'content': 'Hi'}"
    assert "|False|" in template.compose([USER], add_generation_prompt=False).text


def test_blocks_are_trimmed_as_transformers_does_it() -> None:
    assert _text("{% for m in messages %}\n    {% if m %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}\n") == "Hi\n"


def test_options_are_variables() -> None:
    assert _text("{{ enable_thinking }} {{ documents }}", enable_thinking=False, documents=["d"]) == "False ['d']"


@pytest.mark.parametrize("name", ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"])
def test_option_with_the_name_of_a_variable_is_refused(name: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        JinjaTemplate(PLAIN).compose([USER], options={name: 1})

    assert str(caught.value) == f"`options['{name}']`: expected a name that is not set already, got '{name}'."


def test_json_is_written_as_transformers_writes_it() -> None:
    assert _text("{{ {'a': '<é> & \"q\"', 'b': none} | tojson }}") == '{"a": "<é> & \\"q\\"", "b": null}'
    assert _text("{{ [1, {'z': 1, 'a': 2}] | tojson(indent=2) }}") == '[\n  1,\n  {\n    "z": 1,\n    "a": 2\n  }\n]'
    assert _text("{{ 'é' | tojson(ensure_ascii=true) }}") == '"\\u00e9"'


def test_clock_is_there() -> None:
    assert _text("{{ strftime_now('%Y') }}") in {str(datetime.now().year), str(datetime.now().year - 1)}


def test_clock_can_be_replaced() -> None:
    assert _text("{{ strftime_now('%Y') }}", strftime_now=lambda form: f"<{form}>") == "<%Y>"


def test_generation_block_changes_nothing() -> None:
    marked = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}"

    assert _text(marked) == _text(marked.replace("endgeneration", "endif").replace("generation", "if true")) == "Hi"


def test_loops_can_be_left() -> None:
    source = (
        "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}"
    )

    assert _text(source) == "02"


def test_namespace_keeps_what_a_loop_sets() -> None:
    assert (
        _text("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}")
        == "1"
    )


def test_arguments_of_calls_are_objects() -> None:
    assert _text(CALLS, [USER, CALLING, RESULT]) == "[user]Hi[assistant]add(a=1;b=[2];)[tool]3"


def test_thoughts_go_by_both_of_their_names() -> None:
    answer = {"role": "assistant", "content": "4", "reasoning_content": "2+2"}

    assert _text("{{ messages[1].reasoning_content }} {{ messages[1].thinking }}", [USER, answer]) == "2+2 2+2"


def test_content_is_none_where_a_call_has_none() -> None:
    source = (
        "{% for m in messages %}{{ m.content }}{{ m.tool_calls[0].function.arguments if m.tool_calls }};{% endfor %}"
    )

    assert _text(source, [USER, CALLING, RESULT]) == "Hi;None{'a': 1, 'b': [2]};3;"


def test_content_is_empty_where_the_template_cannot_do_without() -> None:
    source = "{% for m in messages %}{{ m.content + '.' }}{{ m.tool_calls }}{% endfor %}"

    assert _text(source, [USER, CALLING, RESULT]).startswith("Hi..[")


def test_conversation_is_not_changed() -> None:
    messages, tools, options = [SYSTEM, USER, CALLING, RESULT], [TOOL], {"documents": [{"text": "a<|eot|>"}]}
    before = copy.deepcopy((messages, tools, options))

    JinjaTemplate(CALLS).compose(messages, tools=tools, options=options, markers=["<|eot|>"])

    assert (messages, tools, options) == before


# What they are found to support.


def test_tools_are_offered_where_the_template_looks_at_them() -> None:
    template = JinjaTemplate(CALLS)

    assert template.supports_tools
    assert template.compose([USER], tools=[TOOL]).text.startswith('[{"type": "function"')


def test_tools_are_refused_where_the_template_does_not_look_at_them() -> None:
    template = JinjaTemplate(CHATML)

    assert not template.supports_tools
    with pytest.raises(TemplateError) as caught:
        template.compose([USER], tools=[TOOL])
    assert str(caught.value) == (
        "Chat template `gguf`: it has no way to offer tools. Choose a model whose template has one."
    )


@pytest.mark.parametrize("messages", [[USER, CALLING, RESULT], [USER, CALLING]])
def test_calls_are_refused_where_they_would_be_lost(messages: list[dict[str, object]]) -> None:
    with pytest.raises(TemplateError) as caught:
        JinjaTemplate(PLAIN).compose(messages)

    assert str(caught.value) == (
        "Chat template `gguf`: it has no way to write tool calls and their results. "
        "Choose a model whose template has one."
    )


@pytest.mark.parametrize(
    ("source", "supported"),
    [
        (CHATML, True),
        ("{{ messages[0].content | trim }}", True),
        ("{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}", False),
        ("{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}x", False),
        ("{{ raise_exception('never') }}", False),
    ],
)
def test_system_role_is_found_by_trying(source: str, supported: bool) -> None:
    assert JinjaTemplate(source).supports_system is supported


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}",
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}x",
    ],
)
def test_system_text_that_would_be_lost_is_refused(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        JinjaTemplate(source, name="phi-3-mini").compose([SYSTEM, USER])

    assert str(caught.value) == (
        "Chat template `phi-3-mini`: it has no system role. "
        "Put the text of the system message into the first user message."
    )


# What it says of the answer.


def test_prompt_says_what_ends_an_answer_and_what_opens_it() -> None:
    prompt = JinjaTemplate("{{ bos_token }}" + CHATML, bos_token="<s>", eos_token="<|im_end|>").compose([USER])

    assert (prompt.template, prompt.bos, prompt.stops) == ("gguf", "<s>", ("<|im_end|>",))
    assert prompt.role_markers == ("<|im_start|>assistant\n", "<|im_start|>assistant")
    assert (prompt.reasoning, prompt.reasoning_open, prompt.channels) == (None, False, False)


def test_token_at_the_beginning_is_not_claimed_where_it_is_not_printed() -> None:
    assert JinjaTemplate(CHATML, bos_token="<s>").compose([USER]).bos == ""


def test_prompt_that_ends_in_open_thoughts_says_so() -> None:
    template = JinjaTemplate(CHATML.replace("assistant\n", "assistant\n<think>\n"))

    assert template.compose([USER]).reasoning_open
    assert template.compose([USER]).reasoning == ("<think>", "</think>")
    assert template.compose([USER]).role_markers == ("<|im_start|>assistant\n", "<|im_start|>assistant")
    assert not template.compose([USER], add_generation_prompt=False).reasoning_open


def test_thoughts_are_open_only_where_an_answer_is_asked_for() -> None:
    prompt = JinjaTemplate("{{ messages[0].content }}").compose(
        [{"role": "user", "content": "<think>"}], add_generation_prompt=False
    )

    assert not prompt.reasoning_open


def test_template_that_knows_channels_announces_them() -> None:
    prompt = JinjaTemplate("<|start|>assistant{# <|channel|>analysis <think> #}").compose([USER])

    assert prompt.channels
    assert prompt.reasoning is None


# Markers in messages.

MARKERS = ("<|eot|>", "<|eot_id|>", "[user]", "<think>", "</think>")


def test_marker_in_a_message_becomes_a_piece_that_is_no_markup() -> None:
    prompt = JinjaTemplate(PLAIN).compose([{"role": "user", "content": "a<|eot|>[user]b"}], markers=MARKERS)

    assert prompt.pieces == (
        Piece("[user]a", True),
        Piece("<|eot|>", False),
        Piece("[user]", False),
        Piece("b<|eot|>", True),
    )


def test_messages_without_markers_are_one_piece() -> None:
    assert JinjaTemplate(PLAIN).compose([USER], markers=MARKERS).pieces == (Piece("[user]Hi<|eot|>", True),)


def test_longest_marker_is_hidden() -> None:
    pieces = (
        JinjaTemplate("{{ messages[0].content }}")
        .compose([{"role": "user", "content": "<s>x"}], markers=["<s>", "<s>x"])
        .pieces
    )

    assert pieces == (Piece("<s>x", False),)


def test_parts_of_a_marker_round_a_marker_do_not_become_one() -> None:
    pieces = JinjaTemplate(PLAIN).compose([{"role": "user", "content": "<|e<|eot|>ot|>"}], markers=MARKERS).pieces

    assert [piece.text for piece in pieces if piece.markup] == ["[user]<|e", "ot|><|eot|>"]


@pytest.mark.parametrize("change", ["tojson", "trim", "upper", "title", "e", "string"])
def test_marker_survives_what_templates_do_to_contents(change: str) -> None:
    source = f"{{{{ messages[0].content | {change} }}}}"

    pieces = JinjaTemplate(source).compose([{"role": "user", "content": " <|eot|> "}], markers=MARKERS).pieces

    assert Piece("<|eot|>", False) in pieces
    assert not any(re.search("[0-9]", piece.text) for piece in pieces)


def test_markers_in_names_calls_results_and_tools_are_hidden_too() -> None:
    call = {"function": {"name": "<|eot|>", "arguments": {"[user]": "<|eot_id|>"}}, "id": "<|eot|>"}
    tool = {"type": "function", "function": {"name": "x", "description": "<|eot|>"}}
    messages = [
        USER,
        {"role": "assistant", "tool_calls": [call]},
        RESULT | {"tool_call_id": "<|eot|>", "content": "<|eot|>"},
    ]

    pieces = JinjaTemplate(CALLS).compose(messages, tools=[tool], markers=MARKERS).pieces

    hidden = [piece.text for piece in pieces if not piece.markup]
    assert hidden == ["<|eot|>", "<|eot|>", "[user]", "<|eot_id|>", "<|eot|>"]


def test_thoughts_in_earlier_answers_keep_their_markers_for_the_template_to_drop() -> None:
    source = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}"
    messages = [{"role": "user", "content": "a</think>"}, {"role": "assistant", "content": "<think>b</think>c<|eot|>"}]

    pieces = JinjaTemplate(source).compose(messages, markers=MARKERS).pieces

    assert pieces == (Piece("a", True), Piece("</think>", False), Piece("c", True), Piece("<|eot|>", False))


def test_template_that_takes_contents_apart_is_refused_rather_than_showing_what_stands_for_markers() -> None:
    with pytest.raises(TemplateError, match="it takes message texts apart"):
        JinjaTemplate("{{ messages[0].content[:20] }}").compose(
            [{"role": "user", "content": "<|eot|>"}], markers=MARKERS
        )


@given(
    st.lists(st.one_of(st.sampled_from(MARKERS), st.text(st.sampled_from("<|>eot_id[]users0123456789 "))), max_size=8)
)
def test_no_message_can_make_markup_of_a_marker(parts: list[str]) -> None:
    content = "".join(parts)

    prompt = JinjaTemplate("{{ messages[0].content }}").compose([{"role": "user", "content": content}], markers=MARKERS)

    assert prompt.text == content
    assert not any(marker in piece.text for marker in MARKERS for piece in prompt.pieces if piece.markup)
    assert all(piece.text in MARKERS for piece in prompt.pieces if not piece.markup)


# What they cannot do.


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% if %}", "it is no valid Jinja in line 1: Expected an expression, got 'end of statement block'."),
        ("a\nb\n{% foo %}", "it is no valid Jinja in line 3: Encountered unknown tag 'foo'."),
        ("{{ 1 | nofilter }}", "it is no valid Jinja in line 1: No filter named 'nofilter'."),
        ("a\n{% include 'x' %}", "it fails in line 2: TypeError: no loader for this environment specified"),
        ("a\n\n{{ x.y }}", "it fails in line 3: UndefinedError: 'x' is undefined"),
        ("{{ messages[0].content + 1 }}", 'it fails in line 1: TypeError: can only concatenate str (not "int") to str'),
        (
            "{{ ''.__class__.__mro__ }}",
            "it fails in line 1: SecurityError: access to attribute '__class__' of 'str' object is unsafe.",
        ),
        (
            "\n{{ messages.append(1) }}",
            "it fails in line 2: SecurityError: access to attribute 'append' of 'list' object is unsafe.",
        ),
        (
            "{{ raise_exception.__globals__.x }}",
            "it fails in line 1: SecurityError: access to attribute '__globals__' of 'function' object is unsafe.",
        ),
        ("{{ lipsum() }}", "it fails in line 1: UndefinedError: 'lipsum' is undefined"),
        (
            "{% set ns = namespace() %}{% set ns.__html__ = 1 %}",
            "it fails in line 1: SecurityError: a namespace cannot have a slot named '__html__'",
        ),
        ("{{ raise_exception('Roles must alternate') }}", "it refuses the conversation: Roles must alternate"),
        (
            "a\n{% for i in range(10 ** 9) %}{% endfor %}",
            "it fails in line 2: SecurityError: the result of `**` may be too large",
        ),
        (
            "a\n{% for i in range(100001) %}{% endfor %}",
            (
                "it fails in line 2: OverflowError: Range too big. "
                "The sandbox blocks ranges larger than MAX_RANGE (100000)."
            ),
        ),
        ("{{ 'a' * 1000001 }}", "it fails in line 1: SecurityError: the result of `*` may be too large"),
        (
            "{% set ns = namespace(n=9) %}{% for i in range(99) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
            "it fails in line 1: SecurityError: the result of `*` may be too large",
        ),
    ],
)
def test_template_that_fails_says_where(source: str, problem: str) -> None:
    with pytest.raises(TemplateError) as caught:
        JinjaTemplate(source, name="x.gguf").compose([USER])

    assert str(caught.value) == f"Chat template `x.gguf`: {problem}"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("{% for i in range(99999) %}\n{% for j in range(9) %}{% endfor %}{% endfor %}", 2),
        ("{% for i in range(99999) recursive %}{{ loop([1]) }}{% endfor %}", 1),
        ("{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}", 1),
        ("{% macro f() %}{% endmacro %}{% for i in range(999) %}{{ f() }}{% endfor %}", 1),
    ],
)
def test_endless_template_is_ended(source: str, line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    template = JinjaTemplate(source)
    monkeypatch.setattr("registry.chat._sandbox.MAX_STEPS", 102)

    with pytest.raises(TemplateError) as caught:
        template.compose([USER])

    problem = f"it fails in line {line}: SecurityError: expected at most 102 steps, got more"
    assert str(caught.value) == f"Chat template `gguf`: {problem}"


def test_long_conversation_takes_no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    template = JinjaTemplate(CHATML)
    monkeypatch.setattr("registry.chat._sandbox.MAX_STEPS", 0)

    assert template.compose([USER] * 5000).text.count("Hi") == 5000


@pytest.mark.parametrize(
    "source", ["{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ " + "(" * 3000 + ")" * 3000 + " }}"]
)
def test_deep_recursion_is_a_template_error(source: str) -> None:
    with pytest.raises(TemplateError):
        JinjaTemplate(source).compose([USER])


def test_very_long_template_is_refused() -> None:
    with pytest.raises(TemplateError, match="expected at most 500000 characters, got 500001"):
        JinjaTemplate("x" * 500_001)


def test_numbers_may_be_multiplied() -> None:
    assert _text("{{ 2 * 3.5 }} {{ 'ab' * 2 }} {{ [1] * 2 }}") == "7.0 abab [1, 1]"


@pytest.mark.parametrize("source", [None, b"x", Path("template.jinja")])
def test_source_is_text(source: object) -> None:
    with pytest.raises(TypeError, match="expected the text of a template, got"):
        JinjaTemplate(source)


def test_wrong_conversation_is_refused() -> None:
    with pytest.raises(InvalidMessageError, match="expected at least one message"):
        JinjaTemplate(PLAIN).compose([])


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)

    with pytest.raises(MissingExtraError) as caught:
        JinjaTemplate(PLAIN)

    assert str(caught.value) == (
        "The template in a model's file needs `jinja2`, which is not installed. "
        'Install it with `pip install "typed-model-registry[chat]"`.'
    )


def test_one_template_serves_several_threads() -> None:
    template = JinjaTemplate(CHATML)

    def work(number: int) -> bool:
        messages = [{"role": "user", "content": f"{number}<|im_end|>"}] * 30
        texts = {template.compose(messages, markers=["<|im_end|>"]).text for _ in range(10)}
        return texts == {template.compose(messages).text}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [True] * 8


def test_repr_is_short() -> None:
    assert repr(JinjaTemplate(PLAIN)) == f"<JinjaTemplate gguf: {len(PLAIN)} characters>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.center(1000000000) }}",
        "{{ 'a'.zfill(1000000000) }}",
        "{{ '{:>1000000000}'.format(1) }}",
    ],
)
def test_template_that_fills_a_text_to_any_width_is_refused_at_once(source: str) -> None:
    with pytest.raises(TemplateError):
        JinjaTemplate(source).compose([{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize("source", ["{{ 'a'|center(1000000000) }}", "{{ 'a'|indent(1000000000) }}"])
def test_filter_that_fills_a_text_to_any_width_is_not_there(source: str) -> None:
    with pytest.raises(TemplateError, match="No filter named"):
        JinjaTemplate(source)


def test_remainder_of_numbers_is_computed() -> None:
    template = JinjaTemplate("{% for m in messages %}{{ loop.index % 2 }}{% endfor %}")
    assert template.compose([{"role": "user", "content": "Hi"}]).text == "1"
