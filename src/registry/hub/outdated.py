"""What has become old: kept files that the record no longer pins, models with a successor, newer commits on the hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

from registry import _settings
from registry._home import models_folder
from registry._places import key_of
from registry.errors import DownloadError, RegistryError
from registry.hub._ensure import FetchKeywords, obtain, record_of
from registry.hub.cache import Cache
from registry.hub.manifest import CacheEntry, Manifest
from registry.hub.proof import fits
from registry.hub.sources import hub_endpoint

if TYPE_CHECKING:
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo

Kind: TypeAlias = Literal["files", "commit", "superseded", "deprecated", "unknown"]

_CHECKED = "checked.json"
_EVERY = timedelta(days=7)
_LOOK_S = 3.0  # a command that was asked for something else shall not wait longer for the hub


@dataclass(frozen=True)
class Update:
    """Something newer than what is kept, or why that cannot be told.

    Attributes:
        id: The model.
        kind: `files`: the record pins other files than are kept; `superseded`: its record names a successor;
            `deprecated`: its record advises against it and names none; `commit`: its repository has a newer commit
            than the record pins, which nobody has looked at; `unknown`: the hub refuses to say, see `error`.
        current: What is kept or pinned: a commit, a checksum, an id.
        newest: What there is now: a commit, a checksum, the id of the successor; `None` where there is none.
        changelog: What changed, or the address that says so, where the record has it.
        error: Of the kind `unknown`, what the hub said: the repository is gone, or closed to this caller.
    """

    id: str
    kind: Kind
    current: str | None
    newest: str | None
    changelog: str | None = None
    error: DownloadError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it; the error as its message."""
        return asdict(replace(self, error=None)) | {"error": None if self.error is None else str(self.error)}


def updates(
    models: Iterable[str | ModelInfo] | None = None,
    *,
    commits: bool = True,
    registry: ModelRegistry[Any] | None = None,
    endpoint: str | None = None,
    token: str | None = None,
) -> tuple[Update, ...]:
    """Give what is newer than what is kept. Changes nothing.

    Args:
        models: Ids, aliases or records to look at; left out: all that are kept and that the registry knows.
        commits: False to compare with the records only, which needs no network.
        registry: Registry of the records; left out: this package's.
        endpoint: Hub to ask in place of `HF_ENDPOINT`.
        token: Token for the hub.

    Raises:
        ModelNotFoundError: No record has one of the ids.
        DownloadError: The hub does not answer. One that refuses to tell of a model is of the kind `unknown`.
    """
    records = _kept_records(registry) if models is None else [_record(model, registry) for model in models]
    found = _by_records(records)
    if commits and not _settings.flag("hf_hub_offline"):
        found += _by_hub(records, endpoint, token)
    return _in_order(found)


def update(model: str | ModelInfo, *, registry: ModelRegistry[Any] | None = None, **how: Unpack[FetchKeywords]) -> Path:
    """Fetch what the record of a model pins today, in place of what is kept of it.

    Files that have not changed are not fetched again. A model that pins no commit is fetched at the newest one, with
    `allow_unpinned=True`. A model with a successor stays what it is: fetch the successor by its own id.

    Returns:
        The path of its files.

    Raises:
        The errors of `ensure`.
    """
    record = record_of(model, registry)
    unpinned = record.revision is None and bool(how.get("allow_unpinned"))
    return obtain(record, download=True, force=unpinned, how=how).path


def check_weekly(
    *, registry: ModelRegistry[Any] | None = None, fetch: Callable[[str], object] | None = None
) -> tuple[Update, ...]:
    """Do what the settings `check_updates` and `auto_update` ask for, if the last time is a week ago.

    Without `check_updates` this does nothing. With `auto_update`, files that records no longer pin are fetched anew.
    Nothing that fails here is an error: it is tried again in a week. The hub is asked once, and has some three seconds
    for all answers: what it has not told by then is left out.

    Args:
        registry: Registry of the records; left out: this package's.
        fetch: Called with the id of each model that is to be fetched, in place of `update`: to say so, and how far it
            is. It may raise the errors of `update`.

    Returns:
        What is newer and was not fetched; empty where nothing was looked for.
    """
    if not _settings.flag("check_updates") or not _is_due():
        return ()
    records = _kept_records(registry)
    found = _by_records(records)
    told = () if _settings.flag("hf_hub_offline") else _by_hub(records, within_s=_LOOK_S)
    with suppress(RegistryError):  # the hub does not answer: what is known by then still counts
        for each in told:
            if each.error is None:
                found.append(each)
    if _settings.flag("auto_update"):
        fetch = fetch or partial(update, registry=registry)
        found = [each for each in found if not _fetched(each, fetch)]
    return _in_order(found)


