r"""Chat: conversations to prompts, and the text that a model writes to an answer. No model is needed for any of it.

    >>> from registry.chat import OutputParser, compose
    >>> prompt = compose([{"role": "user", "content": "Why is the sky blue?"}], "chatml")
    >>> prompt.text
    '<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n'
    >>> OutputParser.for_prompt(prompt).feed("<think>Rayleigh.</think>It scatters.")
    [Delta(kind='reasoning', text='Rayleigh.'), Delta(kind='content', text='It scatters.')]

`JinjaTemplate` needs the extra `chat`; everything else needs the standard library only.
"""

from registry.chat.calls import Tools, check_tools, parse_tool_calls
from registry.chat.jinja import JinjaTemplate
from registry.chat.messages import FunctionCall, Message, Messages, TextPart, ToolCall, check_messages
from registry.chat.output import Delta, OutputParser
from registry.chat.params import GenerationParams, apply_overrides
from registry.chat.prompt import Piece, Prompt
from registry.chat.render import AnyTemplate, compose, render
from registry.chat.templates import TEMPLATES, Template, ToolSyntax, Turn, get_template

__all__ = [
    "TEMPLATES",
    "AnyTemplate",
    "Delta",
    "FunctionCall",
    "GenerationParams",
    "JinjaTemplate",
    "Message",
    "Messages",
    "OutputParser",
    "Piece",
    "Prompt",
    "Template",
    "TextPart",
    "ToolCall",
    "ToolSyntax",
    "Tools",
    "Turn",
    "apply_overrides",
    "check_messages",
    "check_tools",
    "compose",
    "get_template",
    "parse_tool_calls",
    "render",
]
