# ruff: noqa: RUF001 - the bars in DeepSeek's markers are full width
"""The chat templates of the catalogue's families, as data: what stands around the messages of each role.

Where each was read stands in `source`. `[LC]` is llama.cpp: `src/llama-chat.cpp` (commit 0192c129) and the vendors'
Jinja templates with their expected output in `tests/test-chat-template.cpp` (commit 03f94f19).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from registry.errors import TemplateError


class Turn(NamedTuple):
    """What the template puts before and after one message."""

    before: str
    after: str


@dataclass(frozen=True)
class ToolSyntax:
    """How a template writes tools, calls and results.

    Attributes:
        offer: Around the JSON list of the functions, inside the system turn.
        call: Around the JSON of one call, inside the assistant's turn.
        result: Around the JSON of a tool's result.
    """

    offer: Turn
    call: Turn
    result: Turn


@dataclass(frozen=True, kw_only=True)
class Template:
    r"""One way to write a conversation as a prompt. All texts are written exactly as they stand here.

    Attributes:
        name: Name of the template.
        source: Where the format was read.
        user: Around a user message.
        assistant: Around an assistant message.
        system: Around the system text, in its own turn or inside a user turn, see `system_place`. `None`: the template
            has no way to say it, and a conversation with a system message is refused.
        system_place: `turn`: at the start, as a turn of its own. `first_user`, `last_user`: at the start of the first
            or last user message.
        generation_prompt: What makes the model answer; empty where the end of the user turn does.
        bos: Text of the token at the beginning of a sequence, where the template prints it.
        head: Text at the start of a conversation without system message.
        head_with_system: The same of one with a system message.
        user_with_system: Around a user message when there is a system message; `None`: as `user`.
        assistant_end: After an assistant message at the end of the conversation; `None`: as anywhere else.
        trim: Roles whose contents lose the white space around them.
        alternate: True where users and assistant must take turns, the user first.
        drop_reasoning: True where the text up to `</think>` is left out of earlier answers.
        stops: Texts that end an answer.
        turn_markers: Texts that begin a turn. In an answer they mean that the model speaks for others, and end it.
        reasoning: Markers round the thoughts in an answer, where models of the family think.
        channels: True where answers come in the channels of OpenAI's harmony format.
        default_system: Text that the vendor's own template says when there is no system message. It is said here only
            where `head` contains it.
        options: Options of the template: what they may be, the default first. Texts contain them as `{name}`.
        tools: How tools are written; `None`: there is no way.

    Example:
        >>> from registry.chat import render
        >>> plain = Template(
        ...     name="plain",
        ...     source="our own",
        ...     user=Turn("Q: ", "\n"),
        ...     assistant=Turn("A: ", "\n"),
        ...     generation_prompt="A:",
        ... )
        >>> render([{"role": "user", "content": "Why?"}], plain)
        'Q: Why?\nA:'
    """

    name: str
    source: str
    user: Turn
    assistant: Turn
    generation_prompt: str
    system: Turn | None = None
    system_place: Literal["turn", "first_user", "last_user"] = "turn"
    bos: str = ""
    head: str = ""
    head_with_system: str = ""
    user_with_system: Turn | None = None
    assistant_end: str | None = None
    trim: tuple[str, ...] = ()
    alternate: bool = False
    drop_reasoning: bool = False
    stops: tuple[str, ...] = ()
    turn_markers: tuple[str, ...] = ()
    reasoning: tuple[str, str] | None = None
    channels: bool = False
    default_system: str | None = None
    options: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    tools: ToolSyntax | None = None

    @property
    def role_markers(self) -> tuple[str, ...]:
        """What opens the assistant's turn, longest first: some models repeat it at the start of an answer."""
        opening = self.generation_prompt.strip()
        return tuple(dict.fromkeys(marker for marker in (self.generation_prompt, opening) if opening))


_THINK = ("<think>", "</think>")
_PIPE_TURNS = ("<|system|>", "<|user|>", "<|assistant|>")

_DEEPSEEK_CODER_SYSTEM = (
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you "
    "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and other non-computer science questions, you will refuse to answer\n"
)
_HARMONY_SYSTEM = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\n\n"
    "Reasoning: {reasoning_effort}\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
)
_ALPACA = "Below is an instruction that describes a task"
_ALPACA_END = "Write a response that appropriately completes the request.\n\n"


