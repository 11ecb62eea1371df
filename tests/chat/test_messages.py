import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import RegistryError
from registry.chat import check_messages
from registry.errors import InvalidMessageError

USER = {"role": "user", "content": "Hi"}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"id": "call00000", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "3", "tool_call_id": "call00000"}
ROLES = "expected one of 'system', 'developer', 'user', 'assistant', 'tool', got"

WRONG = [
    ([], "`messages`: expected at least one message, got none. Add a user message."),
    ("Hello", "`messages`: expected a list of messages, got `str`."),
    (b"Hello", "`messages`: expected a list of messages, got `bytes`."),
    (USER, "`messages`: expected a list of messages, got `dict`."),
    (None, "`messages`: expected a list of messages, got None."),
    (iter([USER]), "`messages`: expected a list of messages, got `list_iterator`."),
    (["Hello"], "`messages[0]`: expected a dict with role and content, got `str`."),
    ([USER, None], "`messages[1]`: expected a dict with role and content, got None."),
    ([{"content": "Hi"}], f"`messages[0].role`: {ROLES} none."),
    ([USER, USER, {"role": "bot", "content": "Hi"}], f"`messages[2].role`: {ROLES} 'bot'."),
    ([{"role": ["user"], "content": "Hi"}], f"`messages[0].role`: {ROLES} ['user']."),
    ([{"role": "User", "content": "Hi"}], f"`messages[0].role`: {ROLES} 'User'."),
    ([{"role": "user"}], "`messages[0].content`: expected a string, or a list of text parts, got nothing."),
    (
        [{"role": "user", "content": None}],
        "`messages[0].content`: expected a string, or a list of text parts, got None.",
    ),
    (
        [USER, {"role": "assistant", "content": None}],
        (
            "`messages[1].content`: expected a string, or a list of text parts, got None. "
            "Only an assistant message with `tool_calls` needs none."
        ),
    ),
    (
        [{"role": "user", "content": 7}],
        "`messages[0].content`: expected a string, or a list of text parts, got `int`.",
    ),
    (
        [{"role": "user", "content": ["Hi"]}],
        '`messages[0].content[0]`: expected a part such as {"type": "text", "text": ...}, got `str`.',
    ),
    (
        [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]}],
        "`messages[0].content[1].type`: expected 'text', got 'image_url'. Chat models of this library read text only.",
    ),
    (
        [{"role": "user", "content": [{"type": "text", "text": None}]}],
        "`messages[0].content[0].text`: expected a string, got None.",
    ),
    (
        [SYSTEM, USER, SYSTEM],
        (
            "`messages[2].role`: expected at most one system message, got a second one (the first is messages[0]). "
            "Join their texts."
        ),
    ),
    (
        [SYSTEM, {"role": "developer", "content": "x"}],
        (
            "`messages[1].role`: expected at most one system message, got a second one (the first is messages[0]). "
            "Join their texts."
        ),
    ),
    (
        [USER, SYSTEM],
        (
            "`messages[1].role`: expected the system message at the start of the conversation, got it later. "
            "Move it to messages[0]."
        ),
    ),
    (
        [{"role": "user", "content": "ab\ud800c"}],
        "`messages[0].content`: expected text that UTF-8 can encode, got the lone surrogate '\\ud800' at character 2.",
    ),
    (
        [{"role": "user", "content": [{"type": "text", "text": "\udfff"}]}],
        (
            "`messages[0].content[0].text`: expected text that UTF-8 can encode, "
            "got the lone surrogate '\\udfff' at character 0."
        ),
    ),
    (
        [USER, RESULT],
        "`messages[1].role`: expected an assistant message with `tool_calls` before a result, got none.",
    ),
    (
        [USER, CALLING, RESULT, USER, RESULT],
        "`messages[4].role`: expected an assistant message with `tool_calls` before a result, got none.",
    ),
    (
        [USER, CALLING, {"role": "tool", "content": "3"}],
        "`messages[2].tool_call_id`: expected the id of a call before it, 'call00000', got None.",
    ),
    (
        [USER, CALLING, RESULT | {"tool_call_id": "other"}],
        "`messages[2].tool_call_id`: expected the id of a call before it, 'call00000', got 'other'.",
    ),
    (
        [USER | {"tool_calls": [CALL]}],
        "`messages[0].tool_calls`: expected calls in assistant messages only, got them in role 'user'.",
    ),
    (
        [{"role": "assistant", "tool_calls": CALL}],
        "`messages[0].tool_calls`: expected a list of tool calls, got `dict`.",
    ),
    (
        [{"role": "assistant", "tool_calls": ["add"]}],
        (
            '`messages[0].tool_calls[0]`: expected a call such as {"id": ..., "type": "function", '
            '"function": {"name": ..., "arguments": ...}}, got \'add\'.'
        ),
    ),
    (
        [{"role": "assistant", "tool_calls": [{"function": {"name": ""}}]}],
        "`messages[0].tool_calls[0].function.name`: expected the name of a function, got ''.",
    ),
    (
        [{"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": "[1]"}}]}],
        "`messages[0].tool_calls[0].function.arguments`: expected a JSON object as a string, got '[1]'.",
    ),
    (
        [{"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": "{"}}]}],
        "`messages[0].tool_calls[0].function.arguments`: expected a JSON object as a string, got '{'.",
    ),
    ([USER | {"name": 7}], "`messages[0].name`: expected a string, got `int`."),
]


