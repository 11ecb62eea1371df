"""The commands of a conversation, with a model that only counts what it is asked."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
import tiny

from registry.cli._conversation import Conversation, stream
from registry.errors import ContextOverflowError


class Answerer:
    """Answers with these words, and knows what it was asked."""

    def __init__(self, record: Any, words: Any = ("Hi", " there")) -> None:
        self.model = record
        self.context_length = 512
        self.asked: list[Any] = []
        self.words = words

    @contextmanager
    def stream(self, messages: Any, **sampling: Any) -> Iterator[Any]:
        self.asked.append((list(messages), sampling))
        yield self._chunks()

    def count_tokens(self, messages: Any) -> int:
        return sum(len(message["content"]) for message in messages)

    def _chunks(self) -> Iterator[Any]:
        for word in self.words:
            if isinstance(word, BaseException):
                raise word
            yield {"choices": [{"delta": {"content": word}}]}


@pytest.fixture
def record(tmp_path: Path) -> Any:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF")
    return tiny.chat_record(path)


@pytest.fixture
def talk(
    record: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[Answerer, Conversation, str, str]]:
    """Type these lines; gives the model, the conversation, and what was printed after the greeting."""
    monkeypatch.chdir(tmp_path)

    def run(*lines: Any, words: Any = ("Hi", " there"), **how: Any) -> tuple[Answerer, Conversation, str, str]:
        answerer, left = Answerer(record, words), [*lines]

        def typed(_: str) -> str:
            if not left:
                raise EOFError
            line = left.pop(0)
            if isinstance(line, BaseException):
                raise line
            return str(line)

        monkeypatch.setattr("builtins.input", typed)
        conversation = Conversation(answerer, **how)  # type: ignore[arg-type]
        capsys.readouterr()
        conversation.run()
        out, err = capsys.readouterr()
        return answerer, conversation, out, err.split("\n", 1)[1].rstrip("\n")

    return run


Talk = Callable[..., tuple[Answerer, Conversation, str, str]]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_answers_are_asked_for_with_what_was_said_before(talk: Talk) -> None:
    answerer, *_ = talk("one", "  ", "two", sampling={"top_k": 3})

    assert answerer.asked == [
        ([user("one")], {"top_k": 3}),
        ([user("one"), assistant("Hi there"), user("two")], {"top_k": 3}),
    ]


def test_reset_keeps_the_system_message(talk: Talk) -> None:
    answerer, *_ = talk("one", "/reset", "two", system="Be brief.")

    assert answerer.asked[1][0] == [{"role": "system", "content": "Be brief."}, user("two")]


def test_system_is_said_and_shown(talk: Talk) -> None:
    answerer, _, out, _ = talk("/system", "/system Be brief.", "/system", "one")

    assert out.splitlines()[:2] == ["Nothing is said on how it shall answer.", "Be brief."]
    assert answerer.asked[0][0][0] == {"role": "system", "content": "Be brief."}


def test_params_are_shown_and_changed(talk: Talk) -> None:
    answerer, _, out, _ = talk("/params", "/params temperature=0.5 seed=7", "one")

    standard = "max_tokens=2000 top_p=0.9 top_k=40 repeat_penalty=1.1"
    assert out.splitlines()[:2] == [
        f"temperature=0.7 {standard} seed=random",
        f"temperature=0.5 {standard} seed=7",
    ]
    assert answerer.asked[0][1] == {"temperature": 0.5, "seed": 7}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/params temp=1", "`params`: expected temperature, max_tokens, top_p, top_k, repeat_penalty, seed"),
        ("/params top_k=many", "`top_k`: expected a number, got 'many'."),
        ("/params temperature=3", "`temperature`: expected a number from 0 to 2, got 3.0."),
        ("/sav", "There is no command `/sav`."),
        ("/save", "Say where: `/save FILE`."),
        ("/load none.json", "none.json: No such file or directory"),
        ("/load text.json", "text.json is no saved conversation: Expecting value"),
        ("/load list.json", "list.json is no saved conversation: "),
        ("/save text.json", "text.json is there already, and is not of this conversation."),
    ],
)
def test_wrong_command_is_said_and_changes_nothing(line: str, problem: str, talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("no JSON")
    (tmp_path / "list.json").write_text("[1]")

    answerer, _, _, err = talk(line, "one")

    assert err.startswith(f"error: {problem}")
    assert answerer.asked == [([user("one")], {})]


def test_conversation_is_saved_and_gone_on_with(talk: Talk, tmp_path: Path) -> None:
    talk("one", "/params seed=7", "/save talk.json", "two", "/save")

    answerer, *_ = talk("/load talk.json", "three", "/save")

    before = [user("one"), assistant("Hi there"), user("two"), assistant("Hi there")]
    assert answerer.asked == [([*before, user("three")], {"seed": 7})]
    assert json.loads((tmp_path / "talk.json").read_text("utf-8")) == {
        "model": "tiny-chat",
        "params": {"seed": 7},
        "messages": [*before, user("three"), assistant("Hi there")],
    }


def test_lines_go_on_after_a_backslash(talk: Talk) -> None:
    assert talk("one\\", "two\\", "three")[0].asked[0][0] == [user("one\ntwo\nthree")]


@pytest.mark.parametrize("lines", [['"""', "one", "", "two", '"""'], ['"""one', "", 'two"""'], ['"""one\n\ntwo"""']])
def test_lines_between_quotes_are_one_message(lines: list[str], talk: Talk) -> None:
    assert talk(*lines)[0].asked[0][0] == [user("one\n\ntwo")]


def test_overflow_is_said_and_forgotten(talk: Talk) -> None:
    answerer, conversation, _, err = talk("one", words=(ContextOverflowError("tiny-chat", 600, 512),))

    assert err.splitlines() == [
        "error: The prompt does not fit into the context of `tiny-chat`: expected fewer than 512 tokens, got 600.",
        "hint: Shorten it.",
    ]
    assert (len(answerer.asked), conversation.messages) == (1, [])


def test_ctrl_c_while_typing_goes_on(talk: Talk) -> None:
    answerer, _, _, err = talk(KeyboardInterrupt(), "one")

    assert err == "\nCtrl-D, or /exit, ends."
    assert len(answerer.asked) == 1


@pytest.mark.parametrize("word", ["/exit", "/quit", "/bye"])
def test_word_ends_it(word: str, talk: Talk) -> None:
    assert talk(word, "one")[0].asked == []


def test_help_names_every_command(talk: Talk) -> None:
    _, conversation, out, _ = talk("/help")

    assert [line.split()[0] for line in out.splitlines() if line.startswith("/")] == [
        *sorted(conversation._commands, key=list(conversation._commands).index),
        "/exit",
    ]


def test_stream_without_a_terminal_is_the_bare_answer(record: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert stream(Answerer(record, ["a\x1b[31m", "b"]), [user("x")], {}) == "a\x1b[31mb"  # type: ignore[arg-type]
    assert capsys.readouterr() == ("a\x1b[31mb\n", "")


def test_stream_without_a_terminal_ends_on_ctrl_c(record: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        stream(Answerer(record, ["a", KeyboardInterrupt()]), [user("x")], {})  # type: ignore[arg-type]


def test_stream_on_a_terminal_escapes_what_that_would_obey(
    record: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    stream(Answerer(record, ["a\x1b[31m\u009b1m\n\tb 👩‍🚀"]), [user("x")], {})  # type: ignore[arg-type]

    assert capsys.readouterr().out == "a\\x1b[31m\\x9b1m\n\tb 👩‍🚀"
