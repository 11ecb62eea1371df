"""The provider `transformers`, with a tiny llama on the CPU that says what it is told to."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from waiting import within

from registry.errors import (
    ContextOverflowError,
    InsufficientMemoryError,
    InvalidMessageError,
    InvalidOptionError,
    MissingExtraError,
    ProviderModelError,
    RegistryError,
    TemplateError,
)
from registry.profiles.checkpoints import provider as provider_module
from registry.profiles.checkpoints.provider import TransformersProvider
from registry.profiles.checkpoints.sensor import DeviceMemory
from registry.profiles.protocol import Availability, Ensured, Target

from ..small import dense_record
from .machines import GIB, Machine, installed_unsloth, isolate

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
ANSWER = "Light scatters in the air, blue light most."
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Target]:
    """Make a tiny checkpoint, once for the same options."""
    pytest.importorskip("transformers")
    from tiny_checkpoint import checkpoint

    found: dict[str, Target] = {}

    def make(script: Any = ANSWER, **options: Any) -> Target:
        key = f"{script} {sorted(options.items())}"
        if key not in found:
            folder = tmp_path_factory.mktemp("checkpoint") / f"model-{len(found)}"
            found[key] = Target(str(checkpoint(folder, script=script, **options)))
        return found[key]

    return make


@pytest.fixture
def provider() -> Iterator[TransformersProvider]:
    made = TransformersProvider(sensor=Machine())
    yield made
    made.close()


def content(answer: Any) -> str:
    return answer["choices"][0]["message"]["content"]


def without_chance(answer: Any) -> Any:
    """An answer without its id and its time."""
    return {name: value for name, value in answer.items() if name not in ("id", "created")}


# What is there


def test_available_with_its_packages_is_true() -> None:
    pytest.importorskip("transformers")

    assert TransformersProvider().available() == Availability()


def test_available_without_its_packages_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "find_spec", lambda _: None)

    assert TransformersProvider().available() == Availability(
        "It needs packages that are not installed: `torch`, `transformers`.",
        'Install them with `pip install "typed-model-registry[transformers]"`.',
    )


def test_making_and_asking_whether_it_is_there_imports_no_package(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; from registry.profiles.checkpoints.provider import TransformersProvider as P; P().available();"
        "print({'torch', 'transformers', 'numpy', 'unsloth'} & set(sys.modules))"
    )

    assert run_python(code) == "set()\n"


def test_chat_without_its_packages_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(MissingExtraError) as caught:
        TransformersProvider().chat(Target("org/model"), MESSAGES, {})

    assert str(caught.value) == (
        "Loading checkpoints needs `torch`, which is not installed. "
        'Install it with `pip install "typed-model-registry[transformers]"`.'
    )


def test_provider_refuses_a_value_that_it_cannot_have() -> None:
    with pytest.raises(InvalidOptionError, match="offload_threshold"):
        TransformersProvider(offload_threshold=1.2)


def test_has_and_ensure_of_a_folder_that_is_there(made: Callable[..., Target], provider: TransformersProvider) -> None:
    assert provider.has(made())
    assert provider.ensure(made()) == Ensured("already_present", 0)


def test_has_of_a_folder_that_is_not_there_is_false(tmp_path: Path) -> None:
    assert not TransformersProvider().has(Target(str(tmp_path / "gone")))


def test_has_of_a_name_that_means_nothing_here_is_false() -> None:
    assert not TransformersProvider().has(Target("llama3.2:3b"))


# Answers


def test_chat_gives_an_answer_in_the_shape_of_openai(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made()

    answer = provider.chat(model, MESSAGES, {"temperature": 0.5, "seed": 1})

    assert without_chance(answer) == {
        "object": "chat.completion",
        "model": Path(model.name).name,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": 27, "completion_tokens": 8, "total_tokens": 35},
    }


def test_stream_gives_the_role_then_each_token_then_the_end_with_its_usage(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    chunks = list(provider.stream(made(["One", " two", " three"]), MESSAGES, {}))

    assert [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in chunks] == [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "One"}, None),
        ({"content": " two"}, None),
        ({"content": " three"}, None),
        ({}, "stop"),
    ]
    assert chunks[-1].get("usage") == {"prompt_tokens": 27, "completion_tokens": 3, "total_tokens": 30}


def test_chat_ends_at_a_stop_of_the_caller(made: Callable[..., Target], provider: TransformersProvider) -> None:
    answer = provider.chat(made(), MESSAGES, {"stop": "air"})

    assert (content(answer), answer["choices"][0]["finish_reason"]) == ("Light scatters in the ", "stop")


def test_chat_that_ends_at_a_stop_does_not_generate_on(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made(["a", " b"], repeat=True, context_length=100_000)
    parameters = {"stop": "ba b", "max_seq_length": 90_000, "max_tokens": 80_000}

    answer = within(lambda: provider.chat(model, MESSAGES, parameters), 120)

    assert content(answer) == "a "


def test_chat_ends_at_its_longest_answer(made: Callable[..., Target], provider: TransformersProvider) -> None:
    answer = provider.chat(made(), MESSAGES, {"max_tokens": 3})

    assert (content(answer), answer["choices"][0]["finish_reason"]) == ("Light scatters in", "length")
    assert answer["usage"]["completion_tokens"] == 3


def test_chat_ends_at_each_token_that_the_checkpoint_ends_answers_with(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    assert content(provider.chat(made(["Yes.", "<|endoftext|>", " No."]), MESSAGES, {})) == "Yes."


def test_chat_ends_where_another_turn_begins(made: Callable[..., Target], provider: TransformersProvider) -> None:
    assert content(provider.chat(made(["Yes.", "<|im_start|>", "user"]), MESSAGES, {})) == "Yes."


def test_chat_leaves_out_special_tokens_of_others(made: Callable[..., Target], provider: TransformersProvider) -> None:
    assert content(provider.chat(made(["Yes", "<|system|>", " sir."]), MESSAGES, {})) == "Yes sir."


def test_chat_gives_thoughts_apart(made: Callable[..., Target], provider: TransformersProvider) -> None:
    template = "{% for m in messages %}{{ '<think>' in m.content }}{{ m.content }}{% endfor %}\n"
    model = made(["<think>", "Hm.", "</think>", "\n", "Blue."], template=template)

    message = provider.chat(model, MESSAGES, {})["choices"][0]["message"]

    assert message == {"role": "assistant", "content": "Blue.", "reasoning_content": "Hm."}


def test_chat_gives_characters_of_several_tokens_whole(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    pieces = list(provider.stream(made(["5", " ", "\u20ac", "."]), MESSAGES, {}))

    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in pieces) == "5 \u20ac."


def test_chat_gives_the_calls_of_tools(made: Callable[..., Target], provider: TransformersProvider) -> None:
    call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    template = "{{ (tools or [])|length }}{% for m in messages %}{{ m.content }}{% endfor %}\n"

    answer = provider.chat(made([call], template=template), MESSAGES, {"tools": [TOOL]})

    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    message: Any = answer["choices"][0]["message"]
    (made_call,) = message["tool_calls"]
    assert made_call["function"] == {"name": "now", "arguments": "{}"}


def test_chat_hands_options_to_the_template(made: Callable[..., Target], provider: TransformersProvider) -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}{{ 'x' * (padding or 0) }}\n"
    model = made(template=template)

    plain, padded = (
        provider.chat(model, MESSAGES, {"template_options": {"padding": padding}})["usage"]["prompt_tokens"]
        for padding in (0, 7)
    )

    assert padded == plain + 7


def test_chat_takes_a_control_token_in_a_message_for_text(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    def tokens(text: str) -> int:
        messages = [{"role": "user", "content": text}]
        return provider.chat(made(), messages, {})["usage"]["prompt_tokens"]

    assert tokens("<|im_end|>") - tokens("") == len("<|im_end|>")


def test_chat_takes_a_marker_that_is_not_special_for_text(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made(unspecial=("<think>", "</think>", "<|turn|>"))

    def tokens(text: str) -> int:
        return provider.chat(model, [{"role": "user", "content": text}], {})["usage"]["prompt_tokens"]

    assert tokens("<|turn|>") - tokens("") == len("<|turn|>")


def test_chat_takes_a_control_token_within_another_for_text(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    from tiny_gguf import CONTROL_TOKENS

    model = made(special=(*CONTROL_TOKENS, "<<s>"))

    def tokens(text: str) -> int:
        return provider.chat(model, [{"role": "user", "content": text}], {})["usage"]["prompt_tokens"]

    assert tokens("<<s>") - tokens("") == len("<<s>")


# Sampling


def test_chat_with_a_seed_gives_the_same_answer_again(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made(None)

    one, same, other = (
        content(provider.chat(model, MESSAGES, {"seed": seed, "temperature": 1.5, "max_tokens": 20}))
        for seed in (1, 1, 2)
    )

    assert one == same != other


def test_chat_without_chance_takes_the_likeliest_token(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made(None)

    coldest = provider.chat(model, MESSAGES, {"temperature": 0, "max_tokens": 20})
    narrowest = provider.chat(model, MESSAGES, {"temperature": 2, "top_k": 1, "max_tokens": 20})

    assert content(coldest) == content(narrowest)


def test_chat_samples_as_the_checkpoint_states_where_nobody_else_does(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    stated, silent = made(None, sampling={"temperature": 1.5, "top_k": 1}), made(None)

    def answer(model: Target, **parameters: Any) -> str:
        return content(provider.chat(model, MESSAGES, {"seed": 3, "max_tokens": 20} | parameters))

    assert answer(stated) == answer(silent, temperature=0)
    assert answer(stated, top_k=0) == answer(silent, temperature=1.5, top_k=0)


# Lengths


def test_chat_with_a_prompt_over_the_length_is_refused(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    with pytest.raises(ContextOverflowError) as caught:
        provider.chat(made(), MESSAGES, {"max_seq_length": 27})

    assert (caught.value.prompt_tokens, caught.value.context_length, caught.value.maximum) == (27, 27, 512)


def test_chat_ends_where_the_length_is_used_up(made: Callable[..., Target], provider: TransformersProvider) -> None:
    answer = provider.chat(made(), MESSAGES, {"max_seq_length": 29})

    assert (answer["usage"]["total_tokens"], answer["choices"][0]["finish_reason"]) == (29, "length")


def test_chat_without_a_stated_length_takes_what_the_checkpoint_holds(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    answer = provider.chat(made(["a", " b"], repeat=True, context_length=40), MESSAGES, {})

    assert answer["usage"]["total_tokens"] == 40


def test_chat_with_a_stated_length_over_what_the_checkpoint_holds_is_refused(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made()

    with pytest.raises(InvalidOptionError) as caught:
        provider.chat(model, MESSAGES, {"max_seq_length": 513})

    name = Path(model.name).name
    assert str(caught.value) == f"`max_seq_length`: expected at most 512, what `{name}` holds, got 513."


# Refusals


def test_chat_with_a_wrong_message_is_refused(made: Callable[..., Target], provider: TransformersProvider) -> None:
    with pytest.raises(InvalidMessageError):
        provider.chat(made(), [{"role": "robot", "content": "Hi"}], {})


def test_chat_with_a_checkpoint_without_a_template_is_refused(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made(template=None)

    with pytest.raises(ProviderModelError) as caught:
        provider.chat(model, MESSAGES, {})

    assert str(caught.value) == (
        f"`transformers`, asked for `{Path(model.name).name}`: Its tokenizer has no chat template. "
        "Choose a model that was made for chat."
    )


def test_chat_with_a_checkpoint_with_a_broken_template_is_refused(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    with pytest.raises(TemplateError, match="`tokenizer`: it is no valid Jinja in line 1"):
        provider.chat(made(template="{% for %}"), MESSAGES, {})


def test_chat_with_4_bits_and_no_gpu_is_refused_before_anything_is_loaded(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    with pytest.raises(ProviderModelError, match="4-bit loading was asked for"):
        provider.chat(made(), MESSAGES, {"load_in_4bit": True})

    assert provider.slots() == ()


def test_chat_that_fails_while_it_generates_says_so_and_the_next_works(
    made: Callable[..., Target], provider: TransformersProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    model = made()
    with monkeypatch.context() as patch:
        patch.setattr(LlamaForCausalLM, "forward", _failing(RuntimeError("a tensor is on its head")))
        with pytest.raises(ProviderModelError) as caught:  # after which a role asks the next one
            provider.chat(model, MESSAGES, {})

    name = Path(model.name).name
    problem = "Generating failed: RuntimeError: a tensor is on its head"
    assert str(caught.value) == f"`transformers`, asked for `{name}`: {problem}"
    assert content(provider.chat(model, MESSAGES, {})) == ANSWER


def test_chat_that_runs_out_of_memory_before_the_first_token_says_so(
    made: Callable[..., Target], provider: TransformersProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    monkeypatch.setattr(LlamaForCausalLM, "forward", _failing(RuntimeError("CUDA out of memory. Tried to allocate")))

    with pytest.raises(InsufficientMemoryError, match="or set `max_seq_length` lower"):
        provider.chat(made(), MESSAGES, {})


def _failing(error: Exception) -> Callable[..., Any]:
    """A `forward` that fails; `generate` reads its signature."""

    def forward(self: Any, input_ids: Any = None, attention_mask: Any = None, **_: Any) -> Any:
        raise error

    return forward


# Streams


def test_stream_that_is_closed_stops_the_model_at_the_next_token(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    stream = provider.stream(
        made(["a", " b"], repeat=True, context_length=100_000), MESSAGES, {"max_seq_length": 90_000}
    )
    next(stream)
    next(stream)

    stream.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("generate ")]
    assert [status.users for status in provider.slots()] == [0]


def test_stream_that_another_thread_closes_ends_at_the_next_token(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made(["a", " b"], repeat=True, context_length=100_000)
    stream = provider.stream(model, MESSAGES, {"max_seq_length": 90_000, "max_tokens": 80_000})
    begun = threading.Event()

    def read() -> list[Any]:
        seen = []
        for chunk in stream:
            seen.append(chunk)
            if len(seen) > 3:
                begun.set()
        return seen

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert begun.wait(60)
        stream.close()
        seen = reading.result(60)

    assert len(seen) < 10_000
    assert seen[-1]["choices"][0]["finish_reason"] is None
    assert [status.users for status in provider.slots()] == [0]


def test_stream_that_is_never_read_loads_nothing(made: Callable[..., Target], provider: TransformersProvider) -> None:
    provider.stream(made(), MESSAGES, {}).close()

    assert provider.slots() == ()


def test_chat_by_many_threads_queues_for_one_model(made: Callable[..., Target], provider: TransformersProvider) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: content(provider.chat(made(), MESSAGES, {})), range(8)))

    assert answers == [ANSWER] * 8
    assert len(provider.slots()) == 1


def test_chat_while_the_same_thread_reads_a_stream_is_refused(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    model = made()
    stream = provider.stream(model, MESSAGES, {})
    next(stream)

    with pytest.raises(RegistryError) as caught:
        provider.chat(model, MESSAGES, {})

    name = Path(model.name).name
    assert str(caught.value) == (
        f"Cannot call `{name}` while this thread reads a stream of it. Finish or close the stream."
    )
    stream.close()


# Slots


def test_chat_with_another_length_uses_the_same_slot(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    provider.chat(made(), MESSAGES, {"max_seq_length": 100})
    provider.chat(made(), MESSAGES, {"max_seq_length": 200})

    assert len(provider.slots()) == 1


def test_chat_with_no_room_frees_the_least_recently_used_model(made: Callable[..., Target]) -> None:
    machine = Machine()
    provider = TransformersProvider(sensor=machine)
    first, second = made("First."), made("Second.")
    provider.chat(first, MESSAGES, {})
    (status,) = provider.slots()
    room = 3 * status.footprint_bytes // 2
    machine.memories["cpu"] = lambda: DeviceMemory(sum(slot.footprint_bytes for slot in provider.slots()), room)

    assert content(provider.chat(second, MESSAGES, {})) == "Second."

    assert [slot.name for slot in provider.slots()] == [Path(second.name).name]
    provider.close()


def test_chat_with_no_room_at_all_says_what_it_needs(made: Callable[..., Target]) -> None:
    provider = TransformersProvider(sensor=Machine(cpu=DeviceMemory(0, 1000)))

    with pytest.raises(InsufficientMemoryError, match=r"It needs \d{6} bytes on `cpu`, and 1000 of 1000 are free"):
        provider.chat(made(), MESSAGES, {})


def test_close_frees_models_and_the_next_call_loads_again(
    made: Callable[..., Target], provider: TransformersProvider
) -> None:
    provider.chat(made(), MESSAGES, {})
    provider.close()

    assert provider.slots() == ()
    assert content(provider.chat(made(), MESSAGES, {})) == ANSWER


# unsloth


def test_chat_on_a_machine_with_a_gpu_and_unsloth_loads_with_it(
    made: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "registry.profiles")
    provider = TransformersProvider(sensor=Machine(cuda=True), max_seq_length=300)
    model = made()
    with installed_unsloth(tmp_path / "site", monkeypatch):
        assert content(provider.chat(model, MESSAGES, {})) == ANSWER
        (call,) = sys.modules["unsloth"].calls
        provider.close()

    assert (call["load_in_4bit"], call["max_seq_length"], call["local_files_only"]) == (True, 300, True)
    assert [record.getMessage() for record in caplog.records] == [
        f"registry.unsloth.patched patched=true version=2026.9.1 model={Path(model.name).name}"
    ]


def test_chat_with_an_unsloth_whose_patch_does_not_take_warns(
    made: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider = TransformersProvider(sensor=Machine(cuda=True))
    with installed_unsloth(tmp_path / "site", monkeypatch, patches=False):
        assert content(provider.chat(made(), MESSAGES, {})) == ANSWER
        provider.close()

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.facts == {  # type: ignore[attr-defined]
        "patched": False,
        "version": "2026.9.1",
        "reason": "No module of this `LlamaForCausalLM` runs code of unsloth.",
        "model": Path(made().name).name,
    }


def test_chat_without_a_gpu_logs_that_unsloth_computes_nothing(
    made: Callable[..., Target], provider: TransformersProvider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "registry.profiles")

    provider.chat(made(), MESSAGES, {})

    name = Path(made().name).name
    assert [record.getMessage() for record in caplog.records] == [
        f'registry.unsloth.patched patched=false reason="unsloth needs a CUDA GPU." model={name}'
    ]


def test_idle_model_over_the_threshold_is_moved_to_main_memory_and_brought_back(
    made: Callable[..., Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedModel

    moves: list[str] = []
    monkeypatch.setattr(PreTrainedModel, "to", lambda self, device: moves.append(device) or self)

    def gpu() -> DeviceMemory:
        return DeviceMemory(0 if moves[-1:] == ["cpu"] else 9 * GIB // 10, GIB)

    machine = Machine(cuda=True)
    machine.memories["cuda"] = gpu
    provider = TransformersProvider(sensor=machine, offload_threshold=0.5)
    with installed_unsloth(tmp_path / "site", monkeypatch):
        stream = provider.stream(made(), MESSAGES, {})
        next(stream)
        during = [status.device for status in provider.slots()]
        stream.close()
        after = [status.device for status in provider.slots()]
        again = content(provider.chat(made(), MESSAGES, {}))
        provider.close()

    assert (during, after, again) == (["cuda"], ["cpu"], ANSWER)
    assert moves == ["cpu", "cuda", "cpu"]


# Vectors


@pytest.fixture
def encoder(tmp_path: Path) -> Target:
    """A tiny encoder that is kept where models are kept."""
    pytest.importorskip("sentence_transformers")
    from tiny import dense
    from tiny import dense_record as tiny_record

    record = tiny_record(query_prompt="query: ")
    dense(tmp_path / "home" / "models" / record.id, prompts={"query": "query: ", "document": ""})
    return Target(record.id, record)


def test_embed_gives_the_vectors_of_the_loader(encoder: Target, provider: TransformersProvider) -> None:
    import numpy as np

    from registry.loaders import load

    texts = ["the sky is blue", "a cat"]
    with load(encoder.record) as loaded:  # type: ignore[arg-type]
        expected: Any = {kind: getattr(loaded, f"encode{suffix}")(texts) for kind, suffix in _KINDS.items()}

    for kind, vectors in expected.items():
        found = provider.embed(encoder, texts, {"temperature": 0.2}, kind=kind)
        np.testing.assert_array_equal(found, vectors)
    (status,) = provider.slots()
    assert status[:4] == (encoder.name, "cpu", "cpu", 0)


_KINDS: Any = {"query": "_query", "document": "_document", None: ""}


def test_embed_with_an_unknown_parameter_is_refused(encoder: Target, provider: TransformersProvider) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        provider.embed(encoder, ["a"], {"dimension": 8})

    assert str(caught.value) == (
        "`dimension`: expected a parameter of encoders, got 8. Its parameters are allow_unpinned, context_length, "
        "device, dimensions, dtype, load_in_4bit, max_seq_length, offload_threshold, revision."
    )


def test_embed_with_a_name_that_is_no_encoder_is_refused(provider: TransformersProvider) -> None:
    with pytest.raises(ProviderModelError) as caught:
        provider.embed(Target("org/model"), ["a"], {})

    assert str(caught.value) == (
        "`transformers`, asked for `org/model`: Vectors are made with records of dense encoders only, which say how "
        "they are pooled. Name one of the registry, or add it to your own."
    )


def test_chat_with_an_encoder_is_refused(encoder: Target, provider: TransformersProvider) -> None:
    with pytest.raises(OSError, match="architectures: expected one that generates text") as caught:
        provider.chat(encoder, MESSAGES, {})

    assert type(caught.value).__name__ == "ModelLoadError"


def test_embed_with_a_record_that_is_not_here_says_so(provider: TransformersProvider) -> None:
    pytest.importorskip("sentence_transformers")

    with pytest.raises(FileNotFoundError, match="are not on this machine"):
        provider.embed(Target("small", dense_record("small")), ["a"], {})