@pytest.mark.parametrize(("messages", "problem"), WRONG)
def test_wrong_conversation_is_refused_with_its_place(messages: object, problem: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        check_messages(messages)

    assert str(caught.value) == problem
    assert isinstance(caught.value, RegistryError)
    assert isinstance(caught.value, ValueError)
    assert f"`{caught.value.place}`: {caught.value.reason}" == problem


def test_deeply_nested_arguments_are_refused_and_do_not_end_the_interpreter() -> None:
    call = {"function": {"name": "add", "arguments": '{"a":' * 100_000}}

    with pytest.raises(InvalidMessageError, match="expected a JSON object as a string"):
        check_messages([{"role": "assistant", "tool_calls": [call]}])


def test_developer_is_system() -> None:
    assert check_messages([{"role": "developer", "content": "Be brief."}, USER]) == (SYSTEM, USER)


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b\n"}]

    assert check_messages([{"role": "user", "content": parts}]) == ({"role": "user", "content": "ab\n"},)


def test_tuple_is_a_conversation_too() -> None:
    assert check_messages((USER,)) == (USER,)


def test_keys_that_nobody_reads_are_left_out() -> None:
    dumped = {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "annotations": [],
        "tool_calls": None,
        "name": None,
    }

    assert check_messages([USER, dumped]) == (USER, {"role": "assistant", "content": "Hi"})


def test_call_is_completed_and_arguments_are_written_as_json() -> None:
    call = {"function": {"name": "add", "arguments": {"what": "é"}}}

    checked = check_messages([USER, {"role": "assistant", "tool_calls": [call]}])

    function = {"name": "add", "arguments": '{"what": "é"}'}
    assert checked[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call00000", "type": "function", "function": function}],
    }


def test_results_of_several_calls_may_come_in_any_order() -> None:
    second = CALL | {"id": "b"}
    messages = [USER, CALLING | {"tool_calls": [CALL, second]}, RESULT | {"tool_call_id": "b"}, RESULT]

    assert [message["role"] for message in check_messages(messages)] == ["user", "assistant", "tool", "tool"]


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_conversation_may_end_with_any_role(role: str) -> None:
    messages = {"system": [SYSTEM], "user": [USER], "assistant": [USER, CALLING], "tool": [USER, CALLING, RESULT]}[role]

    assert check_messages(messages)[-1]["role"] == role


def test_what_is_given_back_is_the_callers_no_more() -> None:
    message = dict(USER)

    checked = check_messages([message])
    message["content"] = "changed"

    assert checked == (USER,)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text()), min_size=1))
def test_any_text_that_utf_8_can_encode_is_taken_as_it_is(turns: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": content} for role, content in turns]

    assert list(check_messages(messages)) == messages
