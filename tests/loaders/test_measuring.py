"""`measure`: what it measures, in which process, and what comes of it when that goes wrong."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny

from registry import InsufficientMemoryError, InvalidOptionError, ModelNotFoundError, RegistryError
from registry.chat import JinjaTemplate
from registry.hardware import Gpu, probe
from registry.loaders import LoadOptions, Measured, Measurement, Step, load, measure, measuring, this_hardware
from registry.loaders import measuring_process as child
from registry.loaders.measured import median_of
from registry.loaders.peak_memory import _high_water_mark, gpu_peak_memory_bytes, peak_memory_bytes
from registry.loaders.timing import _Answer, _speed_of, time_model
from registry.loaders.workload import documents

Made = Callable[..., Path]
MB = 10**6
TESTS = Path(tiny.__file__).parent
SCRIPT = f"""
import sys
sys.path.append({str(TESTS)!r})
import tiny
from registry.loaders import measure
"""


@pytest.fixture
def gguf(made: Made) -> Path:
    pytest.importorskip("llama_cpp")
    return made(tiny.chat_gguf)


@pytest.fixture
def measured(gguf: Path) -> Callable[..., Measured]:
    """Measure the tiny chat model in one run."""
    return lambda **how: measure(tiny.chat_record(gguf), **({"path": gguf, "runs": 1} | how))


def units(measured: Measured) -> dict[str, str]:
    return {each.metric_type: each.unit for each in measured.measurements}


# What is measured


def test_chat_model_gives_times_speeds_and_memory(measured: Callable[..., Measured]) -> None:
    found = measured(runs=3)

    assert units(found) == {
        "load_time": "s",
        "time_to_first_token": "ms",
        "prompt_tokens_per_second": "tokens/s",
        "tokens_per_second": "tokens/s",
        "peak_memory": "bytes",
    }
    assert [each.runs for each in found.measurements] == [3, 3, 3, 3, 1]
    assert all(0 < each.lowest <= each.value <= each.highest for each in found.measurements)
    assert (found.model_id, found.context_size, found.notes) == ("tiny-chat", 512, ())
    assert found.hardware.type == "cpu"


def test_chat_prompt_leaves_room_for_the_answer(measured: Callable[..., Measured]) -> None:
    work = measured(options=LoadOptions(context_length=256)).workload

    assert work["answer_tokens"] >= 16
    assert 100 < work["prompt_tokens"] <= 192


def test_chat_times_agree_with_each_other(gguf: Path) -> None:
    with load(tiny.chat_record(gguf), path=gguf) as chat:
        speed = time_model(chat, 3, lambda _: None)
    times = {each.metric_type: each for each in speed.measurements}

    reading_ms = 1000 * speed.workload["prompt_tokens"] / times["prompt_tokens_per_second"].highest
    assert times["time_to_first_token"].lowest >= reading_ms
    assert reading_ms > 1000 / times["tokens_per_second"].highest  # a prompt that is in the context takes one step


def test_times_of_tokens_become_numbers() -> None:
    answer = _Answer(prompt_tokens=10, asked_s=0.0, begun_s=1.0, tokens_s=(3.0, 3.5, 4.0))
    speed = _speed_of([answer])

    assert {each.metric_type: each.value for each in speed.measurements} == {
        "time_to_first_token": 3000.0,
        "prompt_tokens_per_second": 5.0,
        "tokens_per_second": 2.0,  # two after the first one, which belongs to reading
    }
    assert (speed.workload, speed.notes) == ({"prompt_tokens": 10, "answer_tokens": 3}, ())


def test_chat_model_that_ends_at_once_has_no_speed_and_says_so(made: Made) -> None:
    pytest.importorskip("llama_cpp")
    path = made(tiny.chat_gguf, script="")
    with load(tiny.chat_record(path), path=path) as chat:
        speed = time_model(chat, 1, lambda _: None)

    assert speed.measurements == ()
    assert speed.notes == ("Tokens/s could not be measured: the model ended every answer before its first token.",)


def test_chat_model_of_one_token_has_a_first_token_only(made: Made) -> None:
    pytest.importorskip("llama_cpp")
    path = made(tiny.chat_gguf, script="yes")
    with load(tiny.chat_record(path), path=path) as chat:
        speed = time_model(chat, 1, lambda _: None)

    assert [each.metric_type for each in speed.measurements] == ["time_to_first_token", "prompt_tokens_per_second"]
    assert speed.notes == ("Tokens/s could not be measured: the model ended every answer with its first token.",)


def test_gguf_encoder_gives_embeddings_per_second(made: Made) -> None:
    pytest.importorskip("llama_cpp")
    found = measure(tiny.dense_record(), path=made(tiny.embedding_gguf), runs=1)

    assert units(found) == {"load_time": "s", "embeddings_per_second": "embeddings/s", "peak_memory": "bytes"}
    assert found.context_size == 64
    assert 8 <= found.workload["texts"] <= 256
    assert found.workload["text_tokens"] <= 64 * found.workload["texts"]


@pytest.mark.parametrize(
    ("maker", "record", "metric_type", "unit"),
    [
        (tiny.dense, tiny.dense_record, "embeddings_per_second", "embeddings/s"),
        (tiny.native_colbert, tiny.colbert_record, "embeddings_per_second", "embeddings/s"),
        (tiny.splade, tiny.splade_record, "embeddings_per_second", "embeddings/s"),
        (tiny.reranker, tiny.reranker_record, "pairs_per_second", "pairs/s"),
    ],
)
def test_encoder_is_timed_by_what_it_is_used_for(
    made: Made, maker: Any, record: Any, metric_type: str, unit: str
) -> None:
    pytest.importorskip("sentence_transformers")
    steps: list[str] = []
    with load(record(), path=made(maker)) as model:
        (found,) = time_model(model, 2, steps.append).measurements

    assert (found.metric_type, found.unit, found.runs) == (metric_type, unit, 2)
    assert steps == ["Warming up", *(2 * ["Scoring" if unit == "pairs/s" else "Encoding"])]


def test_encoder_in_a_process_of_its_own_says_what_it_runs_on(made: Made) -> None:
    pytest.importorskip("sentence_transformers")
    options = LoadOptions(device="cpu", context_length=32)
    found = measure(tiny.dense_record(), path=made(tiny.dense), runs=1, options=options)

    assert (found.hardware, found.context_size) == (this_hardware(probe(gpus=())), 32)
    assert found.first_load_s > (found.value_of("load_time") or 0)  # it has imported torch


def test_peak_memory_is_that_of_the_child(measured: Callable[..., Measured]) -> None:
    mine = b"\1" * (400 * MB)
    peak = measured().value_of("peak_memory") or 0

    assert 20 * MB < peak < len(mine)


def test_median_comes_with_its_spread() -> None:
    assert median_of("load_time", "s", iter([3.0, 1.0, 2.0, 9.0])) == Measurement(
        metric_type="load_time", value=2.5, unit="s", lowest=1.0, highest=9.0, runs=4
    )


def test_result_as_a_dict_is_what_json_has() -> None:
    found = Measured(
        model_id="m",
        hardware=this_hardware(probe(gpus=(Gpu(0, "H100", None, None),))),
        context_size=None,
        first_load_s=1.0,
        workload={"texts": 8, "text_tokens": 80},
        measurements=(median_of("load_time", "s", [1.0]),),
        notes=("Something.",),
    )
    times = {"metric_type": "load_time", "value": 1.0, "unit": "s", "lowest": 1.0, "highest": 1.0, "runs": 1}

    assert found.to_dict() == {
        "model_id": "m",
        "hardware": {"type": "cuda", "name": "H100"},
        "context_size": None,
        "first_load_s": 1.0,
        "workload": {"texts": 8, "text_tokens": 80},
        "measurements": [times],
        "notes": ["Something."],
    }
    assert found.value_of("load_time") == 1.0
    assert found.value_of("tokens_per_second") is None


def test_documents_are_different_and_of_many_lengths() -> None:
    texts = documents(256)
    words = sorted(len(text.split()) for text in texts)

    assert len(set(texts)) == 256
    assert (words[0], words[128], words[-1]) == (16, 94, 206)
    assert documents(8) == texts[:8]


# Progress


def test_progress_names_each_step(measured: Callable[..., Measured]) -> None:
    steps: list[Step] = []
    measured(progress=steps.append)

    assert steps == [
        Step("Loading", 0, 4),
        Step("Warming up", 1, 4),
        Step("Answering", 2, 4),
        Step("Loading again", 3, 4),
        Step("Done", 4, 4),
    ]


# Wherever it is called from


def test_script_without_a_main_guard_runs_once(gguf: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    call = f"measure(tiny.chat_record(tiny.Path({str(gguf)!r})), path={str(gguf)!r}, runs=1)"
    script.write_text(f"{SCRIPT}\nprint('begin')\nprint({call}.model_id)\n", "utf-8")

    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)

    assert (ran.stdout.split(), ran.stderr) == (["begin", "tiny-chat"], "")


def test_interactive_session_can_measure(gguf: Path) -> None:
    call = f"measure(tiny.chat_record(tiny.Path({str(gguf)!r})), path={str(gguf)!r}, runs=1)"
    typed = f"{SCRIPT}\nprint({call}.model_id)\n"

    ran = subprocess.run([sys.executable, "-i", "-q"], input=typed, capture_output=True, text=True, check=True)

    assert ran.stdout == "tiny-chat\n"


def test_files_are_fetched_before_the_time_runs(
    measured: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry.loaders import locate as home

    asked: list[bool] = []
    monkeypatch.setattr(home, "locate", lambda *_, download: asked.append(download))

    assert measured(options=LoadOptions(download=True)).model_id == "tiny-chat"
    assert asked == [True]


# What goes wrong


def test_errors_are_those_of_load(made: Made, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + bytes(100))
    record = tiny.chat_record(damaged)

    for path in (damaged, tmp_path / "missing"):
        with pytest.raises(RegistryError) as expected:
            load(record, path=path)
        with pytest.raises(RegistryError) as caught:
            measure(record, path=path)
        assert (type(caught.value), str(caught.value)) == (type(expected.value), str(expected.value))
        assert not hasattr(caught.value, "__notes__")


def test_option_that_means_nothing_is_refused_as_by_load(measured: Callable[..., Measured]) -> None:
    with pytest.raises(InvalidOptionError, match="`device`: expected to be left out, got 'cpu'"):
        measured(options=LoadOptions(device="cpu"))


def test_unknown_model_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(ModelNotFoundError, match="Did you mean `colbert-v2`"):
        measure("colbert-v2x")


@pytest.mark.parametrize("runs", [0, True, 2.0])
def test_runs_that_are_no_count_are_refused(runs: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        measure("colbert-v2", runs=runs)
    assert str(caught.value) == f"`runs`: expected an integer of at least 1, got {runs!r}."


def test_options_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match="expected `options` to be LoadOptions, got"):
        measure("colbert-v2", options={"threads": 2})  # type: ignore[arg-type]


def test_option_that_cannot_travel_is_refused() -> None:
    pytest.importorskip("jinja2")
    template = JinjaTemplate("{{ messages }}")
    object.__setattr__(template, "own", lambda: None)
    with pytest.raises(InvalidOptionError, match="expected what can be given to another process"):
        measure("qwen3-0.6b-q8_0", options=LoadOptions(template=template))


def kill_at(step: str, how: signal.Signals) -> Callable[[Step], None]:
    """Kill the child of this process when it says that it has come to a step."""
    psutil = pytest.importorskip("psutil")

    def kill(now: Step) -> None:
        if now.name == step:
            for each in psutil.Process().children():
                each.send_signal(how)

    return kill


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_child_that_the_system_kills_had_no_memory(measured: Callable[..., Measured]) -> None:
    with pytest.raises(InsufficientMemoryError) as caught:
        measured(runs=10**6, progress=kill_at("Answering", signal.SIGKILL))
    assert str(caught.value) == (
        "Not enough memory for `tiny-chat`. The process that measured it was killed while answering, as systems do "
        "when memory runs out. Choose a smaller model or a shorter `context_length`, or close other programs."
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_child_that_dies_otherwise_is_told_of(measured: Callable[..., Measured]) -> None:
    with pytest.raises(RegistryError) as caught:
        measured(runs=10**6, progress=kill_at("Answering", signal.SIGTERM))
    assert str(caught.value) == "The process that measured `tiny-chat` died of SIGTERM while answering."


def test_child_that_cannot_start_tells_its_last_words(
    measured: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_CHILD", "raise SystemExit('no room')")
    with pytest.raises(RegistryError) as caught:
        measured()
    assert str(caught.value) == (
        "The process that measured `tiny-chat` died with exit code 1 while starting. Its last words: no room"
    )


@pytest.mark.parametrize(("how", "code"), [("SIGINT", 130), ("SIGKILL", -9)])
def test_child_ends_with_its_parent(gguf: Path, how: str, code: int) -> None:
    psutil = pytest.importorskip("psutil")
    call = f"measure(tiny.chat_record(tiny.Path({str(gguf)!r})), path={str(gguf)!r}, runs=10**6, progress=tell)"
    script = f"""{SCRIPT}
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
def tell(step):
    print(step.name, flush=True)
