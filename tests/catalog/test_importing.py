"""Files of models into the store: what is changed, what is left alone, what is refused, and by which line."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from registry.catalog import BadRow, Catalog, ImportProgress, ImportReport, import_models, importing, text_files
from registry.errors import CatalogBusyError, ImportRowsError, InvalidInputError

from .states import state_of

KNOWN = (
    "Known columns: name, display_name, model_family, model_size, parameters, quantization, file_format, capabilities, "
    "tags, description, type, organization, huggingface_id, license, release_date, context_length, embedding_dim, "
    "file_size_bytes, ram_required_mb, notes, languages, metadata, metrics, source, synced_as, edited, added, removed, "
    "id, created_at, updated_at, metadata.KEY."
)


@pytest.fixture
def catalog() -> Any:
    with Catalog.open(":memory:") as opened:
        yield opened


def _csv(catalog: Catalog, text: str | bytes, **how: Any) -> ImportReport:
    stream = io.BytesIO(text) if isinstance(text, bytes) else io.StringIO(text, newline="")
    return import_models(catalog, stream, **how)


def _lines(catalog: Catalog, *rows: object, **how: Any) -> ImportReport:
    return import_models(catalog, io.StringIO("".join(json.dumps(row) + "\n" for row in rows)), format="jsonl", **how)


def _counts(report: ImportReport) -> tuple[int, ...]:
    return (report.rows, report.added, report.updated, report.unchanged, report.bad_rows)


def _bad(report: ImportReport) -> list[str]:
    return [str(row) for row in report.bad]


# What a file may hold


def test_table_with_the_columns_of_every_day_is_imported(catalog: Catalog) -> None:
    report = _csv(
        catalog,
        "name,display_name,model_family,model_size,parameters,quantization,file_format,capabilities,tags,description\r\n"
        'qwen-7b,Qwen 7B,Qwen,7B,7.6,Q4_K_M,gguf,"chat, code","a,B","Good at ""code"",\r\nand more."\r\n',
    )
    model = catalog.get("qwen-7b")

    assert report == ImportReport("the stream", 1, 1, 0, 0, 0, ())
    assert (model.id, model.source) == (1, "user")
    assert (model.display_name, model.model_family, model.model_size) == ("Qwen 7B", "Qwen", "7B")
    assert (model.parameters, model.quantization, model.file_format) == (7.6, "Q4_K_M", "gguf")
    assert (model.capabilities, model.tags) == (("chat", "code"), ("a", "B"))
    assert model.description == 'Good at "code",\r\nand more.'


def test_every_field_and_measurement_of_json_is_imported(catalog: Catalog) -> None:
    metric = {
        "metric_type": "load_time",
        "metric_value": 1.5,
        "unit": "s",
        "hardware_type": "cpu",
        "hardware_name": "x",
    }
    row = {
        "name": "m",
        "display_name": "M",
        "type": "chat",
        "parameters": 7,
        "context_length": 4096,
        "languages": ["en"],
        "tags": ["a", "b"],
        "metadata": {"k": "v"},
        "metrics": [{**metric, "measured_at": "2026-01-02T03:04:05+01:00"}],
        "created_at": "2025-01-01T00:00:00Z",
    }
    assert _counts(_lines(catalog, row)) == (1, 1, 0, 0, 0)
    model = catalog.get("m")
    (measured,) = catalog.metrics("m")

    assert (model.type, model.parameters, model.context_length) == ("chat", 7.0, 4096)
    assert (model.languages, model.tags, model.metadata) == (("en",), ("a", "b"), {"k": "v"})
    assert (model.created_at, model.updated_at) == ("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z")
    assert (measured.metric_value, measured.measured_at) == (1.5, "2026-01-02T02:04:05Z")


def test_json_array_is_imported(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text('[\n{"name": "a"},\n\n{"name": "b", "tags": ["x"]}\n]\n')

    assert _counts(import_models(catalog, path)) == (2, 2, 0, 0, 0)
    assert [model.tags for model in catalog.search(sort="name").models] == [(), ("x",)]


def test_rows_of_json_may_have_different_fields(catalog: Catalog) -> None:
    _lines(catalog, {"name": "a", "notes": "n"}, {"name": "b", "tags": ["t"]})
    _lines(catalog, {"name": "a", "tags": ["u"]}, {"name": "b", "notes": "m"})

    assert [(model.notes, model.tags) for model in catalog.get_many(["a", "b"])] == [("n", ("u",)), ("m", ("t",))]


def test_headings_are_known_in_any_case_and_with_blanks(catalog: Catalog) -> None:
    _csv(catalog, "Display Name , NAME,Model-Family,,\nA,a,F,,\n")

    assert (catalog.get("a").display_name, catalog.get("a").model_family) == ("A", "F")


def test_columns_of_single_keys_become_metadata(catalog: Catalog) -> None:
    _csv(catalog, "name,metadata.Team,metadata.price\na,red,5\nb,,7\n")
    _csv(catalog, "name,metadata.price\na,\nb,8\n")

    assert [dict(model.metadata) for model in catalog.get_many(["a", "b"])] == [{"Team": "red"}, {"price": "8"}]


def test_keys_beyond_what_metadata_holds_are_a_bad_row(catalog: Catalog) -> None:
    def table(names: list[str]) -> str:
        return "name," + ",".join(f"metadata.{name}" for name in names) + "\na" + ",v" * len(names) + "\n"

    _csv(catalog, table([f"a{number}" for number in range(1000)]))
    report = _csv(catalog, table(["more"]) + "b,v\n")

    assert (_counts(report), report.bad[0].line, report.bad[0].name) == ((2, 1, 0, 0, 1), 2, "a")
    assert report.bad[0].reason.startswith("`metadata`: expected at most 1000 texts by name")
    assert "more" not in catalog.get("a").metadata
    with pytest.raises(InvalidInputError, match="1,001 columns of single keys of `metadata`, which holds 1,000"):
        _csv(catalog, table([f"a{number}" for number in range(1001)]))


def test_model_without_a_display_name_shows_its_name(catalog: Catalog) -> None:
    _csv(catalog, "name,display_name\na,\n")
    _csv(catalog, "name,display_name,notes\na,,n\n")
    _lines(catalog, {"name": "b", "display_name": None})

    assert [model.display_name for model in catalog.get_many(["a", "b"])] == ["a", "b"]
    assert catalog.get("a").notes == "n"


def test_formula_that_was_defused_is_restored(catalog: Catalog) -> None:
    _csv(catalog, "name,notes,tags\na,'=1+1,'@x\nb,=2,'y\n")

    assert [model.notes for model in catalog.get_many(["a", "b"])] == ["=1+1", "=2"]
    assert [model.tags for model in catalog.get_many(["a", "b"])] == [("@x",), ("'y",)]


@pytest.mark.parametrize("text", ["name\n", "name,notes\r\n\r\n,\r\n", "\ufeffname"])
def test_file_with_a_heading_only_imports_nothing(catalog: Catalog, text: str) -> None:
    assert _counts(_csv(catalog, text.encode())) == (0, 0, 0, 0, 0)
    assert catalog.search().total == 0


# What is there already


def test_known_name_is_updated_in_the_columns_of_the_file_only(catalog: Catalog) -> None:
    before = catalog.add(name="Mine", notes="keep", tags=["a", "b"], parameters=7, metadata={"k": "v"})

    report = _csv(catalog, 'name,tags,parameters\nmine,"b,c",\n')
    after = catalog.get("mine")

    assert _counts(report) == (1, 0, 1, 0, 0)
    assert (after.id, after.name, after.notes, after.metadata) == (before.id, "Mine", "keep", {"k": "v"})
    assert (after.tags, after.parameters) == (("b", "c"), None)
    assert after.updated_at > before.updated_at
    assert [model.name for model in catalog.search(tag="c").models] == ["Mine"]
    assert catalog.search(tag="a").total == 0


def test_model_that_is_as_its_row_has_it_is_left_alone(catalog: Catalog) -> None:
    text = 'name,parameters,tags,notes,metadata.k\na,7,"x,y","two\nlines",v\n'
    _csv(catalog, text)
    before = state_of(catalog)

    assert _counts(_csv(catalog, text)) == (1, 0, 0, 1, 0)
    assert state_of(catalog) == before


def test_import_that_changes_nothing_is_no_change_of_the_store(tmp_path: Path) -> None:
    text = "name,tags,metrics\na,x,\nb,,[]\n"
    with Catalog.open(tmp_path / "c.db") as catalog:
        _csv(catalog, text)
        before = catalog.revision()

        assert _counts(_csv(catalog, text)) == (2, 0, 0, 2, 0)
        assert catalog.revision() == before
        assert _csv(catalog, "name,tags\na,y\n").updated == 1
        assert catalog.revision() != before


def test_words_of_what_was_imported_and_updated_are_found(catalog: Catalog) -> None:
    _csv(catalog, "name,description,capabilities\na,green apples,fruit\nb,blue plums,fruit\n")
    _csv(catalog, "name,description\na,red cherries\n")

    assert [model.name for model in catalog.search("cherries fruit").models] == ["a"]
    assert catalog.search("apples").total == 0
    assert [(each.value, each.models) for each in catalog.capabilities()] == [("fruit", 2)]


def test_measurements_are_added_and_none_is_lost_or_doubled(catalog: Catalog) -> None:
    metric = {"metric_type": "load_time", "unit": "s", "hardware_type": "cpu", "hardware_name": "x"}
    catalog.add(name="a")
    catalog.add_metrics("a", [{**metric, "metric_value": 1}])
    updated_at = catalog.get("a").updated_at
    given = [{**metric, "metric_value": value} for value in (1, 1, 2, 2)]

    assert _counts(_lines(catalog, {"name": "a", "metrics": given})) == (1, 0, 1, 0, 0)
    assert _counts(_lines(catalog, {"name": "a", "metrics": given})) == (1, 0, 0, 1, 0)
    assert _counts(_lines(catalog, {"name": "a", "metrics": None})) == (1, 0, 0, 1, 0)
    assert [row.metric_value for row in catalog.metrics("a")] == [2.0, 2.0, 1.0, 1.0]
    assert catalog.get("a").updated_at == updated_at


def test_changed_field_of_a_synced_model_survives_the_next_sync(catalog: Catalog) -> None:
    catalog.sync()
    _csv(catalog, 'name,description,tags\ncolbert-v2,My words,"retrieval,mine"\n')
    report = catalog.sync()
    model = catalog.get("colbert-v2")

    assert (model.description, model.tags, model.source) == ("My words", ("retrieval", "mine"), "registry._registry")
    assert report.kept == ("colbert-v2: description",)


def test_wanted_numbers_are_given_as_far_as_they_were_never_given(catalog: Catalog) -> None:
    catalog.add(name="first")
    catalog.remove("first")

    _csv(catalog, "name,id\nb,7\nc,1\nd,5\ne,7\nf,\ng,8\n")

    names = [(model.id, model.name) for model in catalog.search(sort="id").models]
    assert names == [(5, "d"), (7, "b"), (8, "c"), (9, "e"), (10, "f"), (11, "g")]
    assert catalog.add(name="next").id == 12


# What is wrong


def test_bad_rows_are_told_by_line_and_the_others_go_in(catalog: Catalog) -> None:
    report = _csv(
        catalog,
        "name,parameters,notes\n"
        'a,1,"two\r\nlines"\n'
        'b,"1,5",\n'
        ",2,no name\n"
        "c,3\n"
        "d,4,x,y\n"
        "e,5,x,\n"
        'f,6,"x"y\n'
        "A,7,\n"
        "no blank,-1,\n",
    )

    assert _counts(report) == (9, 2, 0, 0, 7)
    assert [model.name for model in catalog.search(sort="name").models] == ["a", "e"]
    name = (
        "`name`: expected letters, digits and `._:+-` that begin with a letter or digit and are not digits only, at "
        "most 200 of them, got"
    )
    assert _bad(report) == [
        (
            "line 4 (b): `parameters`: expected a number from 0 to 1000000, or nothing, got '1,5'. "
            "Write it with a decimal point, and nothing between thousands."
        ),
        "line 5: there is no `name`.",
        "line 6 (c): expected 3 cells, as many as there are columns, got 2.",
        "line 7 (d): expected 3 cells, as many as there are columns, got 4.",
        "line 9: a quotation mark that ends a cell must be followed by a separator or the end of the line.",
        "line 10 (A): line 2 has this name already, and names are unique.",
        (
            f"line 11 (no blank): {name} 'no blank'. "
            "`parameters`: expected a number from 0 to 1000000, or nothing, got -1."
        ),
    ]


def test_second_row_of_a_name_is_bad_however_far_apart(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_AT_ONCE", 2)
    catalog.add(name="old")
    report = _csv(catalog, "name,notes\nold,1\nnew,2\nx,\nOLD,3\ny,\nNew,4\n")

    assert _bad(report) == [
        "line 5 (OLD): line 2 has this name already, and names are unique.",
        "line 7 (New): line 3 has this name already, and names are unique.",
    ]
    assert [model.notes for model in catalog.get_many(["old", "new"])] == ["1", "2"]


def test_bad_rows_of_json_are_told_by_line(catalog: Catalog) -> None:
    text = '{"name": "a"}\n{"name": "b", "tag": 1}\n{"notes": "n"}\n7\n'
    text += '{"name": "c", "parameters": NaN, "id": 0}\n{"name"\n'
    report = import_models(catalog, io.StringIO(text), format="jsonl")
    fields = KNOWN.replace("columns", "fields").replace(", metadata.KEY", "")

    assert _counts(report) == (6, 1, 0, 0, 5)
    assert _bad(report) == [
        f"line 2 (b): `tag` is unknown (did you mean `tags`?). {fields}",
        f"line 3: there is no `name`. {fields}",
        "line 4: expected a JSON object, got 7.",
        (
            "line 5 (c): `parameters`: expected a number from 0 to 1000000, or nothing, got nan. "
            "`id`: expected a whole number from 1 to 1000000000000, or nothing, got 0."
        ),
        "line 6: expected a JSON object, got what is none: Expecting ':' delimiter, at character 8.",
    ]


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("7", " Write it without quotation marks."),
        ("4,096", " Write it with a decimal point, and nothing between thousands."),
        ("many", ""),
    ],
)
def test_number_of_json_that_is_a_text_is_a_bad_row(catalog: Catalog, value: str, remedy: str) -> None:
    text = json.dumps({"name": "a", "context_length": value})
    expected = "`context_length`: expected a whole number from 1 to 9007199254740991, or nothing"

    report = import_models(catalog, io.StringIO(text), format="jsonl")
    assert _bad(report) == [f"line 1 (a): {expected}, got {value!r}.{remedy}"]


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("notes", "a\0b", "`notes`: expected text, at most 100000 characters, or nothing, got 'a\\x00b'."),
        ("metadata", "[1]", "`metadata`: expected at most 1000 texts by name"),
        ("metadata", "{", "`metadata`: expected at most 1000 texts by name"),
        ("metrics", "{}", "`metrics`: expected a list of measurements, or nothing, got {}."),
        ("removed", '{"a": "b"}', "`removed`: expected lists of ids by the modules of registries, or nothing"),
        ("removed", '{" ": ["b"]}', "`removed`: expected lists of ids by the modules of registries, or nothing"),
        ("removed", '{"a": ["b c"]}', "`synced_as`: expected letters"),
        ("metrics", "x", "`metrics`: expected JSON, or nothing, got 'x'."),
        ("metrics", '[{"unit": "s"}]', "`metrics.hardware_type`: expected one line of text"),
        ("metrics", '[{"speed": 1}]', "`metrics`: expected measurements with metric_type"),
        ("source", "a b", "`source`: expected `user`, or the module of a registry, or nothing, got 'a b'."),
        ("edited", "colour", "`edited`: expected names of fields, got 'colour'."),
        ("added", '{"notes": []}', "`added`: expected lists of values by capabilities, tags, languages or metadata"),
        ("created_at", "yesterday", "`created_at`: expected a time such as 2026-11-21T09:15:00Z"),
        ("context_length", "1.234,5", "`context_length`: expected a whole number"),
        ("metadata.k", "a\0", "`metadata.k`: expected at most 1000 texts by name"),
    ],
)
def test_cell_that_cannot_be_is_a_bad_row(catalog: Catalog, column: str, cell: str, reason: str) -> None:
    quoted = cell.replace('"', '""')
    report = _csv(catalog, f'name,{column}\na,"{quoted}"\nb,\n')

    (bad,) = report.bad
    assert (bad.line, bad.name, report.added) == (2, "a", 1)
    assert bad.reason.startswith(reason)


def test_long_value_is_not_repeated_whole(catalog: Catalog) -> None:
    (bad,) = _csv(catalog, f"name,quantization\n{'n' * 300},{'q' * 100_000}\n").bad

    assert (bad.name, len(bad.reason) < 600) == ("n" * 80, True)


def test_report_names_so_many_bad_rows_and_counts_the_rest(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_BAD_ROWS", 2)
    text = "name\na\n?\n?\n?\nb\n"
    report = _csv(catalog, text)
    with pytest.raises(ImportRowsError) as caught:
        _csv(catalog, text, strict=True)

    assert (report.added, report.bad_rows, [row.line for row in report.bad]) == (2, 3, [3, 4])
    assert caught.value.problems[2:] == ("and 1 more bad rows.",)


def test_strict_imports_nothing_of_a_file_with_a_bad_row(catalog: Catalog) -> None:
    catalog.add(name="a", notes="before")
    before = state_of(catalog)
    with pytest.raises(ImportRowsError) as caught:
        _csv(catalog, "name,notes,parameters\na,after,1\nb,,x\n", strict=True)

    reason = "`parameters`: expected a number from 0 to 1000000, or nothing, got 'x'."
    assert str(caught.value) == (
        f"Nothing of `the stream` was imported, as it has bad rows:\n  line 3 (b): {reason}\n"
        "Mend them, or import what is good."
    )
    assert state_of(catalog) == before


def test_strict_imports_a_file_without_bad_rows(catalog: Catalog) -> None:
    assert _counts(_csv(catalog, "name\na\n", strict=True)) == (1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("heading", "problems"),
    [
        ("name,tag", "column 'tag' is unknown (did you mean `tags`?)"),
        ("display_name,notes", "there is no column `name`"),
        ("name,notes,Notes,NOTES", "column `notes` stands there 3 times"),
        (
            "name,metadata,metadata.k",
            "there is a column `metadata` and one for a single key of it: one way or the other",
        ),
        ("name,,notes", "column 2 has no name"),
        (",name", "column 1 has no name (pandas writes its index there: `to_csv(..., index=False)`)"),
        (
            "nam,xyzzy,",
            "column 'nam' is unknown (did you mean `name`?); column 'xyzzy' is unknown; there is no column `name`",
        ),
        ("name,metadata.", "column 'metadata.' is unknown (did you mean `metadata`?)"),
    ],
)
def test_wrong_headings_are_told_together(catalog: Catalog, heading: str, problems: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        _csv(catalog, f"\n{heading}\na,b,c,d\n")

    assert str(caught.value) == f"`the stream:2`: {problems}. {KNOWN}"


def test_heading_with_a_wrong_quote_is_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidInputError, match=r"the stream:1`: a quotation mark .* It must name the columns\."):
        _csv(catalog, '"name"x,notes\na,b\n')


def test_file_that_turns_out_not_to_be_utf8_leaves_the_store_as_it_was(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_AT_ONCE", 2)
    monkeypatch.setattr(text_files, "BLOCK", 16)
    path = tmp_path / "latin.csv"
    path.write_bytes(b"name,notes\n" + b"".join(b"m%d,x\n" % number for number in range(100)) + b"z,Caf\xe9\n")
    with pytest.raises(InvalidInputError) as caught:
        import_models(catalog, path)

    assert str(caught.value) == (
        f"`{path}:102`: expected UTF-8, got the byte 0xe9 (invalid continuation byte). Save the file as UTF-8."
    )
    assert catalog.search().total == 0


def test_json_that_breaks_off_leaves_the_store_as_it_was(catalog: Catalog) -> None:
    with pytest.raises(InvalidInputError, match=r"`the stream:2`: expected `,` or `\]` behind an element"):
        import_models(catalog, io.StringIO('[{"name": "a"},\n{"name": "b"}'), format="json")

    assert catalog.search().total == 0


@pytest.mark.parametrize(
    ("source", "format", "message"),
    [
        (
            "models.txt",
            None,
            (
                "`models.txt`: expected an ending among .csv, .tsv, .json, .jsonl, .ndjson, got '.txt'. "
                "Or name the format: csv, json, jsonl."
            ),
        ),
        ("models.csv", "xml", "`format`: expected one of csv, json, jsonl, got 'xml'."),
    ],
)
def test_format_that_is_unknown_is_refused(catalog: Catalog, source: str, format: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        import_models(catalog, source, format=format)

    assert str(caught.value) == message


def test_ending_in_any_case_tells_the_format(catalog: Catalog, tmp_path: Path) -> None:
    for name, text in (("a.NDJSON", '{"name": "a"}'), ("b.Json", '[{"name": "b"}]'), ("c.TSV", "name\tnotes\nc\tx")):
        (tmp_path / name).write_text(text)
        import_models(catalog, tmp_path / name)

    assert [model.name for model in catalog.search(sort="name").models] == ["a", "b", "c"]


# Long files, and imports that are cut off


def test_progress_tells_rows_and_bytes(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("name\na\n?\n")
    told: list[ImportProgress] = []
    import_models(catalog, path, progress=told.append)

    assert told == [ImportProgress(2, 1, 9, 9)] * 2


def test_progress_that_raises_leaves_the_store_as_it_was(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_AT_ONCE", 1)
    catalog.add(name="a")
    before = state_of(catalog)

    def stop(progress: ImportProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _csv(catalog, "name,notes\na,x\nb,y\n", progress=stop)

    assert state_of(catalog) == before
    assert _counts(_csv(catalog, "name,notes\na,x\nb,y\n")) == (2, 1, 1, 0, 0)


def test_import_waits_no_longer_than_the_store_does(tmp_path: Path) -> None:
    with Catalog.open(tmp_path / "c.db") as writer, Catalog.open(tmp_path / "c.db", timeout_s=0.05) as other:
        with writer._writing(), pytest.raises(CatalogBusyError):
            _csv(other, "name\na\n")
        assert _csv(other, "name\na\n").added == 1


def test_heading_is_refused_before_anybody_waits(tmp_path: Path) -> None:
    with (
        Catalog.open(tmp_path / "c.db") as writer,
        Catalog.open(tmp_path / "c.db") as other,
        writer._writing(),
        pytest.raises(InvalidInputError),
    ):
        _csv(other, "nothing\na\n")


_ENDLESS = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have told its children to ignore
from registry.catalog import Catalog, import_models
with Catalog.open(sys.argv[1]) as catalog:
    import_models(catalog, sys.stdin.buffer, progress=lambda progress: print(progress.rows, flush=True))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_import_that_is_cut_off_leaves_the_store_as_it_was(tmp_path: Path, how: str) -> None:
    path = tmp_path / "c.db"
    with Catalog.open(path) as catalog:
        catalog.add(name="mine", notes="before")
        before = state_of(catalog)
    command = [sys.executable, "-c", _ENDLESS, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        rows = b"".join(b"model-%d,%s\n" % (number, b"word " * 50) for number in range(20_000))
        feeder = threading.Thread(target=_feed, args=(child.stdin, b"name,notes\nmine,after\n" + rows))
        feeder.start()
        assert int(child.stdout.readline()) > 0  # it is in the middle of writing, and waits for more
        child.send_signal(getattr(signal, how))
        child.wait(60)
        feeder.join(60)

    with Catalog.open(path) as catalog:
        assert state_of(catalog) == before
        assert _counts(_csv(catalog, "name,notes\nmine,after\n")) == (1, 0, 1, 0, 0)


def _feed(stream: Any, data: bytes) -> None:
    try:
        stream.write(data)
        stream.flush()
    except OSError:  # the child is gone
        pass


def test_import_keeps_a_bounded_number_of_rows(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_AT_ONCE", 10)
    seen: list[int] = []
    upsert = importing.Bulk.upsert

    def counting(self: Any, batch: Any) -> Any:
        seen.append(len(batch.lines))
        return upsert(self, batch)

    monkeypatch.setattr(importing.Bulk, "upsert", counting)
    _csv(catalog, "name\n" + "".join(f"m{number}\n" for number in range(95)))

    assert seen == [10] * 9 + [5]


def test_bad_row_says_where_and_why() -> None:
    assert str(BadRow(3, "a", "It is bad.")) == "line 3 (a): It is bad."
    assert str(BadRow(3, "", "It is bad.")) == "line 3: It is bad."
