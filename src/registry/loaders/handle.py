"""What every loaded model is: a thing with a record, a path, a lock and an end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from registry.errors import ModelClosedError, RegistryError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from registry.loaders.locate import Located
    from registry.records import ModelInfo

M = TypeVar("M", bound="ModelInfo", covariant=True)


class Handle(Generic[M]):
    """A loaded model. Calls from several threads queue; use after `close` raises `ModelClosedError`.

    Attributes:
        model: The record it was loaded by.
        path: The GGUF file, or the folder, that it was loaded from.
        origin: Where that was found: `path` (the caller's), `home`, `cache` or `package`.
        load_seconds: Time that loading took.
        footprint_bytes: Memory that the weights take, and for GGUF models their context.
    """

    def __init__(self, model: M, located: Located) -> None:
        self.model = model
        self.path: Path = located.path
        self.origin = located.origin
        self.load_seconds = 0.0
        self.footprint_bytes = 0
        self._closed = False
        self._gate = threading.Lock()
        self._owner: int | None = None

    @property
    def closed(self) -> bool:
        """True after `close()`."""
        return self._closed

    def close(self) -> None:
        """Free the model. Waits for calls in other threads to end; a second call does nothing."""
        if self._closed:
            return
        with self._turn(closing=True):
            if not self._closed:
                self._closed = True
                self._free()

    def __enter__(self) -> Self:
        if self._closed:
            raise ModelClosedError(self.model.id)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"from {self.origin}"
        return f"<{type(self).__name__} {self.model.id}: {state}>"

    def _free(self) -> None:
        raise NotImplementedError

    @contextmanager
    def _turn(self, *, closing: bool = False) -> Iterator[None]:
        """Wait for this thread's turn with the model."""
        here = threading.get_ident()
        if self._owner == here:  # waiting for oneself would never end
            what = "close" if closing else "call"
            raise RegistryError(
                f"Cannot {what} `{self.model.id}` while this thread reads a stream of it. Finish or close the stream."
            )
        with self._gate:
            if self._closed and not closing:
                raise ModelClosedError(self.model.id)
            self._owner = here
            try:
                yield
            finally:
                self._owner = None
