"""What users of dataclasses rely on, held by classes that share their methods and read their fields late."""

import copy
import dataclasses
import inspect
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest

from registry import (
    ALL_MINILM_L6_V2,
    COLBERT_V2,
    DEFAULT_PROFILE,
    SPLADE_V3,
    ChatModel,
    EmbeddingModel,
    LoraAdapter,
    ModelFile,
    ModelInfo,
    MultiVectorModel,
    SamplingDefaults,
    get_default_model,
)
from registry._frozen import FrozenDict, dataclass, from_row

FILE = ModelFile("a.gguf", "gguf")
ADAPTER = LoraAdapter("a", FILE, "org/model")
RECORDS = [
    FILE,
    ADAPTER,
    DEFAULT_PROFILE,
    DEFAULT_PROFILE.models["general"],
    COLBERT_V2,
    ALL_MINILM_L6_V2,
    SPLADE_V3,
    get_default_model(),
]


class Cells:
    """A row for tests: counts how often each field is read."""

    def __init__(self, **values: object) -> None:
        self.values = values
        self.reads: list[str] = []

    def value(self, field: str, default: Any) -> Any:
        self.reads.append(field)
        return self.values.get(field, default)


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_record_is_a_frozen_dataclass(record: object) -> None:
    assert dataclasses.is_dataclass(record)
    assert type(record).__dataclass_params__.frozen is True


def test_fields_are_those_of_the_class_in_order() -> None:
    assert [field.name for field in dataclasses.fields(FILE)] == ["name", "role", "sha256", "size_bytes", "url"]


def test_asdict_gives_every_field_deeply() -> None:
    chat = dataclasses.asdict(get_default_model())

    assert chat["defaults"]["top_k"] == 40
    assert chat["file"]["role"] == "gguf"
    assert list(chat) == [field.name for field in dataclasses.fields(ChatModel)]


def test_replace_changes_one_field_and_keeps_the_others() -> None:
    changed = dataclasses.replace(COLBERT_V2, embedding_dim=64)

    assert type(changed) is MultiVectorModel
    assert dataclasses.asdict(changed) == dataclasses.asdict(COLBERT_V2) | {"embedding_dim": 64}


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is new in Python 3.13")
def test_copy_replace_works_as_dataclasses_replace() -> None:
    assert copy.replace(COLBERT_V2, embedding_dim=64) == dataclasses.replace(COLBERT_V2, embedding_dim=64)


@pytest.mark.parametrize("name", ["embedding_dim", "id", "invented", "_row"])
def test_assignment_raises_frozen_instance_error(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError) as caught:
        setattr(COLBERT_V2, name, 1)

    assert str(caught.value) == f"cannot assign to field {name!r}"


@pytest.mark.parametrize("name", ["embedding_dim", "invented"])
def test_deletion_raises_frozen_instance_error(name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError) as caught:
        delattr(COLBERT_V2, name)

    assert str(caught.value) == f"cannot delete field {name!r}"


def test_records_with_equal_fields_are_equal_and_hash_alike() -> None:
    twin = dataclasses.replace(COLBERT_V2)

    assert twin is not COLBERT_V2
    assert twin == COLBERT_V2
    assert hash(twin) == hash(COLBERT_V2)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(EmbeddingModel)])
def test_records_that_differ_in_one_field_differ(field: str) -> None:
    assert dataclasses.replace(COLBERT_V2, **{field: "something else"}) != COLBERT_V2


def test_record_and_another_type_are_not_equal() -> None:
    assert FILE != ("a.gguf", "gguf", None, None, None)
    assert FILE.__eq__("a.gguf") is NotImplemented


def test_value_objects_with_equal_fields_hash_alike() -> None:
    assert len({FILE, ModelFile("a.gguf", "gguf"), ModelFile("b.gguf", "gguf")}) == 2


CLONES = [copy.copy, copy.deepcopy, *(lambda r, p=p: pickle.loads(pickle.dumps(r, p)) for p in range(6))]


@pytest.mark.parametrize("clone", CLONES)
@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_record_copied_or_pickled_is_equal(record: object, clone: Callable[[Any], Any]) -> None:
    made = clone(record)

    assert made == record
    assert type(made) is type(record)
    assert dataclasses.asdict(made) == dataclasses.asdict(record)


