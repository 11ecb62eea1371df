"""Connections to servers: redirects, proxies, certificates, and how much is received ahead of us."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeAlias
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from registry._extras import require
from registry.errors import InvalidSettingError
from registry.hub.refusals import bare, masked

Connected: TypeAlias = Callable[[socket.socket], None]

_MOST_REDIRECTS = 5
_WINDOW_BYTES = 4 * 1024 * 1024  # 40 MB/s at 100 ms to the server and back
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


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


def opener(connected: Connected = lambda _: None) -> urllib.request.OpenerDirector:
    """Make what opens addresses: none of urllib's handlers for files, FTP and data is in it.

    Args:
        connected: Called with each connection that is made: shut down by another thread, it ends what is read from it.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(connected),
        _Https(connected),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


class _Connection(http.client.HTTPConnection):
    """A connection that holds little which nobody has read yet."""

    def __init__(self, host: str, *, connected: Connected = lambda _: None, **options: Any) -> None:
        super().__init__(host, **options)
        self._connected = connected

    def connect(self) -> None:
        super().connect()
        _limit_window(self.sock)
        self._connected(self.sock)


class _SecureConnection(http.client.HTTPSConnection):
    """The same, over TLS."""

    def __init__(self, host: str, *, connected: Connected = lambda _: None, **options: Any) -> None:
        super().__init__(host, **options)
        self._connected = connected

    def connect(self) -> None:
        super().connect()
        _limit_window(self.sock)
        self._connected(self.sock)


def _limit_window(connected: socket.socket) -> None:
    """Bound what the system receives ahead of us: a kill loses it. Linux would take up to 32 MB.

    A smaller buffer (`SO_RCVBUF`) would do so too, but would also end its adjusting to the line.
    """
    if hasattr(socket, "TCP_WINDOW_CLAMP"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, _WINDOW_BYTES)


class _Http(urllib.request.HTTPHandler):
    """Opens http addresses."""

    def __init__(self, connected: Connected) -> None:
        super().__init__()
        self._connected = connected

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req, connected=self._connected)


class _Https(urllib.request.HTTPSHandler):
    """Opens https addresses; reads certificates when the first one is opened, which takes a while."""

    def __init__(self, connected: Connected) -> None:
        urllib.request.AbstractHTTPHandler.__init__(self)  # that of `HTTPSHandler` reads them now
        self._connected = connected

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        stated = {name: value for name in _CERTIFICATES if (value := os.environ.get(name))}
        try:
            context = _trusted(**{name.lower(): value for name, value in stated.items()})
        except OSError as error:
            name, value = next(iter(stated.items()))  # only what is stated first is read, or can fail
            expected = "a file with certificates in PEM"
            raise InvalidSettingError(name, "the environment", expected, value) from error
        return self.do_open(_SecureConnection, req, context=context, connected=self._connected)


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
