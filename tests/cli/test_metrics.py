"""`registry metrics`: numbers that are written down, listed, compared and deleted."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")

from registry.catalog import Catalog, NewMetric
from registry.catalog.metric_types import METRIC_TYPES
from registry.cli import _catalogue, metrics
from registry.hardware import probe
from registry.loaders import this_hardware
from registry.loaders.running_on import list_hardware

Run = Callable[..., Any]
FIRST, SECOND = "colbert-v2", "jina-colbert-v2"
TIME = "2026-11-21T09:15:00Z"
SPEED = ("--type", "tokens_per_second", "--value", "42.5")
L4 = ("--hardware-type", "cuda", "--hardware-name", "NVIDIA L4")


def row(metric_type: str, value: float, day: int, name: str = "NVIDIA L4", context: int | None = None) -> NewMetric:
    return NewMetric(
        metric_type=metric_type,
        metric_value=value,
        unit=METRIC_TYPES[metric_type].unit,
        hardware_type="cuda",
        hardware_name=name,
        context_size=context,
        measured_at=f"2026-11-{day:02}T09:15:00Z",
    )


@pytest.fixture
def store() -> None:
    """Two models with measurements: numbers 1 to 3, and 4 and 5."""
    with Catalog.open() as catalog:
        catalog.sync()
        catalog.add_metrics(
            FIRST,
            [
                row("embeddings_per_second", 100.0, 1),
                row("embeddings_per_second", 120.25, 2),
                row("peak_memory", 1_234_567_890.0, 2),
            ],
        )
        catalog.add_metrics(
            SECOND,
            [row("embeddings_per_second", 60.0, 3, context=512), row("embeddings_per_second", 6.0, 3, "Tesla T4")],
        )


# Writing down


def test_add_stores_a_number_with_its_usual_unit_and_this_machine(run: Run) -> None:
    result = run("metrics", "add", FIRST, *SPEED)
    with Catalog.open() as catalog:
        (stored,) = catalog.metrics(FIRST)

    hardware = this_hardware()
    assert (result.code, result.out) == (0, "")
    assert result.err == f"Stored as number 1 of {FIRST}: 42.5 tokens/s on {hardware.name}.\n"
    assert (stored.metric_value, stored.unit) == (42.5, "tokens/s")
    assert (stored.hardware_type, stored.hardware_name, stored.context_size) == (*hardware, None)


def test_add_stores_everything_it_is_told(run: Run, tmp_path: Path) -> None:
    words = ("--unit", "points", *L4, "--context-size", 8192, "--measured-at", "2026-11-21T10:15:00+01:00")
    document = run(
        "metrics", "add", FIRST, "--type", "beir", "--value", -1.5, *words, "--catalog", tmp_path / "m.db", "--json"
    ).json

    with Catalog.open(tmp_path / "m.db") as catalog:
        number = catalog.get(FIRST).id
    assert document == {
        "model": FIRST,
        "id": 1,
        "model_id": number,
        "metric_type": "beir",
        "metric_value": -1.5,
        "unit": "points",
        "hardware_type": "cuda",
        "hardware_name": "NVIDIA L4",
        "context_size": 8192,
        "measured_at": TIME,
    }


def test_add_knows_the_unit_of_a_type_in_any_case(run: Run) -> None:
    assert run("metrics", "add", FIRST, "--type", "Load_Time", "--value", 2, *L4, "--json").json["unit"] == "s"


def test_add_takes_models_by_alias_and_number_and_those_of_the_user(run: Run) -> None:
    with Catalog.open() as catalog:
        number = catalog.add(name="mine").id

    for name in ("all-minilm-l6", "mine", str(number)):
        assert run("metrics", "add", name, *SPEED, *L4).code == 0
    assert [line[1] for line in run("metrics", "list").rows] == ["mine", "mine", "all-minilm-l6-v2"]


def test_add_knows_the_registry_that_is_named(run: Run, small: Callable[..., str]) -> None:
    import tiny

    module = small(tiny.dense_record())

    assert run("metrics", "add", "tiny-dense", *SPEED, *L4, "--registry", module).code == 0
    assert [line[1] for line in run("metrics", "list").rows] == ["tiny-dense"]


def test_add_of_an_unknown_model_names_those_of_store_and_registry(run: Run, home: Path) -> None:
    with Catalog.open() as catalog:
        catalog.add(name="colbert-v2-mine")
    result = run("metrics", "add", "colbert-v2x", *SPEED, *L4)

    problem, hint = result.err.splitlines()
    assert (result.code, problem) == (1, f"error: Model `colbert-v2x` is not in the catalogue `{home / 'catalog.db'}`.")
    assert hint.startswith("hint: Did you mean `colbert-v2-mine`, `colbert-v2` or")


def test_add_of_a_shipped_model_that_a_user_removed_says_so(run: Run) -> None:
    with Catalog.open() as catalog:
        catalog.sync()
        catalog.remove(FIRST)

    assert run("metrics", "add", FIRST, *SPEED, *L4) == (
        1,
        "",
        (
            f"error: The catalogue has no `{FIRST}`: it was removed there, or given another name.\n"
            "hint: `Catalog.sync(restore=True)` brings removed models back; others go by their names in the "
            "catalogue.\n"
        ),
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--type", "beir", "--value", 1, *L4), "--unit: `beir` is no known type: say the unit of its values."),
        (
            ("--type", "load_time", "--value", "nan", *L4),
            "--value: expected a number from -1e+300 to 1e+300, got nan.",
        ),
        (
            (*SPEED, *L4, "--context-size", 0),
            "--context-size: expected a whole number from 1 to 9007199254740991, or nothing, got 0.",
        ),
        (
            (*SPEED, *L4, "--measured-at", "noon"),
            f"--measured-at: expected a time such as {TIME}, or nothing, got 'noon'.",
        ),
        ((*SPEED, *L4[2:]), "--hardware-type: a name needs its type, such as `cuda`."),
        ((*SPEED, "--hardware-type", "tpu"), "--hardware-name: this machine has no `tpu`: say its name."),
    ],
)
def test_add_of_what_cannot_be_is_wrong_usage_and_stores_nothing(
    run: Run, words: tuple[object, ...], problem: str
) -> None:
    result = run("metrics", "add", FIRST, *words)

    assert (result.code, result.err.splitlines()[0]) == (2, f"error: Invalid value for {problem}")
    assert run("metrics", "list").rows == []


def test_hardware_of_a_type_alone_is_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.hardware import Gpu

    machine = probe(gpus=(Gpu(0, "H100", None, None),), cpu_cores=4)
    there, processor = list_hardware(machine), this_hardware(probe(gpus=(), cpu_cores=4))
    monkeypatch.setattr("registry.loaders.running_on.list_hardware", lambda: there)

    assert metrics._hardware(None, None) == ("cuda", "H100")
    assert metrics._hardware("CPU", None) == there[1] == processor
    assert metrics._hardware("x", "y") == ("x", "y")


# Listing


def test_list_prints_exact_values_the_newest_first(run: Run, store: None) -> None:
    result = run("metrics", "list", FIRST)

    speed = ["embeddings_per_second", "embeddings/s", "cuda", "NVIDIA L4", "-"]
    assert result.rows == [
        ["3", FIRST, "peak_memory", "1234567890", "bytes", *speed[2:], "2026-11-02T09:15:00Z"],
        ["2", FIRST, speed[0], "120.25", *speed[1:], "2026-11-02T09:15:00Z"],
        ["1", FIRST, speed[0], "100", *speed[1:], "2026-11-01T09:15:00Z"],
    ]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ((), ["5", "4", "3", "2", "1"]),
        (("--type", "Peak_Memory"), ["3"]),
        (("--hardware-name", "tesla t4"), ["5"]),
        (("--hardware-type", "cpu"), []),
        ((SECOND, "--type", "embeddings_per_second"), ["5", "4"]),
    ],
)
def test_list_filters_whatever_the_case(run: Run, store: None, words: tuple[str, ...], numbers: list[str]) -> None:
    assert [line[0] for line in run("metrics", "list", *words).rows] == numbers


def test_list_json_has_every_field(run: Run, store: None) -> None:
    (document,) = run("metrics", "list", "--hardware-name", "Tesla T4", "--json").json["metrics"]

    assert document["model"] == SECOND
    assert {name: document[name] for name in document if name not in ("model", "model_id")} == {
        "id": 5,
        "metric_type": "embeddings_per_second",
        "metric_value": 6.0,
        "unit": "embeddings/s",
        "hardware_type": "cuda",
        "hardware_name": "Tesla T4",
        "context_size": None,
        "measured_at": "2026-11-03T09:15:00Z",
    }


def test_list_of_nothing_says_how_to_measure(run: Run) -> None:
    assert run("metrics", "list") == (
        0,
        "",
        (
            "Nothing that was measured matches. `registry bench ID` measures a model, `registry metrics add` takes a "
            "number.\n"
        ),
    )


def test_overview_counts_by_type(run: Run, store: None, home: Path) -> None:
    assert run("metrics").rows == [
        ["catalogue", str(home / "catalog.db")],
        ["measurements", "5"],
        ["of models", "2"],
        ["embeddings_per_second", "4"],
        ["peak_memory", "1"],
    ]
    assert run("metrics", "--json").json == {
        "catalog": str(home / "catalog.db"),
        "metrics": 5,
        "models": 2,
        "types": {"embeddings_per_second": 4, "peak_memory": 1},
    }


@pytest.mark.parametrize("words", [(), ("list",), ("list", FIRST), ("compare", FIRST), ("remove", "1", "--yes")])
def test_commands_that_read_make_no_store(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "none.db"

    assert run("metrics", *words, "--catalog", path) == (
        1,
        "",
        f"error: There is no catalogue `{path}`.\nhint: `registry import` makes it.\n",
    )
    assert not path.exists()


# Comparing


def test_compare_gives_the_newest_of_each_kind(run: Run, store: None) -> None:
    result = run("metrics", "compare", FIRST, SECOND)

    assert [(line[0], line[3]) for line in result.rows] == [
        ("3", "1234567890"),
        ("2", "120.25"),
        ("5", "6"),
        ("4", "60"),
    ]
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("--type", "EMBEDDINGS_per_second"), [2, 5, 4]),
        (("--hardware", "l4"), [3, 2, 4]),
        (("--hardware", "CUDA", "--type", "peak_memory"), [3]),
    ],
)
def test_compare_of_a_type_or_hardware_gives_that(
    run: Run, store: None, words: tuple[str, ...], numbers: list[int]
) -> None:
    document = run("metrics", "compare", FIRST, SECOND, *words, "--json").json

    assert document["models"] == [FIRST, SECOND]
    assert [each["id"] for each in document["metrics"]] == numbers


def test_compare_says_which_model_has_nothing(run: Run, store: None) -> None:
    result = run("metrics", "compare", FIRST, SECOND, "all-minilm-l6-v2", "--type", "peak_memory")

    assert (result.code, len(result.rows)) == (0, 1)
    assert result.err == (
        f"note: nothing that matches was measured of {SECOND}.\n"
        "note: nothing that matches was measured of all-minilm-l6-v2.\n"
    )


def test_compare_of_nothing_fails(run: Run) -> None:
    result = run("metrics", "compare", FIRST)

    assert (result.code, result.err.splitlines()[1:]) == (
        1,
        ["error: There is nothing to compare.", "hint: `registry bench ID` measures a model."],
    )


def test_compare_of_an_unknown_type_names_close_ones(run: Run, store: None) -> None:
    result = run("metrics", "compare", FIRST, "--type", "peakmemory")

    assert (result.code, result.err) == (
        2,
        (
            "error: Invalid value for --type: nothing measures `peakmemory`.\n"
            "hint: Did you mean peak_memory or gpu_peak_memory?\n"
        ),
    )


def test_compare_writes_svg(run: Run, store: None, tmp_path: Path) -> None:
    path = tmp_path / "speed.svg"
    result = run("metrics", "compare", FIRST, SECOND, "--svg", path)

    assert (result.code, result.err) == (0, f"{path}: 2 charts.\n")
    svg = ET.fromstring(path.read_text("utf-8"))
    assert svg[1].text == (
        f"Embeddings, higher is better. NVIDIA L4 (cuda): {FIRST} 120 embeddings/s, "
        f"{SECOND} 60 embeddings/s (context 512); Tesla T4 (cuda): {SECOND} 6 embeddings/s. "
        f"Peak memory, lower is better. NVIDIA L4 (cuda): {FIRST} 1.23 GB."
    )


def test_compare_does_not_overwrite(run: Run, store: None, tmp_path: Path) -> None:
    path = tmp_path / "speed.svg"
    path.write_text("mine", "utf-8")

    result = run("metrics", "compare", FIRST, "--svg", path)

    assert (result.code, path.read_text("utf-8")) == (2, "mine")
    assert result.err == f"error: `{path}` is there already.\nhint: Choose another name, or give `--force`.\n"
    assert run("metrics", "compare", FIRST, "--svg", path, "--force").code == 0
    assert path.read_text("utf-8").startswith("<svg")


def test_compare_on_a_terminal_draws_bars(store: None, terminal: Run) -> None:
    shown = terminal("metrics", "compare", FIRST, SECOND, "--type", "embeddings_per_second", "--hardware", "L4")

    assert shown.finish() == 0
    assert shown.text == (
        "Embeddings, higher is better\n"
        "NVIDIA L4 (cuda)\n"
        f"  {FIRST}       {'█' * 28}  120 embeddings/s\n"
        f"  {SECOND}  {'█' * 14}{' ' * 14}   60 embeddings/s  (context 512)\n"
    )


def test_compare_on_a_terminal_without_blocks_draws_ascii(store: None, terminal: Run) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    shown = terminal("metrics", "compare", FIRST, "--hardware", "L4", environment=ascii_only)

    assert shown.finish() == 0
    assert f"  {FIRST}  {'#' * 48}  120 embeddings/s\n" in shown.text


def test_list_on_a_terminal_writes_values_in_units_that_fit(store: None, terminal: Run) -> None:
    shown = terminal("metrics", "list", "--type", "peak_memory")

    assert shown.finish() == 0
    assert [line.split() for line in shown.text.splitlines() if FIRST in line] == [
        ["3", FIRST, "peak_memory", "1.23", "GB", "cuda", "NVIDIA", "L4", "-", "2026-11-02", "09:15"]
    ]


# Deleting


def test_remove_deletes_what_is_named(run: Run, store: None) -> None:
    result = run("metrics", "remove", 1, 4, "--yes")

    assert (result.code, result.out, result.err) == (0, "", "Removed 2 measurements.\n")
    assert [line[0] for line in run("metrics", "list").rows] == ["5", "3", "2"]


def test_remove_of_a_number_that_is_named_twice_counts_it_once(run: Run, store: None) -> None:
    assert run("metrics", "remove", 1, 1, "--yes") == (0, "", "Removed 1 measurement.\n")


def test_remove_json_has_the_numbers(run: Run, store: None) -> None:
    assert run("metrics", "remove", 2, "--yes", "--json").json == {"removed": [2]}


def test_remove_of_a_number_that_is_not_there_deletes_nothing(run: Run, store: None) -> None:
    result = run("metrics", "remove", 1, 98, 99, "--yes")

    assert (result.code, result.err) == (
        1,
        "error: No measurement has the number 98 or 99.\nhint: `registry metrics list` shows them.\n",
    )
    assert len(run("metrics", "list").rows) == 5


def test_remove_asks_first(run: Run, store: None) -> None:
    result = run("metrics", "remove", 1)

    assert (result.code, result.err.splitlines()[0]) == (
        2,
        "error: Delete 1 measurement? Without a terminal nobody can be asked.",
    )
    assert len(run("metrics", "list").rows) == 5


# Completion


class Context:
    def __init__(self, **params: object) -> None:
        self.params = params


def test_completion_knows_models_of_registry_and_store(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with Catalog.open(path) as catalog:
        catalog.add(name="colbert-mine")
        catalog.add(name="other")

    found = _catalogue.complete_models(Context(catalog=path), "colbert-")  # type: ignore[arg-type]

    assert found[-1] == "colbert-mine"
    assert set(found[:-1]) == {"colbert-v2", "colbert-zero", "colbert-v2-pylate"} & set(found)
    assert "colbert-v2" in found


def test_completion_makes_no_store_and_passes_over_a_damaged_one(home: Path) -> None:
    assert FIRST in _catalogue.complete_models(Context(), "colbert-")  # type: ignore[arg-type]
    assert not home.exists()
    home.mkdir()
    (home / "catalog.db").write_bytes(b"not a database" * 100)
    assert FIRST in _catalogue.complete_models(Context(), "colbert-")  # type: ignore[arg-type]


def test_completion_of_types_is_by_their_beginning() -> None:
    assert metrics.complete_types("p") == ["prompt_tokens_per_second", "pairs_per_second", "peak_memory"]


# The words of two rooms


def test_units_of_what_is_measured_are_those_of_the_catalogue(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    pytest.importorskip("filelock")
    import tiny

    from registry.loaders import measure

    path = tiny.chat_gguf(tmp_path / "tiny.gguf")
    measured = measure(tiny.chat_record(path), path=path, runs=1)

    assert {each.metric_type: each.unit for each in measured.measurements} == {
        each.metric_type: METRIC_TYPES[each.metric_type].unit for each in measured.measurements
    }
    assert json.loads(json.dumps(measured.to_dict())) == measured.to_dict()