def test_untouched_record_pickles_in_one_process_and_loads_in_another(run_python: Callable[..., str]) -> None:
    dumped = run_python("import pickle, registry; print(pickle.dumps(registry.JINA_COLBERT_V2).hex())").strip()

    load = f"import pickle; record = pickle.loads(bytes.fromhex({dumped!r}))\n"

    assert run_python(f"{load}import registry; print(record == registry.JINA_COLBERT_V2)") == "True\n"


def test_pickled_record_holds_its_values_and_not_the_registry() -> None:
    assert b"_Row" not in pickle.dumps(COLBERT_V2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelFile(), "ModelFile() is missing the arguments 'name', 'role'"),
        (lambda: ModelFile("a"), "ModelFile() is missing the arguments 'role'"),
        (lambda: ModelFile(*"abcdef"), "ModelFile() takes 5 positional arguments, got 6"),
        (lambda: ModelFile("a", "b", name="c"), "ModelFile() got multiple values for argument 'name'"),
        (lambda: ModelFile("a", "b", size=1), "ModelFile() got an unexpected keyword argument 'size'"),
        (lambda: ModelInfo("id"), "ModelInfo() takes 0 positional arguments, got 1"),
    ],
)
def test_construction_with_wrong_arguments_raises_type_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        make()

    assert str(caught.value) == message


def test_construction_takes_positions_keywords_and_defaults() -> None:
    assert dataclasses.astuple(ModelFile("a", "gguf", size_bytes=1)) == ("a", "gguf", None, 1, None)


def test_class_shows_defaults_and_hides_fields_without_one() -> None:
    assert SamplingDefaults.top_k == 40
    with pytest.raises(AttributeError) as caught:
        ModelFile.name  # noqa: B018

    assert str(caught.value) == "type object 'ModelFile' has no attribute 'name'"


def test_unknown_attribute_of_a_record_raises_attribute_error() -> None:
    with pytest.raises(AttributeError):
        COLBERT_V2.colour  # noqa: B018


def test_subclass_made_with_the_standard_library_works() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Measured(EmbeddingModel):
        recall: float = 0.0

    values = {field.name: getattr(COLBERT_V2, field.name) for field in dataclasses.fields(COLBERT_V2)}
    record = Measured(**values, recall=0.9)

    assert (record.embedding_dim, record.recall) == (128, 0.9)
    assert dataclasses.replace(record, recall=0.5).recall == 0.5
    assert copy.copy(record) == record
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.recall = 1.0


def test_subclass_made_here_adds_its_fields() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Measured(EmbeddingModel):
        recall: float = 0.0

    record = from_row(Measured, Cells(id="a", recall=0.5))

    assert (record.id, record.recall, record.tags) == ("a", 0.5, ())


def test_subclass_made_here_without_fields_is_a_dataclass_of_its_own() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Plain(ModelFile):
        """Nothing more."""

    assert dataclasses.fields(Plain) == dataclasses.fields(ModelFile)
    assert dataclasses.replace(Plain("a", "gguf"), role="onnx") == Plain("a", "onnx")
    assert Plain("a", "gguf") != ModelFile("a", "gguf")


def test_subclass_made_here_with_another_default_still_reads_the_row() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Tagged(EmbeddingModel):
        family: str | None = "none"

    assert from_row(Tagged, Cells(family="ColBERT")).family == "ColBERT"
    assert from_row(Tagged, Cells()).family == "none"


def test_record_from_a_row_reads_a_field_when_it_is_touched_and_once() -> None:
    row = Cells(name="a", role="gguf")
    record = from_row(ModelFile, row)

    assert row.reads == []
    assert [record.name, record.name, record.url, record.url] == ["a", "a", None, None]
    assert row.reads == ["name", "url"]


def test_record_from_a_row_gives_one_object_a_field() -> None:
    class Fresh(Cells):
        def value(self, field: str, default: Any) -> Any:
            return [super().value(field, default)]

    record = from_row(ModelFile, Fresh())

    assert record.name is record.name


def test_record_from_a_row_equals_one_that_was_constructed() -> None:
    assert from_row(ModelFile, Cells(name="a.gguf", role="gguf")) == FILE


