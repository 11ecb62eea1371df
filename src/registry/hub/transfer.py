"""One file from where it lies to a complete, proven file on this disk; what an earlier process began is continued."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from registry.errors import CacheFullError, ChecksumMismatchError, DownloadError, RegistryError
from registry.hub.part import Origin, Part
from registry.hub.refusals import bare, cut
from registry.hub.retry import persist
from registry.hub.web import Answer, opened

if TYPE_CHECKING:
    from registry.hub.needed import Wanted
    from registry.hub.sources import Address

# Bytes that are there, and how many there will be, where that is known.
Progress: TypeAlias = Callable[[int, int | None], None]

TIMEOUT_S = 30.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Fetched:
    """What was fetched.

    Attributes:
        size_bytes: Size of the file.
        sha256: Digest of its bytes, 64 hexadecimal digits.
        git_sha1: Digest that git gives them, 40 hexadecimal digits; `None` where it was not asked for.
        address: Where they came from.
    """

    size_bytes: int
    sha256: str
    git_sha1: str | None
    address: Address


def fetch(
    model_id: str,
    wanted: Wanted,
    part: Path,
    addresses: Sequence[Address],
    *,
    token: str | None = None,
    progress: Progress | None = None,
    rehashed: Callable[[int, int], None] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Fetched:
    """Fetch one file, and prove it. Uses the network, and writes `part` and `<part>.json`.

    What is at `part` is continued with a range, whichever process began it, after all of it was read for the digest.
    It is thrown away where it was begun for another digest, and, where no digest is known, where the server has another
    version by now. What arrives is written and hashed piece by piece, and is on the disk when this returns.

    The addresses are tried in order, each three times where a fault may pass (see `persist`). Wrong bytes are deleted
    and fetched once more from nothing: from the next address, or again from the only one.

    Not for several threads or processes on one `part` at a time: the caller holds a lock. Interrupted, by Ctrl-C or
    SIGKILL, it leaves a part that the next call continues. A kill costs what had come and was not written yet: 2 MiB
    here, and on Linux 4 MiB in the system.

    An answer that cannot be the file, by the size that it states or as it is a web page, is not taken: what had arrived
    before stays, and the address is asked once more, as after wrong bytes.

    Args:
        model_id: The model, for messages.
        wanted: The file. With neither a digest nor a size whatever arrives is taken.
        part: Where it is written. It is there when this returns, complete, and nothing is beside it.
        addresses: Where it may be.
        token: Sent to addresses that may see it, and nowhere that they redirect to on another host.
        progress: Called with bytes on the disk and in all, before the first piece and after each, from this thread.
        rehashed: Called with bytes read and bytes in all, while an earlier part is read.
        timeout_s: Longest silence of a server.

    Raises:
        DownloadError: No address gave the file: the errors of all are in it, or the one of the only address.
        ChecksumMismatchError: It was asked for twice, and had the wrong bytes, or the wrong size, both times.
        CacheFullError: The disk is full. The part is kept.
        MissingExtraError: `stamina` is not installed.
    """
    job = _Job(model_id, wanted, token, progress, timeout_s)
    try:
        with Part(part) as opened_part:
            opened_part.resume(wanted.sha256 or wanted.git_sha1, wanted.size_bytes, rehashed)
            fetched = _from_any(job, opened_part, addresses)
            opened_part.sync()
            opened_part.finish()
            return fetched
    except RegistryError:
        raise
    except OSError as error:
        raise _disk_error(job, part, error) from error


class _WrongBytesError(Exception):
    """An address has another file than the wanted one.

    Attributes:
        url: The address, without credentials.
        expected: The digest or the size.
        got: The same of what came.
        cause: What it looks like; empty where it looks like nothing known.
        kept: True where it was not taken, and nothing was deleted.
    """

    def __init__(self, url: str, expected: str, got: str, cause: str, *, kept: bool) -> None:
        super().__init__(url, expected, got, cause)
        self.url, self.expected, self.got, self.cause, self.kept = url, expected, got, cause, kept


@dataclass(frozen=True)
class _Job:
    """What stays the same whatever address is tried."""

    model_id: str
    wanted: Wanted
    token: str | None
    progress: Progress | None
    timeout_s: float


def _from_any(job: _Job, part: Part, addresses: Sequence[Address]) -> Fetched:
    """Try the addresses in order; after wrong bytes, the rest of them and then the same one once more."""
    waiting, failures = list(addresses), list[DownloadError]()
    wrong: _WrongBytesError | None = None
    while waiting:
        address = waiting.pop(0)
        try:
            return _from_one(job, part, address)
        except DownloadError as error:
            failures.append(error)
        except _WrongBytesError as error:
            if wrong is not None:
                raise _twice(wrong, error) from None
            wrong = error
            waiting.append(address)
    if wrong is not None:
        raise _once(wrong, failures[-1]) from None
    raise _none_had_it(job, failures)


def _from_one(job: _Job, part: Part, address: Address) -> Fetched:
    """Fetch from one address.

    Raises:
        _WrongBytesError: It gave other bytes, which are deleted; or would give them, and they are not taken.
        DownloadError: It gave none, or not all.
    """
    if _digest(job.wanted) is None and not _can_tell(part.origin, address):
        part.discard()
    download = _Download(job, part, address)
    persist(download.attempt, lambda: part.size_bytes)
    wanted, sha256 = job.wanted, part.sha256
    git_sha1 = part.git_sha1 if wanted.git_sha1 is not None else None
    if wanted.sha256 not in (None, sha256):
        raise _deleted(part, address, str(wanted.sha256), sha256)
    if wanted.sha256 is None and wanted.git_sha1 != git_sha1:
        raise _deleted(part, address, f"git sha1 {wanted.git_sha1}", f"{git_sha1}")
    return Fetched(part.size_bytes, sha256, git_sha1, address)


class _Download:
    """A file from one address, in as many attempts as it takes."""

    def __init__(self, job: _Job, part: Part, address: Address) -> None:
        self._job, self._part, self._address = job, part, address

    def attempt(self) -> None:
        """Ask for what is missing, and write it."""
        job, part = self._job, self._part
        while part.size_bytes != job.wanted.size_bytes:  # begins at `None`, which is the size of no file
            etag = part.origin.etag if part.origin and part.origin.url == bare(self._address.url) else None
            token = job.token if self._address.may_see_token else None
            start, timeout_s = part.size_bytes, job.timeout_s
            with opened(
                job.model_id, self._address.url, token=token, start=start, etag=etag, timeout_s=timeout_s
            ) as answer:
                if self._take(answer):
                    return

    def _take(self, answer: Answer) -> bool:
        """Write what an answer brings; false where the file has to be asked for again, from its beginning."""
        part, expected = self._part, self._job.wanted.size_bytes
        self._check_range(answer)
        self._check_plausible(answer)  # before anything is thrown away
        if answer.is_past_end:
            if answer.total_bytes == part.size_bytes:
                return True  # it was complete, and nothing said so before
            part.discard()  # the file is shorter than it was
            return False
        if answer.start != part.size_bytes:
            part.discard()
            if answer.start != 0:
                return False
        part.set_origin(Origin(bare(self._address.url), _digest(self._job.wanted), answer.etag))
        total = expected if answer.total_bytes is None else answer.total_bytes
        self._tell(part.size_bytes, total)  # where it begins: who counts what comes has to know
        part.append(answer, total, lambda size: self._tell(size, total))
        if total is not None and part.size_bytes < total:
            raise cut(self._job.model_id, self._address.url, total, part.size_bytes)
        if expected is not None and part.size_bytes != expected:
            raise _deleted(part, self._address, f"{expected} bytes", f"{part.size_bytes} bytes")
        return True

    def _check_range(self, answer: Answer) -> None:
        """Refuse a part of the file where all of it was asked for: to ask again would go on for ever."""
        if answer.start != 0 and self._part.size_bytes == 0:
            url = bare(self._address.url)
            reason = f"{url}: expected the file from its beginning, got it from another place."
            raise DownloadError(self._job.model_id, reason, "Correct the server, or use another source.", url, 206)

    def _check_plausible(self, answer: Answer) -> None:
        """Refuse what cannot be the file, and keep the part: a login page must not cost gigabytes.

        A web page is one by its type and by its first byte: servers send weights as `text/html` too.
        """
        wanted, total = self._job.wanted, answer.total_bytes
        if wanted.size_bytes is not None and total is not None:
            if total != wanted.size_bytes:
                raise self._refused(f"{wanted.size_bytes} bytes", f"{total} bytes", _cause(answer.beginning()))
        elif _digest(wanted) is not None and answer.is_page and (cause := _cause(answer.beginning())):
            raise self._refused(str(_digest(wanted)), "a web page", cause)

    def _refused(self, expected: str, got: str, cause: str) -> _WrongBytesError:
        return _WrongBytesError(bare(self._address.url), expected, got, cause, kept=True)

    def _tell(self, size: int, total: int | None) -> None:
        if self._job.progress is not None:
            self._job.progress(size, total)


def _can_tell(origin: Origin | None, address: Address) -> bool:
    """True where the server can tell whether it has the version yet that a part was begun with."""
    return origin is not None and origin.url == bare(address.url) and origin.etag is not None


def _digest(wanted: Wanted) -> str | None:
    return wanted.sha256 or wanted.git_sha1


def _deleted(part: Part, address: Address, expected: str, got: str) -> _WrongBytesError:
    """Make the error of wrong bytes, and delete them."""
    cause = _cause(part.start())
    part.discard()
    return _WrongBytesError(bare(address.url), expected, got, cause, kept=False)


def _cause(start: bytes) -> str:
    """Say what the wrong bytes look like; empty where they look like nothing known."""
    if start.startswith(b"version https://git-lfs"):
        return "What came is a pointer of Git LFS, not the file: the source was copied without `git lfs pull`."
    if start.lstrip()[:1] == b"<":
        return "What came is a web page: a proxy or a login page answered in place of the server."
    return ""


def _once(wrong: _WrongBytesError, failure: DownloadError) -> ChecksumMismatchError:
    """Make the error of bytes that were wrong, and could not be had again."""
    became = "It was not taken" if wrong.kept else "It was deleted"
    remedy = f"{became}, and could not be fetched again: {failure.reason} {wrong.cause}".rstrip()
    return ChecksumMismatchError(wrong.url, wrong.expected, wrong.got, remedy)


def _twice(first: _WrongBytesError, second: _WrongBytesError) -> ChecksumMismatchError:
    """Make the error of bytes that were wrong twice, with the likeliest cause."""
    cause = second.cause or first.cause
    if not cause and first.got == second.got:
        cause = (
            "Twice the same other bytes came, so they are not damaged: the file was changed after it was pinned. "
            "Check `revision` and `sha256` of the record."
        )
    cause = cause or (
        "Other bytes came each time, so they are damaged on the way: by the line, a proxy, or this machine's memory. "
        "Try another network or source."
    )
    became = "It was fetched twice and deleted."
    if second.kept:
        became = "It was asked for twice and not taken" + ("; what had arrived is kept." if first.kept else ".")
    return ChecksumMismatchError(second.url, second.expected, second.got, f"{became} {cause}")


def _none_had_it(job: _Job, failures: list[DownloadError]) -> DownloadError:
    if len(failures) == 1:
        return failures[0]
    if not failures:
        reason = f"there is no address for `{job.wanted.name}`."
        return DownloadError(job.model_id, reason, "Add a source that has it, such as `hub`.")
    each = "".join(f"\n  {failure.reason} {failure.remedy}".rstrip() for failure in failures)
    reason = f"none of {len(failures)} addresses gave `{job.wanted.name}`:{each}\n"
    return DownloadError(job.model_id, reason, "Mend one of them, or add another source.", failures[-1].url)


def _disk_error(job: _Job, part: Path, error: OSError) -> RegistryError:
    """Put what the disk says into words."""
    if error.errno in _FULL:
        free = shutil.disk_usage(part.parent).free
        have = part.stat().st_size if part.exists() else 0
        needed = max((job.wanted.size_bytes or have + 1) - have, free + 1)
        remedy = "Free some space and fetch it again: what has arrived is kept. Or set `REGISTRY_HOME` to another disk."
        return CacheFullError(job.model_id, needed, free, str(part.parent), remedy)
    reason = f"`{part}` cannot be written: {error.strerror or error}."
    return DownloadError(job.model_id, reason, "Make the folder writable, or set `REGISTRY_HOME` to one that is.")