def _known(registry: ModelRegistry[Any] | None) -> ModelRegistry[Any]:
    if registry is not None:
        return registry
    from registry import MODEL_REGISTRY

    return MODEL_REGISTRY


def _kept_records(registry: ModelRegistry[Any] | None) -> list[ModelInfo]:
    records = _known(registry)
    return [records[entry.id] for entry in Cache().list() if entry.id in records]


def _record(model: str | ModelInfo, registry: ModelRegistry[Any] | None) -> ModelInfo:
    found: ModelInfo = _known(registry).lookup_model(model) if isinstance(model, str) else model
    return found


def _in_order(found: Iterable[Update]) -> tuple[Update, ...]:
    return tuple(sorted(found, key=lambda update: (update.id, update.kind)))


def _by_records(records: Iterable[ModelInfo]) -> list[Update]:
    kept = {entry.id: entry for entry in Cache().list()}
    return [update for record in records for update in _by_record(record, kept.get(key_of(record)))]


def _by_record(record: ModelInfo, entry: CacheEntry | None) -> Iterator[Update]:
    """Give what the record alone says."""
    if entry is not None and entry.checksum is not None and not fits(entry, record):
        file = getattr(record, "file", None)
        pinned = f"sha256:{file.sha256}" if file is not None and file.sha256 else record.revision
        yield Update(
            record.id, "files", entry.checksum if file is not None else entry.revision, pinned, record.changelog
        )
    if record.superseded_by is not None:
        yield Update(record.id, "superseded", record.id, record.superseded_by, record.changelog)
    elif record.deprecated:
        yield Update(record.id, "deprecated", record.id, None, record.changelog)


def _by_hub(
    records: Iterable[ModelInfo],
    endpoint: str | None = None,
    token: str | None = None,
    *,
    within_s: float | None = None,
) -> Iterator[Update]:
    """Give what the hub says.

    Args:
        records: The models.
        endpoint: As `updates` has it.
        token: As `updates` has it.
        within_s: Time for all answers; each model is asked for once then. Left out: patiently.

    Raises:
        DownloadError: It does not answer: it would not for the next model either.
    """
    kept = Manifest(models_folder()).read()
    commits = [(record, record.revision or _revision(kept.get(key_of(record)))) for record in records]
    known = [(record, current) for record, current in commits if current is not None]
    if not known:
        return
    ask = _question(endpoint, token, within_s)
    for record, current in known:
        try:
            newest = ask(record)
        except DownloadError as error:
            if error.status is None:
                raise
            yield Update(record.id, "unknown", current, None, error=error)
        else:
            if newest != current:
                yield Update(record.id, "commit", current, newest, record.changelog)


def _revision(entry: CacheEntry | None) -> str | None:
    return None if entry is None else entry.revision


def _question(endpoint: str | None, token: str | None, within_s: float | None) -> Callable[[ModelInfo], str]:
    """Give what asks the hub for the newest commit of a model."""
    from registry.hub.repository import hub_token, newest_commit

    patient = partial(newest_commit, endpoint=hub_endpoint(endpoint), token=hub_token(token))
    if within_s is None:
        return patient
    end = monotonic() + within_s

    def ask(record: ModelInfo) -> str:
        left_s = end - monotonic()
        if left_s <= 0:
            raise DownloadError(record.id, f"the hub took more than {within_s:g} seconds.", "Ask it later.")
        return patient(record, timeout_s=left_s, attempts=1)

    return ask


def _fetched(found: Update, fetch: Callable[[str], object]) -> bool:
    """Fetch what a record pins in place of what is kept; tell whether that was what there was to do, and worked."""
    if found.kind != "files":
        return False
    try:
        fetch(found.id)
    except RegistryError:
        return False
    return True


def _is_due() -> bool:
    """Tell whether the last look is a week ago, and note that this is one. A folder that cannot be written: never."""
    path, time = models_folder() / _CHECKED, datetime.now(UTC)
    with suppress(OSError, ValueError, KeyError, TypeError):
        last = datetime.fromisoformat(json.loads(path.read_text("utf-8"))["checked_at"])
        if timedelta(0) <= time - last < _EVERY:  # one in the future was noted by a clock that was wrong
            return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"checked_at": time.isoformat()}), "utf-8")
    except OSError:
        return False
    return True
