"""Models to files: whole, of one moment, safe in a spreadsheet, and back as they were."""

import csv
import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.catalog import Catalog, export_models, exporting, import_models
from registry.catalog.columns import COLUMNS
from registry.catalog.fields import FIELDS, MAX_INTEGER
from registry.catalog.writing import insert_model
from registry.errors import InvalidFieldError, InvalidInputError

from .states import state_of

FORMATS = ("csv", "json", "jsonl")
METRIC = {"metric_type": "load_time", "metric_value": 1.5, "unit": "s", "hardware_type": "cpu", "hardware_name": "x"}


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open(":memory:") as opened:
        yield opened


def _exported(catalog: Catalog, format: Any, **filters: Any) -> str:
    file = io.StringIO(newline="")
    export_models(catalog, file, format=format, **filters)
    return file.getvalue()


def _names(catalog: Catalog, **filters: Any) -> list[str]:
    return [json.loads(line)["name"] for line in _exported(catalog, "jsonl", **filters).splitlines()]


# Round trips. Signs that files, spreadsheets and readers trip over come often.

_SIGNS = st.sampled_from("=+-@'\",;#|\\/ aÀ\u00a0\u2028\u200f\ufeff\U0001f600{}[]＝＋－＠")  # noqa: RUF001 - they are meant
_ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_LINE = st.text(_SIGNS | _ANY.filter(str.isprintable), max_size=12)
_TEXT = st.text(_SIGNS | st.sampled_from("\t\r\n") | _ANY, max_size=20)
_VALUES = st.lists(_LINE.filter(lambda text: text.strip() and "," not in text and text.isprintable()), max_size=4)
_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9._:+-]{0,11}", fullmatch=True)
_WHOLE = st.integers(1, 10**9)


def _strategy(name: str) -> st.SearchStrategy[Any]:
    special = {
        "name": _NAMES,
        "display_name": _LINE.filter(lambda text: text.strip() and text.isprintable()),
        "parameters": st.none() | st.floats(0, 10**6) | st.integers(0, 10**6),
        "release_date": st.sampled_from([None, "2024", "2024-05", "2024-05-31"]),
        "metadata": st.dictionaries(_LINE.filter(lambda text: text.strip() and text.isprintable()), _TEXT, max_size=3),
    }
    field = FIELDS[name]
    plain = _LINE.filter(str.isprintable) if field.one_line else _TEXT
    kinds = {"list": _VALUES, "integer": st.none() | _WHOLE}
    return special[name] if name in special else kinds.get(field.kind, st.none() | plain)


_MODELS = st.fixed_dictionaries({"name": _NAMES}, optional={name: _strategy(name) for name in FIELDS if name != "name"})
_METRICS = st.fixed_dictionaries(
    {
        "metric_type": st.sampled_from(["load_time", "=speed"]),
        "metric_value": st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300),
        "unit": st.just("s"),
        "hardware_type": st.just("cpu"),
        "hardware_name": _LINE.filter(lambda text: text.strip() and text.isprintable()),
    },
    optional={"context_size": _WHOLE, "measured_at": st.just("2026-01-02T03:04:05.000001Z")},
)
_CHANGES = st.fixed_dictionaries(
    {},
    optional={name: _strategy(name) for name in ("name", "description", "notes", "tags", "capabilities", "metadata")},
)


def _fill(catalog: Catalog, models: list[Any], metrics: list[Any], changes: Any) -> None:
    """Put models in: the user's own, and such as a sync brings, which users have changed."""
    unique = {model["name"].lower(): model for model in models}
    for number, model in enumerate(unique.values()):
        if number % 2:
            with catalog._writing() as connection:
                values = {"display_name": model["name"], **catalog.add(**model).__dict__}
                connection.execute("DELETE FROM models WHERE name = ?", (model["name"],))
                insert_model(connection, {name: values[name] for name in FIELDS}, "acme._registry")
            if changes.get("name", "").lower() not in unique:
                catalog.update(model["name"], **changes)
        else:
            catalog.add(**model)
            catalog.add_metrics(model["name"], metrics)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(_MODELS, max_size=4), st.lists(_METRICS, max_size=2), _CHANGES)
