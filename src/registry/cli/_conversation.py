"""A conversation in a terminal: messages, answers as they are made, and commands that begin with a slash."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.chat import apply_overrides
from registry.cli._errors import explained, say
from registry.errors import InvalidOptionError, RegistryError

if TYPE_CHECKING:
    from types import FrameType

    from registry.loaders import Chat

    Messages = list[dict[str, Any]]

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"
_BLOCK = '"""'
# What a terminal would obey; models repeat what they have read.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HELP = """\
/help              this list
/system [TEXT]     show how it shall answer, or say it; begins anew
/params [N=V ...]  show sampling parameters, or change some: /params temperature=0.2 seed=1
/reset             forget the conversation
/save [FILE]       write the conversation to a JSON file
/load FILE         go on with a conversation from such a file
/exit              end, as Ctrl-D does
A line that ends with a backslash goes on; lines between two of \"\"\" are one message. Ctrl-C stops an answer."""


def stream(chat: Chat, messages: Messages, sampling: dict[str, Any]) -> str:
    """Print an answer as it is made, and give it. On a terminal, what the model thinks comes first, dim.

    Ctrl-C stops it; what has come by then is the answer.
    """
    terminal, dim = sys.stdout.isatty(), _dims()
    answer, thought, started = [], False, time.perf_counter()
    try:
        with _noting_interrupts() as interrupts, chat.stream(messages, **sampling) as chunks:
            for chunk in chunks:
                if interrupts:
                    break
                delta = chunk["choices"][0]["delta"]
                if terminal and (text := delta.get("reasoning_content")):
                    _write(text, dim=dim)
                    thought = True
                if text := delta.get("content"):
                    answer.append(text)
                    _write("\n\n" * thought + text)
                    thought = False
                if terminal and "usage" in chunk:
                    _note(chunk, time.perf_counter() - started, dim=dim)
    except KeyboardInterrupt:
        interrupts = [signal.SIGINT]
    if interrupts and not terminal:
        raise KeyboardInterrupt
    if interrupts:
        print("\n[stopped]", file=sys.stderr)
    elif not terminal:
        print(flush=True)
    return "".join(answer)