def test_subclass_made_here_leaves_its_base_frozen() -> None:
    @dataclass(frozen=True)
    class Child(ModelFile):
        extra: int = 0

    assert ModelFile.__dataclass_params__.frozen is True
    with pytest.raises(dataclasses.FrozenInstanceError):
        Child("a", "b").extra = 1


def test_value_object_matches_by_position() -> None:
    match ModelFile("a", "config"):
        case ModelFile(name, role):
            assert (name, role) == ("a", "config")
        case _:
            pytest.fail("did not match")


def test_record_of_an_older_pickle_has_the_default_of_a_field_it_lacks() -> None:
    file = object.__new__(ModelFile)
    vars(file).update(name="a", role="config")

    assert file.sha256 is None


THREADS = """
import dataclasses, sys, threading
from registry.records import ChatModel, MultiVectorModel, ModelInfo
sys.setswitchinterval(1e-6)
errors = []
def fields():
    assert "quantization" in {field.name for field in dataclasses.fields(ChatModel)}
    assert "embedding_dim" in {field.name for field in dataclasses.fields(MultiVectorModel)}
def subclass():
    dataclasses.dataclass(frozen=True, kw_only=True)(type("Mine", (ModelInfo,), {"__annotations__": {"extra": int}}))
def run(work):
    try:
        barrier.wait()
        work()
    except Exception as error:
        errors.append(error)
barrier = threading.Barrier(8)
threads = [threading.Thread(target=run, args=(work,)) for work in (fields, subclass) * 4]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(errors)
"""


def test_class_becomes_a_dataclass_for_all_threads_at_once(run_python: Callable[..., str]) -> None:
    assert [run_python(THREADS) for _ in range(5)] == ["[]\n"] * 5


def test_signature_shows_the_fields() -> None:
    assert str(inspect.signature(ModelFile)) == "(name, role, sha256=None, size_bytes=None, url=None)"
    assert str(inspect.signature(EmbeddingModel)).startswith("(*, id, model_type, name, huggingface_id, organization,")


# Dicts that cannot be changed

CHANGES: dict[str, Callable[[FrozenDict[str, int]], object]] = {
    "item": lambda made: made.__setitem__("a", 2),
    "deletion": lambda made: made.__delitem__("a"),
    "update": lambda made: made.update(a=2),
    "or": lambda made: made.__ior__({"a": 2}),
    "setdefault": lambda made: made.setdefault("b", 2),
    "pop": lambda made: made.pop("a"),
    "popitem": lambda made: made.popitem(),
    "clear": lambda made: made.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_frozen_dict_refuses_every_change(change: str) -> None:
    made = FrozenDict({"a": 1})

    with pytest.raises(TypeError) as caught:
        CHANGES[change](made)

    assert str(caught.value) == "'FrozenDict' object cannot be changed: change a copy, `dict(...)`"
    assert made == {"a": 1}


def test_frozen_dict_has_every_method_of_a_dict_that_changes_it_refused() -> None:
    reading = {"copy", "fromkeys", "get", "items", "keys", "values"}
    refused = {name for name in vars(FrozenDict) if name in vars(dict) and vars(FrozenDict)[name] is FrozenDict._refuse}

    public = {name for name in vars(dict) if not name.startswith("_")}
    assert refused == public - reading | {"__setitem__", "__delitem__", "__ior__"}


def test_frozen_dicts_that_are_equal_hash_alike_whatever_the_order() -> None:
    assert FrozenDict({"a": 1, "b": 2}) == FrozenDict({"b": 2, "a": 1}) == {"a": 1, "b": 2}
    assert hash(FrozenDict({"a": 1, "b": 2})) == hash(FrozenDict({"b": 2, "a": 1}))
    assert hash(FrozenDict({"a": 1})) != hash(FrozenDict({"a": 2}))


@pytest.mark.parametrize("clone", CLONES)
def test_frozen_dict_copied_or_pickled_is_frozen_too(clone: Callable[[Any], Any]) -> None:
    again = clone(FrozenDict({"a": 1}))

    assert (type(again), again) == (FrozenDict, {"a": 1})


def test_frozen_dict_gives_copies_that_can_be_changed() -> None:
    made = FrozenDict({"a": 1})

    assert type(made.copy()) is type(made | {"b": 2}) is dict