def test_what_was_exported_imports_as_the_same_store(models: list[Any], metrics: list[Any], changes: Any) -> None:
    with Catalog.open(":memory:") as catalog:
        _fill(catalog, models, metrics, changes)
        before = state_of(catalog)
        for name in FORMATS:
            written = _exported(catalog, name)
            with Catalog.open(":memory:") as other:
                report = import_models(other, io.BytesIO(written.encode()), format=name)
                assert (report.bad, state_of(other)) == ((), before)
                again = import_models(other, io.StringIO(written, newline=""), format=name)
                assert (again.unchanged, state_of(other)) == (again.rows, before)
                assert _exported(other, name) == written


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(st.lists(_MODELS, max_size=3))
def test_no_cell_of_a_table_is_a_formula(models: list[Any]) -> None:
    with Catalog.open(":memory:") as catalog:
        _fill(catalog, models, [], {})
        rows = list(csv.reader(io.StringIO(_exported(catalog, "csv"), newline="")))

    assert len(rows) == len({model["name"].lower() for model in models}) + 1
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("\t", "\r", "\n"))
        assert not cell.lstrip().startswith(tuple("=+-@＝＋－＠"))  # noqa: RUF001 - these forms are meant


def test_registry_that_was_synced_and_changed_imports_as_the_same_store(catalog: Catalog) -> None:
    catalog.sync()
    catalog.update("colbert-v2", name="my-colbert", tags=["mine", "retrieval"], metadata={"k": "v"}, notes="mine")
    catalog.add_metrics("my-colbert", [METRIC])
    catalog.remove("jina-colbert-v2")
    before = state_of(catalog)

    for name in FORMATS:
        with Catalog.open(":memory:") as other:
            import_models(other, io.StringIO(_exported(catalog, name), newline=""), format=name)
            assert state_of(other) == before
            assert other.sync() == catalog.sync()
            assert state_of(other) == before


def test_models_that_were_removed_are_no_part_of_a_choice(catalog: Catalog) -> None:
    catalog.sync()
    catalog.remove("colbert-v2")
    removed = [json.loads(line)["removed"] for line in _exported(catalog, "jsonl").splitlines()]
    chosen = [json.loads(line)["removed"] for line in _exported(catalog, "jsonl", type="chat").splitlines()]

    assert [each for each in removed if each] == [{"registry._registry": ["colbert-v2"]}]
    assert (len(removed) > len(chosen) > 0, [each for each in chosen if each]) == (True, [])


def test_table_has_the_columns_of_every_day_first(catalog: Catalog) -> None:
    catalog.add(name="a", parameters=7, capabilities=["chat", "code"], tags=["=x"], notes="two\nlines")
    heading, row = csv.reader(io.StringIO(_exported(catalog, "csv"), newline=""))
    model = catalog.get("a")

    assert heading == list(COLUMNS)
    assert row == [
        *("a", "a", "", "", "7", "", "", "chat,code", "'=x", ""),
        *("", "", "", "", "", "", "", "", "", "two\nlines", "", "", ""),
        *("user", "", "", "", "", "1", model.created_at, model.updated_at),
    ]
    assert _exported(catalog, "csv").endswith(f"{model.updated_at}\r\n")


def test_json_has_every_field_as_it_is(catalog: Catalog) -> None:
    catalog.add(name="a", parameters=7.5, tags=["x"], metadata={"k": "v"})
    catalog.add_metrics("a", [{**METRIC, "measured_at": "2026-01-02T03:04:05Z"}])
    (found,) = json.loads(_exported(catalog, "json"))

    assert list(found) == list(COLUMNS)
    assert (found["parameters"], found["tags"], found["notes"]) == (7.5, ["x"], None)
    assert found["metrics"] == [{"id": 1, **METRIC, "context_size": None, "measured_at": "2026-01-02T03:04:05Z"}]
    assert json.loads(_exported(catalog, "jsonl")) == found


def test_empty_store_is_an_empty_file_of_its_format(catalog: Catalog) -> None:
    assert _exported(catalog, "csv") == ",".join(COLUMNS) + "\r\n"
    assert (_exported(catalog, "json"), _exported(catalog, "jsonl")) == ("[]\n", "")


# Which models


def test_filters_choose_as_a_search_does(catalog: Catalog) -> None:
    catalog.add(name="a", type="chat", tags=["x", "y"], languages=["en"], license="MIT", ram_required_mb=1000)
    catalog.add(name="b", type="dense", tags=["X"], capabilities=["code"], model_family="F", description="red apples")
    catalog.add(name="c", type="chat", model_family="G", ram_required_mb=9000)

    assert _names(catalog) == ["a", "b", "c"]
    assert _names(catalog, type=["CHAT", "dense"], tag="x") == ["a", "b"]
    assert _names(catalog, tag=["x", "y"]) == ["a"]
    assert _names(catalog, family=["f", "g"]) == ["b", "c"]
    assert _names(catalog, capability="code", text="apple") == ["b"]
    assert _names(catalog, language="en", license="mit", max_ram_bytes=2 * 10**9) == ["a"]
    assert _names(catalog, max_ram_bytes=2 * 10**9) == ["a"]
    assert _names(catalog, tag="none") == _names(catalog, text="none") == _names(catalog, text="?") == []


