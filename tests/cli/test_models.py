"""`registry list`, `registry search`, `registry families`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
import tiny

from registry import MODEL_REGISTRY, ModelType, find_models

Run = Callable[..., Any]


@pytest.fixture
def some(small: Callable[..., str], tmp_path: Path) -> str:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    return small(
        tiny.dense_record(id="dense-a", family="Alpha", tags=("code",), languages=("en", "de"), parameter_count=10),
        tiny.dense_record(id="dense-b", family="Beta", license="Apache-2.0", tags=("code", "long"), parameter_count=30),
        tiny.chat_record(path, id="chat-c", description="Talks about cats.", parameter_count=20, ram_required_mb=8000),
        tiny.dense_record(id="old-d", deprecated=True, superseded_by="dense-b", parameter_count=None),
    )


def ids(result: Any) -> list[str]:
    return [row[0] for row in result.rows]


def test_list_has_a_row_of_eight_columns_a_model(run: Run) -> None:
    result = run("list", "--family", "colbert")

    row = next(row for row in result.rows if row[0] == "colbert-v2")
    assert row == ["colbert-v2", "colbert", "110M", "512", "128", "438349816", "MIT", "ColBERT"]


def test_list_leaves_deprecated_models_out(run: Run, some: str) -> None:
    assert ids(run("list", "--registry", some)) == ["dense-a", "dense-b", "chat-c"]


def test_list_all_has_deprecated_models(run: Run, some: str) -> None:
    assert ids(run("list", "--registry", some, "--all")) == ["dense-a", "dense-b", "chat-c", "old-d"]


CONDITIONS = [
    (["--type", "CHAT"], ["chat-c"]),
    (["--family", "beta"], ["dense-b"]),
    (["--language", "de"], ["dense-a"]),
    (["--tag", "code"], ["dense-a", "dense-b"]),
    (["--tag", "code", "--tag", "long"], ["dense-b"]),
    (["--license", "apache-2.0"], ["dense-b"]),
    (["--sort", "parameters"], ["dense-a", "chat-c", "dense-b"]),
    (["--sort", "-parameters"], ["dense-b", "chat-c", "dense-a"]),
    (["--all", "--sort", "-parameters"], ["dense-b", "chat-c", "dense-a", "old-d"]),
    (["--sort", "id"], ["chat-c", "dense-a", "dense-b"]),
]


@pytest.mark.parametrize(("options", "found"), CONDITIONS, ids=lambda value: " ".join(value))
def test_list_with_conditions_has_what_meets_them(options: list[str], found: list[str], run: Run, some: str) -> None:
    assert ids(run("list", "--registry", some, *options)) == found


def test_list_by_type_agrees_with_the_query(run: Run) -> None:
    wanted = [model.id for model in find_models(type=ModelType.CHAT) if not model.deprecated]

    assert ids(run("list", "--type", "chat")) == wanted


def test_list_max_ram_takes_what_the_record_states_for_a_need(run: Run, some: str) -> None:
    assert "chat-c" in ids(run("list", "--registry", some, "--max-ram", "8GB"))
    assert "chat-c" not in ids(run("list", "--registry", some, "--max-ram", "7.9GB"))


def test_list_max_ram_takes_the_estimate_where_the_record_is_silent(run: Run) -> None:
    from registry.hardware.requirement import need_of

    found = ids(run("list", "--type", "dense", "--max-ram", "600MB"))

    assert found
    assert all((need_of(MODEL_REGISTRY[each]).total_bytes or 0) <= 600 * 10**6 for each in found)


def test_list_max_ram_passes_over_a_damaged_file(run: Run, home: Path) -> None:
    options = ("--type", "dense", "--max-ram", "2GB")
    before = ids(run("list", *options))
    folder = home / "models" / "bge-small-en-v1.5"
    folder.mkdir(parents=True)
    for file in MODEL_REGISTRY["bge-small-en-v1.5"].files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(b"8 bytes!")
    (folder / "config.json").write_bytes(b"{}")

    result = run("list", *options)

    assert (result.code, result.err) == (0, "")
    assert set(before) - set(ids(result)) == {"bge-small-en-v1.5"}


def test_list_cached_has_what_is_on_this_machine(run: Run, small: Callable[..., str], home: Path) -> None:
    models = home / "models"
    models.mkdir(parents=True)
    for name in ("here", "away"):
        (models / f"{name}.gguf").write_bytes(b"GGUF")
    module = small(*(tiny.chat_record(models / f"{name}.gguf", id=name) for name in ("here", "away")))
    (models / "away.gguf").unlink()

    assert ids(run("list", "--cached", "--registry", module)) == ["here"]


def test_list_of_nothing_says_so(run: Run, some: str) -> None:
    assert run("list", "--registry", some, "--cached") == (0, "", "No model is like this.\n")


def test_list_json_has_attributes_of_the_records(run: Run) -> None:
    found = {model["id"]: model for model in run("list", "--json").json["models"]}

    assert found["colbert-v2"] == {
        "id": "colbert-v2",
        "model_type": "colbert",
        "name": "colbertv2.0",
        "huggingface_id": "colbert-ir/colbertv2.0",
        "revision": "c1e84128e85ef755c096a95bdb06b47793b13acf",
        "organization": "Stanford",
        "family": "ColBERT",
        "parameters": "110M",
        "parameter_count": 110000000,
        "context_length": 512,
        "embedding_dim": 128,
        "quantization": None,
        "size_bytes": 438349816,
        "ram_required_mb": None,
        "license": "MIT",
        "languages": ["en"],
        "capabilities": ["retrieval"],
        "tags": ["retrieval"],
        "recommended": True,
        "deprecated": False,
        "superseded_by": None,
        "description": MODEL_REGISTRY["colbert-v2"].description,
    }


def test_list_json_of_nothing_is_an_empty_list(run: Run, some: str) -> None:
    assert run("list", "--registry", some, "--cached", "--json").json == {"models": []}


WRONG = [
    (["--type", "dens"], "--type: no model has `dens`.", "Did you mean dense?"),
    (["--license", "GPL-9"], "--license: no model has `GPL-9`.", "Did you mean Apache-2.0?"),
    (["--sort", "parameter"], "--sort: there is no order `parameter`.", "Did you mean parameters?"),
    (["--max-ram", "much"], "--max-ram: expected a size such as `16GB` or `24GiB`, got `much`.", None),
    (["--registry", "no_such_module"], "--registry: there is no module `no_such_module`.", None),
    (["--registry", "json"], "--registry: `json` has no MODEL_REGISTRY.", None),
]


@pytest.mark.parametrize(("options", "problem", "hint"), WRONG, ids=lambda value: str(value))
def test_list_with_a_wrong_value_names_close_ones(
    options: list[str], problem: str, hint: str | None, run: Run, some: str
) -> None:
    expected = hint or "`registry list --help` shows how it is used."
    assert run("list", "--registry", some, *options) == (
        2,
        "",
        f"error: Invalid value for {problem}\nhint: {expected}\n",
    )


BROKEN = {
    "def": "SyntaxError: invalid syntax (broken_registry.py, line 1)",
    "1 / 0": "ZeroDivisionError: division by zero",
    "raise SystemExit(0)": "SystemExit: 0",
    "raise ImportError('no such name')": "ImportError: no such name",
}


@pytest.mark.parametrize("code", BROKEN)
def test_registry_whose_import_fails_is_wrong_usage(
    code: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_registry.py").write_text(f"{code}\n")
    monkeypatch.syspath_prepend(tmp_path)

    problem = f"error: Invalid value for --registry: cannot import `broken_registry`: {BROKEN[code]}"
    hint = "hint: `registry list --help` shows how it is used."
    result = run("list", "--registry", "broken_registry")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [problem if problem.endswith(")") else f"{problem}.", hint]


def test_list_takes_a_registry_from_the_working_folder(
    process: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("from registry import MODEL_REGISTRY\n")
    monkeypatch.chdir(tmp_path)

    assert process("list", "--registry", "mine", PYTHONSAFEPATH="1").stdout == process("list").stdout


def test_search_puts_the_id_before_the_description(run: Run, some: str) -> None:
    assert ids(run("search", "cat", "--registry", some)) == ["chat-c"]
    assert ids(run("search", "dense-b", "--registry", some)) == ["dense-b"]


def test_search_needs_every_word(run: Run, some: str) -> None:
    assert ids(run("search", "code", "long", "--registry", some)) == ["dense-b"]
    assert run("search", "code", "cats", "--registry", some).rows == []


def test_search_limit_takes_the_best(run: Run) -> None:
    everything = ids(run("search", "colbert"))

    assert ids(run("search", "colbert", "-n", "2")) == everything[:2]
    assert everything[0].startswith("colbert")


def test_search_finds_an_alias(run: Run) -> None:
    assert ids(run("search", "colbertv2.0"))[0] == "colbert-v2"


def test_search_all_has_deprecated_models(run: Run, some: str) -> None:
    assert ids(run("search", "old-d", "--registry", some, "--all")) == ["old-d"]
    assert ids(run("search", "old-d", "--registry", some)) == []


def test_families_are_counted(run: Run, some: str) -> None:
    assert run("families", "--registry", some).rows == [
        ["Alpha", "1", "dense", "Tiny"],
        ["Beta", "1", "dense", "Tiny"],
    ]


def test_families_json_has_types_and_publishers(run: Run, some: str) -> None:
    assert run("families", "--registry", some, "--json").json["families"][0] == {
        "family": "Alpha",
        "models": 1,
        "types": ["dense"],
        "organizations": ["Tiny"],
    }
