"""What the hub says of a repository: its commits, and the files of one with their sizes and digests."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from registry._extras import require
from registry._settings import text
from registry.errors import DownloadError
from registry.hub.needed import RepositoryFile
from registry.hub.refusals import refusal, unreachable
from registry.hub.retry import ATTEMPTS, persist
from registry.hub.sources import hub_endpoint

if TYPE_CHECKING:
    from registry.records import LoraAdapter, ModelInfo

TIMEOUT_S = 20.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def list_files(
    model: ModelInfo | LoraAdapter, *, endpoint: str | None, token: str | None, timeout_s: float = TIMEOUT_S
) -> tuple[str, tuple[RepositoryFile, ...]]:
    """Give the commit of a model's revision, or of `main` where it pins none, and the files there. One request.

    Args:
        model: The record.
        endpoint: Address of the hub, or of a mirror with its API; `None`: as `hub_endpoint` says.
        token: Sent to the endpoint; `None`: none is sent.
        timeout_s: Longest silence of the hub. It is asked three times.

    Returns:
        The commit as 40 hexadecimal digits; the files by name.

    Raises:
        DownloadError: The hub cannot be reached or refuses; it has another commit than the pinned one; huggingface_hub
            was imported with `HF_HUB_OFFLINE` set; the record names no repository.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    repository, endpoint = _repository(model), hub_endpoint(endpoint)
    info = _ask(repository, model, model.revision, endpoint, token, timeout_s, files=True)
    commit = _commit(info, model, endpoint)
    if model.revision is not None and _COMMIT.fullmatch(model.revision) and commit != model.revision:
        reason = f"{endpoint}/{repository}: expected commit {model.revision}, got {commit}."
        raise DownloadError(model.id, reason, "Use another endpoint: this one does not give what was asked for.")
    files = (_file(sibling) for sibling in info.siblings or ())
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
    repository, endpoint = _repository(model), hub_endpoint(endpoint)
    info = _ask(repository, model, None, endpoint, token, timeout_s, files=False, attempts=attempts)
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
    return model.huggingface_id


def _ask(
    repository: str,
    model: ModelInfo | LoraAdapter,
    revision: str | None,
    endpoint: str,
    token: str | None,
    timeout_s: float,
    *,
    files: bool,
    attempts: int = ATTEMPTS,
) -> Any:
    """Ask the hub for a repository, and again where a fault may pass."""
    # The endpoint is given, as huggingface_hub keeps what `HF_ENDPOINT` was when it was imported; False: no token.
    api = require("huggingface_hub", extra="hub", purpose="Fetching models").HfApi(endpoint, token=token or False)
    url = f"{endpoint}/api/models/{repository}"

    def once() -> Any:
        with _errors(model.id, url):
            return api.model_info(repository, revision=revision, timeout=timeout_s, files_metadata=files)

    return persist(once, attempts=attempts)


def _commit(info: Any, model: ModelInfo | LoraAdapter, endpoint: str) -> str:
    if isinstance(info.sha, str) and _COMMIT.fullmatch(info.sha):
        return info.sha
    reason = f"{endpoint}/{model.huggingface_id}: expected a commit of 40 hexadecimal digits, got {info.sha!r}."
    raise DownloadError(model.id, reason, "Check that the endpoint has the API of the hub.")


def _file(sibling: Any) -> RepositoryFile:
    """Read what the hub says of a file. The git sha1 of one in LFS is that of its pointer, so it is left out."""
    if sibling.lfs is None:
        return RepositoryFile(sibling.rfilename, sibling.size, None, sibling.blob_id)
    stated = sibling.lfs.sha256
    sha256 = stated if isinstance(stated, str) and _SHA256.fullmatch(stated) else None
    return RepositoryFile(sibling.rfilename, sibling.lfs.size, sha256, None)


@contextmanager
def _errors(model_id: str, url: str) -> Iterator[None]:
    """Put what huggingface_hub raises into this library's words."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        reason = f"{url}: huggingface_hub was imported while `HF_HUB_OFFLINE` was set, and asks nobody."
        raise DownloadError(model_id, reason, "Start Python without `HF_HUB_OFFLINE`.", url) from error
    except HFValidationError as error:
        remedy = "Correct `huggingface_id` of the record."
        raise DownloadError(model_id, f"{url}: this is no name of a repository.", remedy) from error
    except HfHubHTTPError as error:
        raise refusal(model_id, url, error.response.status_code, error.response.headers) from error
    except httpx2.HTTPError as error:
        raise unreachable(model_id, url, _cause(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{url}: expected what the hub says of a repository, got something else ({error!r})."
        raise DownloadError(model_id, reason, "Check that the endpoint has the API of the hub.", url) from error


def _cause(error: BaseException) -> Exception:
    """Give the error of the operating system that is behind one of httpx2."""
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        return TimeoutError()
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and not isinstance(seen, httpx2.HTTPError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return ssl.SSLError(str(error)) if "SSL" in str(error) else OSError(str(error))
