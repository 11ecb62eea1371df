"""Configurations as other programs read them, with records that try to be more than text."""

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from hypothesis import example, given
from hypothesis import strategies as st

from registry.configs import Served, llama_router_preset, llama_swap_config, ollama_modelfile, omitted
from registry.errors import InvalidOptionError, UnsupportedModelError
from registry.records import ChatModel, ModelFile, RerankerModel, RuntimeDefaults, SamplingDefaults
from tests.profiles.small import chat_record, dense_record

from .readers import read_escapes, read_modelfile, read_preset, read_yaml

GGUF = (ModelFile("m.gguf", "gguf"),)
CHAT = chat_record("chat", template="chatml", license="MIT", license_url="https://example.org/MIT")
DENSE = dense_record("dense", files=GGUF, context_length=512, pooling="last-token", normalize=False)
RERANKER = RerankerModel(
    id="rank",
    name="Rank",
    huggingface_id="org/rank",
    organization="org",
    description=".",
    model_type="reranker",
    files=GGUF,
    context_length=512,
)
SIGNS = st.characters(exclude_categories=("Cs",))
HOSTILE = (
    "a\nb: c",
    'a" b',
    "a'; rm -rf / #",
    "$(reboot)",
    "`reboot`",
    "${PORT}",
    "${env.HOME}",
    "a\u2028b",
    "- a",
    "\\",
    "a\\",
    '"""\nFROM evil\n"""',
    "[other]\nmodel = evil",
    "a ; b",
    "a # b",
    "]",
    "\x00",
)


def served(record: Any = CHAT, path: str = "/models/m.gguf", **changes: Any) -> Served:
    return Served(record, Path(path), **changes)


def options_of(config: str, model: str) -> dict[str, str | None]:
    """Give the options of a model's command as the program gets them."""
    words = shlex.split(read_yaml(config)["models"][model]["cmd"])
    assert words[0] == "llama-server"
    found: dict[str, str | None] = {}
    for word in words[1:]:
        if word.startswith("--"):
            found[word] = None
        else:
            found[list(found)[-1]] = word
    return found


def test_llama_swap_config_has_models_in_their_groups() -> None:
    config = llama_swap_config([served(aliases=("general",)), served(DENSE), served(RERANKER)], idle_s=60)

    document = read_yaml(config)
    assert [document["models"][name].get("ttl") for name in ("chat", "dense", "rank")] == [60, 0, 0]
    assert document["models"]["chat"]["aliases"] == ["general"]
    assert document["groups"] == {
        "chat": {"swap": True, "exclusive": False, "members": ["chat"]},
        "encoders": {"swap": False, "exclusive": False, "persistent": True, "members": ["dense", "rank"]},
    }


def test_llama_swap_command_serves_a_chat_model_as_its_record_states() -> None:
    record = chat_record(
        "chat",
        defaults=SamplingDefaults(temperature=0.2, top_k=7),
        runtime=RuntimeDefaults(context_length=8192, gpu_layers=-1, threads=4, batch_size=256),
    )

    parameters = {"top_k": 9, "max_tokens": 512, "stop": ("x",), "seed": 3}

    assert options_of(llama_swap_config([served(record, parameters=parameters)]), "chat") == {
        "--host": "127.0.0.1",
        "--port": "${PORT}",
        "--alias": "chat",
        "--model": "/models/m.gguf",
        "--ctx-size": "8192",
        "--n-gpu-layers": "999",
        "--batch-size": "256",
        "--threads": "4",
        "--temp": "0.2",
        "--top-k": "9",
        "--top-p": "0.9",
        "--min-p": "0.0",
        "--repeat-penalty": "1.1",
        "--seed": "3",
        "--n-predict": "512",
        "--reverse-prompt": "x",
    }


@given(st.text(SIGNS, min_size=1), st.text(SIGNS, min_size=1))
@example("###", "\nUser:")
@example(" a ; b # c ", "${PORT}")
@example("it's \\n", 'a"b')
def test_texts_that_end_an_answer_reach_the_server_as_they_are(one: str, two: str) -> None:
    words = shlex.split(
        read_yaml(llama_swap_config([served(parameters={"stop": (one, two)})]))["models"]["chat"]["cmd"]
    )
    alone = read_preset(llama_router_preset([served(parameters={"stop": (one,)})]))["chat"]["reverse-prompt"]

    assert [read_escapes(words[at + 1]) for at, word in enumerate(words) if word == "--reverse-prompt"] == [one, two]
    assert read_escapes(alone) == one


