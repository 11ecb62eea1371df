"""A terminal that keeps what is drawn on it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WAIT_S = 60


class Terminal:
    """A process that runs on a terminal of its own.

    Args:
        command: Words after the interpreter.
        columns: Width of the terminal.
        environment: Changes to this process's own.
    """

    def __init__(
        self,
        *command: str,
        columns: int = 80,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._file, ours = pty.openpty()
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=ours,
            stdout=ours,
            stderr=ours,
            env=env,
            cwd=folder,
            preexec_fn=_take_terminal,
            close_fds=True,
        )
        os.close(ours)
        self.raw = ""

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until some text is on the screen, and give everything that was drawn."""
        while text not in self.text:
            self.read_more()
        return self.text

    def finish(self) -> int:
        """Read to the end and give the exit code."""
        while self._more():
            pass
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        """End the process where it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(WAIT_S)
        os.close(self._file)

    @property
    def text(self) -> str:
        return _STYLE.sub("", self.raw).replace("\r\n", "\n").replace("\r", "")

    def read_more(self) -> None:
        """Wait for something to be drawn.

        Raises:
            AssertionError: The process has ended.
        """
        if not self._more():
            raise AssertionError(f"it ended after {self.raw!r}")

    def _more(self) -> bool:
        if not select.select([self._file], [], [], WAIT_S)[0]:
            raise AssertionError(f"nothing more was drawn after {self.raw[-500:]!r}")
        try:
            data = os.read(self._file, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)


def _take_terminal() -> None:
    """Make the terminal this process's own, so that Ctrl-C that is typed there reaches it."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell lets what it starts in the background ignore it
