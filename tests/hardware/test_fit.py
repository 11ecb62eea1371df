"""Several models at once, with an estimate that can be worked out in the head."""

import json
from typing import Any

import pytest

from registry.errors import InvalidOptionError, ModelLoadError, ModelNotFoundError
from registry.hardware import Gpu, Machine, fit, probe

from .records import GB, MB, TOKEN, Records, chat, dense, estimate

MARGIN = 2**30  # what is kept free on a GPU


@pytest.fixture(autouse=True)
def _by_hand(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.hardware.requirement.estimate", estimate)
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("REGISTRY_RESERVED_MEMORY", raising=False)


def machine(ram: int, *gpus: Gpu) -> Machine:
    return probe(ram_total_bytes=ram, gpus=gpus, disk_free_bytes=0)


def stated(model_id: str, gigabytes: int, **changes: Any) -> Any:
    return chat(model_id, 1 * GB, ram_required_mb=gigabytes * 1000, **changes)


def test_fit_of_models_that_fit_says_what_each_takes_and_what_is_left() -> None:
    report = fit([stated("a", 3), stated("b", 4)], available_ram="10GB")

    assert (report.fits, report.together, report.most) == (True, ("a", "b"), ("a", "b"))
    assert [entry.taken_bytes for entry in report.entries] == [{"cpu": 3 * GB}, {"cpu": 4 * GB}]
    assert (report.free_bytes, report.left_bytes) == ({"cpu": 8 * GB}, {"cpu": 1 * GB})


def test_fit_gives_the_earlier_the_right_of_way_and_says_what_the_others_lack() -> None:
    report = fit([stated("large", 6), stated("middle", 4), stated("small", 2)], available_ram="10GB")

    assert (report.fits, report.together) == (False, ("large", "small"))
    assert [(entry.model.id, entry.fits, entry.short_bytes) for entry in report.entries] == [
        ("large", True, 0),
        ("middle", False, 2 * GB),
        ("small", True, 0),
    ]
    assert report.entries[1].reason == "It takes 4 GB of `cpu`: 2 GB of `cpu` too much."


def test_fit_names_as_many_as_fit_whatever_the_order() -> None:
    report = fit([stated("large", 7), stated("middle", 4), stated("small", 3)], available_ram="10GB")

    assert (report.together, report.most) == (("large",), ("small", "middle"))


def test_fit_of_an_unknown_need_does_not_fit_and_says_why() -> None:
    report = fit([chat("riddle", None), stated("plain", 4)], available_ram="10GB")

    assert report.together == ("plain",)
    assert (report.entries[0].short_bytes, report.entries[0].reason) == (
        None,
        "What it needs cannot be told: not known are size_bytes.",
    )


def test_fit_by_estimate_ignores_what_records_state() -> None:
    report = fit([stated("a", 9)], available_ram="10GB", basis="estimate")

    assert report.entries[0].taken_bytes == {"cpu": 1 * GB + 4096 * TOKEN}


def test_fit_takes_one_context_for_all_chat_models() -> None:
    report = fit([chat("a"), dense("b")], available_ram="10GB", context_length=1000)

    assert [entry.taken_bytes for entry in report.entries] == [{"cpu": 1 * GB + 1000 * TOKEN}, {"cpu": 400 * MB}]
    assert [entry.need.context_length for entry in report.entries] == [1000, 512]


def test_fit_takes_a_context_for_each_model() -> None:
    report = fit([chat("a"), chat("b")], available_ram="10GB", context_length={"b": 1000})

    assert [entry.taken_bytes["cpu"] for entry in report.entries] == [1 * GB + 4096 * TOKEN, 1 * GB + 1000 * TOKEN]


def test_fit_places_as_many_layers_as_fit_on_the_gpu_and_the_rest_beside() -> None:
    # 141 MB a layer, 10 with the output layer: all of the first, 4 of the second
    gpu = Gpu(0, "a GPU", 24 * GB, MARGIN + 14 * 140_960_000)

    report = fit([chat("first"), chat("second")], machine=machine(16 * GB, gpu))

    assert [entry.gpu_layers for entry in report.entries] == [10, 4]
    assert [dict(entry.taken_bytes) for entry in report.entries] == [
        {"cpu": 0, "gpu:0": 1_409_600_000},
        {"cpu": 6 * 140_960_000, "gpu:0": 4 * 140_960_000},
    ]
    assert report.left_bytes == {"cpu": 14 * GB - 6 * 140_960_000, "gpu:0": 0}


def test_fit_spreads_a_model_by_what_the_ones_before_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int | None]] = []

    def look(model: Any, *, machine: Machine, **options: Any) -> Any:
        seen.append([gpu.memory_free_bytes for gpu in machine.gpus])
        return estimate(model, **options)

    monkeypatch.setattr("registry.hardware.requirement.estimate", look)
    gpus = [Gpu(0, "a GPU", 24 * GB, MARGIN + 3 * GB), Gpu(1, "a GPU", 24 * GB, MARGIN + 2 * GB)]

    fit([chat("first"), chat("second")], gpu_layers=-1, machine=machine(16 * GB, *gpus))

    assert [free for free in seen if free] == [[3 * GB, 2 * GB], [3 * GB - 1_409_600_000, 2 * GB]]


