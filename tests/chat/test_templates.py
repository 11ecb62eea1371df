# ruff: noqa: E501, RUF001 - published prompts keep their lines, and the bars in DeepSeek's markers are full width
import contextlib
import io
import json
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import registry
from registry.chat import TEMPLATES, Template, get_template, render
from registry.errors import TemplateError

ROOT = Path(__file__).parents[2]
CHAT_RECORDS = [record for record in map(registry.get_model, registry.MODEL_REGISTRY) if hasattr(record, "template")]

# The conversation that llama.cpp's tests/test-chat-template.cpp uses for all its templates.
TURNS = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there"},
    {"role": "user", "content": "Who are you"},
    {"role": "assistant", "content": "   I am an assistant   "},
    {"role": "user", "content": "Another question"},
]
SYSTEM = {"role": "system", "content": "You are a helpful assistant"}

CODER = (
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you "
    "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and other non-computer science questions, you will refuse to answer\n"
)
HARMONY = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\n\nReasoning: medium\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
)

# Name -> where it was published, the prompt with a system message, and the prompt without.
PUBLISHED = {
    # tatsu-lab/stanford_alpaca train.py PROMPT_DICT, for the first turn; later ones repeat its last blocks.
    "alpaca": (
        (
            "Below is an instruction that describes a task, paired with an input that provides further context. "
            "Write a response that appropriately completes the request.\n\n"
            "### Instruction:\nYou are a helpful assistant\n\n### Input:\nHello\n\n### Response:Hi there\n\n"
            "### Input:\nWho are you\n\n### Response:   I am an assistant   \n\n"
            "### Input:\nAnother question\n\n### Response:"
        ),
        (
            "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
            "### Instruction:\nHello\n\n### Response:Hi there\n\n"
            "### Instruction:\nWho are you\n\n### Response:   I am an assistant   \n\n"
            "### Instruction:\nAnother question\n\n### Response:"
        ),
    ),
    # llama.cpp tests/test-chat-template.cpp: teknium/OpenHermes-2.5-Mistral-7B.
    "chatml": (
        (
            "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
            "<|im_start|>assistant\nHi there<|im_end|>\n<|im_start|>user\nWho are you<|im_end|>\n"
            "<|im_start|>assistant\n   I am an assistant   <|im_end|>\n<|im_start|>user\nAnother question<|im_end|>\n"
            "<|im_start|>assistant\n"
        ),
        (
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi there<|im_end|>\n"
            "<|im_start|>user\nWho are you<|im_end|>\n<|im_start|>assistant\n   I am an assistant   <|im_end|>\n"
            "<|im_start|>user\nAnother question<|im_end|>\n<|im_start|>assistant\n"
        ),
    ),
    # The same: deepseek-ai/deepseek-coder-33b-instruct, with the token that its template prints first.
    "deepseek-coder": (
        (
            "<｜begin▁of▁sentence｜>You are a helpful assistant### Instruction:\nHello\n### Response:\nHi there\n<|EOT|>\n"
            "### Instruction:\nWho are you\n### Response:\n   I am an assistant   \n<|EOT|>\n"
            "### Instruction:\nAnother question\n### Response:\n"
        ),
        (
            f"<｜begin▁of▁sentence｜>{CODER}### Instruction:\nHello\n### Response:\nHi there\n<|EOT|>\n"
            "### Instruction:\nWho are you\n### Response:\n   I am an assistant   \n<|EOT|>\n"
            "### Instruction:\nAnother question\n### Response:\n"
        ),
    ),
    # The same: DeepSeek-V2.
    "deepseek-v2": (
        (
            "<｜begin▁of▁sentence｜>You are a helpful assistant\n\nUser: Hello\n\nAssistant: Hi there<｜end▁of▁sentence｜>"
            "User: Who are you\n\nAssistant:    I am an assistant   <｜end▁of▁sentence｜>User: Another question\n\nAssistant:"
        ),
        (
            "<｜begin▁of▁sentence｜>User: Hello\n\nAssistant: Hi there<｜end▁of▁sentence｜>"
            "User: Who are you\n\nAssistant:    I am an assistant   <｜end▁of▁sentence｜>User: Another question\n\nAssistant:"
        ),
    ),
    # DeepSeek-R1-Distill-Qwen-32B's chat_template, with DeepSeek-V3's generation prompt.
    "deepseek-v3": (
        (
            "<｜begin▁of▁sentence｜>You are a helpful assistant<｜User｜>Hello<｜Assistant｜>Hi there<｜end▁of▁sentence｜>"
            "<｜User｜>Who are you<｜Assistant｜>   I am an assistant   <｜end▁of▁sentence｜>"
            "<｜User｜>Another question<｜Assistant｜>"
        ),
        (
            "<｜begin▁of▁sentence｜><｜User｜>Hello<｜Assistant｜>Hi there<｜end▁of▁sentence｜>"
            "<｜User｜>Who are you<｜Assistant｜>   I am an assistant   <｜end▁of▁sentence｜>"
            "<｜User｜>Another question<｜Assistant｜>"
        ),
    ),
    # huggingface/transformers convert_ernie4_5_tokenizer.py.
    "ernie": (
        (
            "<|begin_of_sentence|>You are a helpful assistant\nUser: Hello\nAssistant: Hi there<|end_of_sentence|>"
            "User: Who are you\nAssistant:    I am an assistant   <|end_of_sentence|>User: Another question\nAssistant: "
        ),
        (
            "<|begin_of_sentence|>User: Hello\nAssistant: Hi there<|end_of_sentence|>"
            "User: Who are you\nAssistant:    I am an assistant   <|end_of_sentence|>User: Another question\nAssistant: "
        ),
    ),
    # tiiuae/Falcon3-7B-Instruct's chat_template.
    "falcon": (
        (
            "<|system|>\nYou are a helpful assistant\n<|user|>\nHello\n<|assistant|>\nHi there<|endoftext|>\n"
            "<|user|>\nWho are you\n<|assistant|>\n   I am an assistant   <|endoftext|>\n"
            "<|user|>\nAnother question\n<|assistant|>\n"
        ),
        (
            "<|user|>\nHello\n<|assistant|>\nHi there<|endoftext|>\n"
            "<|user|>\nWho are you\n<|assistant|>\n   I am an assistant   <|endoftext|>\n"
            "<|user|>\nAnother question\n<|assistant|>\n"
        ),
    ),
    # llama.cpp's tests: google/gemma-7b-it; the system text as in google/gemma-3-4b-it's chat_template.
    "gemma": (
        (
            "<bos><start_of_turn>user\nYou are a helpful assistant\n\nHello<end_of_turn>\n"
            "<start_of_turn>model\nHi there<end_of_turn>\n<start_of_turn>user\nWho are you<end_of_turn>\n"
            "<start_of_turn>model\nI am an assistant<end_of_turn>\n<start_of_turn>user\nAnother question<end_of_turn>\n"
            "<start_of_turn>model\n"
        ),
        (
            "<bos><start_of_turn>user\nHello<end_of_turn>\n"
            "<start_of_turn>model\nHi there<end_of_turn>\n<start_of_turn>user\nWho are you<end_of_turn>\n"
            "<start_of_turn>model\nI am an assistant<end_of_turn>\n<start_of_turn>user\nAnother question<end_of_turn>\n"
            "<start_of_turn>model\n"
        ),
    ),
    # llama.cpp's tests: ibm-granite/granite-3.0-8b-instruct.
    "granite": (
        (
            "<|start_of_role|>system<|end_of_role|>You are a helpful assistant<|end_of_text|>\n"
            "<|start_of_role|>user<|end_of_role|>Hello<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>Hi there<|end_of_text|>\n"
            "<|start_of_role|>user<|end_of_role|>Who are you<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>   I am an assistant   <|end_of_text|>\n"
            "<|start_of_role|>user<|end_of_role|>Another question<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"
        ),
        (
            "<|start_of_role|>user<|end_of_role|>Hello<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>Hi there<|end_of_text|>\n"
            "<|start_of_role|>user<|end_of_role|>Who are you<|end_of_text|>\n"
            "<|start_of_role|>assistant<|end_of_role|>   I am an assistant   <|end_of_text|>\n"
            "<|start_of_role|>user<|end_of_role|>Another question<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"
        ),
    ),
    # openai/harmony docs/format.md.
    "harmony": (
        (
            f"{HARMONY}<|start|>developer<|message|># Instructions\n\nYou are a helpful assistant<|end|>"
            "<|start|>user<|message|>Hello<|end|><|start|>assistant<|channel|>final<|message|>Hi there<|end|>"
            "<|start|>user<|message|>Who are you<|end|>"
            "<|start|>assistant<|channel|>final<|message|>   I am an assistant   <|end|>"
            "<|start|>user<|message|>Another question<|end|><|start|>assistant"
        ),
        (
            f"{HARMONY}"
            "<|start|>user<|message|>Hello<|end|><|start|>assistant<|channel|>final<|message|>Hi there<|end|>"
            "<|start|>user<|message|>Who are you<|end|>"
            "<|start|>assistant<|channel|>final<|message|>   I am an assistant   <|end|>"
            "<|start|>user<|message|>Another question<|end|><|start|>assistant"
        ),
    ),
    # meta-llama/llama generation.py; huggingface.co/blog/llama2, "How to prompt Llama 2".
    "llama2": (
        (
            "<s>[INST] <<SYS>>\nYou are a helpful assistant\n<</SYS>>\n\nHello [/INST] Hi there </s>"
            "<s>[INST] Who are you [/INST] I am an assistant </s><s>[INST] Another question [/INST]"
        ),
        (
            "<s>[INST] Hello [/INST] Hi there </s>"
            "<s>[INST] Who are you [/INST] I am an assistant </s><s>[INST] Another question [/INST]"
        ),
    ),
    # llama.com, "Meta Llama 3 prompt format"; llama.cpp's tests: Llama-3.
    "llama3": (
        (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWho are you<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nI am an assistant<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nAnother question<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nHi there<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nWho are you<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nI am an assistant<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nAnother question<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
    ),
    # llama.cpp's tests: mistralai/Mistral-7B-Instruct-v0.2 ('v1').
    "mistral-v1": (
        (
            "<s> [INST] You are a helpful assistant\n\nHello [/INST] Hi there</s>"
            " [INST] Who are you [/INST]    I am an assistant   </s> [INST] Another question [/INST]"
        ),
        (
            "<s> [INST] Hello [/INST] Hi there</s>"
            " [INST] Who are you [/INST]    I am an assistant   </s> [INST] Another question [/INST]"
        ),
    ),
    # The same: Mistral-Large-Instruct-2407 ('v3'); the system text goes before the last user message.
    "mistral-v3": (
        (
            "<s>[INST] Hello[/INST] Hi there</s>[INST] Who are you[/INST] I am an assistant</s>"
            "[INST] You are a helpful assistant\n\nAnother question[/INST]"
        ),
        (
            "<s>[INST] Hello[/INST] Hi there</s>[INST] Who are you[/INST] I am an assistant</s>"
            "[INST] Another question[/INST]"
        ),
    ),
    # The same: Mistral-Nemo-Instruct-2407 ('v3-tekken').
    "mistral-v3-tekken": (
        (
            "<s>[INST]Hello[/INST]Hi there</s>[INST]Who are you[/INST]   I am an assistant   </s>"
            "[INST]You are a helpful assistant\n\nAnother question[/INST]"
        ),
        (
            "<s>[INST]Hello[/INST]Hi there</s>[INST]Who are you[/INST]   I am an assistant   </s>"
            "[INST]Another question[/INST]"
        ),
    ),
    # The same: mistralai/Mistral-Large-Instruct-2411 ('v7').
    "mistral-v7": (
        (
            "<s>[SYSTEM_PROMPT] You are a helpful assistant[/SYSTEM_PROMPT][INST] Hello[/INST] Hi there</s>"
            "[INST] Who are you[/INST]    I am an assistant   </s>[INST] Another question[/INST]"
        ),
        (
            "<s>[INST] Hello[/INST] Hi there</s>"
            "[INST] Who are you[/INST]    I am an assistant   </s>[INST] Another question[/INST]"
        ),
    ),
    # mistralai/Mistral-Small-3.1-24B-Instruct-2503's model card, "Basic Instruct Template (V7-Tekken)".
    "mistral-v7-tekken": (
        (
            "<s>[SYSTEM_PROMPT]You are a helpful assistant[/SYSTEM_PROMPT][INST]Hello[/INST]Hi there</s>"
            "[INST]Who are you[/INST]   I am an assistant   </s>[INST]Another question[/INST]"
        ),
        (
            "<s>[INST]Hello[/INST]Hi there</s>"
            "[INST]Who are you[/INST]   I am an assistant   </s>[INST]Another question[/INST]"
        ),
    ),
    # llama.cpp's tests: Phi-3-small.
    "phi3": (
        (
            "<|system|>\nYou are a helpful assistant<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n"
            "<|user|>\nWho are you<|end|>\n<|assistant|>\n   I am an assistant   <|end|>\n"
            "<|user|>\nAnother question<|end|>\n<|assistant|>\n"
        ),
        (
            "<|user|>\nHello<|end|>\n<|assistant|>\nHi there<|end|>\n"
            "<|user|>\nWho are you<|end|>\n<|assistant|>\n   I am an assistant   <|end|>\n"
            "<|user|>\nAnother question<|end|>\n<|assistant|>\n"
        ),
    ),
    # llama.cpp's tests: phi-4.
    "phi4": (
        (
            "<|im_start|>system<|im_sep|>You are a helpful assistant<|im_end|><|im_start|>user<|im_sep|>Hello<|im_end|>"
            "<|im_start|>assistant<|im_sep|>Hi there<|im_end|><|im_start|>user<|im_sep|>Who are you<|im_end|>"
            "<|im_start|>assistant<|im_sep|>   I am an assistant   <|im_end|>"
            "<|im_start|>user<|im_sep|>Another question<|im_end|><|im_start|>assistant<|im_sep|>"
        ),
        (
            "<|im_start|>user<|im_sep|>Hello<|im_end|>"
            "<|im_start|>assistant<|im_sep|>Hi there<|im_end|><|im_start|>user<|im_sep|>Who are you<|im_end|>"
            "<|im_start|>assistant<|im_sep|>   I am an assistant   <|im_end|>"
            "<|im_start|>user<|im_sep|>Another question<|im_end|><|im_start|>assistant<|im_sep|>"
        ),
    ),
    # Model card of microsoft/Phi-4-mini-instruct, "Chat format".
    "phi4-mini": (
        (
            "<|system|>You are a helpful assistant<|end|><|user|>Hello<|end|><|assistant|>Hi there<|end|>"
            "<|user|>Who are you<|end|><|assistant|>   I am an assistant   <|end|>"
            "<|user|>Another question<|end|><|assistant|>"
        ),
        (
            "<|user|>Hello<|end|><|assistant|>Hi there<|end|>"
            "<|user|>Who are you<|end|><|assistant|>   I am an assistant   <|end|>"
            "<|user|>Another question<|end|><|assistant|>"
        ),
    ),
    # Model card of HuggingFaceH4/zephyr-7b-beta.
    "zephyr": (
        (
            "<|system|>\nYou are a helpful assistant</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi there</s>\n"
            "<|user|>\nWho are you</s>\n<|assistant|>\n   I am an assistant   </s>\n"
            "<|user|>\nAnother question</s>\n<|assistant|>\n"
        ),
        (
            "<|user|>\nHello</s>\n<|assistant|>\nHi there</s>\n"
            "<|user|>\nWho are you</s>\n<|assistant|>\n   I am an assistant   </s>\n"
            "<|user|>\nAnother question</s>\n<|assistant|>\n"
        ),
    ),
}


def test_every_template_of_the_schema_is_there_and_tested() -> None:
    schema = json.loads((ROOT / "schema" / "models.schema.json").read_text("utf-8"))
    names = set(_enum_of("template", schema)) - {None}

    assert set(TEMPLATES) == names
    assert set(PUBLISHED) == names


def _enum_of(key: str, schema: object) -> list[str]:
    if isinstance(schema, dict):
        found = schema.get(key)
        if isinstance(found, dict) and "enum" in found:
            return found["enum"]
        return next(filter(None, (_enum_of(key, value) for value in schema.values())), [])
    return next(filter(None, (_enum_of(key, value) for value in schema)), []) if isinstance(schema, list) else []


@pytest.mark.parametrize("name", PUBLISHED)
def test_prompt_with_system_message_is_as_published(name: str) -> None:
    assert render([SYSTEM, *TURNS], name) == PUBLISHED[name][0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_prompt_without_system_message_is_as_published(name: str) -> None:
    assert render(TURNS, name) == PUBLISHED[name][1]


def test_llama3_is_as_the_vendors_example() -> None:
    # llama.com/docs/model-cards-and-prompt-formats/meta-llama-3
    messages = [
        {"role": "system", "content": "You are a helpful AI assistant for travel tips and recommendations"},
        {"role": "user", "content": "What can you help me with?"},
    ]

    assert render(messages, "llama3") == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "You are a helpful AI assistant for travel tips and recommendations<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n"
        "What can you help me with?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_zephyr_is_as_the_vendors_example() -> None:
    messages = [
        {"role": "system", "content": "You are a friendly chatbot who always responds in the style of a pirate"},
        {"role": "user", "content": "How many helicopters can a human eat in one sitting?"},
    ]

    assert render(messages, "zephyr") == (
        "<|system|>\nYou are a friendly chatbot who always responds in the style of a pirate</s>\n"
        "<|user|>\nHow many helicopters can a human eat in one sitting?</s>\n<|assistant|>\n"
    )


def test_harmony_history_and_effort_are_as_the_vendors_example() -> None:
    # openai/harmony docs/format.md, "Handling reasoning output in subsequent sampling"; <|end|> in the history.
    messages = [
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "2 + 2 = 4."},
        {"role": "user", "content": "What about 9 / 2?"},
    ]

    prompt = render(messages, "harmony", options={"reasoning_effort": "high"})

    assert "\n\nReasoning: high\n\n" in prompt
    assert prompt.endswith(
        "<|start|>user<|message|>What is 2 + 2?<|end|><|start|>assistant<|channel|>final<|message|>2 + 2 = 4.<|end|>"
        "<|start|>user<|message|>What about 9 / 2?<|end|><|start|>assistant"
    )


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "llama2"])
def test_token_at_the_beginning_is_printed_once(name: str) -> None:
    bos = TEMPLATES[name].bos

    assert not bos or (render(TURNS, name).startswith(bos) and render(TURNS, name).count(bos) == 1)


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_is_sourced_and_ends_answers(name: str) -> None:
    template = TEMPLATES[name]

    assert template.name == name
    assert len(template.source) > 10
    assert template.stops
    assert template.system is not None
    with pytest.raises(FrozenInstanceError):
        template.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("record", CHAT_RECORDS, ids=lambda record: record.id)
