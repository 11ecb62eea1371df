"""An answer as it is sent: security headers, ETag, compressed where that is worth it, or `304 Not Modified`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]

_MIN_GZIP_BYTES = 1024  # below, one packet takes it anyway
_GZIP_LEVEL = 4
_SHARED = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_DATA_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_PAGE_POLICY = (
    b"content-security-policy",
    (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        b"connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
)
_PAGE = (
    _PAGE_POLICY,
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_COMPRESSIBLE = (b"text/", b"application/json", b"application/javascript", b"application/schema", b"image/svg")
_OF_304 = frozenset({b"cache-control", b"content-location", b"etag", b"expires", b"link", b"vary"})


class Representation(NamedTuple):
    """A whole answer.

    Attributes:
        status: HTTP status.
        headers: All headers but those of one request, such as its id.
        body: The bytes, compressed where the headers say so.
        etag: Entity tag with its quotes; empty: the answer has none.
    """

    status: int
    headers: Headers
    body: bytes
    etag: bytes

    def for_client(self, if_none_match: bytes | None) -> Representation:
        """Give the answer, or the one that says that the client has it."""
        if if_none_match is None or not self.etag or not matches(if_none_match, self.etag):
            return self
        kept = [header for header in self.headers if header[0] in _OF_304 or header in _SHARED]
        return Representation(304, kept, b"", self.etag)


def represent(
    status: int, headers: Headers, body: bytes, *, gzip: bool = False, is_private: bool = False
) -> Representation:
    """Make the answer to a read of what a route has given.

    Args:
        status: HTTP status.
        headers: What the route has set; stays as it is where it says something.
        body: The whole body, not compressed.
        gzip: True where the client takes gzip.
        is_private: True where reads need the key, so that no proxy may keep them.
    """
    found = dict(headers)
    made = guarded(headers)
    if status != 200:
        made += [] if b"cache-control" in found else [(b"cache-control", b"no-store")]
        return Representation(status, made, body, b"")
    if found.get(b"cache-control") == b"no-store":
        return Representation(status, made, body, b"")
    if b"cache-control" not in found:
        made.append((b"cache-control", b"private, no-cache" if is_private else b"no-cache"))
    etag = found.get(b"etag") or entity_tag(body)
    if is_worth_compressing(found, len(body)):
        _add_vary(made, b"accept-encoding")
        if gzip:
            body, etag = compressed(body), gzip_tag(etag)
            made.append((b"content-encoding", b"gzip"))
    replaced = (b"etag", b"content-length")
    made = [header for header in made if header[0] not in replaced]
    made += [(b"etag", etag), (b"content-length", b"%d" % len(body))]
    return Representation(status, made, body, etag)


def guarded(headers: Headers) -> Headers:
    """Add the headers that keep browsers from taking an answer for what it is not."""
    found = dict(headers)
    is_page = found.get(b"content-type", b"").startswith(b"text/html")
    added = (*_SHARED, *_PAGE) if is_page else (*_SHARED, _DATA_POLICY)
    return [*headers, *(header for header in added if header[0] not in found)]


def entity_tag(body: bytes) -> bytes:
    """Give the entity tag of a body, with its quotes."""
    return b'"%s"' % blake2b(body, digest_size=12).hexdigest().encode()


def gzip_tag(etag: bytes) -> bytes:
    """Give the tag of the compressed form, which has other bytes."""
    return etag[:-1] + b'-gzip"'


def matches(stated: bytes, etag: bytes) -> bool:
    """Say whether `If-Match` or `If-None-Match` names this tag, of whatever form of the answer."""
    if stated.strip() == b"*":
        return True
    wanted = _plain(etag)
    return any(_plain(tag.strip().removeprefix(b"W/")) == wanted for tag in stated.split(b","))


def is_worth_compressing(headers: dict[bytes, bytes], size: int) -> bool:
    """Say whether a body is long enough, and of a kind that gets shorter."""
    if size < _MIN_GZIP_BYTES or b"content-encoding" in headers:
        return False
    return headers.get(b"content-type", b"").startswith(_COMPRESSIBLE)


def compressed(body: bytes) -> bytes:
    """Compress with gzip; the same bytes each time, as no time is written into it."""
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@lru_cache(maxsize=256)
def takes_gzip(accepted: bytes) -> bool:
    """Say whether an `Accept-Encoding` header allows gzip."""
    weights: dict[bytes, bytes] = {}
    for part in accepted.lower().split(b","):
        name, _, parameters = part.partition(b";")
        weights[name.strip()] = parameters.strip().removeprefix(b"q=").strip()
    weight = weights.get(b"gzip", weights.get(b"*", b"0"))
    return weight == b"" or weight.strip(b"0.") != b""


def _add_vary(headers: Headers, name: bytes) -> None:
    for index, (each, value) in enumerate(headers):
        if each == b"vary":
            if name not in value.lower():
                headers[index] = each, value + b", " + name
            return
    headers.append((b"vary", name))


def with_vary(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> Headers:
    """Give headers that say that the answer depends on this header of the request."""
    made = list(headers)
    _add_vary(made, name)
    return made


def _plain(etag: bytes) -> bytes:
    return etag[:-6] + b'"' if etag.endswith(b'-gzip"') else etag
