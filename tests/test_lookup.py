"""The mechanics under a generated registry, on the shipped one and on small ones generated here."""

import copy
import importlib
import json
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest

import registry
from registry import (
    COLBERT_V2,
    MODEL_REGISTRY,
    Capability,
    EmbeddingModel,
    Family,
    GeneratedFormatError,
    Language,
    License,
    ModelId,
    ModelInfo,
    ModelNotFoundError,
    ModelType,
    NoDefaultModelError,
    Organization,
    Quantization,
    Tag,
    _lookup,
    combine,
    find_model,
    find_models,
    get_default_model,
    get_model,
    get_sources,
    lookup_model,
    models_by_capability,
    models_by_family,
    models_by_language,
    models_by_license,
    models_by_max_embedding_dim,
    models_by_organization,
    models_by_quantization,
    models_by_tag,
    models_by_type,
    models_with_matryoshka,
)

Record = dict[str, Any]
ALL = tuple(MODEL_REGISTRY.values())
DATA = json.loads((Path(__file__).parents[1] / "models.json").read_text("utf-8"))["models"]


# One record


def test_constant_is_the_record_that_get_model_gives() -> None:
    assert COLBERT_V2 is get_model("colbert-v2")
    assert COLBERT_V2 is lookup_model("colbert-v2")
    assert COLBERT_V2 is find_model("colbert-v2")
    assert COLBERT_V2 is MODEL_REGISTRY["colbert-v2"]
    assert COLBERT_V2 in models_by_type("colbert")


def test_every_alias_gives_the_record_of_its_id() -> None:
    for record in ALL:
        assert all(get_model(alias) is record for alias in record.aliases)


def test_every_record_has_its_constant() -> None:
    by_name = {name: getattr(registry, name) for name in dir(registry)}
    constants = [value for value in by_name.values() if isinstance(value, ModelInfo)]

    assert {id(record) for record in constants} == {id(record) for record in ALL}


@pytest.mark.parametrize("get", [get_model, lookup_model, MODEL_REGISTRY.__getitem__])
def test_miss_raises_with_what_was_asked_for(get: Callable[[str], object]) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        get("colbert-v3")

    assert caught.value.model_id == "colbert-v3"
    assert caught.value.registry == "registry._registry"
    assert caught.value.close_matches[0] == "colbert-v2"
    assert caught.value.__context__ is None  # one traceback, not two


def test_find_model_of_a_miss_gives_none() -> None:
    assert find_model("colbert-v3") is None


@pytest.mark.parametrize("get", [get_model, lookup_model, find_model, MODEL_REGISTRY.get])
@pytest.mark.parametrize("value", [None, 7, b"colbert-v2"])
def test_name_that_is_no_string_raises_type_error(get: Callable[[Any], object], value: object) -> None:
    with pytest.raises(TypeError) as caught:
        get(value)

    assert str(caught.value) == f"expected the id of a model as a string, got {value!r}"


def test_name_that_cannot_be_hashed_raises_type_error() -> None:
    with pytest.raises(TypeError) as caught:
        get_model(["colbert-v2"])

    assert str(caught.value) == "expected the id of a model as a string, got ['colbert-v2']"


# Close matches


def _closest(text: str) -> tuple[str, ...]:
    """Give the three records whose names look most like `text`, by their closest name; the slow way."""
    matcher = SequenceMatcher()
    matcher.set_seq2(text.lower().rpartition("/")[2].replace(" ", "-"))
    names = [(name, record.id) for record in ALL for name in (record.id, *record.aliases)]
    scored = []
    for name, model_id in names:
        matcher.set_seq1(name)
        scored.append((matcher.ratio(), name, model_id))
    best: dict[str, str] = {}
    for ratio, name, model_id in sorted(scored, reverse=True):
        if ratio >= 0.6:
            best.setdefault(model_id, name)
    return tuple(best.values())[:3]