try:
    {call}
except KeyboardInterrupt:
    os._exit(130)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        while parent.stdout.readline() != "Answering\n":
            assert parent.poll() is None
        children = psutil.Process(parent.pid).children()
        parent.send_signal(getattr(signal, how))  # to it alone: a terminal would send it to both
        parent.stdout.close()
        assert parent.wait(60) == code
        gone, alive = psutil.wait_procs(children, timeout=60)

    assert (len(gone), alive) == (1, [])


@pytest.fixture
def heeded_ctrl_c() -> Iterator[None]:
    """A shell may have told its children to ignore it, and theirs would as well."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_that_only_the_child_sees_stops_measuring(
    measured: Callable[..., Measured], heeded_ctrl_c: None
) -> None:
    with pytest.raises(KeyboardInterrupt):
        measured(runs=10**6, progress=kill_at("Answering", signal.SIGINT))


# The child's end


class UnpicklableError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(
    ("error", "sent"), [(ValueError("as it is"), ValueError("as it is")), (UnpicklableError(1, 2), None)]
)
def test_error_that_cannot_travel_is_sent_in_words(tmp_path: Path, error: Exception, sent: Exception | None) -> None:
    with (tmp_path / "answers").open("wb") as answers:
        child._send_error(answers, error)
    got, told = pickle.loads((tmp_path / "answers").read_bytes())

    assert repr(got) == repr(sent or RuntimeError("UnpicklableError: 1 and 2"))
    assert told.splitlines()[-1].endswith(str(error))


def before_main(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the child do something before it begins to measure."""
    monkeypatch.setattr(
        measuring, "_CHILD", measuring._CHILD.replace("measuring_process.main", f"{code}\nmeasuring_process.main")
    )


