"""`registry info`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
import tiny

from registry import MODEL_REGISTRY

Run = Callable[..., Any]


def test_info_says_what_the_record_says(run: Run) -> None:
    lines = run("info", "colbertv2").out.splitlines()

    assert lines[:4] == [
        "id\tcolbert-v2",
        "model_type\tcolbert",
        "name\tcolbertv2.0",
        "huggingface_id\tcolbert-ir/colbertv2.0",
    ]
    assert "embedding_dim\t128" in lines


def test_info_lists_files_with_their_digests(run: Run) -> None:
    (file,) = [file for file in MODEL_REGISTRY["colbert-v2"].files if file.role == "safetensors"]

    assert f"{file.name}\tsafetensors\t{file.size_bytes}\t{file.sha256}" in run("info", "colbert-v2").out.splitlines()


def test_info_says_where_the_files_are(run: Run, small: Callable[..., str], home: Path, tmp_path: Path) -> None:
    gguf = tmp_path / "here.gguf"
    gguf.write_bytes(b"GGUF")
    module = small(tiny.chat_record(gguf, id="here"))
    assert "path\tnot downloaded" in run("info", "here", "--registry", module).out.splitlines()

    (home / "models").mkdir(parents=True)
    (home / "models" / "here.gguf").write_bytes(b"GGUF")

    assert f"path\t{home / 'models' / 'here.gguf'}" in run("info", "here", "--registry", module).out.splitlines()


def test_info_has_the_memory_at_contexts_that_double(run: Run) -> None:
    found = run("info", "qwen2.5-coder-7b-q5_k_m", "--json").json["memory"]["estimates"]

    assert [each["context_length"] for each in found] == [2048, 4096, 8192, 16384, 32768]
    assert [each["total_bytes"] for each in found] == sorted(each["total_bytes"] for each in found)


def test_info_json_has_every_field_of_the_record(run: Run) -> None:
    from dataclasses import fields

    found = run("info", "qwen2.5-coder-7b-q5_k_m", "--json").json

    assert list(found) == ["model", "path", "memory"]
    assert set(found["model"]) == {field.name for field in fields(MODEL_REGISTRY["qwen2.5-coder-7b-q5_k_m"])}
    assert found["model"]["defaults"]["top_k"] == 40


def test_info_sources_says_where_values_were_read(run: Run) -> None:
    found = run("info", "colbert-v2", "--sources", "--json").json["sources"]

    assert found == {path: list(sources) for path, sources in MODEL_REGISTRY.get_sources("colbert-v2").items()}


def test_info_of_an_unknown_model_names_close_ones(run: Run) -> None:
    with pytest.raises(LookupError) as missed:
        MODEL_REGISTRY.get_model("colbert-v3")
    hint = str(missed.value).partition(". ")[2]

    result = run("info", "colbert-v3")

    assert result == (1, "", f"error: Model `colbert-v3` is not in the registry.\nhint: {hint}\n")
    assert hint.startswith("Did you mean `colbert-v2`")


def test_info_of_a_damaged_file_still_says_what_the_record_says(
    run: Run, small: Callable[..., str], home: Path
) -> None:
    path = home / "models" / "here.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")

    result = run("info", "here", "--registry", small(tiny.chat_record(path, id="here")))

    assert (result.code, result.out.splitlines()[0]) == (0, "id\there")
    assert result.err.startswith("warning: Cannot load `here` from")


@pytest.mark.parametrize(("free", "fits"), [(64 * 10**9, True), (0, False), (None, None)])
def test_info_on_a_gpu_says_whether_a_model_fits_now(
    free: int | None, fits: bool | None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import registry.hardware
    from registry.hardware import Gpu, probe

    machine = probe(ram_available_bytes=64 * 10**9, gpus=(Gpu(0, "a GPU", 80 * 10**9, free),))
    monkeypatch.setattr(registry.hardware, "probe", lambda: machine)

    first = run("info", "colbert-v2", "--json").json["memory"]["estimates"][0]

    assert first["devices"][-1]["device"] == "gpu:0"
    assert first["fits_now"] is fits