@pytest.mark.parametrize(
    "text",
    [
        "colbert-v3",
        "Colbert V2",
        "stanford/colbert-v2",
        "qwen2.5-coder-7b-q5_k",
        "all-minilm-l6-v3",
        "llama3.2",
        "dolphin",
        "jina-colbert-v3",
        "bge-smal",
        "zzzzzzzzz",
        "",
    ],
)
def test_close_matches_are_the_closest_records_first(text: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        lookup_model(text)

    assert caught.value.close_matches == _closest(text)


def test_close_match_that_two_names_of_a_record_share_is_named_once(
    generate: Callable[..., ModuleType], embedding: Record, put: Callable[..., Record]
) -> None:
    near = put(put(embedding, "id", "model-abcdef"), "aliases", ["model-abcd"])
    far = put(embedding, "id", "model-abxyz")
    module = generate(near, far)

    with pytest.raises(ModelNotFoundError) as caught:
        module.lookup_model("model-abcde")

    assert caught.value.close_matches == ("model-abcdef", "model-abxyz")


# The mapping


def test_registry_iterates_ids_in_the_order_of_the_file() -> None:
    assert list(MODEL_REGISTRY) == [record["id"] for record in DATA]
    assert len(MODEL_REGISTRY) == len(DATA)


def test_registry_contains_ids_and_aliases_and_nothing_else() -> None:
    assert "colbert-v2" in MODEL_REGISTRY
    assert "colbert-small" in MODEL_REGISTRY
    assert "colbert-v3" not in MODEL_REGISTRY
    assert None not in MODEL_REGISTRY
    assert ["colbert-v2"] not in MODEL_REGISTRY


def test_registry_get_gives_the_record_or_the_default() -> None:
    assert MODEL_REGISTRY.get("colbert-v2") is COLBERT_V2
    assert MODEL_REGISTRY.get("colbert-v3") is None
    assert MODEL_REGISTRY.get("colbert-v3", 7) == 7


def test_registry_is_equal_to_itself_only_and_hashes() -> None:
    assert MODEL_REGISTRY == MODEL_REGISTRY
    assert dict(MODEL_REGISTRY) != MODEL_REGISTRY
    assert {MODEL_REGISTRY: 1}[MODEL_REGISTRY] == 1


def test_registry_repr_says_how_many_models_and_where_from() -> None:
    assert repr(MODEL_REGISTRY) == f"<registry of {len(DATA)} models: registry._registry>"


def test_model_id_is_the_literal_of_all_ids_and_aliases() -> None:
    assert set(get_args(ModelId)) == {name for record in DATA for name in (record["id"], *record.get("aliases", ()))}


# Queries, against a scan of all records


def _formats(record: Any) -> set[str]:
    stated = {getattr(record, "quantization", None), *getattr(record, "quantizations", ())}
    return stated | {variant.quantization for variant in getattr(record, "variants", ())}


QUERIES: dict[str, tuple[Callable[[str], tuple[Any, ...]], type[StrEnum], Callable[[Any, str], bool]]] = {
    "type": (models_by_type, ModelType, lambda record, value: record.model_type == value),
    "organization": (models_by_organization, Organization, lambda record, value: record.organization == value),
    "family": (models_by_family, Family, lambda record, value: record.family == value),
    "language": (models_by_language, Language, lambda record, value: value in record.languages),
    "license": (models_by_license, License, lambda record, value: record.license == value),
    "capability": (models_by_capability, Capability, lambda record, value: value in record.capabilities),
    "tag": (models_by_tag, Tag, lambda record, value: value in record.tags),
    "quantization": (models_by_quantization, Quantization, lambda record, value: value in _formats(record)),
}


@pytest.mark.parametrize("field", QUERIES)
def test_query_gives_what_a_scan_gives_for_every_value(field: str) -> None:
    query, values, holds = QUERIES[field]

    for value in values:
        scan = tuple(record for record in ALL if holds(record, value))
        assert query(value) == query(str(value)) == find_models(**{field: value}) == scan
        assert scan != ()


@pytest.mark.parametrize("field", QUERIES)
@pytest.mark.parametrize("value", ["", "nothing", "COLBERT", "\ud800", None, 7])
def test_query_for_an_unknown_value_gives_nothing(field: str, value: Any) -> None:
    assert QUERIES[field][0](value) == ()


def test_query_gives_the_same_tuple_every_time() -> None:
    assert models_by_type("colbert") is models_by_type(ModelType.COLBERT)


def test_query_for_many_unknown_values_keeps_none_of_them() -> None:
    models_by_tag("warm up")
    before = len(MODEL_REGISTRY._found)

    for number in range(100):
        models_by_tag(f"unknown {number}")

    assert len(MODEL_REGISTRY._found) == before


SIZES = sorted({record.embedding_dim for record in ALL if hasattr(record, "multi_vector")})


@pytest.mark.parametrize(
    "limit", sorted({-1, 0, 1, 10**9, *SIZES, *(size - 1 for size in SIZES), *(s + 1 for s in SIZES)})
)
def test_query_by_size_gives_what_a_scan_gives(limit: int) -> None:
    scan = tuple(record for record in ALL if hasattr(record, "multi_vector") and record.embedding_dim <= limit)

    assert models_by_max_embedding_dim(limit) == find_models(max_embedding_dim=limit) == scan


def test_query_by_matryoshka_gives_what_a_scan_gives() -> None:
    embedding = [record for record in ALL if hasattr(record, "multi_vector")]

    assert models_with_matryoshka() == tuple(record for record in embedding if record.matryoshka)
    assert find_models(matryoshka=True) == models_with_matryoshka()
    assert find_models(matryoshka=False) == tuple(record for record in embedding if not record.matryoshka)


def test_find_models_without_a_condition_gives_all() -> None:
    assert find_models() == ALL


def _scan(conditions: dict[str, Any]) -> tuple[Any, ...]:
    def meets(record: Any, field: str, value: Any) -> bool:
        if field == "max_embedding_dim":
            return hasattr(record, "multi_vector") and record.embedding_dim <= value
        if field == "matryoshka":
            return hasattr(record, "multi_vector") and record.matryoshka is value
        return QUERIES[field][2](record, value)

    return tuple(record for record in ALL if all(meets(record, *condition) for condition in conditions.items()))


PAIRS = list(
    product(
        [{"type": value} for value in (*ModelType, "nothing")],
        [
            {"language": "en"},
            {"language": "de", "license": "MIT"},
            {"license": "Apache-2.0", "matryoshka": True},
            {"matryoshka": False, "max_embedding_dim": 384},
            {"capability": "retrieval", "max_embedding_dim": 128},
            {"organization": "Qwen", "quantization": "Q4_K_M"},
            {"tag": "code", "family": "Qwen2.5-Coder"},
        ],
    )
)


@pytest.mark.parametrize(("first", "more"), PAIRS, ids=str)
def test_find_models_with_several_conditions_gives_what_a_scan_gives(first: Record, more: Record) -> None:
    assert find_models(**first, **more) == _scan(first | more)


def test_find_models_takes_keywords_only_and_knows_them() -> None:
    with pytest.raises(TypeError):
        find_models("colbert")
    with pytest.raises(TypeError):
        find_models(colour="red")


# Default, sources


def test_default_model_is_the_one_that_the_data_mark() -> None:
    assert get_default_model() is get_model(next(record["id"] for record in DATA if record.get("default")))


def test_default_model_of_a_registry_without_chat_records_raises(
    generate: Callable[..., ModuleType], embedding: Record
) -> None:
    module = generate(embedding)

    with pytest.raises(NoDefaultModelError) as caught:
        module.get_default_model()

    assert caught.value.registry == module.__name__


@pytest.mark.parametrize("model", ["colbert-v2", "colbertv2", COLBERT_V2])
def test_sources_of_a_model_are_those_of_the_data(model: Any) -> None:
    stated = next(record["sources"] for record in DATA if record["id"] == "colbert-v2")

    assert get_sources(model) == {
        field: (text,) if isinstance(text, str) else tuple(text) for field, text in stated.items()
    }


def test_sources_of_an_unknown_model_raise() -> None:
    with pytest.raises(ModelNotFoundError):
        get_sources("colbert-v3")


def test_sources_of_a_record_without_any_are_empty(generate: Callable[..., ModuleType], embedding: Record) -> None:
    assert generate(embedding).get_sources("new-model") == {}


# Enums


def test_enum_member_is_its_string_and_one_object() -> None:
    assert ModelType.COLBERT == "colbert"
    assert COLBERT_V2.model_type is ModelType.COLBERT
    assert COLBERT_V2.model_type is registry._registry.ModelType("colbert")


def test_enum_of_the_package_is_that_of_the_generated_module() -> None:
    assert registry.ModelType is registry._registry.ModelType
    assert (ModelType.__module__, ModelType.__qualname__) == ("registry._registry", "ModelType")
    assert ModelType.__doc__ == "Kinds of models."


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda member: pickle.loads(pickle.dumps(member))])
def test_enum_member_copied_or_pickled_is_the_same_object(clone: Callable[[Any], Any]) -> None:
    assert clone(ModelType.COLBERT) is ModelType.COLBERT


