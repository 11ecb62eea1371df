import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from registry_build.problems import BuildError, dotted
from registry_build.schema import check, load_schema

Record = dict[str, Any]
SCHEMA = load_schema()


# The schema that ships


def test_schema_is_a_valid_json_schema_of_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(SCHEMA)


def test_schema_id_carries_its_version() -> None:
    assert SCHEMA["$id"] == "urn:typed-model-registry:schema:models:1"


def test_schema_describes_every_field() -> None:
    silent = [path for path, schema in _fields(SCHEMA) if not _resolved(schema).get("description")]

    assert silent == []


def test_schema_refuses_unknown_keys_in_every_object_with_fields() -> None:
    objects = [(path, schema) for path, schema in _schemas(SCHEMA) if "properties" in schema and "type" in schema]
    open_ones = [path for path, schema in objects if "additionalProperties" not in schema]

    assert open_ones == ["$defs.model"]  # hands every record on to one of three closed ones


def test_schema_accepts_the_record_of_the_design_page(embedding: Record) -> None:
    assert list(check({"version": "1.0", "models": [embedding]}, SCHEMA)) == []


def _schemas(schema: Any, path: str = "") -> Iterator[tuple[str, Record]]:
    if isinstance(schema, dict):
        yield path, schema
    inner = schema.items() if isinstance(schema, dict) else enumerate(schema) if isinstance(schema, list) else ()
    for key, value in inner:
        yield from _schemas(value, f"{path}.{key}".lstrip("."))


def _fields(schema: Any) -> Iterator[tuple[str, Record]]:
    for path, inner in _schemas(schema):
        if path.rpartition(".")[2] != "properties" and isinstance(inner.get("properties"), dict):
            for name, field in inner["properties"].items():
                if ".if." not in f".{path}.":  # a condition describes nothing
                    yield f"{path}.{name}", field


