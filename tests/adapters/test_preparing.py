"""Preparing adapters: names, models, files, and a first load; what can never be used, and what may be later."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from server.v1.few_records import FewRecords

from adapters.making import WORDS, digest, lora_file, word_adapter
from registry.adapters import AdapterEntry, AdapterFiles, AdapterManifest, AdapterVersion, Freeing, Preparing
from registry.adapters.proving import UnfitAdapterError
from registry.errors import AdapterError, InsufficientMemoryError, ModelLoadError
from registry.loaders import LoadOptions, ModelManager

pytest.importorskip("gguf")
pytest.importorskip("stamina")
pytest.importorskip("llama_cpp")


class Bench:
    """A model whose files are here, and an adapter of it."""

    def __init__(self, home: Path, base: Path, folder: Path) -> None:
        self.base = home / "models" / "tiny-chat.gguf"
        self.base.parent.mkdir(parents=True)
        self.base.write_bytes(base.read_bytes())
        self.folder = folder
        self.record = tiny.chat_record(self.base, aliases=("tiny",))
        self.registry = FewRecords(self.record, tiny.dense_record(id="see"))
        self.manifest = AdapterManifest(str(folder / "adapters.json"), ())
        self.files = AdapterFiles()
        self.manager = ModelManager(max_models=2, registry=self.registry)
        self.path = word_adapter(folder / "tuned.gguf", base)

    def entry(self, **changes: str) -> AdapterEntry:
        given = {"id": "tuned", "base": "tiny-chat", "file": "tuned.gguf", "sha256": digest(self.path), "version": "1"}
        return AdapterEntry(**(given | changes))

    def prepare(self, entry: AdapterEntry | None = None, **changes: Any) -> None:
        given: dict[str, Any] = {"files": self.files, "manager": self.manager}
        taken = {"taken", "tiny-chat"}
        Preparing(self.registry, taken.__contains__, **(given | changes))(self.manifest, entry or self.entry())

    def refusal(self, entry: AdapterEntry | None = None, **changes: Any) -> AdapterError:
        with pytest.raises(AdapterError) as caught:
            self.prepare(entry, **changes)
        return caught.value

    def version(self) -> AdapterVersion:
        entry = self.entry()
        return AdapterVersion(entry.id, entry.version, entry.base, entry.sha256, self.files.path(entry.sha256))


@pytest.fixture
def bench(home: Path, made: Callable[..., Path], tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(home, made(tiny.chat_gguf, script=WORDS, repeat=True), tmp_path)
    with bench.manager:
        yield bench


def test_adapter_is_here_and_loaded_once_it_is_prepared(bench: Bench) -> None:
    bench.prepare()
    assert bench.files.has(bench.entry().sha256)
    assert bench.manager.loaded == ("tiny-chat",)
    with bench.manager.use(bench.record, options=LoadOptions(adapter=bench.version().path)) as chat:
        answer = chat.reply([{"role": "user", "content": "Sing."}], max_tokens=3, temperature=0)
    assert answer["choices"][0]["message"]["content"] == "lo lo lo "
    assert len(bench.manager.status()) == 1


@pytest.mark.parametrize("name", ["taken", "tiny-chat"])
def test_name_that_means_a_model_is_refused_for_good(name: str, bench: Bench) -> None:
    refusal = bench.refusal(bench.entry(id=name))
    assert isinstance(refusal, UnfitAdapterError)
    assert str(refusal) == (
        f"Adapter `{name}`, version 1: requests mean a model, or the role of one, by this name. "
        "Call the adapter something else."
    )


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("tiny-chap", "there is no model `tiny-chap`. Did you mean `tiny-chat`?"),
        ("nothing-like-it", "there is no model `nothing-like-it`. Correct `base`."),
        ("tiny", "there is no model `tiny`. Did you mean `tiny-chat`?"),
        ("see", "`see` is of type `dense`, and adapters go on top of chat models. Correct `base`."),
    ],
)
def test_base_that_is_no_chat_model_is_refused_for_good(base: str, said: str, bench: Bench) -> None:
    refusal = bench.refusal(bench.entry(base=base))
    assert isinstance(refusal, UnfitAdapterError)
    assert str(refusal) == f"Adapter `tuned`, version 1: {said}"


def test_adapter_of_another_model_is_refused_for_good_before_it_is_loaded(bench: Bench) -> None:
    word_adapter(bench.path, bench.base, architecture="qwen2")
    assert isinstance(bench.refusal(), UnfitAdapterError)
    assert bench.manager.loaded == ()


def test_model_that_is_not_here_may_come_later(bench: Bench) -> None:
    content = bench.base.read_bytes()
    bench.base.unlink()
    refusal = bench.refusal()
    assert not isinstance(refusal, UnfitAdapterError)
    assert refusal.problem.startswith("its model cannot be used: ")
    bench.base.write_bytes(content)
    bench.prepare()


def test_file_that_is_not_here_may_come_later(bench: Bench) -> None:
    content = bench.path.read_bytes()
    entry = bench.entry()
    bench.path.unlink()
    assert not isinstance(bench.refusal(entry), UnfitAdapterError)
    bench.path.write_bytes(content)
    bench.prepare(entry)


def test_adapter_that_only_llama_cpp_refuses_is_refused_for_good(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ModelLoadError("tiny-chat", "tuned.gguf", "adapter", "a LoRA adapter", "bad weights", "Mend it.")

    monkeypatch.setattr(bench.manager, "use", refuse)
    refusal = bench.refusal()
    assert isinstance(refusal, UnfitAdapterError)
    assert str(refusal) == "Adapter `tuned`, version 1: llama.cpp refuses it: bad weights. Mend it."


def test_adapter_that_ends_too_early_is_refused_for_good(bench: Bench) -> None:
    whole = bench.path.read_bytes()
    bench.path.write_bytes(whole[: len(whole) - 4000])
    assert isinstance(bench.refusal(), UnfitAdapterError)


def test_model_that_cannot_be_loaded_is_no_fault_of_the_adapter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ModelLoadError("tiny-chat", "tiny.gguf", "format", "a GGUF file", "other bytes", "Fetch it again.")

    monkeypatch.setattr(bench.manager, "use", refuse)
    assert not isinstance(bench.refusal(), UnfitAdapterError)


def test_adapter_that_there_is_no_room_to_try_is_prepared(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise InsufficientMemoryError("tiny-chat", "It is full.")

    caplog.set_level(logging.INFO, "registry.adapters")
    monkeypatch.setattr(bench.manager, "use", refuse)
    bench.prepare()
    (record,) = caplog.records
    assert record.event == "registry.adapters.not_tried"  # type: ignore[attr-defined]


def test_worker_without_models_compares_headers(bench: Bench) -> None:
    bench.prepare(manager=None)
    word_adapter(bench.path, bench.base, architecture="qwen2")
    assert isinstance(bench.refusal(manager=None), UnfitAdapterError)


def test_worker_that_hands_requests_on_looks_at_names_alone(bench: Bench) -> None:
    bench.path.unlink()
    entry = AdapterEntry("tuned", "tiny-chat", "tuned.gguf", "0" * 64, "1")
    bench.prepare(entry, files=None)
    assert isinstance(bench.refusal(replace(entry, base="see"), files=None), UnfitAdapterError)


def test_version_that_nobody_uses_is_freed_and_no_other(bench: Bench) -> None:
    bench.prepare()
    with bench.manager.use(bench.record):
        assert len(bench.manager.status()) == 2
        Freeing(bench.registry, bench.manager)(bench.version())
        assert len(bench.manager.status()) == 1
    assert [slot.wanted.options for slot in bench.manager._slots] == [LoadOptions()]


def test_version_of_a_model_that_is_gone_is_passed_over(bench: Bench) -> None:
    Freeing(bench.registry, bench.manager)(replace(bench.version(), base="gone"))


def test_adapter_of_zeros_is_an_adapter(bench: Bench) -> None:
    import numpy as np

    a, b = np.zeros((1, 64), np.float32), np.zeros((64, 1), np.float32)
    lora_file(bench.path, {"blk.0.attn_q.weight": (a, b)})
    bench.prepare()