@pytest.mark.parametrize(
    ("field", "enum"),
    [
        ("model_type", "ModelType"),
        ("organization", "Organization"),
        ("family", "Family"),
        ("license", "License"),
        ("languages", "Language"),
        ("modalities", "Modality"),
        ("capabilities", "Capability"),
        ("quantization", "Quantization"),
        ("quantizations", "Quantization"),
        ("similarity", "Similarity"),
        ("pooling", "Pooling"),
        ("template", "Template"),
        ("tags", "Tag"),
    ],
)
def test_attribute_of_a_vocabulary_holds_members_of_its_enum(field: str, enum: str) -> None:
    for record in ALL:
        value = getattr(record, field, None)
        members = value if isinstance(value, tuple) else () if value is None else (value,)
        assert all(type(member) is getattr(registry, enum) for member in members)


def test_enum_without_members_is_empty(generate: Callable[..., ModuleType], embedding: Record) -> None:
    assert list(generate(embedding).Pooling) == []


# Threads

THREADS = """
import sys, threading
sys.setswitchinterval(1e-6)
barrier = threading.Barrier(32)
seen = [None] * 32

def touch(number):
    barrier.wait()
    import registry
    record = registry.COLBERT_V2
    chat = registry.get_model("qwen2.5-coder-7b-q5")
    seen[number] = (
        registry.MODEL_REGISTRY, record, registry.get_model("colbert-v2"), registry.ModelType, record.model_type,
        record.files, record.languages, chat, chat.defaults, registry.models_by_type("colbert")[0],
    )

threads = [threading.Thread(target=touch, args=(number,)) for number in range(32)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print([len({id(value) for value in values}) for values in zip(*seen, strict=True)])
"""


