"""Other processes that use a store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[2]


class Child:
    """A Python process; what it prints is read line by line."""

    def __init__(self, code: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=_ROOT / "src",
        )

    def line(self) -> str:
        """Wait for a line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=60)
            raise AssertionError(errors)
        return line.rstrip("\n")

    def go(self) -> None:
        """Send it an empty line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Wait until it ends by itself, and give the rest of what it printed."""
        printed, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return printed


@contextmanager
def child(code: str, *arguments: object) -> Iterator[Child]:
    """Run code in another process, which is killed where it does not end."""
    running = Child(code, *arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()
