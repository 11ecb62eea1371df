"""Names of Hugging Face checkpoints, and their files on this machine: a folder, a record, or `org/model@commit`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from registry._places import find_files, missing
from registry.errors import InvalidOptionError, ModelNotDownloadedError, ProviderModelError, UnpinnedModelError
from registry.profiles.protocol import TRANSFORMERS, Ensured, OnProgress, Target
from registry.profiles.providers.fetched import ensure_files
from registry.records import ChatModel, ModelInfo

if TYPE_CHECKING:
    from registry.queries import ModelRegistry

_REPOSITORY = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[0-9a-f]{40}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PIN = "Name the commit, as `org/model@<40 hexadecimal digits>` or with the parameter `revision`"


class Checkpoint(NamedTuple):
    """A checkpoint, wherever its files are.

    Attributes:
        record: Its record; one made for the occasion where the registry has none.
        folder: Folder that the name is; `None` where the files are kept as those of a record are.
        allow_unpinned: True to fetch it though nobody says which bytes are the right ones.
    """

    record: ModelInfo
    folder: Path | None = None
    allow_unpinned: bool = False


def checkpoint_of(model: Target, registry: ModelRegistry[Any] | None = None) -> Checkpoint:
    """Give the checkpoint that a role's model means. Looks at no file.

    A chat record is a GGUF file, which transformers does not read: it means the model that the file was made from.

    Args:
        model: The model of the role.
        registry: Where a base model that is named by its id is looked up.

    Raises:
        ProviderModelError: The name means no checkpoint.
        InvalidOptionError: `revision` is no commit.
    """
    if isinstance(model.record, ChatModel):
        return _of_base(model, model.record, registry)
    if model.record is not None:
        return Checkpoint(model.record, allow_unpinned=model.allow_unpinned)
    if model.name.startswith((".", "~")) or Path(model.name).is_absolute():
        folder = Path(model.name).expanduser().absolute()
        return Checkpoint(_made_record(folder.name or "checkpoint", ""), folder)
    return _of_repository(model, model.name)


def find_checkpoint(checkpoint: Checkpoint) -> Path | None:
    """Give the folder of a checkpoint that is on this machine and looks complete. Reads names only."""
    if checkpoint.folder is None:
        return find_files(checkpoint.record)
    return checkpoint.folder if missing(checkpoint.folder, checkpoint.record) is None else None


def fetch_checkpoint(checkpoint: Checkpoint, *, force: bool = False, progress: OnProgress | None = None) -> Ensured:
    """Have the files of a checkpoint on this machine, proven as those of any record.

    Args:
        checkpoint: The checkpoint.
        force: True to read what is there, and fetch anew what is not as it was proven.
        progress: Called now and then.

    Raises:
        ProviderModelError: Its folder is not there, or nothing pins the bytes.
        The errors of `registry.hub.ensure`.
    """
    if checkpoint.folder is not None:
        _refuse_incomplete(checkpoint.folder, checkpoint.record)
        return Ensured("already_present")
    allow_unpinned = checkpoint.allow_unpinned
    try:
        return ensure_files(checkpoint.record, force=force, progress=progress, allow_unpinned=allow_unpinned)
    except UnpinnedModelError as error:
        problem = "Nothing says which bytes are the right ones: neither a commit nor a sha256 is known."
        remedy = f"{_PIN}, or allow any with `allow_unpinned`: what is seen first must then be the same ever after."
        raise ProviderModelError(TRANSFORMERS, error.model_id, problem, remedy) from error


def locate_checkpoint(checkpoint: Checkpoint) -> Path:
    """Give the folder of a checkpoint, proven by what its record pins. Never uses the network.

    Raises:
        ProviderModelError: It is not on this machine.
        ChecksumMismatchError: The files are not those that the record pins.
        LicenseNotAllowedError: The setting `licenses` does not allow its licence.
    """
    from registry.loaders.locate import locate

    if checkpoint.folder is not None:
        _refuse_incomplete(checkpoint.folder, checkpoint.record)
    try:
        return locate(checkpoint.record, checkpoint.folder).path
    except ModelNotDownloadedError as error:
        problem = f"The files of `{checkpoint.record.id}` are not on this machine."
        remedy = "Fetch them with `registry provision`, or set `auto_download` of the role."
        raise ProviderModelError(TRANSFORMERS, checkpoint.record.id, problem, remedy) from error


def _of_base(model: Target, record: ChatModel, registry: ModelRegistry[Any] | None) -> Checkpoint:
    base = record.base_model
    if base is None:
        problem = "The record has a GGUF file only, and names no model that it was made from."
        raise ProviderModelError(
            TRANSFORMERS, model.name, problem, "Serve it with `local`, or name a checkpoint `org/model`."
        )
    if "/" in base:
        return _of_repository(model, base)
    from registry import MODEL_REGISTRY

    found = (MODEL_REGISTRY if registry is None else registry).find_model(base)
    if found is None:
        problem = f"The record says that it was made from `{base}`, which is in no registry here."
        raise ProviderModelError(
            TRANSFORMERS, model.name, problem, "Correct `base_model`, or name a checkpoint `org/model`."
        )
    return checkpoint_of(model._replace(name=base, record=found), registry)


def _of_repository(model: Target, name: str) -> Checkpoint:
    found = _REPOSITORY.fullmatch(name)
    if found is None:
        problem = f"`{name}` is neither a record, nor a folder, nor a repository of Hugging Face."
        raise ProviderModelError(
            TRANSFORMERS,
            model.name,
            problem,
            "Name an id of the registry, a folder as `./name`, or `org/model@commit`.",
        )
    revision = found["revision"] or model.revision
    if revision is not None and not _COMMIT.fullmatch(revision):
        raise InvalidOptionError("revision", "a commit, 40 hexadecimal digits", revision)
    kept_as = found["id"].replace("/", "--") + (f"@{revision[:12]}" if revision else "")
    record = _made_record(kept_as, found["id"], revision)
    return Checkpoint(record, allow_unpinned=model.allow_unpinned)


def _made_record(kept_as: str, repository: str, revision: str | None = None) -> ModelInfo:
    """Make the record that the hub needs to fetch and keep a checkpoint that the registry does not know."""
    return ModelInfo(
        id=kept_as,
        model_type="chat",
        name=kept_as,
        huggingface_id=repository,
        organization=repository.partition("/")[0],
        description="A checkpoint that a profile names.",
        revision=revision,
    )


def _refuse_incomplete(folder: Path, record: ModelInfo) -> None:
    reason = missing(folder, record)
    if reason is not None:
        raise ProviderModelError(
            TRANSFORMERS, str(folder), f"It is no checkpoint: {reason}.", "Name a folder that has one."
        )