def test_first_touch_from_many_threads_gives_everybody_the_same_objects(run_python: Callable[..., str]) -> None:
    for _ in range(3):
        assert run_python(THREADS) == f"{[1] * 10}\n"


@pytest.mark.parametrize(
    ("where", "read"),
    [
        ("row", lambda module: module.get_model("new-model")),
        ("row", lambda module: module.find_model("new-model")),
        ("table", lambda module: module.MODEL_REGISTRY._enum("ModelType")),
    ],
    ids=["record", "record without cache", "enum"],
)
def test_two_threads_that_make_one_thing_at_the_same_time_get_one_object(
    where: str, read: Callable[[ModuleType], object], generate: Callable[..., ModuleType], embedding: Record
) -> None:
    module = generate(embedding)
    storage = module.MODEL_REGISTRY.storage
    original, barrier = getattr(storage, where), threading.Barrier(2)

    def wait_for_the_other(key: Any) -> Any:
        barrier.wait(10)  # both have seen by now that nothing is made yet
        return original(key)

    setattr(storage, where, wait_for_the_other)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: read(module), range(2))

    assert first is second


# Other generated modules


def test_generated_module_of_another_package_stands_on_its_own(
    generate: Callable[..., ModuleType], embedding: Record
) -> None:
    module = generate(embedding)

    assert module.NEW_MODEL is module.get_model("new-model")
    assert module.NEW_MODEL.model_type is module.ModelType.COLBERT
    assert module.ModelType is not ModelType
    assert module.NEW_MODEL.model_type == ModelType.COLBERT
    assert pickle.loads(pickle.dumps(module.NEW_MODEL)) == module.NEW_MODEL


def test_generated_module_has_all_and_dir(generate: Callable[..., ModuleType], embedding: Record) -> None:
    module = generate(embedding)

    assert module.__all__ == dir(module)
    assert {"NEW_MODEL", "ModelId", "ModelType", "MODEL_REGISTRY", "get_model"} <= set(dir(module))


def test_generated_module_that_is_older_than_a_class_works(
    generate: Callable[..., ModuleType], embedding: Record, chat: Record
) -> None:
    module = generate(embedding, chat)
    file = Path(module.__file__)
    lines = file.read_text().replace("_records.MultiVectorModel", "_records.EmbeddingModel").splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "LoraAdapter" not in line))
    del sys.modules[module.__name__]

    older = importlib.import_module(module.__name__)

    assert type(older.NEW_MODEL) is EmbeddingModel
    assert older.NEW_MODEL.embedding_dim == 128
    assert older.get_default_model().adapters == ()
    assert combine(older.MODEL_REGISTRY, MODEL_REGISTRY).models_by_type("colbert")[0] is older.NEW_MODEL


