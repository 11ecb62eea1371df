import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_build.plan import Plan, Profile, plan
from registry_build.source import read

Record = dict[str, Any]
CASES = Path(__file__).parent / "cases"


@pytest.fixture
def planned(write_data: Callable[..., Path]) -> Callable[..., Plan]:
    return lambda *records, **top: plan(read(write_data(*records, **top)))


def _column(made: Plan, attribute: str, number: int = 0) -> object:
    model = made.models[number]
    return model.row[made.kinds[model.kind].columns.index(attribute)]


def test_plan_keeps_the_order_of_the_file(
    planned: Callable[..., Plan], embedding: Record, chat: Record, put: Callable[..., Record]
) -> None:
    made = planned(put(embedding, "id", "zeta"), chat, put(embedding, "id", "alpha"))

    assert [model.id for model in made.models] == ["zeta", "every-chat-q4_k_m", "alpha"]


def test_plan_names_source_version_default_and_aliases(
    planned: Callable[..., Plan], embedding: Record, chat: Record
) -> None:
    made = planned(embedding, chat, version="1.2.3")

    assert (made.source, made.version, made.default) == ("models.json", "1.2.3", 1)
    assert made.aliases == {"every-chat": 1, "every.chat": 1}


def test_plan_without_chat_records_has_no_default(planned: Callable[..., Plan], embedding: Record) -> None:
    assert planned(embedding).default is None


def test_plan_numbers_record_classes_in_one_order_whatever_the_file_says(
    planned: Callable[..., Plan], embedding: Record, reranker: Record, chat: Record, put: Callable[..., Record]
) -> None:
    sparse = embedding | {"id": "sparse", "type": "sparse"}
    dense = put(embedding | {"id": "dense", "type": "dense"}, "capabilities.multi_vector", False)

    made = planned(chat, reranker, sparse, embedding, dense)

    names = ["DenseModel", "MultiVectorModel", "SparseModel", "RerankerModel", "ChatModel"]
    assert [kind.class_name for kind in made.kinds] == names
    assert [model.kind for model in made.models] == [4, 3, 2, 1, 0]


def test_plan_gives_a_type_of_several_classes_the_base_of_them(
    planned: Callable[..., Plan], embedding: Record, chat: Record, put: Callable[..., Record]
) -> None:
    dense = put(embedding, "capabilities.multi_vector", False)

    made = planned(chat, embedding, dense | {"id": "same-type"}, dense | {"id": "own-type", "type": "dense"})

    assert made.types == {
        "EmbeddingModel": (("COLBERT", "colbert"),),
        "DenseModel": (("DENSE", "dense"),),
        "ChatModel": (("CHAT", "chat"),),
    }


def _adapters(made: Plan) -> list[list[str]]:
    columns = [made.kinds[model.kind].columns for model in made.models]
    rows = [model.row[names.index("adapters")] for model, names in zip(made.models, columns, strict=True)]
    return [[adapter[0] for adapter in row or ()] for row in rows]


def test_plan_gives_adapters_to_the_records_they_fit_in_the_order_of_the_file(
    planned: Callable[..., Plan], chat: Record
) -> None:
    q4, q8 = chat | {"id": "q4", "aliases": ["four"]}, chat | {"id": "q8", "aliases": []}
    tuned = chat | {"id": "tuned", "aliases": [], "base_model": "q4"}
    bases = {"every": "org/every-chat", "by-alias": "four", "eight": "q8", "every-again": "org/every-chat"}
    adapters = [{"id": name, "base_model": base, "file": "a.gguf"} for name, base in bases.items()]

    made = planned(q8, q4, tuned, adapters=adapters)

    assert _adapters(made) == [["every", "eight", "every-again"], ["every", "by-alias", "every-again"], []]


def test_plan_keeps_the_order_of_many_adapters(planned: Callable[..., Plan], chat: Record) -> None:
    bases = {1: "every-chat", 8: "org/every-chat"}  # a set of these numbers is not in their order
    other = chat | {"id": "other", "aliases": [], "base_model": None}
    adapters = [{"id": f"a-{n}", "base_model": bases.get(n, "other"), "file": "a.gguf"} for n in range(9)]

    assert _adapters(planned(chat, other, adapters=adapters))[0] == ["a-1", "a-8"]


def test_plan_names_the_base_of_an_adapter_by_id_where_the_data_have_an_alias(
    planned: Callable[..., Plan], chat: Record
) -> None:
    adapter = {"id": "a", "base_model": "every.chat", "file": "a.gguf", "sha256": "0" * 64}

    ((row,),) = [_column(planned(chat, adapters=[adapter]), "adapters")]

    file = ("a.gguf", "gguf", "0" * 64, None, None)
    assert row == ("a", file, "every-chat-q4_k_m", None, None, None, None, None)