@contextmanager
def _noting_interrupts() -> Iterator[list[signal.Signals]]:
    """Note Ctrl-C beside raising it: what is raised where llama.cpp calls back into Python is lost."""
    noted: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(signal.Signals(number))
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class Conversation:
    """A conversation with a loaded model.

    Args:
        chat: The model.
        system: How it shall answer.
        sampling: Sampling parameters that the user has set.
    """

    def __init__(self, chat: Chat, *, system: str | None = None, sampling: dict[str, Any] | None = None) -> None:
        self.chat = chat
        self.sampling = dict(sampling or {})
        self.messages: Messages = [{"role": "system", "content": system}] if system else []
        self._file: Path | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: print(_HELP),
            "/system": self._say_how,
            "/params": self._set_params,
            "/reset": lambda _: self._reset(),
            "/save": self._save,
            "/load": self._load,
        }

    def run(self) -> None:
        """Ask for messages and answer them until the user ends it."""
        with suppress(ImportError):  # Windows has none; lines can be edited and recalled with it
            import readline  # noqa: F401
        length = f"{self.chat.context_length:,}"
        say("", f"{self.chat.model.name}, {length} tokens of context. /help lists the commands, Ctrl-D ends.")
        while (message := self._ask()) is not None:
            if not message.strip():
                continue
            try:
                if message.startswith("/"):
                    self._obey(message)
                else:
                    self._answer(message)
            except RegistryError as error:  # such as a conversation that no longer fits: the next one may be shorter
                problem, remedy = explained(error)
                say("error", problem)
                if remedy:
                    say("hint", remedy)

    def _answer(self, message: str) -> None:
        self.messages.append({"role": "user", "content": message})
        answer = ""
        try:
            answer = stream(self.chat, self.messages, self.sampling)
        finally:
            if answer:
                self.messages.append({"role": "assistant", "content": answer})
            else:
                self.messages.pop()

    def _ask(self) -> str | None:
        """Read a message, of several lines where the user says so; `None` at the end."""
        try:
            line = input("> ")
            if line.strip() in ("/exit", "/quit", "/bye"):
                return None
            if line.lstrip().startswith(_BLOCK):
                return _block(line.lstrip().removeprefix(_BLOCK))
            lines = [line]
            while lines[-1].endswith("\\"):
                lines[-1] = lines[-1][:-1]
                lines.append(input(". "))
            return "\n".join(lines)
        except KeyboardInterrupt:
            print("\nCtrl-D, or /exit, ends.", file=sys.stderr)
            return ""
        except EOFError:
            print(file=sys.stderr)
            return None

    def _obey(self, line: str) -> None:
        name, _, rest = line.strip().partition(" ")
        command = self._commands.get(name)
        if command is not None:
            command(rest.strip())
            return
        from difflib import get_close_matches

        close = get_close_matches(name, self._commands, n=1)
        say("error", f"There is no command `{name}`.")
        say("hint", f"Did you mean `{close[0]}`?" if close else "`/help` lists the commands.")

    def _say_how(self, text: str) -> None:
        if not text:
            print(self._system() or "Nothing is said on how it shall answer.")
            return
        self.messages = [{"role": "system", "content": text}]

    def _reset(self) -> None:
        system = self._system()
        self.messages = [{"role": "system", "content": system}] if system else []

    def _system(self) -> str | None:
        first = self.messages[0] if self.messages else {}
        return first["content"] if first.get("role") == "system" else None

    def _set_params(self, text: str) -> None:
        changed = {**self.sampling, **dict(_parameter(word) for word in text.split())}
        known = {name: value for name, value in changed.items() if name != "seed"}
        shown = vars(apply_overrides(self.chat.model, **known))  # which refuses what is out of range
        self.sampling = changed
        print(" ".join(f"{name}={value}" for name, value in {**shown, "seed": changed.get("seed", "random")}.items()))

    def _save(self, name: str) -> None:
        path = Path(name).expanduser() if name else self._file
        if path is None:
            say("error", "Say where: `/save FILE`.")
        elif path.exists() and path != self._file:
            say("error", f"{path} is there already, and is not of this conversation. Choose another name.")
        else:
            document = {"model": self.chat.model.id, "params": self.sampling, "messages": self.messages}
            try:
                path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
            except OSError as error:
                say("error", f"{path}: {error.strerror}")
                return
            self._file = path
            say("", f"Saved to {path}.")

    def _load(self, name: str) -> None:
        path = Path(name).expanduser()
        try:
            document = json.loads(path.read_text("utf-8"))
            messages, params = document["messages"], document.get("params", {})
            self.chat.count_tokens(messages)  # which refuses what is no conversation
            apply_overrides(self.chat.model, **{key: value for key, value in params.items() if key != "seed"})
        except OSError as error:
            say("error", f"{path}: {error.strerror}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            say("error", f"{path} is no saved conversation: {error}")
        else:
            self.messages, self.sampling, self._file = messages, params, path
            say("", f"{len(messages)} messages loaded.")


_PARAMETERS: dict[str, type[int] | type[float]] = {
    "temperature": float,
    "max_tokens": int,
    "top_p": float,
    "top_k": int,
    "repeat_penalty": float,
    "seed": int,
}


def _parameter(word: str) -> tuple[str, float]:
    """Read `temperature=0.2`."""
    name, _, value = word.partition("=")
    if name not in _PARAMETERS:
        raise InvalidOptionError("params", f"{', '.join(_PARAMETERS)} with `=` and a number", word)
    try:
        return name, _PARAMETERS[name](value)
    except ValueError:
        raise InvalidOptionError(name, "a number", value) from None


def _block(first: str) -> str:
    lines = [first] if first else []
    while not (lines and lines[-1].rstrip().endswith(_BLOCK)):
        lines.append(input(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(_BLOCK)
    return "\n".join(lines).strip("\n")


def _write(text: str, *, dim: bool = False) -> None:
    shown = _CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text) if sys.stdout.isatty() else text
    print(f"{_DIM}{shown}{_PLAIN}" if dim else shown, end="", flush=True)


def _note(chunk: Any, seconds: float, *, dim: bool) -> None:
    tokens, reason = chunk["usage"]["completion_tokens"], chunk["choices"][0]["finish_reason"]
    text = f"[{tokens} tokens in {seconds:.1f} s, {tokens / max(seconds, 1e-9):.1f} tokens/s, ended by {reason}]"
    print(flush=True)
    print(f"{_DIM}{text}{_PLAIN}" if dim else text, file=sys.stderr)


def _dims() -> bool:
    """Say whether letters can be dimmed: on a terminal that knows how, unless the user wants no colour."""
    import os

    from registry._settings import text

    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not text("no_color")
