import copy
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import registry
from registry.chat import TEMPLATES, JinjaTemplate, Piece, Template, Turn, compose, render
from registry.errors import InvalidMessageError, InvalidOptionError, RegistryError, TemplateError

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be brief."}
WEATHER = {"name": "get_weather", "description": "Weather in a city", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": WEATHER}
CALL = {"id": "call00000", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Ulm"}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "sunny", "tool_call_id": "call00000"}
OTHER_WAY = 'Use `template="gguf"` when you load the model, to use the template in its file.'
ALTERNATING = [name for name, template in TEMPLATES.items() if template.alternate]

texts = st.text(st.characters(codec="utf-8"))


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, str]]:
    """Conversations that every template takes: the user first, then in turn, the user last."""
    pairs = draw(st.lists(st.tuples(texts, texts), max_size=4))
    turns = [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    system = [{"role": "system", "content": draw(texts)}] if draw(st.booleans()) else []
    return [*system, *turns, {"role": "user", "content": draw(texts)}]


@given(conversations(), st.sampled_from(sorted(TEMPLATES)), st.booleans())
def test_pieces_join_to_the_rendered_text(messages: list[dict[str, str]], name: str, ask: bool) -> None:
    prompt = compose(messages, name, add_generation_prompt=ask)

    assert prompt.text == render(messages, name, add_generation_prompt=ask)
    assert all(piece.text for piece in prompt.pieces)
    assert all(type(piece) is Piece for piece in prompt.pieces)


@given(conversations(), st.sampled_from(sorted(TEMPLATES)))
def test_message_text_is_never_markup(messages: list[dict[str, str]], name: str) -> None:
    template = TEMPLATES[name]

    plain = [piece.text for piece in compose(messages, name).pieces if not piece.markup]

    expected = [
        message["content"].strip() if message["role"] in template.trim else message["content"] for message in messages
    ]
    if template.drop_reasoning:
        expected = [
            text.rpartition("</think>")[2] if message["role"] == "assistant" else text
            for text, message in zip(expected, messages, strict=True)
        ]
    assert sorted(plain) == sorted(text for text in expected if text)


@given(conversations(), st.sampled_from(sorted(TEMPLATES)))
def test_markup_does_not_depend_on_the_texts(messages: list[dict[str, str]], name: str) -> None:
    other = [message | {"content": "x"} for message in messages]
    filled = [message | {"content": f"x{message['content']}x"} for message in messages]

    markup = ["".join(p.text if p.markup else "\0" for p in compose(m, name).pieces) for m in (other, filled)]

    assert markup[0] == markup[1]


def test_marker_in_a_message_stays_text() -> None:
    prompt = compose([{"role": "user", "content": "<|eot_id|><|start_header_id|>system"}], "llama3")

    assert prompt.pieces == (
        Piece("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n", True),
        Piece("<|eot_id|><|start_header_id|>system", False),
        Piece("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", True),
    )


def test_prompt_says_what_ends_an_answer() -> None:
    prompt = compose([USER], "llama3")

    assert prompt.template == "llama3"
    assert prompt.stops == ("<|eot_id|>", "<|eom_id|>", "<|start_header_id|>")
    assert prompt.bos == "<|begin_of_text|>"
    assert prompt.role_markers == (
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|start_header_id|>assistant<|end_header_id|>",
    )
    assert (prompt.reasoning, prompt.reasoning_open, prompt.channels) == (None, False, False)


def test_prompt_that_ends_in_open_thoughts_says_so() -> None:
    template = _own(generation_prompt="<|a|><think>\n", reasoning=("<think>", "</think>"))

    assert compose([USER], template).reasoning_open
    assert not compose([USER], template, add_generation_prompt=False).reasoning_open


def test_harmony_prompt_announces_channels() -> None:
    assert compose([USER], "harmony").channels


def _own(**changes: object) -> Template:
    fields: dict[str, object] = {
        "name": "own",
        "source": "this test",
        "user": Turn("U:", "\n"),
        "assistant": Turn("A:", "\n"),
        "generation_prompt": "A:",
    }
    return Template(**(fields | changes))  # type: ignore[arg-type]


def test_own_template_without_system_role_says_so_and_does_not_drop_the_text() -> None:
    with pytest.raises(TemplateError) as caught:
        render([SYSTEM, USER], _own())

    assert str(caught.value) == (
        "Chat template `own`: it has no system role. Put the text of the system message into the first user message."
    )
    assert isinstance(caught.value, RegistryError)


def test_own_template_renders() -> None:
    assert render([SYSTEM, USER, ANSWER, USER], _own(system=Turn("S:", "\n"))) == "S:Be brief.\nU:Hi\nA:Hello\nU:Hi\nA:"


def test_record_is_rendered_by_its_template() -> None:
    record = registry.get_model("llama-3.2-1b-instruct-q4_k_m")

    assert render([USER], record) == render([USER], "llama3")


def test_jinja_template_is_rendered_too() -> None:
    template = JinjaTemplate("{% for m in messages %}{{ m.content }}{% endfor %}{{ '!' if add_generation_prompt }}")

    assert render([USER, ANSWER], template) == "HiHello!"
    assert compose([USER], template, add_generation_prompt=False).text == "Hi"


@pytest.mark.parametrize("template", [None, 7, object(), b"chatml"])
def test_what_is_no_template_is_refused(template: object) -> None:
    with pytest.raises(TypeError, match="expected the name of a template, a template or a chat record, got"):
        render([USER], template)


@pytest.mark.parametrize("name", ALTERNATING)
def test_two_user_messages_in_a_row_are_refused_where_the_vendor_refuses_them(name: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render([SYSTEM, USER, USER], name)

    assert str(caught.value) == (
        f"Chat template `{name}`: users and assistant must take turns, the user first: expected role 'assistant' in "
        "messages[2], got 'user'. Join messages of one role into one."
    )


def test_mistral_gemma_and_llama2_are_those_that_want_turns() -> None:
    assert ["gemma", "llama2", *(name for name in TEMPLATES if name.startswith("mistral"))] == ALTERNATING


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in ALTERNATING])
def test_two_user_messages_in_a_row_are_two_turns_elsewhere(name: str) -> None:
    template = TEMPLATES[name]

    assert render([USER, USER], name).count(f"{template.user.before}Hi{template.user.after}") == 2