def test_error_of_a_package_brings_its_traceback(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_main(monkeypatch, "measuring_process.time_model = lambda *_: 1 / 0")
    with pytest.raises(ZeroDivisionError) as caught:
        measure(tiny.chat_record(gguf), path=gguf)
    assert "In the process that measured `tiny-chat`:\nTraceback" in caught.value.__notes__[0]


def test_what_packages_print_is_not_taken_for_the_result(
    measured: Callable[..., Measured], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before_main(monkeypatch, "print('noise', flush=True); os.write(1, b'noise')")

    assert measured().model_id == "tiny-chat"
    assert capfd.readouterr() == ("", "")


def test_high_water_mark_is_read_in_kibibytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t  999 kB\nVmHWM:\t  2048 kB\n", "utf-8")

    assert _high_water_mark(status) == 2 * 1024 * 1024
    assert _high_water_mark(tmp_path / "missing") is None


def test_peak_of_this_process_is_at_least_what_it_holds() -> None:
    held = b"\1" * (50 * MB)

    assert (peak_memory_bytes() or 0) > len(held)


def test_gpu_memory_of_a_process_without_one_is_unknown() -> None:
    assert gpu_peak_memory_bytes() is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["H100"], ("cuda", "H100")),
        (["H100", "H100"], ("cuda", "2 x H100")),
        (["H100", "L4"], ("cuda", "H100 + L4")),
    ],
)
def test_hardware_of_a_machine_with_gpus_is_these(names: list[str], expected: tuple[str, str]) -> None:
    gpus = [Gpu(index, name, None, None) for index, name in enumerate(names)]

    assert this_hardware(probe(gpus=gpus)) == expected


@pytest.mark.parametrize(("cores", "told"), [(1, "1 core"), (8, "8 cores")])
def test_hardware_of_a_machine_without_a_gpu_is_the_processor_with_its_cores(cores: int, told: str) -> None:
    machine = probe(gpus=(), cpu_cores=cores)

    assert this_hardware(machine) == ("cpu", f"{machine.cpu.name or machine.cpu.architecture}, {told}")
