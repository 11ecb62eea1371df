"""What the hub says of a repository: its commits, and the files of one with their sizes and digests."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from registry._extras import require
from registry._settings import text
from registry.errors import DownloadError
from registry.hub.needed import RepositoryFile
from registry.hub.refusals import bare, cut
from registry.hub.retry import ATTEMPTS, persist
from registry.hub.sources import hub_endpoint
from registry.hub.web import opened

if TYPE_CHECKING:
    from registry.records import LoraAdapter, ModelInfo

TIMEOUT_S = 20.0
_MOST_BYTES = 64 * 1024 * 1024  # 200 000 files
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"(?:[\w.-]+/)?[\w.-]+", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def list_files(
    model: ModelInfo | LoraAdapter, *, endpoint: str | None, token: str | None, timeout_s: float = TIMEOUT_S
) -> tuple[str, tuple[RepositoryFile, ...]]:
    """Give the commit of a model's revision, or of `main` where it pins none, and the files there. One request.

    Args:
        model: The record.
        endpoint: Address of the hub, or of a mirror with its API; `None`: as `hub_endpoint` says. User and password in
            it are sent, in place of the token.
        token: Sent to the endpoint; `None`: none is sent.
        timeout_s: Longest silence of the hub. It is asked three times.

    Returns:
        The commit as 40 hexadecimal digits; the files by name.

    Raises:
        DownloadError: The hub cannot be reached or refuses; it has another commit than the pinned one; the record names
            no repository.
        MissingExtraError: `stamina` is not installed.
    """
    endpoint = hub_endpoint(endpoint)
    info = _ask(model, model.revision, endpoint, token, timeout_s, files=True)
    commit = _commit(info, model, endpoint)
    if model.revision is not None and _COMMIT.fullmatch(model.revision) and commit != model.revision:
        reason = f"{bare(endpoint)}/{model.huggingface_id}: expected commit {model.revision}, got {commit}."
        raise DownloadError(model.id, reason, "Use another endpoint: this one does not give what was asked for.")
    try:
        files = [_file(sibling) for sibling in info.get("siblings") or ()]
    except (AttributeError, KeyError, TypeError) as error:
        raise _no_api(model.id, endpoint, error) from error
    return commit, tuple(sorted(files, key=lambda file: file.name))


def newest_commit(
    model: ModelInfo | LoraAdapter,
    *,
    endpoint: str | None,
    token: str | None,
    timeout_s: float = TIMEOUT_S,
    attempts: int = ATTEMPTS,
) -> str:
    """Give the newest commit of a model's repository, 40 hexadecimal digits.

    Args:
        model: The record.
        endpoint: As `list_files` has it.
        token: As `list_files` has it.
        timeout_s: Longest silence of the hub, each time that it is asked.
        attempts: How often it is asked at most, where a fault may pass.

    Raises:
        The errors of `list_files`.
    """
    endpoint = hub_endpoint(endpoint)
    info = _ask(model, None, endpoint, token, timeout_s, files=False, attempts=attempts)
    return _commit(info, model, endpoint)


def hub_token(stated: str | None = None) -> str | None:
    """Give the token for the hub: what the caller states, else the setting `hf_token`, else what `hf auth login` keeps.

    Reads files; where Hugging Face's own sign-in for build machines is set up, and for a log-in by browser that has run
    out, huggingface_hub asks its network for a new one.

    Raises:
        MissingExtraError: `huggingface_hub` is not installed.
    """
    if found := stated or text("hf_token"):
        return found
    kept: str | None = require("huggingface_hub", extra="hub", purpose="Fetching models").get_token()
    return kept


def _repository(model: ModelInfo | LoraAdapter) -> str:
    if model.huggingface_id is None:
        reason = "its record names no repository to look into."
        raise DownloadError(model.id, reason, "Add `huggingface_id`, or an address of the file, to the record.")
    if not _REPOSITORY.fullmatch(model.huggingface_id) or ".." in model.huggingface_id:
        reason = f"`{model.huggingface_id}` is no name of a repository: expected `organization/name`."
        raise DownloadError(model.id, reason, "Correct `huggingface_id` of the record.")
    return model.huggingface_id


def _ask(
    model: ModelInfo | LoraAdapter,
    revision: str | None,
    endpoint: str,
    token: str | None,
    timeout_s: float,
    *,
    files: bool,
    attempts: int = ATTEMPTS,
) -> dict[str, Any]:
    """Ask the hub for a repository, and again where a fault may pass.

    Not by huggingface_hub: its client trusts other certificates than the one that fetches, and is shared with all of
    the program that uses it.
    """
    url = f"{endpoint}/api/models/{_repository(model)}"
    url += f"/revision/{quote(revision, safe='')}" if revision is not None else ""
    asked = f"{url}?blobs=true" if files else url
    body = persist(lambda: _read(model.id, asked, token, timeout_s), attempts=attempts)
    try:
        info = json.loads(body)
    except ValueError as error:
        raise _no_api(model.id, url, error) from error
    if not isinstance(info, dict):
        raise _no_api(model.id, url, TypeError(type(info).__name__))
    return info


def _read(model_id: str, url: str, token: str | None, timeout_s: float) -> bytes:
    """Read all that an address gives.

    Raises:
        DownloadError: It refuses, cannot be reached, broke off, or gives more than a list of files can have.
    """
    found, buffer = bytearray(), memoryview(bytearray(64 * 1024))
    with opened(model_id, url, token=token, timeout_s=timeout_s) as answer:
        while size := answer.readinto(buffer):
            found += buffer[:size]
            if len(found) > _MOST_BYTES:
                raise _no_api(model_id, url, ValueError(f"more than {_MOST_BYTES} bytes"))
        if answer.total_bytes is not None and len(found) < answer.total_bytes:
            raise cut(model_id, url, answer.total_bytes, len(found))
    return bytes(found)


def _commit(info: dict[str, Any], model: ModelInfo | LoraAdapter, endpoint: str) -> str:
    sha = info.get("sha")
    if isinstance(sha, str) and _COMMIT.fullmatch(sha):
        return sha
    reason = f"{bare(endpoint)}/{model.huggingface_id}: expected a commit of 40 hexadecimal digits, got {sha!r}."
    raise DownloadError(model.id, reason, "Check that the endpoint has the API of the hub.")


def _file(sibling: dict[str, Any]) -> RepositoryFile:
    """Read what the hub says of a file. The git sha1 of one in LFS is that of its pointer, so it is left out.

    Raises:
        AttributeError: It says something else.
        KeyError: The same.
        TypeError: The same.
    """
    name, lfs = sibling["rfilename"], sibling.get("lfs")
    if not isinstance(name, str):
        raise TypeError(f"rfilename {name!r}")
    if lfs is None:
        return RepositoryFile(name, sibling.get("size"), None, sibling.get("blobId"))
    stated = lfs.get("sha256")
    sha256 = stated if isinstance(stated, str) and _SHA256.fullmatch(stated) else None
    return RepositoryFile(name, lfs.get("size"), sha256, None)


def _no_api(model_id: str, url: str, error: Exception) -> DownloadError:
    shown = bare(url)
    reason = f"{shown}: expected what the hub says of a repository, got something else ({error!r})."
    return DownloadError(model_id, reason, "Check that the endpoint has the API of the hub.", shown)