def test_parameters_that_a_format_cannot_say_are_named() -> None:
    model = served(parameters={"stop": ("a", "b"), "mirostat": 2, "presence_penalty": 0.5, "num_keep": 4})
    left_out = "cannot be said in this format, and is left out."

    assert omitted([model], "llama-swap") == (f"`chat`: `num_keep` {left_out}",)
    assert omitted([model], "llama-router") == (
        (
            "`chat`: a preset holds one stop sequence, 2 are stated, and none is written: send them with each request "
            "(`stop`), or use llama-swap."
        ),
        f"`chat`: `num_keep` {left_out}",
    )
    several = "cannot be said in this format, and are left out."
    assert omitted([model], "modelfile") == (f"`chat`: `mirostat`, `num_keep` {several}",)
    assert "reverse-prompt" not in read_preset(llama_router_preset([model]))["chat"]


def test_format_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        omitted([], "llama_swap")

    assert str(caught.value) == "`format`: expected one of llama-swap, llama-router, modelfile, got 'llama_swap'."


@pytest.mark.parametrize("idle_s", [-5, True, 0.5])
def test_time_without_a_request_that_cannot_be_is_refused(idle_s: Any) -> None:
    with pytest.raises(InvalidOptionError, match="`idle_s`: expected a whole number of seconds, 0 or more, got "):
        llama_swap_config([served()], idle_s=idle_s)


@pytest.mark.parametrize("format", ["llama-swap", "llama-router", "modelfile"])
def test_parameters_of_answers_mean_nothing_to_an_encoder(format: str) -> None:
    model = served(DENSE, parameters={"context_length": 256, "temperature": 0.5})

    assert omitted([model], format) == ("`dense`: `temperature` cannot be said in this format, and is left out.",)
    assert "temperature" not in ollama_modelfile(model)


def test_nothing_is_named_where_all_is_said() -> None:
    assert omitted([served(parameters={"temperature": 0.1, "stop": ("a",)}), served(DENSE)], "llama-router") == ()


