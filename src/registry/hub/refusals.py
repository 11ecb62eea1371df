"""What a server's refusal means, in words: whether it may pass, and what to do."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit

from registry.errors import DownloadError
from registry.hub.retry import LONGEST_RETRY_AFTER_S, PassingFaultError, retry_after_s

_MAY_PASS = frozenset({408, 425, 429})
_LOG_IN = "Log in with `hf auth login`, or set `HF_TOKEN` to a token that may read it."
_LATER = "Try again later; what has arrived is kept and used then."


class _Meaning(NamedTuple):
    reason: str
    remedy: str


# `X-Error-Code` of the hub's answers. Without a token the hub says `RepoNotFound`, status 401, of private ones too.
_BY_CODE = {
    "RepoNotFound": _Meaning("there is no such repository, or it is private", f"Check `huggingface_id`. {_LOG_IN}"),
    "RevisionNotFound": _Meaning(
        "the repository has no such revision", "Correct `revision` of the record: the commit may have been rewritten."
    ),
    "EntryNotFound": _Meaning(
        "the repository has no such file at this revision", "Correct the file's name or `revision` in the record."
    ),
}
_BY_STATUS = {
    401: _Meaning("the server wants to know who asks", _LOG_IN),
    403: _Meaning("the server does not allow it", f"The token may lack the right to read it. {_LOG_IN}"),
    404: _Meaning("there is no such file", "Check the record's file name and the address of the source."),
    407: _Meaning("the proxy wants to know who asks", "Put user and password into `HTTPS_PROXY`."),
    410: _Meaning("the file was taken away for good", "Choose another model, or another source."),
    429: _Meaning("too many requests were made", "Log in for a higher limit, or try again later."),
    451: _Meaning("the file may not be given out, for legal reasons", "Choose another model."),
}


def refusal(model_id: str, url: str, status: int, headers: Mapping[str, str]) -> DownloadError:
    """Make the error of an answer with a status that is no success.

    Args:
        model_id: The model, for the message.
        url: Address that was asked.
        status: HTTP status.
        headers: Of the answer; names in any case.

    Returns:
        A `PassingFaultError` for 408, 425, 429 and 5xx, else an error that asking again does not mend.
    """
    shown = bare(url)
    if headers.get("X-Error-Code") == "GatedRepo":
        return DownloadError(model_id, f"{shown}: the model is gated.", _accept_terms(url), shown, status)
    meaning = _BY_CODE.get(headers.get("X-Error-Code") or "") or _BY_STATUS.get(status)
    reason = f"{shown}: {meaning.reason if meaning else 'the server refused'} (status {status}"
    # The hub's own words repeat the codes that are put into words here.
    said = "" if headers.get("X-Error-Code") in _BY_CODE else headers.get("X-Error-Message")
    reason += f": {said})." if said else ")."
    if status < 500 and status not in _MAY_PASS:
        remedy = meaning.remedy if meaning else "Check the address of the source."
        return DownloadError(model_id, reason, remedy, shown, status)
    wait_s = retry_after_s(headers)
    remedy = meaning.remedy if meaning else _LATER
    if wait_s is not None and wait_s > LONGEST_RETRY_AFTER_S:
        remedy = f"It wants to be asked again in {wait_s:.0f} s. {_LATER}"
    return PassingFaultError(model_id, reason, remedy, shown, status, wait_s)


def unreachable(model_id: str, url: str, error: Exception) -> DownloadError:
    """Make the error of a server that could not be reached, or that broke off.

    Returns:
        A `PassingFaultError`, unless the certificate is not trusted or the host's name does not exist.
    """
    cause = error.reason if isinstance(error, URLError) else error
    shown = bare(url)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = f"{shown}: the server's certificate is not trusted ({cause.verify_message})."
        remedy = "Where a company's proxy signs it, set `SSL_CERT_FILE` or `REQUESTS_CA_BUNDLE` to its certificate."
        return DownloadError(model_id, reason, remedy, shown)
    if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
        remedy = "Check the address and the network; behind a proxy set `HTTPS_PROXY`."
        return DownloadError(model_id, f"{shown}: there is no host of this name.", remedy, shown)
    said = "the server did not answer in time" if isinstance(cause, TimeoutError) else _words(cause)
    remedy = f"Check the network; behind a proxy set `HTTPS_PROXY`. {_LATER}"
    return PassingFaultError(model_id, f"{shown}: {said}.", remedy, shown)


def cut(model_id: str, url: str, expected_bytes: int | None, got_bytes: int) -> PassingFaultError:
    """Make the error of a body that ended too early."""
    of = "" if expected_bytes is None else f" of {expected_bytes}"
    reason = f"{bare(url)}: the connection was cut after {got_bytes}{of} bytes."
    return PassingFaultError(model_id, reason, _LATER, bare(url))


def bare(url: str) -> str:
    """Give an address without what must not be shown: user, password, and the signature in the query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def masked(text: str) -> str:
    """Give what may be meant as an address, as it stands, without user and password: for errors of such a text.

    A sign such as `/` in a password ends the host for `urlsplit`, and the rest of the password would be shown. So
    unless what comes first is a plain host, all is hidden up to the last `@`.
    """
    return re.sub(r"(?<=://)(?![^/?#@:]*(?::\d*)?(?:[/?#]|$)).*@", "***@", text, flags=re.DOTALL)


def _accept_terms(url: str) -> str:
    """Say where the terms are: the repository's page is the start of all of its addresses."""
    parts = urlsplit(url)
    repository = parts.path.removeprefix("/api/models").strip("/").split("/")[:2]
    page = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{'/'.join(repository)}"
    return f"Accept its terms at {page}, then log in with `hf auth login` or set `HF_TOKEN`."


def _words(cause: object) -> str:
    return str(cause).rstrip(".") or type(cause).__name__
