"""`registry hardware`, `registry select`, `registry fit`."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("typer")
from registry.hardware import select

Run = Callable[..., Any]
CODER = ("--family", "Qwen2.5-Coder")


def test_hardware_json_is_what_probe_gives(run: Run) -> None:
    from registry.hardware import probe

    assert set(run("hardware", "--json").json) == set(probe().to_dict())


def test_hardware_says_memory_and_cores(run: Run) -> None:
    names = [row[0] for row in run("hardware").rows]

    assert {"system", "processor", "cores", "memory", "disk"} <= set(names)


@pytest.mark.parametrize(("ram", "model"), [("6GB", "qwen2.5-coder-3b-q4_k_m"), ("12GB", "qwen2.5-coder-7b-q5_k_m")])
def test_select_without_a_terminal_prints_the_id_only(ram: str, model: str, run: Run) -> None:
    assert run("select", *CODER, "--ram", ram) == (0, f"{model}\n", "")


def test_select_json_is_what_select_gives(run: Run) -> None:
    assert run("select", *CODER, "--ram", "12GB", "--json").json == select("12GB", family="Qwen2.5-Coder").to_dict()


def test_select_why_has_a_line_for_each_other_model(run: Run) -> None:
    found = select("12GB", family="Qwen2.5-Coder")

    rows = run("select", *CODER, "--ram", "12GB", "--why").rows

    assert rows == [[each.model_id, each.kind, each.reason] for each in found.rejected]


def test_select_passes_every_condition_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import registry.hardware

    given: dict[str, Any] = {}

    def choose(ram: str | None, **options: Any) -> Any:
        given.update(options, ram=ram)
        return select("64GB", family="Qwen2.5-Coder")

    monkeypatch.setattr(registry.hardware, "select", choose)
    words = "--ram 9GB --role coding --type chat --family F --tag a --tag b --language en --license MIT"
    more = "--context-length 8192 --min-parameters 1B --max-parameters 9B --quantization Q4_K_M --basis estimate"
    run("select", *words.split(), *more.split(), "--reserve", "1GB")

    assert {name: value for name, value in given.items() if name != "registry"} == {
        "ram": "9GB",
        "role": "coding",
        "type": "chat",
        "family": "F",
        "tags": ["a", "b"],
        "languages": ["en"],
        "license": ["MIT"],
        "context_length": 8192,
        "min_parameters": "1B",
        "max_parameters": "9B",
        "quantization": ["Q4_K_M"],
        "basis": "estimate",
        "reserve_bytes": "1GB",
    }


def test_select_where_nothing_fits_says_the_smallest_need(run: Run) -> None:
    result = run("select", *CODER, "--ram", "3GB")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: Not enough memory for `qwen2.5-coder-3b-q4_k_m`. It needs 4 GB (stated)")
    assert "\nhint: " in result.err


def test_select_with_a_word_that_is_no_role_is_wrong_usage(run: Run) -> None:
    result = run("select", "--role", "codin", "--ram", "8GB")

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: `role`: expected one of general, coding, reasoning")


def test_fit_of_models_that_fit_is_code_0(run: Run) -> None:
    result = run("fit", "qwen2.5-coder-3b-q4_k_m", "colbert-v2", "--ram", "16GB")

    assert result.code == 0
    assert [row[:2] for row in result.rows] == [["qwen2.5-coder-3b-q4_k_m", "yes"], ["colbert-v2", "yes"]]


def test_fit_of_models_that_do_not_is_code_1(run: Run) -> None:
    result = run("fit", "qwen2.5-coder-7b-q5_k_m", "qwen2.5-coder-3b-q4_k_m", "--ram", "12GB", "--json")

    assert result.code == 1
    assert (result.json["fits"], result.json["together"]) == (False, ["qwen2.5-coder-7b-q5_k_m"])