def test_llama_server_is_told_what_only_it_and_ollama_know() -> None:
    stated = {"repeat_last_n": 128, "typical_p": 0.9, "mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.2}

    preset = read_preset(llama_router_preset([served(parameters=stated)]))["chat"]

    names = ("repeat-last-n", "typical-p", "mirostat", "mirostat-ent", "mirostat-lr")
    assert [preset[name] for name in names] == ["128", "0.9", "2", "4.0", "0.2"]


def test_modelfile_has_what_ollama_knows_beyond_its_documentation() -> None:
    stated = {"presence_penalty": 0.5, "frequency_penalty": -0.5, "typical_p": 0.9, "repeat_last_n": 64.0}

    found = dict(read_modelfile(ollama_modelfile(served(parameters=stated))))

    names = ("presence_penalty", "frequency_penalty", "typical_p", "repeat_last_n")
    assert [found[f"PARAMETER {name}"] for name in names] == ["0.5", "-0.5", "0.9", "64"]


def test_number_that_is_infinite_is_written_nowhere() -> None:
    model = served(parameters={"presence_penalty": float("inf")})

    assert "inf" not in llama_swap_config([model]) + ollama_modelfile(model)
    assert "`presence_penalty`" in omitted([model], "modelfile")[0]


def test_llama_swap_command_serves_an_encoder_in_one_batch() -> None:
    shared = {"--host": "127.0.0.1", "--port": "${PORT}", "--model": "/models/m.gguf"}
    sizes = {"--ctx-size": "512", "--batch-size": "512", "--ubatch-size": "512"}
    config = llama_swap_config([served(replace(DENSE, pooling="mean")), served(RERANKER)])

    assert options_of(config, "dense") == shared | sizes | {
        "--alias": "dense",
        "--embeddings": None,
        "--pooling": "mean",
        "--embd-normalize": "-1",
    }
    assert options_of(config, "rank") == shared | sizes | {"--alias": "rank", "--reranking": None}


@pytest.mark.skipif(os.name == "nt", reason="Windows quotes in another way")
@given(st.text(SIGNS, min_size=1))
@example("/models/it's (1) & a $HOME.gguf")
@example("/a\\")
def test_path_reaches_the_command_of_llama_swap_as_it_is_or_not_at_all(path: str) -> None:
    try:
        config = llama_swap_config([Served(CHAT, Path("/") / path)])
    except UnsupportedModelError:
        return
    assert options_of(config, "chat")["--model"] == str(Path("/") / path)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_of_a_record_are_texts_in_a_llama_swap_config(text: str) -> None:
    record = chat_record("chat", name=text, description=text)

    document = read_yaml(llama_swap_config([served(record)]))

    assert list(document) == ["healthCheckTimeout", "models", "groups"]
    assert list(document["models"]) == ["chat"]
    assert "${" not in document["models"]["chat"]["description"]


@pytest.mark.parametrize("text", ["${PORT}", "a\nb", " a", ""])
@pytest.mark.parametrize("where", ["id", "alias", "path"])
def test_name_that_llama_swap_would_take_for_more_is_refused(text: str, where: str) -> None:
    record = chat_record(text) if where == "id" else CHAT
    model = Served(record, Path(f"/m{text}x" if where == "path" else "/m"), aliases=(text,) if where == "alias" else ())
    if where == "path" and text in ("", " a"):
        return

    with pytest.raises(UnsupportedModelError):
        llama_swap_config([model])


def test_refusal_says_what_and_why() -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        llama_swap_config([Served(CHAT, Path("/m/${PORT}.gguf"))])

    assert str(caught.value) == (
        "`chat`: the path has '${', which cannot be written in this format: '/m/${PORT}.gguf'. Keep models in another "
        "folder (`REGISTRY_HOME`)."
    )


@pytest.mark.parametrize(
    ("system", "reason"),
    [
        ("a\r", "'\\r' cannot be written in a Modelfile: 'a\\r'. Leave it out."),
        (
            'a"""\nb',
            ('a line ends with quotes, which would end the text in a Modelfile: \'a"""\\nb\'. Put a sign behind them.'),
        ),
    ],
)
def test_refusal_of_a_system_text_says_what_to_do(system: str, reason: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        ollama_modelfile(served(), system=system)

    assert caught.value.reason == reason


def test_refusal_of_a_name_says_what_to_do() -> None:
    with pytest.raises(UnsupportedModelError, match=r"'\]', which cannot be written in this format: 'a]'. Rename it.$"):
        llama_router_preset([served(chat_record("a]"))])


def test_router_preset_has_a_section_for_each_model() -> None:
    preset = llama_router_preset([served(aliases=("general", "coding"), parameters={"seed": 1}), served(DENSE)])

    assert read_preset(preset) == {
        "chat": {
            "model": "/models/m.gguf",
            "ctx-size": "4096",
            "n-gpu-layers": "999",
            "batch-size": "512",
            "temp": "0.7",
            "top-k": "40",
            "top-p": "0.9",
            "min-p": "0.0",
            "repeat-penalty": "1.1",
            "seed": "1",
            "alias": "general,coding",
        },
        "dense": {
            "model": "/models/m.gguf",
            "ctx-size": "512",
            "embeddings": "true",
            "pooling": "last",
            "embd-normalize": "-1",
        },
    }


@given(st.text(SIGNS, min_size=1))
@example("a ; b")
@example("a#b")
def test_path_reaches_the_router_as_it_is_or_not_at_all(path: str) -> None:
    try:
        preset = llama_router_preset([Served(CHAT, Path("/") / path)])
    except UnsupportedModelError:
        return
    assert read_preset(preset)["chat"]["model"] == str(Path("/") / path)


@given(st.text(SIGNS, min_size=1), st.text(SIGNS, min_size=1))
@example("]", "a")
@example("a", "b,c")
def test_names_reach_the_router_as_they_are_or_not_at_all(model_id: str, alias: str) -> None:
    try:
        preset = llama_router_preset([served(chat_record(model_id), aliases=(alias,))])
    except UnsupportedModelError:
        return
    found = read_preset(preset)
    assert list(found) == [model_id]
    assert found[model_id]["alias"] == alias


@pytest.mark.parametrize("model_id", ["*", "default"])
def test_id_that_means_something_to_the_router_is_refused(model_id: str) -> None:
    with pytest.raises(UnsupportedModelError):
        llama_router_preset([served(chat_record(model_id))])


def test_modelfile_has_file_template_parameters_stops_and_licence() -> None:
    record = chat_record(
        "chat",
        template="gemma",
        license="MIT",
        license_url="https://example.org/MIT",
        stop_sequences=("END",),
        runtime=RuntimeDefaults(context_length=8192),
    )

    found = read_modelfile(ollama_modelfile(served(record, parameters={"max_tokens": 512, "stop": ("User:",)})))

    assert [name for name, _ in found][:2] == ["FROM", "TEMPLATE"]
    assert found[0] == ("FROM", "/models/m.gguf")
    assert found[2:] == [
        ("PARAMETER num_ctx", "8192"),
        ("PARAMETER repeat_penalty", "1.1"),
        ("PARAMETER temperature", "0.7"),
        ("PARAMETER num_predict", "512"),
        ("PARAMETER top_k", "40"),
        ("PARAMETER top_p", "0.9"),
        ("PARAMETER stop", "<end_of_turn>"),
        ("PARAMETER stop", "<start_of_turn>"),
        ("PARAMETER stop", "END"),
        ("PARAMETER stop", "User:"),
        ("LICENSE", "MIT (https://example.org/MIT)"),
    ]


def test_modelfile_has_the_template_that_ollama_runs() -> None:
    from registry.chat import get_template
    from registry.configs.go_template import go_template

    assert dict(read_modelfile(ollama_modelfile(served())))["TEMPLATE"] == go_template(get_template("chatml"))


@pytest.mark.parametrize(
    ("template", "comment"),
    [
        (None, "# The template is the file's own: the record names none."),
        (
            "harmony",
            (
                "# The template is the file's own: that of `harmony` has no equal in Go's language, as its answers "
                "come in channels, and its head has options."
            ),
        ),
    ],
)
def test_modelfile_leaves_a_template_that_cannot_be_said_to_the_file(template: str | None, comment: str) -> None:
    text = ollama_modelfile(served(chat_record("chat", template=template)))

    assert comment in text.splitlines()
    assert "TEMPLATE" not in dict(read_modelfile(text))


def test_modelfile_of_an_embedding_model_has_its_file_and_licence_only() -> None:
    record = dense_record("dense", files=GGUF, license="MIT")

    assert read_modelfile(ollama_modelfile(served(record))) == [("FROM", "/models/m.gguf"), ("LICENSE", "MIT")]


@given(st.text(SIGNS, min_size=1))
@example('"""\nFROM evil\n"""')
@example('a"""\nFROM evil')
@example('"')
@example('""')
@example('a"')
@example("a\n\nb ")
@example(" ")
def test_system_text_is_read_as_it_was_given_or_is_refused(system: str) -> None:
    try:
        text = ollama_modelfile(served(), system=system)
    except UnsupportedModelError:
        return
    found = read_modelfile(text)
    assert [value for name, value in found if name == "SYSTEM"] == [system]
    assert [value for name, value in found if name == "FROM"] == ["/models/m.gguf"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_of_a_record_are_texts_in_a_modelfile(text: str) -> None:
    record = chat_record(text, name=text, license="MIT", license_url=text)

    found = read_modelfile(ollama_modelfile(served(record)))

    assert [name for name, _ in found if not name.startswith("PARAMETER")] == ["FROM", "LICENSE"]
    assert found[0] == ("FROM", "/models/m.gguf")


@pytest.mark.parametrize("write", [llama_swap_config, llama_router_preset], ids=lambda write: write.__name__)
def test_every_chat_model_of_the_catalogue_can_be_written(write: Any) -> None:
    from registry import MODEL_REGISTRY

    models = [
        served(record, f"/m/{record.id}.gguf") for record in MODEL_REGISTRY.values() if isinstance(record, ChatModel)
    ]

    assert write(models) == write(models)


def test_every_chat_model_of_the_catalogue_has_a_modelfile() -> None:
    from registry import MODEL_REGISTRY

    for record in MODEL_REGISTRY.values():
        if isinstance(record, ChatModel):
            assert read_modelfile(ollama_modelfile(served(record)))[0] == ("FROM", "/models/m.gguf")
