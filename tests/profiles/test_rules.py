"""What a manifest may say, held against what the build says of the same document."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jsonschema_rs")
pytest.importorskip("langcodes")
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.profiles.findings import dotted
from registry.profiles.parameters import ALIASES, CANONICAL
from registry.profiles.rules import _PARAMETERS, findings
from registry_build.schema import load_schema
from registry_build.source import Source
from registry_build.validate import validate

_ROOT = Path(__file__).parents[2]
_SHIPPED = json.loads((_ROOT / "models.json").read_text("utf-8"))
_IDS = ("all-minilm-l6-v2", "qwen2.5-coder-7b-q5_k_m", "llama-3.2-3b-instruct-q4_k_m")
_RECORDS = [record for record in _SHIPPED["models"] if record["id"] in _IDS]


def _names(records: list[dict[str, Any]]) -> dict[str, str]:
    return {name: record["id"] for record in records for name in (record["id"], *record.get("aliases", ()))}


def _built(document: dict[str, Any], records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Give what the build has against a document with these records in it."""
    whole = {"version": "1.0", **document, "models": records}
    source = Source("models.json", json.dumps(whole), whole)
    found = [problem for problem in validate(source, [load_schema()]) if problem.severity == "error"]
    return sorted((problem.path, problem.message) for problem in found)


def _found(document: Any, records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((dotted(path), message) for path, message in findings(document, _names(records)).items())


# Documents that are nearly right: every place of one may hold anything.

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1.0, 2.0, 40.0, -1.0, -2.0, 0.0, -0.0, 1e300]),
)
_scalars = st.one_of(st.none(), st.booleans(), _numbers, _texts)
_anything = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3), max_leaves=5
)
_names_of_models = st.sampled_from(
    [*_IDS, "qwen2.5-coder-7b-q5", "all-minilm-l6", "qwen2.5-coder-7b-q5_k", "dolphin3", "openai:gpt-oss", ""]
)
_slugs = st.sampled_from(["a", "b", "a-b", "a_b", "a.b", "1a", "role_1a", "role-1a", "general"])
_keys = st.one_of(_slugs, _slugs, _slugs, st.sampled_from(["A", "a b", "a--b", "ä", "-a", "a\n"]), _texts)


def _mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda number: _anything if number == 0 else right)


_parameters = st.dictionaries(
    st.sampled_from([*_PARAMETERS, "mirostat"]),
    _mostly(_numbers | st.lists(_texts, max_size=3)),
    max_size=4,
)
_objects = st.fixed_dictionaries(
    {},
    optional={
        "name": _mostly(_names_of_models),
        "provider": _mostly(st.sampled_from(["local", "local", "ollama", "openai", "vllm"])),
        "auto_download": _mostly(st.booleans()),
        "description": _mostly(_texts),
        "parameters": _mostly(_parameters),
        "fallback": _mostly(st.lists(_mostly(_names_of_models), max_size=3)),
        "fallbak": _anything,
        "x": _anything,
    },
)
_named = _objects.map(lambda role: {"name": _IDS[0], **role})
_roles = st.one_of(_names_of_models, _objects, _named, _named)
_of_profile = st.fixed_dictionaries(
    {"models": _mostly(st.dictionaries(_keys, _mostly(_roles), max_size=4))},
    optional={"description": _mostly(_texts), "model": _anything},
)
_profiles = st.dictionaries(
    _keys, _mostly(_of_profile | st.fixed_dictionaries({}, optional={"x": _anything})), max_size=3
)
_documents = st.fixed_dictionaries(
    {"profiles": _mostly(_profiles)},
    optional={
        "version": _mostly(st.sampled_from(["1.0", "1.0.2", "1", "1.0\n"])),
        "$schema": _mostly(_texts),
        "profile": _anything,
    },
)