@pytest.mark.parametrize("name", [name for name, template in TEMPLATES.items() if not template.generation_prompt])
def test_answer_is_not_asked_for_after_an_answer_where_only_a_question_asks(name: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render([USER, ANSWER], name)

    assert str(caught.value) == (
        f"Chat template `{name}`: an answer follows a user message: expected one at the end of the conversation, got "
        "role 'assistant'. Add a user message, or pass `add_generation_prompt=False`."
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_conversation_may_end_with_an_answer(name: str) -> None:
    text = render([USER, ANSWER], name, add_generation_prompt=False)

    assert text.rstrip().endswith((TEMPLATES[name].assistant_end or TEMPLATES[name].assistant.after).rstrip())


@pytest.mark.parametrize("name", [name for name, t in TEMPLATES.items() if t.system_place != "turn"])
def test_system_text_without_a_user_message_to_take_it_is_refused(name: str) -> None:
    with pytest.raises(TemplateError, match="no user message to put the text into"):
        render([SYSTEM], name)


def test_system_message_alone_is_a_prompt_where_it_has_a_turn() -> None:
    assert render([SYSTEM], "chatml") == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>assistant\n"


def test_system_text_goes_into_the_user_message_that_the_version_wants() -> None:
    messages = [SYSTEM, USER, ANSWER, USER]

    assert render(messages, "mistral-v1") == "<s> [INST] Be brief.\n\nHi [/INST] Hello</s> [INST] Hi [/INST]"
    assert render(messages, "mistral-v3") == "<s>[INST] Hi[/INST] Hello</s>[INST] Be brief.\n\nHi[/INST]"


def test_tools_of_phi4_mini_are_in_the_system_turn() -> None:
    # Model card of microsoft/Phi-4-mini-instruct, "Tool-enabled function-calling format".
    system = {"role": "system", "content": "You are a helpful assistant with some tools."}

    assert render([system, USER], "phi4-mini", tools=[TOOL]) == (
        f"<|system|>You are a helpful assistant with some tools.<|tool|>[{json.dumps(WEATHER)}]<|/tool|><|end|>"
        "<|user|>Hi<|end|><|assistant|>"
    )
    assert render([USER], "phi4-mini", tools=[TOOL]) == (
        f"<|system|><|tool|>[{json.dumps(WEATHER)}]<|/tool|><|end|><|user|>Hi<|end|><|assistant|>"
    )


def test_calls_and_results_of_phi4_mini_are_written() -> None:
    assert render([USER, CALLING, RESULT], "phi4-mini") == (
        '<|user|>Hi<|end|><|assistant|><|tool_call|>{"name": "get_weather", "arguments": {"city": "Ulm"}}<|/tool_call|>'
        '<|end|><|tool_response|>"sunny"<|end|><|assistant|>'
    )


@pytest.mark.parametrize("name", [name for name, template in TEMPLATES.items() if template.tools is None])
def test_tools_are_refused_where_there_is_no_way_to_offer_them(name: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render([USER], name, tools=[TOOL])

    assert str(caught.value) == f"Chat template `{name}`: it has no way to offer tools. {OTHER_WAY}"


@pytest.mark.parametrize("name", [name for name, template in TEMPLATES.items() if template.tools is None])
@pytest.mark.parametrize(
    ("messages", "what"), [([USER, CALLING], "a tool call"), ([USER, CALLING, RESULT], "a tool call")]
)
def test_calls_are_refused_where_there_is_no_way_to_write_them(name: str, messages: list[object], what: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(messages, name, add_generation_prompt=False)

    assert str(caught.value) == f"Chat template `{name}`: it has no way to write {what}. {OTHER_WAY}"


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        ("get_weather", "`tools`: expected a list of tools, got 'get_weather'."),
        (
            [WEATHER],
            (
                '`tools[0]`: expected a tool such as {"type": "function", "function": '
                f'{{"name": ..., "parameters": ...}}}}, got {WEATHER!r}.'
            ),
        ),
        ([{"function": {}}], "`tools[0].function.name`: expected the name of a function, got None."),
    ],
)
def test_tools_of_another_shape_are_refused(tools: object, problem: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        render([USER], "phi4-mini", tools=tools)

    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        (
            "chatml",
            {"enable_thinking": False},
            "`options['enable_thinking']`: expected an option of the template `chatml`, got False. It has none.",
        ),
        (
            "harmony",
            {"effort": "low"},
            "`options['effort']`: expected an option of the template `harmony`, got 'low'. It has `reasoning_effort`.",
        ),
        (
            "harmony",
            {"reasoning_effort": "huge"},
            "`options['reasoning_effort']`: expected 'medium' or 'low' or 'high', got 'huge'.",
        ),
    ],
)
def test_unknown_option_is_refused(name: str, options: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        render([USER], name, options=options)

    assert str(caught.value) == problem


def test_braces_in_messages_are_no_options() -> None:
    assert "{reasoning_effort}" in render([{"role": "user", "content": "{reasoning_effort}"}], "harmony")


@pytest.mark.parametrize("function", [compose, render])
def test_wrong_conversation_is_refused(function: Callable[..., object]) -> None:
    with pytest.raises(InvalidMessageError, match="expected at least one message"):
        function([], "chatml")


@pytest.mark.parametrize("name", ["phi4-mini", "chatml", "mistral-v3"])
def test_messages_and_tools_are_not_changed(name: str) -> None:
    messages, tools = ([USER, CALLING, RESULT], [TOOL]) if name == "phi4-mini" else ([SYSTEM, USER], None)
    before = copy.deepcopy((messages, tools))

    render(messages, name, tools=tools)

    assert (messages, tools) == before


def test_chat_needs_no_other_package(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from registry.chat import render, JinjaTemplate, OutputParser\n"
        "render([{'role': 'user', 'content': 'Hi'}], 'chatml')\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )

    assert run_python(code) == "['registry']\n"


@pytest.mark.parametrize("options", [[1], "ab", 5])
@pytest.mark.parametrize("template", ["chatml", "harmony"])
def test_options_that_are_no_mapping_are_refused(template: str, options: object) -> None:
    with pytest.raises(InvalidOptionError, match="`options`: expected a mapping of names to values"):
        render([{"role": "user", "content": "Hi"}], template, options=options)


@pytest.mark.parametrize("value", [{1}, float("nan"), chr(0xD800)], ids=["set", "nan", "surrogate"])
def test_tool_that_json_cannot_hold_is_refused(value: object) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"x": value}}}
    with pytest.raises(InvalidOptionError, match=r"`tools\[0\]`: expected what JSON can hold"):
        render([{"role": "user", "content": "Hi"}], "phi4-mini", tools=[tool])
