"""Where the manifest is read from, again and again: a file, or an address."""

from __future__ import annotations

import http.client
import os
import socket
import stat
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import HTTPError

from registry.adapters.manifest import MOST_BYTES, AdapterManifest, is_address, parse_manifest, place_of, shown
from registry.errors import DownloadError, ManifestError
from registry.hub.connections import opener, without_user
from registry.hub.refusals import refusal, unreachable

_PIECE_BYTES = 64 * 1024
_TIMEOUT_S = 10.0
_LONGEST_S = 30.0  # for all of it: a server that drips is no better than one that is silent


def read_manifest(source: str | os.PathLike[str]) -> AdapterManifest:
    """Read a manifest of adapters: a file, or an `http:` or `https:` address. No adapter is fetched.

    Raises:
        ManifestError: It cannot be read, or is none; with all of its problems.

    Example:
        >>> read_manifest("adapters.json").adapters[0].version  # doctest: +SKIP
        '2026-11-21'
    """
    found = ManifestSource(os.fspath(source))
    return parse_manifest(found.read() or b"", found.where)


class ManifestSource:
    """A place that a manifest is read from. Not for several threads at once.

    Args:
        where: A file, or an `http:` or `https:` address. User and password of an address go to that host alone; the
            token of the hub goes nowhere.
        timeout_s: Longest silence of the server.

    Attributes:
        where: The same; a path for a `file:` address.
    """

    def __init__(self, where: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self.where = place_of(where)
        self._timeout_s = timeout_s
        self._seen: dict[str, str] = {}

    def read(self) -> bytes | None:
        """Give the text, or `None` where the server says that it is the same as last time.

        Raises:
            ManifestError: It cannot be read.
        """
        try:
            return self._asked() if is_address(self.where) else _read_file(Path(self.where).expanduser())
        except DownloadError as error:
            raise ManifestError(shown(self.where), (error.reason,)) from error
        except OSError as error:
            raise ManifestError(shown(self.where), (f"{error.strerror or error}",)) from error

    def _asked(self) -> bytes | None:
        url = self.where
        headers = {"Accept-Encoding": "identity", "User-Agent": "typed-model-registry", **self._seen}
        try:
            url, authorization = without_user(url)
            headers |= {"Authorization": authorization} if authorization else {}
            request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the opener knows http and https only
            with _limited() as connected, opener(connected).open(request, timeout=self._timeout_s) as response:
                content = _read_body(response)
                known = {"If-None-Match": response.headers["ETag"]}
                known["If-Modified-Since"] = response.headers["Last-Modified"]
        except HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.NOT_MODIFIED and self._seen:
                    return None
                raise refusal("", url, error.code, dict(error.headers)) from error
        except (OSError, http.client.HTTPException) as error:
            raise unreachable("", url, error) from error
        except ValueError:  # its text may hold what must not be shown
            raise ManifestError(shown(self.where), (f"{shown(self.where)}: this is no address",)) from None
        self._seen = {name: value for name, value in known.items() if value}
        return content


@contextmanager
def _limited() -> Iterator[Callable[[socket.socket], None]]:
    """Give what is called with each connection: all of them are shut down when the block has taken too long."""
    made: list[socket.socket] = []
    is_late, lock = threading.Event(), threading.Lock()

    def connected(connection: socket.socket) -> None:
        with lock:
            if is_late.is_set():
                raise TimeoutError
            made.append(connection)

    def end() -> None:
        with lock:
            is_late.set()
        for each in made:
            with suppress(OSError):  # it is over already
                each.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_LONGEST_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield connected
    except (OSError, http.client.HTTPException) as error:
        if is_late.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
    if is_late.is_set():  # headers that are cut off look like their end
        raise TimeoutError


def _read_body(response: http.client.HTTPResponse) -> bytes:
    ends_at, content = time.monotonic() + _LONGEST_S, bytearray()
    while piece := response.read1(_PIECE_BYTES):
        content += piece
        if len(content) > MOST_BYTES:
            break  # that it is too long is said where it is parsed
        if time.monotonic() > ends_at:
            raise TimeoutError
    if response.length and len(content) <= MOST_BYTES:
        raise http.client.IncompleteRead(bytes(content), response.length)
    return bytes(content)


def _read_file(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe is to wait for who writes into it
        raise OSError("this is no file")
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)