@pytest.mark.parametrize(
    ("facts", "file"),
    [
        ({"file": "a.gguf"}, ("a.gguf", "gguf", None, None, None)),
        ({"file": "a.gguf", "sha256": "0" * 64}, ("a.gguf", "gguf", "0" * 64, None, None)),
        ({"file": {"name": "a.gguf"}, "sha256": "0" * 64}, ("a.gguf", "gguf", "0" * 64, None, None)),
        ({"file": {"name": "a.gguf", "sha256": "0" * 64}}, ("a.gguf", "gguf", "0" * 64, None, None)),
        (
            {"file": {"name": "a.gguf", "sha256": None, "size_bytes": 1, "url": "https://example.org/a"}},
            ("a.gguf", "gguf", None, 1, "https://example.org/a"),
        ),
    ],
)
def test_plan_reads_the_file_of_an_adapter_in_every_form(
    facts: Record, file: tuple[object, ...], planned: Callable[..., Plan], chat: Record
) -> None:
    made = planned(chat, adapters=[{"id": "a", "base_model": "every-chat"} | facts])

    assert _column(made, "adapters")[0][1] == file


def test_plan_leaves_out_columns_that_no_record_fills(planned: Callable[..., Plan], embedding: Record) -> None:
    columns = planned(embedding).kinds[0].columns

    assert columns == (
        "id",
        "model_type",
        "name",
        "huggingface_id",
        "organization",
        "description",
        "release_date",
        "license",
        "parameters",
        "parameter_count",
        "context_length",
        "hidden_dim",
        "vocab_size",
        "architecture_type",
        "architecture_variant",
        "languages",
        "modalities",
        "max_position_embeddings",
        "has_projection",
        "projection_dims",
        "files",
        "quantizations",
        "beir_avg",
        "ms_marco_mrr10",
        "embedding_dim",
        "multi_vector",
    )


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ("110M", 110_000_000),
        ("1.5B", 1_500_000_000),
        ("0.6B", 600_000_000),
        ("22.7M", 22_700_000),
        ("7K", 7_000),
        ("1T", 1_000_000_000_000),
        ("1.23456789K", 1_234),
        ("0.1M", 100_000),
    ],
)
def test_plan_reads_the_parameter_count_exactly(
    parameters: str, count: int, planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    assert _column(planned(put(embedding, "specs.parameters", parameters)), "parameter_count") == count


def test_plan_prefers_the_parameter_count_that_is_stated(
    planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    assert _column(planned(put(embedding, "specs.parameter_count", 109_482_240)), "parameter_count") == 109_482_240


def test_plan_gives_files_their_role_and_facts(
    planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    shards = [{"name": "a.safetensors", "sha256": "0" * 64, "size_bytes": 5}, "b.safetensors"]

    files = _column(planned(put(embedding, "files.weights.safetensors", shards)), "files")

    assert files == (
        ("config.json", "config", None, None, None),
        ("tokenizer.json", "tokenizer", None, None, None),
        ("a.safetensors", "safetensors", "0" * 64, 5, None),
        ("b.safetensors", "safetensors", None, None, None),
        ("pytorch_model.bin", "pytorch", None, None, None),
    )


@pytest.mark.parametrize(
    ("name", "role"),
    [("a.safetensors", "safetensors"), ("a.gguf", "gguf"), ("onnx/a.onnx", "onnx"), ("a.bin", "pytorch")],
)
def test_plan_gives_the_file_of_a_variant_the_role_of_its_name(
    name: str, role: str, planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    record = put(embedding, "variants", [{"id": "v", "quantization": "int8", "file": name}])

    assert _column(planned(record), "variants") == (("v", "int8", (name, role, None, None, None)),)


@pytest.mark.parametrize(
    ("runtime", "maximum", "context"),
    [
        (..., 131072, 4096),
        (..., 2048, 2048),
        (..., None, 4096),
        ({"threads": 2}, 2048, 2048),
        ({"context_length": 1024}, 2048, 1024),
        ({"context_length": None}, 2048, 2048),
        ({"context_length": None}, 131072, 4096),
    ],
)
def test_plan_runtime_context_is_the_smaller_of_4096_and_the_maximum(
    runtime: object,
    maximum: int | None,
    context: int,
    planned: Callable[..., Plan],
    chat: Record,
    put: Callable[..., Record],
) -> None:
    record = put(put(chat, "runtime", runtime), "specs.context_length", maximum)

    assert _column(planned(record), "runtime")[0] == context


def test_plan_enums_hold_every_value_once_and_sorted(
    planned: Callable[..., Plan], embedding: Record, reranker: Record, put: Callable[..., Record]
) -> None:
    made = planned(
        put(embedding, "variants", [{"id": "v", "quantization": "Q8_0", "file": "v.gguf"}]),
        put(reranker, "capabilities.languages", ["de", "en"]),
    )

    members = {enum.name: enum.members for enum in made.enums}

    assert members["Language"] == (("DE", "de"), ("EN", "en"))
    assert members["ModelType"] == (("COLBERT", "colbert"), ("RERANKER", "reranker"))
    assert members["Quantization"] == (("Q8_0", "Q8_0"), ("FP16", "fp16"), ("FP32", "fp32"), ("INT8", "int8"))
    assert members["Tag"] == ()


def test_plan_index_points_from_values_to_records(
    planned: Callable[..., Plan], embedding: Record, reranker: Record, chat: Record, put: Callable[..., Record]
) -> None:
    cut = put(put(embedding, "architecture.matryoshka_dims", [64]), "id", "cut")

    index = planned(embedding, reranker, chat, cut).index

    assert index["type"] == {"chat": (2,), "colbert": (0, 3), "reranker": (1,)}
    assert index["language"] == {"en": (0, 1, 2, 3), "pt-BR": (2,)}
    assert index["quantization"] == {"Q4_K_M": (2,), "fp16": (0, 1, 3), "fp32": (0, 1, 3), "int8": (0, 1, 3)}
    assert index["matryoshka"] == {False: (0,), True: (3,)}
    assert index["embedding_dim"] == {128: (0, 3)}


def test_plan_index_finds_a_storage_format_that_only_a_variant_has(
    planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    record = put(embedding, "variants", [{"id": "v", "quantization": "Q8_0", "file": "v.gguf"}])

    assert planned(record).index["quantization"]["Q8_0"] == (0,)


def test_plan_index_sorts_embedding_sizes(
    planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    plain = put(put(embedding, "architecture.has_projection", False), "architecture.projection_dims", None)
    sizes = [1024, 96, 768, 96]
    records = [put(put(plain, "id", f"m-{n}"), "specs.embedding_dim", size) for n, size in enumerate(sizes)]

    assert list(planned(*records).index["embedding_dim"].items()) == [(96, (1, 3)), (768, (2,)), (1024, (0,))]


def test_plan_summary_says_what_a_record_is(planned: Callable[..., Plan], embedding: Record, chat: Record) -> None:
    made = planned(embedding, chat)

    assert [model.summary for model in made.models] == [
        "New Model: colbert, 110M parameters, 128 dimensions, 512 tokens, MIT. Description of the model",
        "Every Chat: chat, Q4_K_M, 3.2B parameters, 131072 tokens, LicenseRef-Vendor. All there is to say.",
    ]


def test_plan_summary_leaves_out_what_is_not_known(
    planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    record = put(put(put(embedding, "specs.parameters", None), "license", None), "specs.context_length", None)

    assert planned(record).models[0].summary == "New Model: colbert, 128 dimensions. Description of the model"


def test_plan_sources_are_tuples_sorted_by_field(
    planned: Callable[..., Plan], embedding: Record, put: Callable[..., Record]
) -> None:
    record = put(embedding, "sources", {"name": "card", "license": ["b", "a"]})

    assert list(planned(record).models[0].sources.items()) == [("license", ("b", "a")), ("name", ("card",))]


def test_plan_of_the_same_values_in_another_layout_is_the_same(tmp_path: Path) -> None:
    data = json.loads((CASES / "every_field_embedding" / "models.json").read_text("utf-8"))
    plain, turned = tmp_path / "a" / "models.json", tmp_path / "b" / "models.json"
    for file, value, indent in ((plain, data, None), (turned, _turned(data), 4)):
        file.parent.mkdir()
        file.write_text(json.dumps(value, indent=indent), "utf-8")

    first, second = plan(read(plain)), plan(read(turned))

    assert second.digest == first.digest
    assert [model.row for model in second.models] == [model.row for model in first.models]


def test_plan_gives_profiles_roles_and_parameters_in_the_order_of_their_names(
    planned: Callable[..., Plan], embedding: Record
) -> None:
    general = {"name": "big", "provider": "openai", "parameters": {"top_p": 0.5, "stop": ["b", "a"]}}
    data = {"b": {"models": {"general": general, "coding": "x"}}, "a": {"description": "Empty.", "models": {}}}

    for profiles in (data, _turned(data)):
        made = planned(embedding, profiles=profiles)
        first, second = made.profiles
        rows = {
            "coding": ("x", None, None, None, None, None),
            "general": ("big", "openai", None, {"stop": ("b", "a"), "top_p": 0.5}, None, None),
        }
        assert (first, second) == (Profile("a", "Empty.", {}), Profile("b", None, rows))
        assert [list(second.models), list(second.models["general"][3])] == [["coding", "general"], ["stop", "top_p"]]


def test_plan_roles_of_all_profiles_are_one_enum(planned: Callable[..., Plan], embedding: Record) -> None:
    profiles = {"a": {"models": {"b": "x", "tool-use": "x"}}, "b": {"models": {"a": "x", "b": "x"}}}

    role = planned(embedding, profiles=profiles).enums[-1]

    assert (role.name, role.members) == ("Role", (("A", "a"), ("B", "b"), ("TOOL_USE", "tool-use")))


def test_plan_without_profiles_has_none_and_an_empty_enum_of_roles(
    planned: Callable[..., Plan], embedding: Record
) -> None:
    made = planned(embedding)

    assert (made.profiles, made.enums[-1].name, made.enums[-1].members) == ((), "Role", ())


def _turned(value: Any) -> Any:
    """Give the same JSON value with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(item) for item in value] if isinstance(value, list) else value
