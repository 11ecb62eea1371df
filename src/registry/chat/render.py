"""Messages and a template to a prompt: pure, with no model and no file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle, pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from registry.chat.calls import Tools, check_options, check_tools
from registry.chat.messages import Messages, checked
from registry.chat.prompt import Piece, Prompt
from registry.chat.templates import Template, Turn, get_template
from registry.errors import InvalidOptionError, TemplateError
from registry.records import ChatModel

if TYPE_CHECKING:
    from registry.chat.jinja import JinjaTemplate

AnyTemplate: TypeAlias = "str | Template | JinjaTemplate | ChatModel"
"""A template of the catalogue by name, one of your own, one in Jinja, or the record whose template is meant."""

_PIECE: Callable[[tuple[str, bool]], Piece] = partial(tuple.__new__, Piece)
_OTHER_WAY = 'Use `template="gguf"` when you load the model, to use the template in its file.'


def compose(
    messages: Messages,
    template: AnyTemplate,
    *,
    add_generation_prompt: bool = True,
    tools: Tools | None = None,
    options: Mapping[str, Any] | None = None,
) -> Prompt:
    r"""Write a conversation as the prompt that a template makes of it, in pieces of markup and of message text.

    Args:
        messages: The conversation. It may end with any role; with an assistant message, and the generation prompt, the
            model is asked for one more answer.
        template: Name of a template, a template, or a chat record.
        add_generation_prompt: False to end after the last message, as for training or for counting tokens.
        tools: Tools that the model is offered, in OpenAI's shape.
        options: Options of the template, such as `reasoning_effort` of `harmony`, or `enable_thinking` of many Jinja
            templates.

    Raises:
        InvalidMessageError: The conversation is not one that a chat model can be given.
        InvalidOptionError: `tools` are not in OpenAI's shape, or the template has no such option.
        TemplateError: There is no such template, or it has no way to write what was asked of it.

    Example:
        >>> compose([{"role": "user", "content": "Hi"}], "chatml").pieces[0]
        Piece(text='<|im_start|>user\n', markup=True)
    """
    found = _find(template)
    if not isinstance(found, Template):
        return found.compose(messages, add_generation_prompt=add_generation_prompt, tools=tools, options=options)
    check_options(options)
    texts = _write(messages, found, add_generation_prompt, tools, options)
    opening = texts[-1].rstrip()
    return Prompt(
        pieces=_pieces(texts),
        template=found.name,
        stops=tuple(dict.fromkeys((*found.stops, *found.turn_markers))),
        bos=found.bos,
        reasoning_open=found.reasoning is not None and opening.endswith(found.reasoning[0]),
        reasoning=found.reasoning,
        role_markers=found.role_markers,
        channels=found.channels,
    )


def _pieces(texts: list[str]) -> tuple[Piece, ...]:
    # Made by C code: naming each piece in Python takes as long as all the rest.
    pieces = tuple(map(_PIECE, zip(texts, cycle((True, False)), strict=False)))
    return pieces if "" not in texts else tuple(piece for piece in pieces if piece.text)


def render(
    messages: Messages,
    template: AnyTemplate,
    *,
    add_generation_prompt: bool = True,
    tools: Tools | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    r"""Write a conversation as the text of the prompt that a template makes of it.

    To give a model a prompt, use `compose`: it keeps apart what is the template's and what is a message's.

    Args:
        messages: The conversation.
        template: Name of a template, a template, or a chat record.
        add_generation_prompt: False to end after the last message.
        tools: Tools that the model is offered, in OpenAI's shape.
        options: Options of the template.

    Raises:
        InvalidMessageError: The conversation is not one that a chat model can be given.
        InvalidOptionError: `tools` are not in OpenAI's shape, or the template has no such option.
        TemplateError: There is no such template, or it has no way to write what was asked of it.

    Example:
        >>> render([{"role": "user", "content": "Hi"}], "llama3", add_generation_prompt=False)
        '<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>'
    """
    found = _find(template)
    if not isinstance(found, Template):
        return found.compose(messages, add_generation_prompt=add_generation_prompt, tools=tools, options=options).text
    check_options(options)
    return "".join(_write(messages, found, add_generation_prompt, tools, options))


def _find(template: AnyTemplate) -> Template | JinjaTemplate:
    if isinstance(template, str):
        return get_template(template)
    if isinstance(template, ChatModel):
        if template.template is None:
            raise TemplateError(
                "gguf", f"the record `{template.id}` names no template, so the one in its file is used. Load the model."
            )
        return get_template(str(template.template))
    if not isinstance(template, Template) and not hasattr(template, "compose"):
        raise TypeError(f"expected the name of a template, a template or a chat record, got {template!r}")
    return template


def _write(
    messages: Messages,
    template: Template,
    add_generation_prompt: bool,
    tools: Tools | None,
    options: Mapping[str, Any] | None,
) -> list[str]:
    """Give markup and message text in turn, markup first and last."""
    turns = checked(messages)
    offered = check_tools(tools)
    if offered and template.tools is None:
        raise TemplateError(template.name, f"it has no way to offer tools. {_OTHER_WAY}")
    system = turns.pop(0)["content"] if turns[0]["role"] == "system" else None
    if template.alternate:
        _check_alternation(template, turns, first=0 if system is None else 1)
    texts = [template.bos + _head(template, options or {}, with_system=system is not None)]
    merged = system is not None and template.system_place != "turn"
    if (system is not None or offered) and not merged:
        _write_system(texts, template, system or "", offered)
    user = template.user if system is None else template.user_with_system or template.user
    around = {"user": user, "assistant": template.assistant}
    into = _merge_place(template, turns) if merged else None
    if {*map(len, turns)} != {2} and any(map(_is_call_or_result, turns)):
        _write_turns_with_calls(texts, template, turns, around, system or "", into)
    elif turns:
        _write_turns(texts, template, turns, around)
        if into is not None:
            start = texts[: 2 * into + 1]  # each message has two entries after that of the head
            _write_system(start, template, system or "", [])
            texts[: 2 * into + 1] = start
    if turns and turns[-1]["role"] == "assistant":
        _end_with_answer(texts, template, asked=add_generation_prompt)
    if add_generation_prompt:
        texts[-1] += template.generation_prompt
    return texts


def _write_turns(
    texts: list[str], template: Template, turns: list[Mapping[str, Any]], around: Mapping[str, Turn]
) -> None:
    """Write turns of users and assistant: no step in Python for each, because conversations get long."""
    between = {(last, role): around[last].after + around[role].before for last in around for role in around}
    roles = [message["role"] for message in turns]
    contents = [message["content"] for message in turns]
    if not template.drop_reasoning and {"user", "assistant"} <= set(template.trim):
        contents = list(map(str.strip, contents))
    elif template.drop_reasoning or template.trim:
        contents = [_content(template, role, content) for role, content in zip(roles, contents, strict=True)]
    written = [""] * (2 * len(turns) + 1)
    written[0] = texts.pop() + around[roles[0]].before
    written[2:-1:2] = map(between.__getitem__, pairwise(roles))
    written[1::2] = contents
    written[-1] = around[roles[-1]].after
    texts += written


def _content(template: Template, role: str, content: str) -> str:
    if template.drop_reasoning and role == "assistant":
        content = content.rpartition("</think>")[2]
    return content.strip() if role in template.trim else content


def _merge_place(template: Template, turns: list[Mapping[str, Any]]) -> int:
    """Find the user message that takes the system text."""
    users = [number for number, message in enumerate(turns) if message["role"] == "user"]
    if not users:
        raise TemplateError(
            template.name, "it has no system role, and there is no user message to put the text into. Add one."
        )
    return users[0 if template.system_place == "first_user" else -1]


def _is_call_or_result(message: Mapping[str, Any]) -> bool:
    return message["role"] == "tool" or "tool_calls" in message


def _write_system(texts: list[str], template: Template, system: str, offered: list[Mapping[str, Any]]) -> None:
    if template.system is None:
        raise TemplateError(
            template.name, "it has no system role. Put the text of the system message into the first user message."
        )
    texts[-1] += template.system.before
    texts.append(system.strip() if "system" in template.trim else system)
    texts.append("")
    if offered and template.tools is not None:
        texts[-1] += template.tools.offer.before
        texts.append(json.dumps([tool["function"] for tool in offered], ensure_ascii=False))
        texts.append(template.tools.offer.after)
    texts[-1] += template.system.after


def _write_turns_with_calls(
    texts: list[str],
    template: Template,
    turns: list[Mapping[str, Any]],
    around: Mapping[str, Turn],
    system: str,
    into: int | None,
) -> None:
    """Write turns of which some call tools, or give the results."""
    for number, message in enumerate(turns):
        if _is_call_or_result(message):
            _write_call_or_result(texts, template, message)
            continue
        role = message["role"]
        texts[-1] += around[role].before
        if number == into:
            _write_system(texts, template, system, [])
        texts += _content(template, role, message["content"]), around[role].after


def _write_call_or_result(texts: list[str], template: Template, message: Mapping[str, Any]) -> None:
    syntax = template.tools
    if syntax is None:
        what = "the result of a tool" if message["role"] == "tool" else "a tool call"
        raise TemplateError(template.name, f"it has no way to write {what}. {_OTHER_WAY}")
    if message["role"] == "tool":
        texts[-1] += syntax.result.before
        texts += json.dumps(message["content"], ensure_ascii=False), syntax.result.after
        return
    texts[-1] += template.assistant.before
    texts += message["content"] or "", ""
    for call in message["tool_calls"]:
        function = {"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])}
        texts[-1] += syntax.call.before
        texts += json.dumps(function, ensure_ascii=False), syntax.call.after
    texts[-1] += template.assistant.after


def _head(template: Template, options: Mapping[str, Any], *, with_system: bool) -> str:
    for name, value in options.items():
        allowed = template.options.get(name, ())
        if value not in allowed:
            expected = " or ".join(map(repr, allowed)) or f"an option of the template `{template.name}`"
            remedy = "" if allowed else f"It has {' and '.join(f'`{own}`' for own in template.options) or 'none'}."
            raise InvalidOptionError(f"options[{name!r}]", expected, value, remedy)
    head = template.head_with_system if with_system else template.head
    for name, allowed in template.options.items():
        head = head.replace(f"{{{name}}}", options.get(name, allowed[0]))
    return head


def _check_alternation(template: Template, turns: list[Mapping[str, Any]], *, first: int) -> None:
    for index, message in enumerate(turns):
        role, expected = message["role"], "assistant" if index % 2 else "user"
        if role == expected or role == "tool" or "tool_calls" in message:
            continue
        raise TemplateError(
            template.name,
            f"users and assistant must take turns, the user first: expected role '{expected}' in "
            f"messages[{first + index}], got '{role}'. Join messages of one role into one.",
        )


def _end_with_answer(texts: list[str], template: Template, *, asked: bool) -> None:
    if template.assistant_end is not None:
        texts[-1] = texts[-1].removesuffix(template.assistant.after) + template.assistant_end
    if asked and not template.generation_prompt:
        raise TemplateError(
            template.name,
            "an answer follows a user message: expected one at the end of the conversation, got role 'assistant'. "
            "Add a user message, or pass `add_generation_prompt=False`.",
        )
