"""Who may ask for what: the key, the pages of other sites, and the names that this server goes by."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registry.errors import InvalidOptionError
from registry.server.failures import Failure

if TYPE_CHECKING:
    from registry.server.options import ServerOptions

READS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_TO_ALL = frozenset({"/health", "/ready"})
ADMIN = "/api/v1/"  # what begins like this is for the admin token alone
_ONCE = frozenset({b"host", b"origin", b"authorization", b"x-api-key", b"content-length", b"sec-fetch-site"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_BEARER = {"WWW-Authenticate": 'Bearer realm="registry"'}
_BASIC = {"WWW-Authenticate": 'Basic realm="registry", charset="UTF-8"'}  # the only one that browsers ask a person for

_READ_ONLY = Failure(
    403,
    "read_only",
    "This server has no API key, and so nothing can be written.",
    "Set `REGISTRY_API_KEY` where the server runs and start it again; send the key as `Authorization: Bearer KEY`.",
)
_ONE_OF_SEVERAL = Failure(
    403,
    "read_only",
    "The catalogue cannot be written here: several servers answer at this address, and each has a store of its own.",
    "Write it where one server runs, without `--ray`; or compile the models into the registry, which all of them have.",
)
_NO_KEY = Failure(
    401, "missing_api_key", "This request needs the API key.", "Send it as `Authorization: Bearer KEY`.", None, _BEARER
)
_WRONG_KEY = Failure(
    401,
    "wrong_api_key",
    "The API key is not the one of this server.",
    "Compare it with `REGISTRY_API_KEY` where the server runs.",
    None,
    _BEARER,
)
_NO_TOKEN = Failure(
    401,
    "missing_admin_token",
    "This request needs the admin token.",
    "Send it as `Authorization: Bearer TOKEN`; the API key does not do.",
    None,
    _BEARER,
)
_WRONG_TOKEN = Failure(
    401,
    "wrong_admin_token",
    "The admin token is not the one of this server.",
    "Compare it with `REGISTRY_ADMIN_TOKEN` where the server runs; the API key does not do.",
    None,
    _BEARER,
)
_CROSS_SITE = Failure(
    403,
    "cross_site",
    "A page of another site may not ask for this.",
    "Start the server with `--cors-origin` and the origin of that page, such as `https://app.example`.",
)
_NO_HOST = Failure(400, "missing_host", "The request has no `Host` header.", "HTTP/1.1 wants one.")


class Gate:
    """Decides which requests are answered. The decision needs no more than method, path and headers."""

    def __init__(self, options: ServerOptions) -> None:
        self._digest = None if options.api_key is None else _digest(options.api_key.encode())
        self._admin_digest = None if options.admin_token is None else _digest(options.admin_token.encode())
        self._is_local = options.is_local
        self._catalog_writes = options.catalog_writes
        self.origins = frozenset(map(origin_of, options.cors_origins))
        known = {urlsplit(origin.decode()).netloc.rpartition("@")[2] for origin in self.origins}
        names = _LOCAL_NAMES | {_name(options.host)} | {_name(host) for host in known}
        self._is_known: Callable[[bytes], bool] = lru_cache(maxsize=64)(
            lambda host: _name(host.decode("latin-1")) in names
        )

    def refusal(
        self, method: str, path: str, headers: Mapping[bytes, bytes], raw: Sequence[tuple[bytes, bytes]]
    ) -> Failure | None:
        """Say why a request is not answered; `None`: it is.

        Args:
            method: HTTP method.
            path: Path, without the query.
            headers: Headers by name in lower case.
            raw: The same as they were sent: a name may stand there twice.
        """
        if len(headers) != len(raw) and (twice := _twice(raw)):
            return Failure(400, "duplicate_header", f"The header `{twice}` was sent more than once.", "Send it once.")
        if failure := self._wrong_host(headers.get(b"host")):
            return failure
        if (method not in READS or path.startswith("/v1")) and (failure := self._cross_site(headers)):
            return failure
        if path.startswith(ADMIN) and self._admin_digest is not None:
            return self._wrong_token(method, headers, self._admin_digest)
        if not self._catalog_writes and method not in READS and path.startswith("/api/"):
            return _ONE_OF_SEVERAL
        return self._wrong_key(method, path, headers)

    def needs_key(self, method: str, path: str) -> bool:
        """Say whether a request needs the key of this server, where it has one."""
        if path in OPEN_TO_ALL or method == "OPTIONS":  # browsers send no key with the question whether they may ask
            return False
        return not self._is_local or method not in READS or path.startswith("/v1")

    def cors_origin(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        """Give the origin of the page that asks, where its pages may read the answer."""
        origin = headers.get(b"origin")
        return origin if origin in self.origins else None

    @property
    def reads_are_private(self) -> bool:
        """True where catalogue and pages need the key too."""
        return not self._is_local

    def _wrong_host(self, host: bytes | None) -> Failure | None:
        """Refuse names that are not of this machine: a page may have its own name resolve to 127.0.0.1."""
        if not host:
            return _NO_HOST
        if not self._is_local or self._is_known(host):
            return None
        named = host.decode("latin-1")
        hint = "Ask for `localhost`, or start the server with `--cors-origin` and the address that it is known by."
        return Failure(403, "wrong_host", f"This server is not known as {named!r}.", hint)

    def _cross_site(self, headers: Mapping[bytes, bytes]) -> Failure | None:
        origin = headers.get(b"origin")
        if origin is None:
            return _CROSS_SITE if headers.get(b"sec-fetch-site") == b"cross-site" else None
        own = origin.partition(b"://")[2].lower() == headers.get(b"host", b"").lower()
        return None if own or origin in self.origins else _CROSS_SITE

    def _wrong_key(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Failure | None:
        if not self.needs_key(method, path):
            return None
        if self._digest is None:
            return None if path.startswith("/v1") else _READ_ONLY
        given = _given_key(headers)
        if given is not None and _is_it(given, self._digest):
            return None
        refused = _NO_KEY if given is None else _WRONG_KEY
        is_page = not path.startswith(("/api", "/v1", "/metrics"))
        return refused._replace(headers=_BASIC) if is_page else refused

    @staticmethod
    def _wrong_token(method: str, headers: Mapping[bytes, bytes], digest: bytes) -> Failure | None:
        """Refuse what has no admin token. A browser is never asked for it: it would send it with every request."""
        if method == "OPTIONS":
            return None
        kind, _, value = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer":
            return _NO_TOKEN
        return None if _is_it(value.strip(), digest) else _WRONG_TOKEN


def _is_it(given: bytes, digest: bytes) -> bool:
    """Compare a key or token in constant time."""
    return hmac.compare_digest(_digest(given), digest)


def origin_of(text: str) -> bytes:
    """Give an origin as browsers send it: `https://app.example`.

    Raises:
        InvalidOptionError: It is none.
    """
    try:
        parts = urlsplit(text.strip().rstrip("/"))
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
        remedy = "Name each origin; `*` would let every page on the web use this server."
        raise InvalidOptionError("cors_origins", "origins such as `https://app.example`", text, remedy)
    name = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    host = f"[{name}]" if ":" in name else name
    shown = "" if port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown}".encode()


def _name(host: str) -> str:
    """Take the port off a `Host` header."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() and not name.endswith(":") else host.lower()


def _digest(key: bytes) -> bytes:
    """Make keys equally long: comparing tells nothing of the length either."""
    return sha256(key).digest()


def _given_key(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Give the key of a request: a bearer token, the password of a browser's dialogue, or `X-API-Key`."""
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"bearer":
        return value.strip()
    if kind.lower() == b"basic":
        try:
            return b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return headers.get(b"x-api-key")


def _twice(raw: Sequence[tuple[bytes, bytes]]) -> str | None:
    names = [name for name, _ in raw]
    return next((name.decode() for name in _ONCE if names.count(name) > 1), None)