def test_every_chat_record_renders_or_says_that_it_names_no_template(record: registry.ChatModel) -> None:
    if record.template is None:
        with pytest.raises(TemplateError, match=f"the record `{record.id}` names no template"):
            render(TURNS, record)
    else:
        assert render(TURNS, record) == PUBLISHED[record.template][1]


def test_deepseek_leaves_earlier_thoughts_out() -> None:
    messages = [TURNS[0], {"role": "assistant", "content": "<think>Hm.</think>\nHi"}, TURNS[2]]

    assert "<｜Assistant｜>\nHi<｜end▁of▁sentence｜>" in render(messages, "deepseek-v3")


def test_falcon_ends_a_conversation_that_ends_with_an_answer_without_a_line_end() -> None:
    assert render(TURNS[:2], "falcon", add_generation_prompt=False) == (
        "<|user|>\nHello\n<|assistant|>\nHi there<|endoftext|>"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "chatlm",
            "Chat template `chatlm`: there is none of this name. Did you mean `chatml`?",
        ),
        (
            "mistral",
            (
                "Chat template `mistral`: there is none of this name. "
                "Did you mean `mistral-v7` or `mistral-v3` or `mistral-v1`?"
            ),
        ),
        (
            "gguf",
            (
                "Chat template `gguf`: this is the template in a model's file, so it needs the file. Load the model, "
                "or make a `JinjaTemplate` of the template's text."
            ),
        ),
        ("", f"Chat template ``: there is none of this name. The templates are {', '.join(TEMPLATES)}."),
    ],
)
def test_unknown_name_is_refused(name: str, problem: str) -> None:
    with pytest.raises(TemplateError) as caught:
        get_template(name)

    assert str(caught.value) == problem


def test_llama2_conversation_that_ends_with_an_answer_opens_no_new_exchange() -> None:
    assert render(TURNS[:2], "llama2", add_generation_prompt=False) == "<s>[INST] Hello [/INST] Hi there </s>"


def test_templates_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TEMPLATES["own"] = Template(  # type: ignore[index]
            name="own",
            source="",
            user=TEMPLATES["chatml"].user,
            assistant=TEMPLATES["chatml"].user,
            generation_prompt="",
        )


def test_page_prints_what_its_comments_say() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "templates.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}

    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block, names)  # one namespace: the blocks build on each other
        said = re.findall(r"print\(.*\)  # (.*)$|^# (.*)$", block, re.MULTILINE)
        assert printed.getvalue().splitlines() == [first or second for first, second in said]
    assert len(blocks) > 6


def test_page_lists_every_template() -> None:
    page = (ROOT / "docs" / "templates.md").read_text("utf-8")

    assert re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE) == list(TEMPLATES)
