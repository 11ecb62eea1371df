"""Lines to copy: right for every kind of model."""

import ast
import json
import shlex
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("fastapi")

from registry import MODEL_REGISTRY
from registry.server.web.snippets import constant_of, snippets_of, stored_snippets

BASE, MODULE = "http://127.0.0.1:8081", "registry._registry"
EACH_TYPE = sorted({str(record.model_type): record.id for record in MODEL_REGISTRY.values()}.values())


def of(name: str, **changes: Any) -> dict[str, str]:
    record = replace(MODEL_REGISTRY.get_model(name), **changes) if changes else MODEL_REGISTRY.get_model(name)
    return {found.key: found.code for found in snippets_of(record, MODULE, BASE)}


def test_chat_model_is_downloaded_chatted_with_and_asked():
    assert of("qwen2.5-coder-7b-q5_k_m") == {
        "command": 'pip install "typed-model-registry[cli,chat]"\n'
        "registry download qwen2.5-coder-7b-q5_k_m\n"
        "registry chat qwen2.5-coder-7b-q5_k_m",
        "python": "from registry import QWEN2_5_CODER_7B_Q5_K_M\n"
        "from registry.loaders import load\n\n"
        "with load(QWEN2_5_CODER_7B_Q5_K_M) as chat:\n"
        '    answer = chat.reply([{"role": "user", "content": "Why is the sky blue?"}])\n'
        '    print(answer["choices"][0]["message"]["content"])',
        "curl": "curl http://127.0.0.1:8081/v1/chat/completions \\\n"
        '  -d \'{"model": "qwen2.5-coder-7b-q5_k_m", "messages": '
        '[{"role": "user", "content": "Why is the sky blue?"}]}\'',
    }


@pytest.mark.parametrize(
    ("name", "extra", "call", "path"),
    [
        ("all-minilm-l6-v2", "minilm", "encoder.similarity(", "/v1/embeddings"),
        ("bge-m3", "embed", "encoder.encode_query(", "/v1/embeddings"),
        ("colbert-v2", "embed", "encoder.rank(", "/v1/rerank"),
        ("splade-v3", "embed", "encoder.decode(", None),
        ("bge-reranker-v2-m3", "embed", "reranker.rank(", "/v1/rerank"),
    ],
)
def test_encoders_are_used_as_their_kind_is(name, extra, call, path):
    found = of(name)
    assert f'"typed-model-registry[cli,{extra}]"' in found["command"]
    assert f"registry similarity {name} " in found["command"]
    assert call in found["python"]
    assert (found.get("curl", "").splitlines() or [None])[0] == (path and f"curl {BASE}{path} \\")


def test_model_that_reads_images_is_not_loaded():
    assert list(of("colpali-v1.3")) == ["command"]


@pytest.mark.parametrize("name", EACH_TYPE)
def test_python_is_python_and_names_what_there_is(name):
    for code in (found for key, found in of(name).items() if key == "python"):
        imported = [one for one in ast.walk(ast.parse(code)) if isinstance(one, ast.ImportFrom)]
        assert [one.module for one in imported] == ["registry", "registry.loaders"]
        exec("\n".join(map(ast.unparse, imported)), {})


@pytest.mark.parametrize("name", EACH_TYPE)
def test_requests_carry_json_that_names_the_model(name):
    for code in (found for key, found in of(name).items() if key == "curl"):
        words = shlex.split(code.replace("\\\n", ""))
        assert json.loads(words[words.index("-d") + 1])["model"] == name


def test_commands_are_those_of_the_command_line():
    typer = pytest.importorskip("typer")
    from registry.cli._app import COMMANDS

    assert typer
    for name in EACH_TYPE:
        for line in of(name)["command"].splitlines()[1:]:
            assert shlex.split(line)[1] in COMMANDS


def test_unpinned_model_is_fetched_with_the_option_that_allows_it():
    found = of("bge-m3", revision=None)
    assert "registry download bge-m3 --allow-unpinned" in found["command"].splitlines()


def test_weights_that_are_never_loaded_are_pointed_out():
    note = snippets_of(MODEL_REGISTRY.get_model("bge-m3"), MODULE, BASE)[0].note
    assert note == (
        "The record names weights as pytorch only, which are never loaded: without safetensors in the repository, "
        "fetching is refused."
    )
    assert snippets_of(MODEL_REGISTRY.get_model("colbert-v2"), MODULE, BASE)[0].note == ""


def test_remote_code_is_allowed_by_name_and_pointed_out():
    record = replace(MODEL_REGISTRY.get_model("bge-m3"), requires_remote_code=True)
    found = {one.key: one for one in snippets_of(record, MODULE, BASE)}
    assert "allow_remote_code=True" in found["python"].code
    assert found["python"].note == "Loading runs Python code from the model's repository. Read it first."


def test_record_of_another_registry_is_imported_from_there():
    record = MODEL_REGISTRY.get_model("bge-m3")
    found = {one.key: one.code for one in snippets_of(record, "acme._registry", BASE)}
    assert found["python"].startswith("from acme._registry import get_model\n")
    assert "load(get_model('bge-m3'))" in found["python"]
    assert "registry download bge-m3 --registry acme._registry" in found["command"]


def test_constant_is_named_only_where_the_module_has_it():
    record = MODEL_REGISTRY.get_model("bge-m3")
    assert constant_of(record, MODULE) == "BGE_M3"
    assert constant_of(replace(record, description="other"), MODULE) is None


def test_server_with_a_key_is_asked_with_the_key():
    record = MODEL_REGISTRY.get_model("bge-m3")
    found = {one.key: one.code for one in snippets_of(record, MODULE, BASE, needs_key=True)}
    assert '-H "Authorization: Bearer $REGISTRY_API_KEY"' in found["curl"]


def test_model_of_the_store_alone_is_read_from_the_store():
    python, curl = stored_snippets("mine", BASE)
    assert "catalog.get('mine')" in python.code
    assert curl.code == f"curl {BASE}/api/models/mine"
