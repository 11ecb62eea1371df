"""Whether unsloth is there and its patch took, seen with a stand-in of its signatures: the real one needs a GPU."""

import sys
from collections.abc import Callable
from logging import INFO, WARNING
from pathlib import Path

import pytest

from registry.profiles.checkpoints.unsloth import (
    Patch,
    load_with_unsloth,
    patch_of,
    patch_status,
    report_patch,
    unsloth_version,
    why_not_importable,
)

from .machines import installed_unsloth


@pytest.fixture(autouse=True)
def no_memory() -> None:
    why_not_importable.cache_clear()


def test_patch_status_without_unsloth_says_so_and_imports_nothing(run_python: Callable[..., str]) -> None:
    code = (
        "import sys; from registry.profiles.checkpoints.unsloth import patch_status; print(patch_status());"
        "print({'torch', 'transformers', 'unsloth'} & set(sys.modules))"
    )

    assert run_python(code) == ("Patch(patched=False, version=None, reason='unsloth is not installed.')\nset()\n")


def test_unsloth_version_without_unsloth_is_none() -> None:
    assert unsloth_version() is None


def test_why_not_importable_without_unsloth_says_so() -> None:
    assert why_not_importable() == "unsloth is not installed."


def test_patch_status_before_unsloth_is_imported_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with installed_unsloth(tmp_path, monkeypatch):
        found = patch_status()

        assert found == Patch(False, "2026.9.1", "unsloth has not been imported in this process.")
        assert "unsloth" not in sys.modules


def test_unsloth_version_of_a_copy_without_metadata_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unsloth").mkdir()
    (tmp_path / "unsloth" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    assert unsloth_version() == "unknown"


def test_why_not_importable_of_one_that_fails_says_how_and_tries_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed_unsloth(tmp_path, monkeypatch, broken=True):
        reason = why_not_importable()
        (tmp_path / "unsloth" / "__init__.py").write_text("")

        assert reason == why_not_importable()
    assert reason == (
        "unsloth cannot be imported: NotImplementedError: Unsloth cannot find any torch accelerator? You need a GPU."
    )


def test_load_with_unsloth_patches_and_keeps_its_banners_from_the_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    from tiny_checkpoint import checkpoint

    folder = checkpoint(tmp_path / "model", script="Hello.")
    with installed_unsloth(tmp_path / "site", monkeypatch):
        assert why_not_importable() is None
        before = patch_status()
        model, processor = load_with_unsloth(folder, device="cuda", dtype=None, load_in_4bit=True, max_seq_length=4096)
        module = sys.modules["unsloth"]

        assert module.calls == [
            {
                "model_name": str(folder),
                "max_seq_length": 4096,
                "dtype": None,
                "load_in_4bit": True,
                "device_map": "sequential",
                "trust_remote_code": False,
                "use_exact_model_name": True,
                "local_files_only": True,
            }
        ]
        assert module.for_inference_calls == ["LlamaForCausalLM"]
        assert hasattr(processor, "tokenizer")
        assert before == Patch(False, "2026.9.1", "No class of transformers that is in use here runs code of unsloth.")
        assert patch_of(model) == patch_status() == Patch(True, "2026.9.1", None)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Unsloth: Fast Llama patching." in shown.err


def test_load_with_unsloth_on_one_gpu_of_several_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    from tiny_checkpoint import checkpoint

    folder = checkpoint(tmp_path / "model", script="Hello.")
    with installed_unsloth(tmp_path / "site", monkeypatch):
        load_with_unsloth(folder, device="cuda:1", dtype=None, load_in_4bit=False, max_seq_length=2048)

        assert sys.modules["unsloth"].calls[0]["device_map"] == {"": "cuda:1"}


def test_patch_of_a_model_that_runs_code_of_transformers_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    from tiny_checkpoint import checkpoint

    folder = checkpoint(tmp_path / "model", script="Hello.")
    with installed_unsloth(tmp_path / "site", monkeypatch, patches=False):
        model, _ = load_with_unsloth(folder, device="cuda", dtype=None, load_in_4bit=True, max_seq_length=2048)

        assert patch_of(model) == Patch(False, "2026.9.1", "No module of this `LlamaForCausalLM` runs code of unsloth.")


@pytest.mark.parametrize(
    ("patch", "wanted", "level", "line"),
    [
        (Patch(True, "2026.9.1", None), True, INFO, "patched=true version=2026.9.1 model=m"),
        (
            Patch(False, "2026.9.1", "It did not."),
            True,
            WARNING,
            'patched=false version=2026.9.1 reason="It did not." model=m',
        ),
        (Patch(False, None, "It is not there."), False, INFO, 'patched=false reason="It is not there." model=m'),
    ],
)
def test_report_patch_writes_one_line_and_warns_where_it_was_wanted(
    patch: Patch, wanted: bool, level: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(INFO)

    report_patch(patch, "m", wanted=wanted)

    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (level, f"registry.unsloth.patched {line}")