@pytest.mark.parametrize(("number", "age"), [(0, "an older"), (_lookup.FORMAT + 1, "a newer")])
def test_generated_module_of_another_format_is_refused_on_import(
    number: int, age: str, generate: Callable[..., ModuleType], embedding: Record
) -> None:
    module = generate(embedding)
    file = Path(module.__file__)
    file.write_text(file.read_text().replace(f"format={_lookup.FORMAT},", f"format={number},"))
    del sys.modules[module.__name__]

    with pytest.raises(GeneratedFormatError, match=f"was generated by {age} version") as caught:
        __import__(module.__name__)

    assert vars(caught.value) | {"registry": module.__name__, "expected": _lookup.FORMAT, "got": number} == vars(
        caught.value
    )


def test_generated_module_without_a_column_falls_back_to_the_default_of_the_class(
    generate: Callable[..., ModuleType], embedding: Record, put: Callable[..., Record]
) -> None:
    module = generate(embedding, put(embedding, "id", "other") | {"tags": ["t"], "revision": "0" * 40})
    text = Path(module.__file__).read_text()

    assert "'revision'" in text
    assert "'normalize'" not in text
    assert (module.OTHER.revision, module.NEW_MODEL.revision) == ("0" * 40, None)
    assert (module.OTHER.normalize, module.OTHER.matryoshka_dims, module.OTHER.recommended) == (None, (), False)


SHARDED = """
import sys
from {package}._registry import MODEL_REGISTRY
rows = lambda: sorted(name.rpartition('.')[2] for name in sys.modules if '_rows.' in name)
print(rows())
record = MODEL_REGISTRY["m-0300"]
print(record.embedding_dim, rows())
import {package}._registry as made
print(made.M_1001.id, made.M_1001 is made.get_model("m-1001"), rows())
print([record.id for record in made.models_by_tag("rare")], len(made.find_models(type="colbert")), rows())
print(made.M_0003.model_type, rows())
print(made.lookup_model("m-1001-alias").id)
"""


def test_sharded_registry_imports_the_modules_it_touches_only(
    generate: Callable[..., ModuleType], embedding: Record, put: Callable[..., Record], run_python: Callable[..., str]
) -> None:
    records = [embedding | {"id": f"m-{number:04d}"} for number in range(1100)]
    records[3] = put(records[3], "tags", ["rare"])
    records[1001] = put(records[1001], "aliases", ["m-1001-alias"])
    module = generate(*records)
    package = module.__name__.partition(".")[0]

    lines = run_python(SHARDED.format(package=package), PYTHONPATH=str(Path(module.__file__).parents[1])).splitlines()

    assert lines == [
        "[]",
        "128 ['rows_0001']",
        "m-1001 True ['enums', 'names', 'rows_0001']",
        "['m-0003'] 1100 ['enums', 'index', 'names', 'rows_0001']",
        "colbert ['enums', 'index', 'names', 'rows_0000', 'rows_0001']",
        "m-1001",
    ]


def test_sharded_registry_answers_as_an_inline_one(
    generate: Callable[..., ModuleType], embedding: Record, chat: Record
) -> None:
    few = [embedding, chat]
    many = generate(*few, *(embedding | {"id": f"m-{number}"} for number in range(1000)))
    inline = generate(*few)

    assert many.NEW_MODEL == inline.NEW_MODEL
    assert many.get_default_model() == inline.get_default_model()
    assert [record.id for record in many.models_by_type("chat")] == ["every-chat-q4_k_m"]


# Copies


def test_registry_and_its_functions_come_back_as_themselves_from_pickle_and_copy() -> None:
    again = pickle.loads(pickle.dumps(get_model))

    assert again("colbert-v2") is COLBERT_V2
    assert len(pickle.dumps(get_model)) < 200
    assert copy.deepcopy(MODEL_REGISTRY) is MODEL_REGISTRY


def test_sources_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        get_sources("colbert-v2")["license"] = ("mine",)
