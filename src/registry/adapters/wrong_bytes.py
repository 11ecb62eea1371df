"""Files that had other bytes than the manifest says: fetched once more, and then not before they have changed."""

from __future__ import annotations

import http.client
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

from registry.errors import AdapterError
from registry.hub.connections import opener, without_user

# What changes when a file does: its times and size, or the tag and date that its server gives it.
Validators: TypeAlias = tuple[object, ...]

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 60.0, 3600.0  # where nothing says whether it has changed


class _Wrong(NamedTuple):
    error: AdapterError
    validators: Validators | None
    tries: int
    again_at: float  # of the monotonic clock, where there are no validators


class WrongBytes:
    """What was fetched and had other bytes. Not for several threads at once for one file: the caller holds its lock.

    Args:
        timeout_s: Longest silence of a server that is asked whether a file has changed.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._known: dict[tuple[str, str], _Wrong] = {}

    def check(self, sha256: str, url: str) -> Validators | None:
        """Give what a file is known by before it is fetched. Its server is asked only where it had other bytes before.

        Raises:
            AdapterError: It had other bytes, and has not changed since; or nothing can be known of that, and it is not
                long ago. The first such wait is a minute, the longest an hour.
        """
        known = self._known.get((sha256, url))
        seen = self._validators(url, is_suspect=known is not None)
        if known is not None:
            is_same = seen is not None and seen == known.validators
            if is_same or (seen is None and time.monotonic() < known.again_at):
                raise AdapterError(*known.error.args)
        return seen

    def note(self, sha256: str, url: str, error: AdapterError, seen: Validators | None) -> None:
        """Remember that a file had other bytes, and what it was known by before it was fetched."""
        before = self._known.get((sha256, url))
        tries = 1 if before is None else before.tries + 1
        # After the first time its server has not been asked yet.
        wait_s = 0.0 if tries == 1 else min(_SHORTEST_WAIT_S * 2 ** min(tries - 2, 10), _LONGEST_WAIT_S)
        self._known[sha256, url] = _Wrong(error, seen, tries, time.monotonic() + wait_s)

    def keep(self, digests: frozenset[str]) -> None:
        """Forget all other files."""
        self._known = {key: wrong for key, wrong in list(self._known.items()) if key[0] in digests}

    def _validators(self, url: str, *, is_suspect: bool) -> Validators | None:
        try:
            if urlsplit(url).scheme == "file":
                found = Path(url2pathname(urlsplit(url).path)).stat()
                return found.st_mtime_ns, found.st_size
            return self._asked(url) if is_suspect else None
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def _asked(self, url: str) -> Validators | None:
        bare, authorization = without_user(url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "typed-model-registry"}
        headers |= {"Authorization": authorization} if authorization else {}
        # The opener knows http and https only.
        request = urllib.request.Request(bare, headers=headers, method="HEAD")  # noqa: S310
        with opener().open(request, timeout=self._timeout_s) as response:
            found = response.headers["ETag"], response.headers["Last-Modified"], response.headers["Content-Length"]
        return found if found[0] or found[1] else None
