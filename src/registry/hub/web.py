"""Opening addresses: redirects, tokens, proxies, certificates. By urllib: it streams faster than richer clients."""

from __future__ import annotations

import base64
import http.client
import io
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from registry._extras import require
from registry.errors import DownloadError, InvalidSettingError
from registry.hub.refusals import bare, masked, refusal, unreachable

SCHEMES = ("http", "https", "file")
_MOST_REDIRECTS = 5
_WINDOW_BYTES = 4 * 1024 * 1024  # 40 MB/s at 100 ms to the server and back
_AGENT = "typed-model-registry"
_BEGINNING_BYTES = 64
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


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
        response = _opener().open(request, timeout=timeout_s)
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


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, a few, and takes the token along to the same host only."""

    max_redirections = _MOST_REDIRECTS

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # urllib leaves the connection open
            raise HTTPError(req.full_url, code, "to what is no address", headers, fp) from None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not _may_redirect(newurl):
            raise HTTPError(req.full_url, code, f"to {masked(bare(newurl))}", headers, fp)
        followed = super().redirect_request(req, fp, code, msg, headers, newurl)
        if followed is not None and origin(newurl) != origin(req.full_url):
            followed.remove_header("Authorization")
        return followed


def _may_redirect(url: str) -> bool:
    """True for http and https, and no user: one that a server names is not ours to send."""
    try:
        scheme, host, _ = origin(url)
    except ValueError:
        return False
    return scheme in ("http", "https") and bool(host) and "@" not in urlsplit(url).netloc


def without_user(url: str) -> tuple[str, str | None]:
    """Give an address without user and password, and the header that sends them; `None` where it has none."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    name, _, password = user.partition(":")
    encoded = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")
    return parts._replace(netloc=host).geturl(), f"Basic {encoded}"


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Give scheme, host and port: who may see a token that was meant for one address may see it for all of these.

    Raises:
        ValueError: The port is no number.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _opener() -> urllib.request.OpenerDirector:
    """Make what opens addresses: none of urllib's handlers for files, FTP and data is in it."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(),
        _Https(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


class _Connection(http.client.HTTPConnection):
    """A connection that holds little which nobody has read yet."""

    def connect(self) -> None:
        super().connect()
        _limit_window(self.sock)


class _SecureConnection(http.client.HTTPSConnection):
    """The same, over TLS."""

    def connect(self) -> None:
        super().connect()
        _limit_window(self.sock)


def _limit_window(connected: socket.socket) -> None:
    """Bound what the system receives ahead of us: a kill loses it. Linux would take up to 32 MB.

    A smaller buffer (`SO_RCVBUF`) would do so too, but would also end its adjusting to the line.
    """
    if hasattr(socket, "TCP_WINDOW_CLAMP"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, _WINDOW_BYTES)


class _Http(urllib.request.HTTPHandler):
    """Opens http addresses."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    """Opens https addresses; reads certificates when the first one is opened, which takes a while."""

    def __init__(self) -> None:
        urllib.request.AbstractHTTPHandler.__init__(self)  # that of `HTTPSHandler` reads them now

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        stated = {name: value for name in _CERTIFICATES if (value := os.environ.get(name))}
        try:
            context = _trusted(**{name.lower(): value for name, value in stated.items()})
        except OSError as error:
            name, value = next(iter(stated.items()))  # only what is stated first is read, or can fail
            expected = "a file with certificates in PEM"
            raise InvalidSettingError(name, "the environment", expected, value) from error
        return self.do_open(_SecureConnection, req, context=context)


@lru_cache(maxsize=4)
def _trusted(
    ssl_cert_file: str = "", ssl_cert_dir: str = "", requests_ca_bundle: str = "", curl_ca_bundle: str = ""
) -> ssl.SSLContext:
    """Make the settings of TLS: who is trusted is what the system trusts, and what variables of these names state.

    What OpenSSL's own state is trusted too; what those of requests and curl state, file or folder, is trusted alone.

    Raises:
        OSError: A file is not there, or has no certificates in it.
    """
    bundle = requests_ca_bundle or curl_ca_bundle
    if bundle and not ssl_cert_file and not ssl_cert_dir:
        is_folder = Path(bundle).is_dir()
        return ssl.create_default_context(capath=bundle if is_folder else None, cafile=None if is_folder else bundle)
    truststore = require("truststore", extra="hub", purpose="Fetching models")
    made: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # On macOS and Windows truststore reads no variables, but heeds what is loaded: a folder's files are when each is.
    if ssl_cert_file:
        made.load_verify_locations(ssl_cert_file)
    for folder in filter(None, ssl_cert_dir.split(os.pathsep)):
        for file in Path(folder).glob("*"):
            with suppress(OSError):  # other files may lie there
                made.load_verify_locations(file)
    return made


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
