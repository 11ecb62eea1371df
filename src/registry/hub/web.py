"""Opening addresses, for all of a file or the rest of it. By urllib: it streams faster than richer clients."""

from __future__ import annotations

import http.client
import io
import os
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import url2pathname

from registry.errors import DownloadError, InvalidSettingError
from registry.hub.connections import opener, without_user
from registry.hub.refusals import bare, masked, refusal, unreachable

SCHEMES = ("http", "https", "file")
_AGENT = "typed-model-registry"
_BEGINNING_BYTES = 64


class _Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class Answer:
    """A file, or the rest of one, that is ready to be read.

    Attributes:
        start: Position in the file of the first byte of the body.
        total_bytes: Size of the whole file, where the server says it.
        etag: Strong entity tag, which stands for exactly these bytes on this server.
        is_past_end: The range that was asked for begins at or after the end of the file; the body is empty.
        is_page: The server says that it is a web page.
    """

    model_id: str
    url: str
    body: _Readable
    start: int = 0
    total_bytes: int | None = None
    etag: str | None = None
    is_past_end: bool = False
    is_page: bool = False

    def readinto(self, buffer: memoryview, /) -> int:
        """Read the next bytes; 0 at the end of the body, which need not be the end of the file.

        Raises:
            DownloadError: The connection broke, or the file cannot be read.
        """
        try:
            return self.body.readinto(buffer) or 0
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self.model_id, self.url, error) from error

    def beginning(self) -> bytes:
        """Give the first bytes of the file, and take none of the body; empty where the answer begins later.

        Raises:
            DownloadError: The connection broke, or the file cannot be read.
        """
        body = self.body
        try:
            if isinstance(body, io.FileIO):
                body.seek(0)
                found = body.read(_BEGINNING_BYTES) or b""
                body.seek(self.start)
                return found
            if self.start == 0 and isinstance(body, http.client.HTTPResponse):
                return body.peek(_BEGINNING_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self.model_id, self.url, error) from error
        return b""


@contextmanager
def opened(
    model_id: str, url: str, *, token: str | None = None, start: int = 0, etag: str | None = None, timeout_s: float
) -> Iterator[Answer]:
    """Ask for a file, or for the rest of it; closes the connection at the end of the block.

    Args:
        model_id: The model, for messages.
        url: `http:`, `https:` or `file:`. User and password in it are sent as such (`Authorization: Basic`).
        token: Sent where the address has no user. Like these, it goes to this scheme, host and port, and to no other
            that they redirect to.
        start: First byte that is wanted. The server may ignore it: see `Answer.start`.
        etag: With `start`: send the whole file instead, if it is no longer the one with this tag.
        timeout_s: Longest silence of the server.

    Raises:
        DownloadError: The server refuses, cannot be reached, or redirects to what is not to be followed; the file is
            not there. A `PassingFaultError` where asking again may help.
        InvalidSettingError: A variable names a file of certificates that is none.
    """
    if urlsplit(url).scheme == "file":
        with _opened_file(model_id, url, start) as answer:
            yield answer
        return
    url, authorization = without_user(url)
    headers = {"Accept-Encoding": "identity", "User-Agent": _AGENT}
    authorization = authorization or (f"Bearer {token}" if token else None)
    headers |= {"Authorization": authorization} if authorization else {}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    headers |= {"If-Range": etag} if start and etag else {}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the opener knows http and https only
        response = opener().open(request, timeout=timeout_s)
    except HTTPError as error:
        with error:
            if error.code == 416 and start:
                yield Answer(model_id, url, io.BytesIO(), start, _total(error.headers), is_past_end=True)
                return
            raise _refused(model_id, url, error) from error
    except InvalidSettingError:
        raise
    except http.client.InvalidURL:
        raise _unreadable(model_id, url) from None
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(model_id, url, error) from error
    except ValueError:
        raise _unreadable(model_id, url) from None
    with response:
        yield _read_head(model_id, url, response)


def _read_head(model_id: str, url: str, response: http.client.HTTPResponse) -> Answer:
    """Read what an answer says of its body."""
    headers = response.headers
    if (coding := headers.get("Content-Encoding", "identity")) != "identity":
        reason = f"{bare(url)}: expected the file as it is, got it packed with {coding}."
        raise DownloadError(model_id, reason, "Correct the server, or use another source.", bare(url), response.status)
    etag = headers.get("ETag")
    strong = etag if etag and etag.startswith('"') else None
    is_page = headers.get_content_type() == "text/html"
    if response.status != 206:
        return Answer(model_id, url, response, 0, response.length, strong, is_page=is_page)
    found = re.match(r"bytes\s+(\d+)-", headers.get("Content-Range", ""))
    start = int(found[1]) if found else -1  # a start that nobody asked for: the part cannot be used
    return Answer(model_id, url, response, start, _total(headers), strong, is_page=is_page)


def _total(headers: Message) -> int | None:
    found = re.search(r"/(\d+)\s*$", headers.get("Content-Range") or "")
    return int(found[1]) if found else None


def _unreadable(model_id: str, url: str) -> DownloadError:
    """Make the error of an address with signs that none has. What Python says of it may hold what must not be shown."""
    reason = f"{bare(url)}: this address, or one that it redirects to, cannot be read as one."
    return DownloadError(model_id, reason, "Correct the address of the source.", bare(url))


def _refused(model_id: str, url: str, error: HTTPError) -> DownloadError:
    if 300 <= error.code < 400:
        reason = f"{bare(url)}: it was redirected in a way that is not followed: {masked(error.msg)}."
        return DownloadError(model_id, reason, "Check the address of the source.", bare(url), error.code)
    return refusal(model_id, url, error.code, _known(error))


def _known(error: HTTPError) -> dict[str, str]:
    """Give the headers that are read, under the names that they are read by: servers write them in any case."""
    names = ("Retry-After", "RateLimit", "X-Error-Code", "X-Error-Message")
    return {name: value for name in names if (value := error.headers.get(name)) is not None}


@contextmanager
def _opened_file(model_id: str, url: str, start: int) -> Iterator[Answer]:
    parts = urlsplit(url)
    path = Path(url2pathname(parts.path))
    if parts.netloc not in ("", "localhost"):
        reason = f"{url}: files of another host cannot be opened."
        raise DownloadError(model_id, reason, "Mount them, and write `file:///` and the path.", url)
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        remedy = "Check the path of the source, and that this user may read it."
        raise DownloadError(model_id, f"{url}: {error.strerror or error}.", remedy, url) from error
    with file:
        size = os.fstat(file.fileno()).st_size
        file.seek(min(start, size))
        yield Answer(model_id, url, file, min(start, size), size, is_past_end=start >= size > 0)