@settings(max_examples=300)
@given(_documents)
@example({"profiles": _SHIPPED["profiles"]})
@example({"profiles": {"Bad": 5}})
@example(
    {"profiles": {"a": {"models": {"a-b": "x", "a_b": "y", "1a": "x", "role-1a": "y"}}, "b": {"models": {"a.b": "z"}}}}
)
@example({"profiles": {"a": {"models": {"a-b": 5, "a_b": "y"}}}})
@example(
    {"profiles": {"a": {"models": {"b": {"name": "x", "fallback": [1, 1.0, True, [1], [1.0], {"a": 0}, {"a": 0.0}]}}}}}
)
@example({"profiles": {"a": {"models": {"b": {"name": "x", "fallback": [0, False, 1, True, [1], [True], {}]}}}}})
@example({"profiles": {"a": {"models": {"b": {"name": "x", "fallback": ["", ""]}}}}})
@example(
    {"profiles": {"a": {"models": {"b": {"name": _IDS[0], "provider": "local", "fallback": ["all-minilm-l6-v2"]}}}}}
)
@example(
    {"profiles": {"a": {"models": {"b": {"name": "x", "parameters": {"top_k": 10**400, "temperature": -(10**400)}}}}}}
)
def test_findings_are_what_the_build_says_of_the_same_document(document: dict[str, Any]) -> None:
    assert _found(document, _RECORDS) == _built(document, _RECORDS)


def test_findings_of_the_shipped_profiles_with_all_shipped_models_are_none() -> None:
    assert findings({"profiles": _SHIPPED["profiles"]}, _names(_SHIPPED["models"])) == {}


def test_findings_with_all_shipped_models_are_what_the_build_says() -> None:
    role = {"name": "colbert-v3", "provider": "local", "fallback": ["colbertv2", "nothing-like-it"]}
    document = {"profiles": {"default": {"models": {"search": role}}}}

    found = _found(document, _SHIPPED["models"])

    place, expected = "profiles.default.models.search", "expected the id or alias of a record"
    assert found == [
        (f"{place}.fallback[1]", f"{expected}, got `nothing-like-it`"),
        (f"{place}.name", f"{expected}, got `colbert-v3`: did you mean `colbert-v2`?"),
    ]
    assert found == _built(document, _SHIPPED["models"])


@pytest.mark.parametrize("document", [[], None, 5, "x", True])
def test_findings_of_what_is_no_object_say_so(document: Any) -> None:
    ((path, message),) = findings(document, {}).items()

    assert (path, message.partition(", got")[0]) == ((), "expected an object")


@pytest.mark.parametrize("part", ["models", "adapters"])
def test_findings_of_records_in_a_manifest_say_that_they_are_compiled(part: str) -> None:
    found = findings({"profiles": {}, part: []}, {})

    assert found == {(part,): f"expected profiles only, got `{part}`: compile them with `registry generate`"}


def test_findings_of_a_manifest_without_profiles_say_that_they_are_missing() -> None:
    assert findings({"version": "1.0"}, {}) == {("profiles",): "expected an object, got nothing: the key is missing"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("num_ctx", -5, "a positive integer, got -5"),
        ("n_ctx", 0, "a positive integer, got 0"),
        ("context_length", "8k", "a positive integer, got `8k`"),
        ("max_completion_tokens", 0, "a positive integer, got 0"),
        ("repetition_penalty", 0, "a number above 0, got 0"),
        ("seed", -1, "an integer of at least 0, got -1"),
        ("stop", "", "a non-empty string or a list, got ``"),
        ("stop", 5, "a non-empty string or a list, got 5"),
        ("revision", 7, "a non-empty string, got 7"),
        ("allow_unpinned", "yes", "true or false, got `yes`"),
    ],
)
def test_findings_of_a_parameter_that_cannot_be_are_those_of_the_build(name: str, value: Any, expected: str) -> None:
    role = {"name": "dolphin3", "provider": "ollama", "parameters": {name: value}}
    document = {"profiles": {"default": {"models": {"general": role}}}}

    found = _found(document, _RECORDS)

    assert found == [(f"profiles.default.models.general.parameters.{name}", f"expected {expected}")]
    assert found == _built(document, _RECORDS)


def test_every_parameter_that_this_library_checks_has_a_rule() -> None:
    assert {*CANONICAL, *ALIASES} <= {*_PARAMETERS}


def test_findings_of_half_a_surrogate_pair_are_none() -> None:
    role = {"name": "\ud800", "description": "\udc00", "parameters": {"stop": ["\ud800"]}}

    assert findings({"profiles": {"a": {"models": {"b": role}}}}, {}) == {}