def test_number_of_models_is_told_and_how_far_it_has_come(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_AT_ONCE", 2)
    monkeypatch.setattr(exporting, "_INTERVAL_S", 0)
    for name in "abcde":
        catalog.add(name=name)
    told: list[tuple[int, int]] = []

    assert export_models(catalog, io.StringIO(), progress=lambda *numbers: told.append(numbers)) == 5
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_export_has_the_models_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_AT_ONCE", 1)
    monkeypatch.setattr(exporting, "_INTERVAL_S", 0)
    with Catalog.open(tmp_path / "c.db") as catalog, Catalog.open(tmp_path / "c.db") as writer:
        for name in "abc":
            catalog.add(name=name, tags=["old"])
            catalog.add_metrics(name, [METRIC])
        before = _exported(catalog, "jsonl")
        file = io.StringIO()

        def write(done: int, total: int) -> None:
            writer.add(name=f"new{done}")
            if done == 1:
                writer.update("b", tags=["new"])
                writer.add_metrics("b", [METRIC])
                writer.remove("c")

        assert export_models(catalog, file, format="jsonl", progress=write) == 3
        assert file.getvalue() == before
        assert _names(catalog) == ["a", "b", "new1", "new2", "new3"]


# Which file


def test_file_is_replaced_when_it_is_whole(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("before")
    catalog.add(name="a")
    before = path.stat().st_ino
    seen: list[str] = []

    assert export_models(catalog, path, progress=lambda *_: seen.append(path.read_text())) == 1
    assert seen == ["before"]
    assert path.read_bytes() == _exported(catalog, "csv").encode()
    assert path.stat().st_ino != before  # another file: whoever reads the old one reads it to its end
    assert list(tmp_path.iterdir()) == [path]


def test_export_that_fails_leaves_the_file_before_and_nothing_else(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("before")
    catalog.add(name="a")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_models(catalog, path, progress=stop)

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_a_link_leads_to_is_replaced(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("before")
    link = tmp_path / "link.csv"
    link.symlink_to("m.csv")
    export_models(catalog, link)

    assert link.is_symlink()
    assert (tmp_path / "m.csv").read_text("utf-8") == ",".join(COLUMNS) + "\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_named_pipe_is_written_to_and_stays(catalog: Catalog, tmp_path: Path) -> None:
    pipe = tmp_path / "m.jsonl"
    os.mkfifo(pipe)
    catalog.add(name="a")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")))
    reader.start()
    export_models(catalog, pipe)
    reader.join(60)

    assert read == [_exported(catalog, "jsonl")]
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files have no such paths here")
def test_pipe_without_a_name_is_written_to(catalog: Catalog) -> None:
    end, begin = os.pipe()  # what `/dev/stdout` is in front of `| head`
    try:
        export_models(catalog, f"/proc/self/fd/{begin}", format="json")
        assert os.read(end, 100) == b"[]\n"
    finally:
        os.close(begin)
        os.close(end)


def test_folder_that_is_not_there_is_an_error_of_the_system(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        export_models(catalog, tmp_path / "none" / "m.csv")

    assert caught.value.filename == str(tmp_path / "none" / "m.csv")


@pytest.mark.skipif(os.name == "nt", reason="there are no such permissions here")
def test_file_that_is_replaced_keeps_its_permissions(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.touch(mode=0o600)
    export_models(catalog, path)

    assert path.stat().st_mode & 0o777 == 0o600


def test_file_with_the_longest_name_is_written(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / f"{'m' * 251}.csv"

    assert export_models(catalog, path) == 0
    assert path.exists()


def test_format_that_is_unknown_is_refused_before_anything_is_written(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="expected an ending among"):
        export_models(catalog, tmp_path / "m.xlsx")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [-1, 1.5, True])
def test_export_limit_that_is_no_size_is_refused(catalog: Catalog, size: Any) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        export_models(catalog, io.StringIO(), max_ram_bytes=size)
    assert str(caught.value) == f"`max_ram_bytes`: expected a whole number from 0 to {MAX_INTEGER}, got {size}."
