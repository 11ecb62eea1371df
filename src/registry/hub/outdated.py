"""What has become old: kept files that the record no longer pins, models with a successor, newer commits on the hub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack

from registry import _settings
from registry._home import models_folder
from registry._places import key_of
from registry.errors import RegistryError
from registry.hub._ensure import FetchKeywords, obtain, record_of
from registry.hub.cache import Cache
from registry.hub.manifest import CacheEntry, Manifest
from registry.hub.proof import fits
from registry.hub.sources import hub_endpoint

if TYPE_CHECKING:
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo

Kind: TypeAlias = Literal["files", "commit", "superseded", "deprecated"]

_CHECKED = "checked.json"
_EVERY = timedelta(days=7)


@dataclass(frozen=True)
class Update:
    """Something newer than what is kept.

    Attributes:
        id: The model.
        kind: `files`: the record pins other files than are kept; `superseded`: its record names a successor;
            `deprecated`: its record advises against it and names none; `commit`: its repository has a newer commit
            than the record pins, which nobody has looked at.
        current: What is kept or pinned: a commit, a checksum, an id.
        newest: What there is now: a commit, a checksum, the id of the successor; `None` where there is none.
        changelog: What changed, or the address that says so, where the record has it.
    """

    id: str
    kind: Kind
    current: str | None
    newest: str | None
    changelog: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return asdict(self)


def updates(
    ids: Iterable[str] | None = None,
    *,
    commits: bool = True,
    registry: ModelRegistry[Any] | None = None,
    endpoint: str | None = None,
    token: str | None = None,
) -> tuple[Update, ...]:
    """Give what is newer than what is kept. Changes nothing.

    Args:
        ids: Models to look at; left out: all that are kept and that the registry knows.
        commits: False to compare with the records only, which needs no network.
        registry: Registry of the records; left out: this package's.
        endpoint: Hub to ask in place of `HF_ENDPOINT`.
        token: Token for the hub.

    Raises:
        ModelNotFoundError: No record has one of the ids.
        DownloadError: The hub could not be asked.
    """
    records = _known(registry)
    kept = {entry.id: entry for entry in Cache().list()}
    chosen = (
        [records.lookup_model(name) for name in ids]
        if ids is not None
        else [records[key] for key in kept if key in records]
    )
    found = [update for record in chosen for update in _by_record(record, kept.get(key_of(record)))]
    if commits and not _settings.flag("hf_hub_offline"):
        found += [update for record in chosen for update in _by_hub(record, endpoint, token)]
    return tuple(sorted(found, key=lambda update: (update.id, update.kind)))


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


def check_weekly(*, registry: ModelRegistry[Any] | None = None) -> tuple[Update, ...]:
    """Do what the settings `check_updates` and `auto_update` ask for, if the last time is a week ago.

    Without `check_updates` this does nothing. With `auto_update`, files that records no longer pin are fetched anew.
    Nothing that fails here is an error: it is tried again in a week.

    Returns:
        What is newer and was not fetched; empty where nothing was looked for.
    """
    if not _settings.flag("check_updates") or not _is_due():
        return ()
    try:
        found = updates(registry=registry)
    except RegistryError:  # the hub does not answer, or one repository is gone: the records still say what they say
        found = updates(commits=False, registry=registry)
    if not _settings.flag("auto_update"):
        return found
    return tuple(update for update in found if not _fetched(update, registry))


def _known(registry: ModelRegistry[Any] | None) -> ModelRegistry[Any]:
    if registry is not None:
        return registry
    from registry import MODEL_REGISTRY

    return MODEL_REGISTRY


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


def _by_hub(record: ModelInfo, endpoint: str | None, token: str | None) -> Iterator[Update]:
    """Give what the hub says."""
    from registry.hub.repository import hub_token, newest_commit

    entry = Manifest(models_folder()).read().get(key_of(record))
    current = record.revision or (entry.revision if entry is not None else None)
    hub = hub_endpoint(endpoint)
    if current is not None and (newest := newest_commit(record, endpoint=hub, token=hub_token(token))) != current:
        yield Update(record.id, "commit", current, newest, record.changelog)


def _fetched(found: Update, registry: ModelRegistry[Any] | None) -> bool:
    """Fetch what a record pins in place of what is kept; tell whether that was what there was to do, and worked."""
    if found.kind != "files":
        return False
    try:
        update(found.id, registry=registry)
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