def _resolved(schema: Record) -> Record:
    """Give a field with what it refers to; what stands beside the reference wins."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return SCHEMA["$defs"][name] | schema if name else schema


# Wording


def test_check_reports_one_line_a_place(embedding: Record, put: Callable[..., Record]) -> None:
    record = put(embedding, "specs.embedding_dim", "x")

    assert list(check({"version": "1.0", "models": [record]}, SCHEMA)) == [
        (("models", 0, "specs", "embedding_dim"), "expected a positive integer, got `x`")
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("specs.embedding_dim", True, "specs.embedding_dim: expected a positive integer, got true"),
        ("specs.embedding_dim", 128.0, "specs.embedding_dim: expected a positive integer, got 128.0"),
        ("specs.hidden_dim", 0, "specs.hidden_dim: expected a positive integer or null, got 0"),
        ("license", ..., "license: expected a non-empty string or null, got nothing: the key is missing"),
        (
            "specs.vocab_sise",
            1,
            "specs.vocab_sise: expected one of the known keys, got `vocab_sise`: did you mean `vocab_size`?",
        ),
        ("colour", 1, "colour: expected one of the known keys, got `colour`: remove it"),
        ("huggingface_id", "model", "huggingface_id: expected `org/model`, got `model`"),
        ("tags", ["a", "a"], "tags: expected every item once, got one of them twice"),
        ("tags", "a", "tags: expected a list, got `a`"),
        (
            "capabilities.languages",
            [],
            "capabilities.languages: expected a list of at least 1 item or null, got an empty list",
        ),
        (
            "capabilities.modalities",
            ["smell"],
            "capabilities.modalities[0]: expected `text`, `image`, `audio` or `video`, got `smell`",
        ),
        ("performance.beir_avg", 52.1, "performance.beir_avg: expected a number from 0 to 1 or null, got 52.1"),
        ("recommended", 1, "recommended: expected true or false, got 1"),
        ("architecture", [], "architecture: expected an object, got an empty list"),
        (
            "performance_hints.memory_mb_per_batch",
            0,
            "performance_hints.memory_mb_per_batch: expected a number above 0 or null, got 0",
        ),
        ("files.weights.onnx", [], "files.weights.onnx: expected a list of at least 1 item, got an empty list"),
        (
            "files.weights.onnx",
            ["../x"],
            "files.weights.onnx[0]: expected a file name: one path component, at most one folder before it, got `../x`",
        ),
    ],
)
def test_check_wording_says_expected_and_got(
    path: str,
    value: object,
    message: str,
    embedding: Record,
    put: Callable[..., Record],
    problems: Callable[..., list[str]],
) -> None:
    assert problems(put(embedding, path, value)) == [f"new-model: {message}"]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ([], "expected an object, got an empty list"),
        (None, "expected an object, got null"),
        ("models", "expected an object, got `models`"),
        (7, "expected an object, got 7"),
    ],
)
def test_check_of_something_that_is_no_object_says_so(data: object, line: str) -> None:
    assert list(check(data, SCHEMA)) == [((), line)]


@pytest.mark.parametrize("key", ["Upper", "", "a b"])
def test_check_of_a_bad_profile_name_says_what_a_name_is(key: str, embedding: Record) -> None:
    data = {"version": "1.0", "models": [embedding], "profiles": {key: {"models": {}}}}

    assert [message for _, message in check(data, SCHEMA)] == [
        f"expected a key of lower-case letters and digits joined by single `.`, `_` or `-`, got `{key}`"
    ]


def test_check_of_two_bad_profile_names_reports_both(embedding: Record) -> None:
    data = {"version": "1.0", "models": [embedding], "profiles": {"A": {"models": {}}, "B": {"models": {}}}}

    assert len(list(check(data, SCHEMA))) == 2


TEXTS = {
    "embedding": {
        "id": "new-model",
        "type": "colbert",
        "huggingface_id": "org/model",
        "release_date": "2024",
        "license_url": "https://example.org/",
        "revision": "0" * 40,
        "superseded_by": "newer",
        "specs.parameters": "110M",
        "files.config": "config.json",
        "files.tokenizer": {"name": "tokenizer.json", "sha256": "0" * 64},
        "dependencies.tokenizer_model": "org/model",
        "tags": ["tag"],
        "aliases": ["alias"],
        "capabilities.tasks": ["retrieval"],
    },
    "chat": {
        "type": "chat",
        "base_model": "org/model",
        "file.name": "model.gguf",
        "file.url": "https://example.org/",
    },
    "reranker": {"type": "reranker"},
}


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, texts in TEXTS.items() for path in texts])
def test_check_of_a_text_with_a_line_end_after_it_refuses_it(
    kind: str, path: str, put: Callable[..., Record], problems: Callable[..., list[str]], request: pytest.FixtureRequest
) -> None:
    ended = _ended(TEXTS[kind][path])
    record = request.getfixturevalue(kind)

    assert any(path.partition(".")[0] in line for line in problems(put(record, path, ended)))


def _ended(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ended(inner) for key, inner in value.items()}
    return [_ended(inner) for inner in value] if isinstance(value, list) else f"{value}\n"


@pytest.mark.parametrize("depth", [100, 300, 900])
def test_check_of_deep_lists_in_a_list_of_unique_items_is_a_build_error(
    depth: int, embedding: Record, put: Callable[..., Record], write_data: Callable[..., Path]
) -> None:
    from registry_build import load

    deep = "[" * depth + "]" * depth
    file = write_data(put(embedding, "tags", ["@", "@"]))
    file.write_text(file.read_text().replace('"@"', deep))

    with pytest.raises(BuildError) as caught:
        load(file)

    assert all(problem.file == str(file) for problem in caught.value.problems)  # not the fault of the schema


# Schemas of others


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "expected a JSON Schema: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (
            '{"type": 5}',
            "expected a JSON Schema: 5 is not valid under any of the schemas listed in the 'anyOf' keyword",
        ),
        ("[]", "expected a JSON Schema: got an empty list"),
        ("true", "expected a JSON Schema: got true"),
    ],
)
def test_load_schema_that_is_none_says_why(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(text)

    with pytest.raises(BuildError) as caught:
        load_schema(file)

    assert str(caught.value) == f"{file}: {reason}"


def test_load_schema_from_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        load_schema(tmp_path / "none.json")

    assert str(caught.value) == f"{tmp_path / 'none.json'}: expected a JSON Schema: No such file or directory"


@pytest.mark.parametrize(
    "schema",
    ["true", "false", '{"$ref": "#/$defs/none"}', '{"$ref": "http://127.0.0.1:9/none"}', '{"pattern": "("}', "{}"],
)
def test_load_with_any_schema_of_the_caller_never_ends_in_a_traceback(
    schema: str, embedding: Record, write_data: Callable[..., Path], tmp_path: Path
) -> None:
    from registry_build import build

    file = tmp_path / "schema.json"
    file.write_text(schema)

    with pytest.raises(BuildError):
        build(write_data(embedding, "not a record"), file)


@pytest.mark.parametrize(
    "schema",
    [
        '{"$ref": "%s"}',
        '{"$schema": "%s"}',
        '{"properties": {"x": {"$id": "urn:x", "$schema": "%s"}}}',
        '{"properties": {"x": {"$dynamicRef": "%s"}}}',
        '{"$id": "%s", "properties": {"x": {"$ref": "other"}}}',
    ],
)
def test_load_with_a_schema_that_names_another_address_fetches_nothing(
    schema: str, embedding: Record, write_data: Callable[..., Path], tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    code = f"from registry_build import load\nload({str(write_data(embedding))!r}, {str(file)!r})"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        file.write_text(schema % f"http://127.0.0.1:{server.getsockname()[1]}/schema")
        # A process of its own: one that does ask waits for an answer, and the time limit ends it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=10, check=False)

        with pytest.raises(BlockingIOError):
            server.accept()


def test_load_schema_of_the_caller_is_the_one_that_decides(
    embedding: Record, put: Callable[..., Record], write_data: Callable[..., Path], tmp_path: Path
) -> None:
    from registry_build import load

    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA | {"required": ["version", "models", "profiles"]}))
    data = write_data(embedding)

    with pytest.raises(BuildError) as caught:
        load(data, file)

    assert str(caught.value) == f"{data}:1: profiles: expected an object, got nothing: the key is missing"


@pytest.mark.parametrize("dialect", ["http://127.0.0.1:9/meta", "file:///etc/hostname", 7])
def test_load_schema_of_another_dialect_says_so_and_fetches_nothing(dialect: object, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"$schema": dialect}))

    with pytest.raises(
        BuildError, match=r"expected `\$schema` to be https://json-schema\.org/draft/2020-12/schema, got"
    ):
        load_schema(path)


@pytest.mark.parametrize(
    ("schema", "data", "message"),
    [
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}, {"x": 1}, None),
        ({"properties": {"x": {"enum": []}}}, {"x": 1}, "expected another value, got 1"),
        ({"properties": {"x": False}}, {"x": 1}, "the schema refuses it"),
        ({"properties": {"type": {"type": "string"}, "x": False}}, {"x": 1}, "the schema refuses it"),
        ({"properties": {"x": {"pattern": "^a"}}}, {"x": "b"}, 'the schema refuses it: "b" does not match'),
        ({"properties": {"x": {"maximum": 3, "type": "integer"}}}, {"x": 4}, "expected an integer of at most 3, got 4"),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False}, {"b": 1}, "the schema refuses it"),
        (
            {
                "$defs": {"a": {"properties": {"b": {"type": "string"}}}},
                "properties": {"x": {"$ref": "#/$defs/a/properties/b"}},
            },
            {"x": 1},
            "expected a string, got 1",
        ),
        ({"properties": {"x": {"type": ["integer", "number"]}}}, {"x": 1.5}, None),
    ],
)
def test_check_against_a_schema_of_the_caller_says_what_it_refuses(
    schema: dict[str, Any], data: object, message: str | None
) -> None:
    found = list(check(data, schema))

    assert [text.startswith(message or "") for _, text in found] == ([True] if message else [])


LONE = "\ud800"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"profiles": {LONE: {"models": {"x": 3}}}}, "profiles.?.models.x"),
        ({"profiles": {"p": {"models": {LONE: {"name": 3}}}}}, "profiles.p.models.?.name"),
        ({"models": [{"id": "a", "type": "dense", "sources": {LONE: 3}}]}, "models[0].sources.?"),
    ],
)
def test_check_below_a_key_with_a_lone_surrogate_names_the_place(change: Record, path: str, embedding: Record) -> None:
    data = {"version": "1.0", "models": [embedding]} | change

    assert path in [dotted(found) for found, _ in check(data, SCHEMA)]


def test_check_of_deep_lists_with_a_lone_surrogate_is_a_problem() -> None:
    deep: Any = LONE
    for _ in range(600):
        deep = [deep]

    assert list(check({"version": "1.0", "models": deep}, SCHEMA)) == [
        ((), "expected a few levels of nesting, got too many")
    ]
