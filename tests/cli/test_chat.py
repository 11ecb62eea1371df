"""`registry chat` with a tiny model, piped and on a terminal."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("fcntl")
pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")
import tiny

from registry.cli._conversation import stream
from registry.records import RuntimeDefaults, SamplingDefaults

from .screen import Terminal

Run = Callable[..., Any]
ANSWER = "I am small."
LONG = 16_384


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that thinks, and then says the same every time."""
    return tiny.chat_gguf(tmp_path_factory.mktemp("talker") / "talker.gguf", script=f"<think>hm hm</think>{ANSWER}")


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that does not end while somebody waits."""
    path = tmp_path_factory.mktemp("endless") / "endless.gguf"
    return tiny.chat_gguf(path, script=["la ", "la ", "li "], repeat=True, layers=1, context_length=LONG)


@pytest.fixture
def chat(run: Run, small: Callable[..., str], talker: Path) -> Run:
    module = small(tiny.chat_record(talker), tiny.dense_record(), default="tiny-chat")
    return lambda *words, **how: run("chat", *words, "--registry", module, "--path", talker, **how)


def test_chat_answers_standard_input(chat: Run) -> None:
    assert chat("tiny-chat", stdin="hello\n") == (0, f"{ANSWER}\n", "")


def test_chat_without_an_id_takes_the_default_model(chat: Run) -> None:
    assert chat(stdin="hello").out == f"{ANSWER}\n"


def test_chat_puts_the_prompt_before_standard_input(chat: Run) -> None:
    long = chat("-p", "hello", "--json", stdin="world\n").json["usage"]["prompt_tokens"]
    short = chat("-p", "hello", "--json").json["usage"]["prompt_tokens"]

    assert long > short


def test_chat_json_has_answer_and_usage(chat: Run) -> None:
    document = chat("-p", "hello", "--temperature", "0", "--json").json

    assert (document["model"], document["answer"], document["reasoning"]) == ("tiny-chat", ANSWER, "hm hm")
    assert (document["finish_reason"], set(document["usage"])) == (
        "stop",
        {"prompt_tokens", "completion_tokens", "total_tokens"},
    )


def test_chat_max_tokens_ends_the_answer(chat: Run) -> None:
    assert chat("-p", "hello", "--max-tokens", "1", "--json").json["finish_reason"] == "length"


def test_chat_system_is_part_of_the_prompt(chat: Run) -> None:
    without, with_it = (
        chat("-p", "hello", "--json", *more).json["usage"]["prompt_tokens"] for more in ([], ["-s", "Be brief."])
    )

    assert with_it > without


def test_chat_without_a_message_is_wrong_usage(chat: Run) -> None:
    result = chat(stdin=" \n")

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[0] == (
        "error: Invalid value: nothing to answer: say it with `--prompt`, or on standard input."
    )


def test_chat_with_a_wrong_option_is_wrong_usage(chat: Run) -> None:
    result = chat("-p", "hello", "--temperature", "9")

    assert (result.code, result.err) == (2, "error: `temperature`: expected a number from 0 to 2, got 9.0.\n")


def test_chat_with_a_model_that_does_not_chat_is_an_error(chat: Run) -> None:
    assert chat("tiny-dense", stdin="hello") == (
        1,
        "",
        "error: `tiny-dense`: it does not chat.\nhint: `registry list --type chat` lists those that do.\n",
    )


def test_chat_with_a_model_that_is_not_here_says_how_to_get_it(run: Run) -> None:
    result = run("chat", "qwen2.5-coder-3b-q4_k_m", "-p", "hello")

    assert (result.code, result.out) == (1, "")
    assert "hint: Fetch it with `registry download qwen2.5-coder-3b-q4_k_m`." in result.err


def test_chat_without_its_extra_says_how_to_install_it(chat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)

    result = chat("-p", "hello")

    assert (result.code, result.out) == (1, "")
    problem, hint = result.err.splitlines()
    assert problem.endswith("needs `llama_cpp`, which is not installed.")
    assert hint.startswith('hint: Install it with `pip install "typed-model-registry[chat]"`.')


# On a terminal


@pytest.fixture
def talk(tmp_path: Path, talker: Path, endless: Path, terminal: Callable[..., Terminal]) -> Callable[..., Terminal]:
    """Start a conversation on a terminal; `endless=True`: with the model that does not end."""
    tests = Path(__file__).parents[1]

    def start(*words: str, unending: bool = False) -> Terminal:
        path = endless if unending else talker
        more: dict[str, Any] = {}
        if unending:
            runtime = RuntimeDefaults(context_length=LONG, gpu_layers=0, threads=1)
            more = {"context_length": LONG, "runtime": runtime, "defaults": SamplingDefaults(max_tokens=LONG)}
        (tmp_path / "mine.py").write_text(
            f"import sys; sys.path[:0] = {[str(tests), str(tests.parent)]!r}\n"
            "from pathlib import Path\nimport tiny\n"
            "from registry.records import ChatModel, RuntimeDefaults, SamplingDefaults\n"
            "from tests.cli.conftest import Registry\n"
            f"MODEL_REGISTRY = Registry([tiny.chat_record(Path({str(path)!r}), **{more!r})], 'tiny-chat')\n"
        )
        command = ("chat", "--registry", "mine", "--path", str(path), *words)
        screen = terminal(*command, folder=tmp_path, columns=100)
        screen.wait_for("Ctrl-D ends.\n> ")
        return screen

    return start


def ended(screen: Terminal) -> str:
    screen.type("/exit\n")
    assert screen.finish() == 0
    return screen.text


def saved(screen: Terminal, folder: Path) -> Any:
    screen.type("/save talk.json\n")
    screen.wait_for("Saved to talk.json.")
    ended(screen)
    return json.loads((folder / "talk.json").read_text("utf-8"))


def test_conversation_shows_thoughts_answer_and_speed(talk: Callable[..., Terminal]) -> None:
    screen = talk()
    screen.type("hello\n")
    screen.wait_for("ended by stop]")

    text = ended(screen)
    assert f"> hello\nhm hm\n\n{ANSWER}\n[" in text
    assert "tokens/s, ended by stop]" in text


def test_conversation_keeps_its_history(talk: Callable[..., Terminal], tmp_path: Path) -> None:
    screen = talk("--system", "Be brief.")
    screen.type("one\n")
    screen.wait_for("ended by stop]")
    screen.type("two\\\nthree\n")
    screen.wait_for("three\n")
    screen.type('"""\nfour\nfive\n"""\n')
    while screen.text.count("ended by stop]") < 3:
        screen.read_more()

    assert [message["content"] for message in saved(screen, tmp_path)["messages"]] == [
        "Be brief.",
        "one",
        ANSWER,
        "two\nthree",
        ANSWER,
        "four\nfive",
        ANSWER,
    ]


def test_ctrl_c_stops_the_answer_and_not_the_program(talk: Callable[..., Terminal], tmp_path: Path) -> None:
    screen = talk(unending=True)
    screen.type("hello\n")
    screen.wait_for("la la li la")
    screen.type("\x03")
    screen.wait_for("[stopped]\n> ")

    question, answer = saved(screen, tmp_path)["messages"]
    assert question == {"role": "user", "content": "hello"}
    assert answer["content"].startswith("la la li la")


def test_ctrl_c_that_is_lost_on_its_way_stops_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """llama.cpp calls back into Python, and what is raised there comes to nothing."""

    class Chat:
        @contextmanager
        def stream(self, _: Any) -> Iterator[Iterator[dict[str, Any]]]:
            yield self.chunks()

        def chunks(self) -> Iterator[dict[str, Any]]:
            yield {"choices": [{"delta": {"content": "one"}}]}
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            yield {"choices": [{"delta": {"content": " two"}}]}

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    before = signal.getsignal(signal.SIGINT)

    assert stream(Chat(), [], {}) == "one"  # type: ignore[arg-type]
    assert capsys.readouterr() == ("one", "\n[stopped]\n")
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_at_the_prompt_says_how_to_end(talk: Callable[..., Terminal]) -> None:
    screen = talk()
    screen.type("half a li\x03\n")  # Python notes a signal that comes between two keys when the line ends
    screen.wait_for("Ctrl-D, or /exit, ends.\n> ")

    ended(screen)


def test_ctrl_d_ends(talk: Callable[..., Terminal]) -> None:
    screen = talk()
    screen.type("\x04")

    assert screen.finish() == 0