def _mistral(name: str, source: str, *, user: Turn, assistant: Turn, trim: tuple[str, ...] = ()) -> Template:
    """Make the versions before 7, which have no system role: its text goes before a user message."""
    return Template(
        name=name,
        source=source,
        bos="<s>",
        system=Turn("", "\n\n"),
        system_place="first_user" if name == "mistral-v1" else "last_user",
        user=user,
        assistant=assistant,
        generation_prompt="",
        trim=trim,
        alternate=True,
        stops=("</s>",),
        turn_markers=("[INST]",),
    )


def _mistral_v7(name: str, source: str, space: str, reasoning: tuple[str, str] | None = None) -> Template:
    """Make the versions from 7 on, which differ in one space."""
    return Template(
        name=name,
        source=source,
        bos="<s>",
        system=Turn(f"[SYSTEM_PROMPT]{space}", "[/SYSTEM_PROMPT]"),
        user=Turn(f"[INST]{space}", "[/INST]"),
        assistant=Turn(space, "</s>"),
        generation_prompt="",
        alternate=True,
        stops=("</s>",),
        turn_markers=("[INST]",),
        reasoning=reasoning,
    )


_ALL = (
    Template(
        name="alpaca",
        source="tatsu-lab/stanford_alpaca train.py PROMPT_DICT; tloen/alpaca-lora templates/alpaca_legacy.json",
        head=f"{_ALPACA}. {_ALPACA_END}",
        head_with_system=f"{_ALPACA}, paired with an input that provides further context. {_ALPACA_END}",
        system=Turn("### Instruction:\n", "\n\n"),
        user=Turn("### Instruction:\n", "\n\n"),
        user_with_system=Turn("### Input:\n", "\n\n"),
        assistant=Turn("### Response:", "\n\n"),
        generation_prompt="### Response:",
        stops=("### Instruction:",),
        turn_markers=("### Input:", "### Response:"),
    ),
    Template(
        name="chatml",
        source="[LC] teknium/OpenHermes-2.5-Mistral-7B; Qwen2.5, Qwen3, SmolLM2 and Hermes write turns the same way",
        system=Turn("<|im_start|>system\n", "<|im_end|>\n"),
        user=Turn("<|im_start|>user\n", "<|im_end|>\n"),
        assistant=Turn("<|im_start|>assistant\n", "<|im_end|>\n"),
        generation_prompt="<|im_start|>assistant\n",
        stops=("<|im_end|>",),
        turn_markers=("<|im_start|>",),
        reasoning=_THINK,
    ),
    Template(
        name="deepseek-coder",
        source="[LC] deepseek-ai/deepseek-coder-33b-instruct",
        bos="<｜begin▁of▁sentence｜>",
        head=_DEEPSEEK_CODER_SYSTEM,
        system=Turn("", ""),
        user=Turn("### Instruction:\n", "\n"),
        assistant=Turn("### Response:\n", "\n<|EOT|>\n"),
        generation_prompt="### Response:\n",
        stops=("<|EOT|>",),
        turn_markers=("### Instruction:",),
        default_system=_DEEPSEEK_CODER_SYSTEM,
    ),
    Template(
        name="deepseek-v2",
        source="[LC] DeepSeek-V2",
        bos="<｜begin▁of▁sentence｜>",
        system=Turn("", "\n\n"),
        user=Turn("User: ", "\n\n"),
        assistant=Turn("Assistant: ", "<｜end▁of▁sentence｜>"),
        generation_prompt="Assistant:",
        stops=("<｜end▁of▁sentence｜>",),
    ),
    Template(
        name="deepseek-v3",
        source="[LC] models/templates/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja; generation prompt of DeepSeek-V3",
        bos="<｜begin▁of▁sentence｜>",
        system=Turn("", ""),
        user=Turn("<｜User｜>", ""),
        assistant=Turn("<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        generation_prompt="<｜Assistant｜>",
        drop_reasoning=True,
        stops=("<｜end▁of▁sentence｜>",),
        turn_markers=("<｜User｜>",),
        reasoning=_THINK,
    ),
    Template(
        name="ernie",
        source="huggingface/transformers src/transformers/models/ernie4_5/convert_ernie4_5_tokenizer.py (0bbbf64f); "
        "stop `</s>`: modelscope/ms-swift template/baidu.py",
        bos="<|begin_of_sentence|>",
        system=Turn("", "\n"),
        user=Turn("User: ", "\n"),
        assistant=Turn("Assistant: ", "<|end_of_sentence|>"),
        generation_prompt="Assistant: ",
        stops=("<|end_of_sentence|>", "</s>"),
        reasoning=_THINK,
    ),
    Template(
        name="falcon",
        source="tiiuae/Falcon3-7B-Instruct chat_template, as copied in huggingface/optimum-intel "
        "optimum/exporters/openvino/utils.py; eos: its generation_config.json",
        system=Turn("<|system|>\n", "\n"),
        user=Turn("<|user|>\n", "\n"),
        assistant=Turn("<|assistant|>\n", "<|endoftext|>\n"),
        assistant_end="<|endoftext|>",
        generation_prompt="<|assistant|>\n",
        stops=("<|endoftext|>",),
        turn_markers=_PIPE_TURNS,
    ),
    Template(
        name="gemma",
        source="ai.google.dev/gemma/docs/core/prompt-structure; chat_template of google/gemma-3-4b-it: "
        "the system text goes before the first user message",
        bos="<bos>",
        system=Turn("", "\n\n"),
        system_place="first_user",
        user=Turn("<start_of_turn>user\n", "<end_of_turn>\n"),
        assistant=Turn("<start_of_turn>model\n", "<end_of_turn>\n"),
        generation_prompt="<start_of_turn>model\n",
        trim=("user", "assistant"),
        alternate=True,
        stops=("<end_of_turn>",),
        turn_markers=("<start_of_turn>",),
    ),
    Template(
        name="granite",
        source="[LC] ibm-granite/granite-3.0-8b-instruct",
        system=Turn("<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"),
        user=Turn("<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"),
        assistant=Turn("<|start_of_role|>assistant<|end_of_role|>", "<|end_of_text|>\n"),
        generation_prompt="<|start_of_role|>assistant<|end_of_role|>",
        stops=("<|end_of_text|>",),
        turn_markers=("<|start_of_role|>",),
        reasoning=_THINK,
        # Granite 3.1 and later say it with the date of the day, which a template without a clock cannot.
        default_system="Knowledge Cutoff Date: April 2024.\nToday's Date: (today).\n"
        "You are Granite, developed by IBM. You are a helpful AI assistant.",
    ),
    Template(
        name="harmony",
        source="openai/harmony docs/format.md; cookbook.openai.com/articles/openai-harmony. The date is left out",
        head=_HARMONY_SYSTEM,
        head_with_system=_HARMONY_SYSTEM,
        system=Turn("<|start|>developer<|message|># Instructions\n\n", "<|end|>"),
        user=Turn("<|start|>user<|message|>", "<|end|>"),
        assistant=Turn("<|start|>assistant<|channel|>final<|message|>", "<|end|>"),
        generation_prompt="<|start|>assistant",
        stops=("<|return|>", "<|call|>", "<|endoftext|>"),
        channels=True,
        options=MappingProxyType({"reasoning_effort": ("medium", "low", "high")}),
    ),
    Template(
        name="llama2",
        source="meta-llama/llama llama/generation.py chat_completion; huggingface.co/blog/llama2#how-to-prompt-llama-2",
        bos="<s>",
        system=Turn("<<SYS>>\n", "\n<</SYS>>\n\n"),
        system_place="first_user",
        user=Turn("[INST] ", " [/INST]"),
        assistant=Turn(" ", " </s><s>"),
        assistant_end=" </s>",
        generation_prompt="",
        trim=("user", "assistant"),
        alternate=True,
        stops=("</s>",),
        turn_markers=("[INST]",),
    ),
    Template(
        name="llama3",
        source="llama.com/docs/model-cards-and-prompt-formats/meta-llama-3 and llama3_1; [LC] Llama-3",
        bos="<|begin_of_text|>",
        system=Turn("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
        user=Turn("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
        assistant=Turn("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
        generation_prompt="<|start_header_id|>assistant<|end_header_id|>\n\n",
        trim=("system", "user", "assistant"),
        stops=("<|eot_id|>", "<|eom_id|>"),
        turn_markers=("<|start_header_id|>",),
    ),
    _mistral(
        "mistral-v1",
        "[LC] mistralai/Mistral-7B-Instruct-v0.2 ('v1'); mistralai/mistral-common InstructTokenizerV1",
        user=Turn(" [INST] ", " [/INST]"),
        assistant=Turn(" ", "</s>"),
    ),
    _mistral(
        "mistral-v3",
        "[LC] Mistral-Large-Instruct-2407 ('v3'); mistralai/mistral-common InstructTokenizerV3",
        user=Turn("[INST] ", "[/INST]"),
        assistant=Turn(" ", "</s>"),
        trim=("assistant",),
    ),
    _mistral(
        "mistral-v3-tekken",
        "[LC] Mistral-Nemo-Instruct-2407 ('v3-tekken'); mistralai/mistral-common InstructTokenizerV3",
        user=Turn("[INST]", "[/INST]"),
        assistant=Turn("", "</s>"),
    ),
    _mistral_v7("mistral-v7", "[LC] mistralai/Mistral-Large-Instruct-2411 ('v7')", " "),
    _mistral_v7(
        "mistral-v7-tekken",
        "[LC] models/templates/mistralai-Mistral-Small-3.1-24B-Instruct-2503.jinja",
        "",
        _THINK,  # Magistral
    ),
    Template(
        name="phi3",
        source="[LC] Phi-3-small and Phi-3-vision. The Jinja templates of Phi-3-mini and -medium drop the system text",
        system=Turn("<|system|>\n", "<|end|>\n"),
        user=Turn("<|user|>\n", "<|end|>\n"),
        assistant=Turn("<|assistant|>\n", "<|end|>\n"),
        generation_prompt="<|assistant|>\n",
        stops=("<|end|>", "<|endoftext|>"),
        turn_markers=_PIPE_TURNS,
    ),
    Template(
        name="phi4",
        source="[LC] phi-4; chat_template of microsoft/phi-4",
        system=Turn("<|im_start|>system<|im_sep|>", "<|im_end|>"),
        user=Turn("<|im_start|>user<|im_sep|>", "<|im_end|>"),
        assistant=Turn("<|im_start|>assistant<|im_sep|>", "<|im_end|>"),
        generation_prompt="<|im_start|>assistant<|im_sep|>",
        stops=("<|im_end|>",),
        turn_markers=("<|im_start|>",),
        reasoning=_THINK,
    ),
    Template(
        name="phi4-mini",
        source="model card of microsoft/Phi-4-mini-instruct; calls and results: "
        "[LC] models/templates/llama-cpp-microsoft-Phi-4-mini-instruct.jinja",
        system=Turn("<|system|>", "<|end|>"),
        user=Turn("<|user|>", "<|end|>"),
        assistant=Turn("<|assistant|>", "<|end|>"),
        generation_prompt="<|assistant|>",
        stops=("<|end|>",),
        turn_markers=_PIPE_TURNS,
        reasoning=_THINK,
        tools=ToolSyntax(
            offer=Turn("<|tool|>", "<|/tool|>"),
            call=Turn("<|tool_call|>", "<|/tool_call|>"),
            result=Turn("<|tool_response|>", "<|end|>"),
        ),
    ),
    Template(
        name="zephyr",
        source="model cards of HuggingFaceH4/zephyr-7b-beta and TinyLlama/TinyLlama-1.1B-Chat-v1.0. "
        "llama.cpp's template of this name is StableLM's, which ends turns otherwise",
        system=Turn("<|system|>\n", "</s>\n"),
        user=Turn("<|user|>\n", "</s>\n"),
        assistant=Turn("<|assistant|>\n", "</s>\n"),
        generation_prompt="<|assistant|>\n",
        stops=("</s>",),
        turn_markers=_PIPE_TURNS,
        default_system="You are Zephyr, a helpful assistant.",
    ),
)

TEMPLATES: Mapping[str, Template] = MappingProxyType({template.name: template for template in _ALL})
"""The templates that a record may name, by name."""


def get_template(name: str) -> Template:
    """Give the template of this name.

    Raises:
        TemplateError: There is none.

    Example:
        >>> get_template("chatml").stops
        ('<|im_end|>',)
    """
    template = TEMPLATES.get(name) if isinstance(name, str) else None
    if template is not None:
        return template
    if name == "gguf":
        raise TemplateError(
            "gguf",
            "this is the template in a model's file, so it needs the file. Load the model, "
            "or make a `JinjaTemplate` of the template's text.",
        )
    raise TemplateError(str(name), f"there is none of this name. {_matches(str(name))}")


def _matches(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, TEMPLATES)
    if not close:
        return f"The templates are {', '.join(TEMPLATES)}."
    return f"Did you mean {' or '.join(f'`{match}`' for match in close)}?"
