"""`registry hardware`, `registry select`, `registry fit`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
import tiny

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

    assert [row[:2] for row in rows] == [[each.model_id, each.kind] for each in found.rejected]
    assert {row[0]: row[2] for row in rows}["colbert-v2"] == ("`--family`: expected `Qwen2.5-Coder`, got ColBERT.")


VALUES = [
    (["--family", "qwen2.5-coder"], {"family": "Qwen2.5-Coder"}),
    (["--type", "CHAT", "--license", "apache-2.0"], {"type": "chat", "license": "Apache-2.0"}),
    (["--quantization", "q4_k_m"], {"quantization": "Q4_K_M"}),
    (["--tag", "LONG-context", "--language", "EN"], {"tags": "long-context", "languages": "en"}),
]


@pytest.mark.parametrize(("words", "options"), VALUES, ids=lambda value: " ".join(value))
def test_select_takes_values_whatever_their_case(words: list[str], options: dict[str, Any], run: Run) -> None:
    assert run("select", *words, "--ram", "12GB").out == f"{select('12GB', **options).model.id}\n"


def test_select_with_a_value_that_no_model_has_names_a_close_one(run: Run) -> None:
    problem = "error: Invalid value for --family: no model has `Qwen2.5-Codr`."

    result = run("select", "--family", "Qwen2.5-Codr", "--ram", "12GB")

    assert (result.code, result.err.splitlines()[0]) == (2, problem)
    assert result.err.splitlines()[1].startswith("hint: Did you mean Qwen2.5-Coder")


def test_select_all_takes_models_that_are_not_recommended(run: Run, small: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    module = small(
        tiny.chat_record(path, id="good", recommended=True, ram_required_mb=9000),
        tiny.chat_record(path, id="other", recommended=False, ram_required_mb=4000),
    )

    refused = run("select", "--registry", module, "--ram", "8GB")

    assert refused.code == 1
    assert refused.err.splitlines()[1] == "hint: `other` fits and is not marked as recommended: `--all` lets it in."
    assert run("select", "--registry", module, "--ram", "8GB", "--all").out == "other\n"


def test_select_passes_every_condition_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import registry.hardware

    given: dict[str, Any] = {}

    def choose(ram: str | None, **options: Any) -> Any:
        given.update(options, ram=ram)
        return select("64GB", family="Qwen2.5-Coder")

    monkeypatch.setattr(registry.hardware, "select", choose)
    words = "--all --ram 9GB --role coding --type chat --family BGE --tag code --tag multilingual --language en"
    words += " --license MIT"
    more = "--context-length 8192 --min-parameters 1B --max-parameters 9B --quantization Q4_K_M --basis estimate"
    run("select", *words.split(), *more.split(), "--reserve", "1GB")

    assert {name: value for name, value in given.items() if name != "registry"} == {
        "ram": "9GB",
        "role": "coding",
        "type": "chat",
        "family": "BGE",
        "tags": ["code", "multilingual"],
        "languages": ["en"],
        "license": ["MIT"],
        "context_length": 8192,
        "min_parameters": "1B",
        "max_parameters": "9B",
        "quantization": ["Q4_K_M"],
        "recommended_only": False,
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
    assert result.err.startswith("error: `--role`: expected one of general, coding, reasoning")


def test_fit_of_models_that_fit_is_code_0(run: Run) -> None:
    result = run("fit", "qwen2.5-coder-3b-q4_k_m", "colbert-v2", "--ram", "16GB")

    assert result.code == 0
    assert [row[:2] for row in result.rows] == [["qwen2.5-coder-3b-q4_k_m", "yes"], ["colbert-v2", "yes"]]


def test_fit_of_models_that_do_not_is_code_1(run: Run) -> None:
    result = run("fit", "qwen2.5-coder-7b-q5_k_m", "qwen2.5-coder-3b-q4_k_m", "--ram", "12GB", "--json")

    assert result.code == 1
    assert (result.json["fits"], result.json["together"]) == (False, ["qwen2.5-coder-7b-q5_k_m"])


def test_fit_of_one_model_by_two_names_counts_it_twice(run: Run) -> None:
    result = run("fit", "qwen2.5-coder-7b-q5_k_m", "qwen2.5-coder-7b-q5", "--ram", "20GB")

    assert result.code == 1
    assert [row[:2] for row in result.rows] == [["qwen2.5-coder-7b-q5_k_m", fits] for fits in ("yes", "no")]
