"""What the golden cases do not show: what is accepted, and how findings go together."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_build import load
from registry_build.emit import emit
from registry_build.plan import plan
from registry_build.problems import BuildError
from registry_build.schema import load_schema
from registry_build.source import Source, read
from registry_build.validate import validate

Record = dict[str, Any]
SCHEMA = load_schema()
CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("license", None),
        ("license", "MIT"),
        ("license", "Apache-2.0 OR MIT"),
        ("license", "LicenseRef-Vendor-1.0"),
        ("license", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("capabilities.languages", None),
        ("capabilities.languages", ["en", "zh-Hans", "pt-BR", "yue", "und"]),
        ("release_date", None),
        ("release_date", "2024"),
        ("release_date", "2024-12"),
        ("release_date", "2024-02-29"),
        ("specs.parameters", None),
        ("specs.parameters", "1.5B"),
        ("revision", None),
        ("superseded_by", None),
        ("superseded_by", "chat-two"),
        ("architecture.matryoshka_dims", [64, 128]),
        ("architecture.matryoshka_dims", None),
        ("capabilities.matryoshka", False),
        ("files.config", "folder/config.json"),
        ("files", {}),
        ("sources", {"specs.parameters": "card", "capabilities.languages": ["card", "paper"]}),
        ("organization", "名前"),
    ],
)
def test_validate_a_good_value_finds_nothing(
    path: str,
    value: object,
    embedding: Record,
    chat: Record,
    put: Callable[..., Record],
    problems: Callable[..., list[str]],
) -> None:
    assert problems(put(embedding, path, value), put(chat, "id", "chat-two")) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("file", {"name": "model.gguf", "sha256": None, "size_bytes": None}),
        ("template", None),
        ("base_model", None),
        ("base_model", "org/model"),
        ("base_model", "new-model"),
        ("defaults", {"temperature": 0, "top_p": 0.01, "top_k": 0, "repeat_penalty": 0.01, "max_tokens": 1}),
        ("defaults", {"temperature": 2, "top_p": 1.0}),
        ("runtime", {"context_length": None, "gpu_layers": -1, "threads": None}),
    ],
)
def test_validate_a_good_chat_value_finds_nothing(
    path: str,
    value: object,
    embedding: Record,
    chat: Record,
    put: Callable[..., Record],
    problems: Callable[..., list[str]],
) -> None:
    assert problems(embedding, put(chat, path, value)) == []


ADAPTER = {"id": "an-adapter", "base_model": "every-chat", "file": "adapter.gguf"}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"id": "every-chat"},  # names of adapters and of records are two matters
        {"base_model": "every-chat-q4_k_m"},
        {"base_model": "org/every-chat"},
        {"sha256": "0" * 64},
        {"sha256": None, "version": None, "description": None, "huggingface_id": None, "license": None},
        {"file": {"name": "adapter.gguf"}},
        {"file": {"name": "adapter.gguf", "sha256": "0" * 64}, "sha256": "0" * 64},
        {"file": {"name": "adapter.gguf", "sha256": None, "size_bytes": None, "url": None}, "sha256": "0" * 64},
        {"license": "Apache-2.0 OR MIT"},
    ],
)
def test_validate_a_good_adapter_finds_nothing(facts: Record, chat: Record, problems: Callable[..., list[str]]) -> None:
    assert problems(chat, adapters=[ADAPTER | facts]) == []


def test_validate_an_adapter_of_a_record_that_is_no_chat_record_finds_it(
    embedding: Record, problems: Callable[..., list[str]]
) -> None:
    wanted = "the id or alias of a chat record, or the repository in `base_model` of one"

    found = problems(embedding, adapters=[ADAPTER | {"base_model": "new-model"}])

    assert found == [f"an-adapter: base_model: expected {wanted}, got `new-model`"]


def test_validate_the_base_of_a_chat_record_that_is_a_record_is_no_base_of_adapters(
    embedding: Record, chat: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    found = problems(embedding, put(chat, "base_model", "new-model"), adapters=[ADAPTER | {"base_model": "new-model"}])

    assert len(found) == 1


@pytest.mark.parametrize("adapters", [{}, None, "adapter"])
def test_validate_adapters_that_are_no_list_finds_it(
    adapters: object, chat: Record, problems: Callable[..., list[str]]
) -> None:
    assert [line.partition(",")[0] for line in problems(chat, adapters=adapters)] == ["adapters: expected a list"]


def test_validate_the_examples_of_the_docs_finds_nothing(problems: Callable[..., list[str]]) -> None:
    page = (CASES.parents[2] / "docs" / "adding-a-model.md").read_text("utf-8")
    blocks = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    given = [json.loads(block if block.startswith("{") else f"{{{block}}}") for block in blocks]
    records = [block for block in given if "type" in block]
    parts = {key: value for block in given if "type" not in block for key, value in block.items()}

    assert [record["type"] for record in records] == ["colbert", "chat"]
    assert list(parts) == ["adapters", "sources", "profiles"]
    embedding, chat = records[0] | {"sources": parts["sources"]}, records[1] | {"default": True}
    assert problems(embedding, chat, adapters=parts["adapters"], profiles=parts["profiles"]) == []


def test_validate_a_registry_without_chat_records_needs_no_default(
    embedding: Record, problems: Callable[..., list[str]]
) -> None:
    assert problems(embedding) == []


def test_validate_findings_are_sorted_by_line_across_schema_and_rules() -> None:
    text = (CASES / "error_many" / "models.json").read_text("utf-8")

    found = validate(Source("models.json", text, json.loads(text)), [SCHEMA])

    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert len(found) == 10


def test_validate_value_refused_by_the_schema_is_reported_once(
    embedding: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    record = put(put(embedding, "capabilities.matryoshka", True), "architecture.matryoshka_dims", "64")

    assert problems(put(record, "capabilities.matryoshka", False)) == [
        "new-model: architecture.matryoshka_dims: expected a list of at least 1 item or null, got `64`"
    ]


def test_validate_wrong_licence_in_one_record_leaves_the_right_one_of_another_alone(
    embedding: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    wrong = put(put(embedding, "license", "mit"), "id", "wrong")

    assert problems(wrong, embedding) == ["wrong: license: expected `MIT`, got `mit`"]


def test_validate_wrong_dimension_leaves_the_right_projection_alone(
    embedding: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    assert problems(put(embedding, "specs.embedding_dim", 0)) == [
        "new-model: specs.embedding_dim: expected a positive integer, got 0"
    ]


def test_validate_link_to_an_alias_of_the_record_itself_is_refused(
    embedding: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    record = put(put(embedding, "aliases", ["other-name"]), "superseded_by", "other-name")

    assert problems(record) == ["new-model: superseded_by: expected another record, got `other-name` itself"]


def test_validate_unknown_provider_is_a_warning_and_the_build_goes_on(
    chat: Record, put: Callable[..., Record], write_data: Callable[..., Path]
) -> None:
    role = {"name": "dolphin3", "provider": "carrier-pigeon"}
    file = write_data(
        chat, put(chat, "id", "b") | {"default": False, "aliases": []}, profiles={"p": {"models": {"r": role}}}
    )

    source, warnings = load(file)

    assert len(source.data["models"]) == 2
    assert [str(warning) for warning in warnings] == [
        (
            f"{file}:1: warning: profiles.p.models.r.provider: expected `local`, `ollama`, `openai` or `transformers`, "
            "got `carrier-pigeon`: the role is skipped at run time"
        )
    ]


def test_validate_errors_keep_the_warnings_beside_them(
    embedding: Record, put: Callable[..., Record], write_data: Callable[..., Path]
) -> None:
    roles = {"r": {"name": "x", "provider": "carrier-pigeon"}}
    file = write_data(put(embedding, "name", ""), profiles={"p": {"models": roles}})

    with pytest.raises(BuildError) as caught:
        load(file)

    assert [problem.severity for problem in caught.value.problems] == ["warning", "error"]


@pytest.mark.parametrize("value", ["dolphin3", {"name": "dolphin3"}, {"name": "dolphin3", "provider": "ollama"}])
def test_validate_role_that_names_no_record_may_be_an_ollama_name(
    value: object, embedding: Record, problems: Callable[..., list[str]]
) -> None:
    assert problems(embedding, profiles={"default": {"models": {"general": value}}}) == []


def test_validate_local_role_may_name_an_alias(
    embedding: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    roles = {"general": {"name": "other-name", "provider": "local"}}

    assert problems(put(embedding, "aliases", ["other-name"]), profiles={"p": {"models": roles}}) == []


def test_validate_local_role_may_fall_back_to_another_record_by_its_alias(
    embedding: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    other = put(put(embedding, "id", "other"), "aliases", ["other-name"])
    role = {"name": "new-model", "provider": "local", "fallback": ["other-name"]}

    assert problems(embedding, other, profiles={"p": {"models": {"general": role}}}) == []


def test_validate_local_role_that_falls_back_to_an_alias_of_its_own_model_is_refused(
    embedding: Record, put: Callable[..., Record], problems: Callable[..., list[str]]
) -> None:
    role = {"name": "new-model", "provider": "local", "fallback": ["other-name"]}

    assert problems(put(embedding, "aliases", ["other-name"]), profiles={"p": {"models": {"general": role}}}) == [
        "profiles.p.models.general.fallback[0]: expected another record, got `other-name` itself"
    ]


@pytest.mark.parametrize("provider", [{}, {"provider": "ollama"}, {"provider": "openai"}])
def test_validate_fallback_of_another_provider_may_name_no_record(
    provider: Record, embedding: Record, problems: Callable[..., list[str]]
) -> None:
    role = {"name": "dolphin3", "fallback": ["dolphin3:8b", "new-model"]} | provider

    assert problems(embedding, profiles={"p": {"models": {"general": role}}}) == []


def test_validate_roles_of_one_name_in_several_profiles_share_a_member(
    embedding: Record, problems: Callable[..., list[str]]
) -> None:
    profiles = {name: {"models": {"tool-use": "x"}} for name in ("a", "b")}

    assert problems(embedding, profiles=profiles) == []


# Whatever stands in the file, the answer is a registry or a list of problems.

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "\ud800",
            "a\n",
            "org/model\n",
            "110M\n",
            "reranker\n",
            "MIT\0",
            "../x",
            "1.0",
            "chat",
            "reranker",
            "2024-02-30",
            "new-model",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["version", "models", "profiles", "id", "type", "file", "specs"]), inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def _outcome(data: object, file: Path) -> str:
    file.write_text(json.dumps(data), "utf-8")
    try:
        source = read(file)
    except BuildError:
        return "problems"
    if any(problem.severity == "error" for problem in validate(source, [SCHEMA])):
        return "problems"
    for name, text in emit(plan(source)).items():
        compile(text, name, "exec")
    return "registry"


@settings(max_examples=100)
@given(data=JSON)
def test_build_of_any_json_never_ends_in_a_traceback(data: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert _outcome(data, tmp_path_factory.getbasetemp() / "any.json") in ("problems", "registry")


def _all_places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _all_places(item, (*path, key)))]


VALID = {
    case: json.loads((CASES / case / "models.json").read_text("utf-8"))
    for case in ("every_field_embedding", "every_field_chat")
}
PLACES = [(case, place) for case, data in VALID.items() for place in _all_places(data) if place]


@settings(max_examples=200)
@given(where=st.sampled_from(PLACES), value=JSON | st.just(...))
def test_build_of_a_valid_file_with_one_change_never_ends_in_a_traceback(
    where: tuple[str, tuple[str | int, ...]], value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case, path = where
    data = json.loads(json.dumps(VALID[case]))
    place = data
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value

    assert _outcome(data, tmp_path_factory.getbasetemp() / "changed.json") in ("problems", "registry")