def test_fit_with_a_fixed_number_of_layers_says_what_the_gpu_lacks() -> None:
    gpu = Gpu(0, "a GPU", 2 * GB, MARGIN + 140_960_000)

    entry = fit([chat("a")], gpu_layers=3, machine=machine(16 * GB, gpu)).entries[0]

    assert (entry.fits, entry.reason) == (
        False,
        "It takes 986.72 MB of `cpu`, 422.88 MB of `gpu:0`: 281.92 MB of `gpu:0` too much.",
    )


def test_fit_on_a_gpu_that_does_not_tell_its_memory_says_that_it_cannot_tell() -> None:
    report = fit([chat("a"), chat("b")], gpu_layers=3, machine=machine(2_500 * MB, Gpu(0, "a GPU", None, None)))

    lacks = "986.72 MB of `cpu`, 422.88 MB of `gpu:0`: 486.72 MB of `cpu` too much"
    assert report.entries[0].reason == f"It takes {lacks}. What is free of `gpu:0` is not known."
    assert [(entry.fits, entry.short_bytes) for entry in report.entries] == [(False, None), (False, None)]
    assert report.left_bytes == {"cpu": 500 * MB, "gpu:0": None}


def test_fit_places_nothing_on_a_gpu_that_does_not_tell_its_memory() -> None:
    report = fit([chat("a")], machine=machine(16 * GB, Gpu(0, "a GPU", None, None)))

    assert [(entry.fits, entry.gpu_layers) for entry in report.entries] == [(True, None)]
    assert report.left_bytes == {"cpu": 14 * GB - 1_409_600_000, "gpu:0": None}


def test_fit_with_a_stated_need_takes_the_rest_of_it_from_main_memory() -> None:
    gpu = Gpu(0, "a GPU", 24 * GB, 24 * GB)

    entry = fit([stated("a", 3)], machine=machine(16 * GB, gpu)).entries[0]

    assert entry.taken_bytes == {"cpu": 3 * GB - 1_409_600_000, "gpu:0": 1_409_600_000}


def test_fit_with_shared_memory_counts_it_once() -> None:
    gpu = Gpu(0, "a GPU", 16 * GB, 16 * GB, unified=True)

    report = fit([chat("a"), chat("b")], machine=machine(4 * GB, gpu))

    assert report.together == ("a",)
    assert report.entries[0].taken_bytes == {"cpu": 1_409_600_000}


def test_fit_of_an_encoder_that_the_gpu_has_no_room_for_takes_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def on_gpu(model: Any, *, machine: Machine, **options: Any) -> Any:
        from dataclasses import replace

        found = estimate(model)
        device = "gpu:0" if machine.gpus else "cpu"
        return replace(found, devices=tuple(replace(part, device=device) for part in found.devices))

    monkeypatch.setattr("registry.hardware.requirement.estimate", on_gpu)
    here = machine(16 * GB, Gpu(0, "a GPU", 4 * GB, MARGIN + 500 * MB))

    report = fit([dense("a"), dense("b")], machine=here)

    assert [dict(entry.taken_bytes) for entry in report.entries] == [
        {"cpu": 0, "gpu:0": 400 * MB},
        {"cpu": 400 * MB, "gpu:0": 0},
    ]


def test_fit_of_a_damaged_file_says_that_it_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any, **options: Any) -> Any:
        raise ModelLoadError("a", "a.gguf", "header", "GGUF", "zeros")

    monkeypatch.setattr("registry.hardware.requirement.estimate", fail)

    assert fit([chat("a")], available_ram="10GB").entries[0].reason == (
        "What it needs cannot be told: not known are the header of `a.gguf`, which is damaged."
    )


def test_fit_takes_one_model_and_ids_of_any_registry() -> None:
    models = Records(stated("a", 3))

    assert fit("a", available_ram="10GB", registry=models).together == ("a",)
    assert fit(stated("b", 3), available_ram="10GB").together == ("b",)


def test_fit_of_one_model_twice_counts_it_twice() -> None:
    assert fit([stated("a", 5), stated("a", 5)], available_ram="10GB").fits is False


def test_fit_of_an_unknown_id_says_so() -> None:
    with pytest.raises(ModelNotFoundError):
        fit(["b"], available_ram="10GB", registry=Records(stated("a", 3)))


@pytest.mark.parametrize("models", [[], [1]])
def test_fit_of_something_else_names_the_option(models: Any) -> None:
    with pytest.raises(InvalidOptionError, match="`models`: expected"):
        fit(models, available_ram="10GB")


def test_fit_left_to_itself_takes_what_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.hardware._probe.probe", lambda: machine(7 * GB))

    assert fit([stated("a", 3)]).free_bytes == {"cpu": 5 * GB}


def test_fit_report_to_dict_is_json() -> None:
    report = fit([stated("large", 6), stated("middle", 4)], available_ram="10GB")

    found = json.loads(json.dumps(report.to_dict()))

    assert {key: value for key, value in found.items() if key != "entries"} == {
        "fits": False,
        "together": ["large"],
        "most": ["large"],
        "free_bytes": {"cpu": 8 * GB},
        "left_bytes": {"cpu": 2 * GB},
    }
    assert (found["entries"][1]["model"], found["entries"][1]["short_bytes"]) == ("middle", 2 * GB)
