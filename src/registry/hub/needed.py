"""Which files of a repository loading reads, and which bytes they must be: pins of the record over the hub's word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from registry._places import gguf_file
from registry.errors import ChecksumMismatchError, DownloadError, InvalidInputError, UnsafeWeightsError

if TYPE_CHECKING:
    from registry.records import LoraAdapter, ModelFile, ModelInfo

_ROLES = ("safetensors", "config", "tokenizer", "gguf")  # `pytorch` may run code when it is read, `onnx` is not read
# No separator, no sign that Windows refuses; nor a last dot or space, which it cuts off: so neither `.` nor `..`.
_PART = re.compile(r'[^\\/:*?"<>|\x00-\x1f]*[^\\/:*?"<>|\x00-\x1f. ]')

# Folders of the modules of sentence-transformers: `1_Pooling`, and behind a router `query_0_SparseStaticEmbedding`.
_MODULE = re.compile(r"(?:\w+_)?\d+_\w+")
_WEIGHTS = re.compile(r"model(?:-(\d+)-of-(\d+))?\.safetensors")  # others, of other precisions, are not read
_INDEX = "model.safetensors.index.json"
_UNSAFE_WEIGHTS = re.compile(r"pytorch_model(?:-\d+-of-\d+)?\.bin")
_UNSAFE = re.compile(r"(?!training_args|optimizer|scheduler|rng_state).*\.(?:bin|pt|pth|ckpt|pkl|pickle|h5|msgpack|ot)")

# Files of settings and tokenizers that transformers and sentence-transformers open, in the root and in each module.
_SETTINGS = re.compile(
    r"""config\.json | config_sentence_transformers\.json | modules\.json | idf\.json | artifact\.metadata
    | (?!adapter_|onnx_|openvino_|ov_|quant|training_|train_|mlc-)[a-z][a-z_-]*_config\.json  # `sentence_bert_config`
    | tokenizer\.json | vocab\.(?:json|txt) | merges\.txt | bpe\.codes | [\w.-]+\.model       # SentencePiece
    | added_tokens\.json | special_tokens_map\.json | special_tokens\.txt | chat_template\.(?:json|jinja)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class RepositoryFile:
    """One file of a repository at one commit.

    Attributes:
        name: Path in the repository, with `/`. Not checked: it comes from outside.
        size_bytes: Exact size.
        sha256: Digest of the content of a file of LFS, 64 hexadecimal digits.
        git_sha1: sha1 that git gives the content of any other file, 40 hexadecimal digits.
    """

    name: str
    size_bytes: int | None
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True)
class Wanted:
    """One file to fetch.

    Attributes:
        name: Path in the repository, with `/`, one folder deep at most. Safe to be joined to a folder.
        size_bytes: Exact size.
        sha256: Pinned by the record, or the hub's for a file of LFS.
        git_sha1: sha1 that git gives the content, of files that are not LFS, 40 hexadecimal digits.
        pinned: True: the sha256 stands in the record. False: it is the hub's word.
        url: The record's address of the file.

    Raises:
        InvalidInputError: The name leads out of the folder, or is none that every system can store.
    """

    name: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    pinned: bool = False
    url: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)


def needed(model: ModelInfo | LoraAdapter, files: Sequence[RepositoryFile] = ()) -> tuple[Wanted, ...]:
    """Give the files of a repository that loading a model reads.

    For a model in GGUF that file alone. Else weights as safetensors, whole or with all of their parts, in one
    precision; the tokenizer, the settings, the folders of modules; Python only where the record says that loading runs
    it, and pins the revision. Never pickled weights, exports for other runtimes or the state of a training.

    Args:
        model: The record. What it pins is laid over what the hub says; files it names are always in.
        files: What the repository lists. Empty where nothing can be listed: then the record's files are all there is.

    Returns:
        Sorted by name.

    Raises:
        UnsafeWeightsError: The model, or a module of it, has weights in a format that can run code, and no other.
        ChecksumMismatchError: The hub has another sha256, or size, than the record pins.
        DownloadError: The repository lacks a file that the record names, a part of the weights, or all weights.
        InvalidInputError: A file's name in the record leads out of the folder.
    """
    listed = {file.name: file for file in files}
    gguf = gguf_file(model)
    if gguf is not None:
        return (_pinned(model, gguf, listed),)
    named = {file.name: file for file in getattr(model, "files", ()) if file.role in _ROLES}
    names = {file.name for file in files if _is_safe(file.name) and _is_read(model, file.name)}
    names |= _weights(model, listed, named)
    names |= named.keys()
    wanted = (_pinned(model, named[name], listed) if name in named else _seen(listed[name]) for name in names)
    return tuple(sorted(wanted, key=lambda file: file.name))


def check_name(name: str, folders: int = 1) -> None:
    """Refuse a path that leads out of its folder, or that not every system can store.

    Args:
        name: Path with `/`.
        folders: How many folders deep it may lie.

    Raises:
        InvalidInputError: It is one.
    """
    parts = name.split("/")
    if len(parts) > folders + 1 or not all(map(_PART.fullmatch, parts)):
        where = {0: "not in a folder", 1: "at most one folder deep"}.get(folders, f"at most {folders} folders deep")
        reason = f"expected a file's name, {where}, that stays in its folder. Correct it where it stands."
        raise InvalidInputError(name, reason)


def _is_safe(name: str) -> bool:
    try:
        check_name(name)
    except InvalidInputError:
        return False
    return True


def _is_read(model: ModelInfo | LoraAdapter, name: str) -> bool:
    """True for settings, tokenizers and allowed code, in the root and in folders of modules."""
    folder, file = _split(name)
    if folder and not _MODULE.fullmatch(folder):
        return folder == "additional_chat_templates" and file.endswith(".jinja")
    runs_code = bool(getattr(model, "requires_remote_code", False)) and model.revision is not None
    return bool(_SETTINGS.fullmatch(file)) or (runs_code and file.endswith(".py"))


def _weights(
    model: ModelInfo | LoraAdapter, listed: dict[str, RepositoryFile], named: dict[str, ModelFile]
) -> set[str]:
    """Give the weights of the root and of each module, in one format each."""
    folders = {_split(name)[0] for name in listed}
    found: set[str] = set()
    for folder in sorted(folder for folder in folders if not folder or _MODULE.fullmatch(folder)):
        files = {file for name in listed if _split(name)[0] == folder for file in (_split(name)[1],)}
        stated = {
            _split(name)[1] for name, file in named.items() if file.role == "safetensors" and _split(name)[0] == folder
        }
        chosen = _one_format(model, folder, files, stated)
        if not chosen and (unsafe := sorted(file for file in files if _UNSAFE_WEIGHTS.fullmatch(file))):
            raise UnsafeWeightsError(model.id, _join(folder, unsafe[0]))
        found |= {_join(folder, file) for file in chosen}
    if not found and not any(file.role == "safetensors" for file in named.values()):
        _refuse_without_weights(model, listed)
    return found


def _one_format(model: ModelInfo | LoraAdapter, folder: str, files: set[str], stated: set[str]) -> set[str]:
    """Choose the weights of a folder: what the record names, else the whole file, else all parts with their index."""
    parts = {file: match for file in files if (match := _WEIGHTS.fullmatch(file)) and match[1]}
    if "model.safetensors" in files and not stated & parts.keys():
        return {"model.safetensors"}
    if _INDEX not in files:
        return set()
    numbers = {int(match[1]) for match in parts.values()}
    total = max((int(match[2]) for match in parts.values()), default=1)
    if missing := sorted(set(range(1, total + 1)) - numbers):
        reason = f"the repository lacks part {missing[0]} of {total} of the weights in `{folder or '.'}`."
        raise DownloadError(model.id, reason, "Choose another revision, or tell the publisher.")
    return {_INDEX, *parts}


def _refuse_without_weights(model: ModelInfo | LoraAdapter, listed: dict[str, RepositoryFile]) -> None:
    unsafe = sorted(name for name in listed if "/" not in name and _UNSAFE.fullmatch(name))
    if unsafe:
        raise UnsafeWeightsError(model.id, unsafe[0])
    reason = "expected weights as `*.safetensors` in its repository, got none."
    raise DownloadError(model.id, reason, "Name them in the record's `files`, or choose another model.")


def _seen(file: RepositoryFile) -> Wanted:
    return Wanted(file.name, file.size_bytes, file.sha256, file.git_sha1)


def _pinned(model: ModelInfo | LoraAdapter, file: ModelFile, listed: dict[str, RepositoryFile]) -> Wanted:
    """Lay what the record pins of a file over what the hub says of it."""
    own = Wanted(file.name, file.size_bytes, file.sha256, None, file.sha256 is not None, file.url)
    seen = listed.get(file.name)
    if seen is None:
        if listed and file.url is None:
            reason = f"the repository has no file `{file.name}`, which the record names."
            raise DownloadError(model.id, reason, "Correct the name or `revision` in the record.")
        return own
    remedy = "The record pins another commit's file. Correct its `revision`, or its `sha256` and `size_bytes`."
    if None not in (file.size_bytes, seen.size_bytes) and file.size_bytes != seen.size_bytes:
        raise ChecksumMismatchError(file.name, f"{file.size_bytes} bytes", f"{seen.size_bytes} bytes", remedy)
    if None not in (file.sha256, seen.sha256) and file.sha256 != seen.sha256:
        raise ChecksumMismatchError(file.name, str(file.sha256), str(seen.sha256), remedy)
    size_bytes = seen.size_bytes if file.size_bytes is None else file.size_bytes
    return replace(own, size_bytes=size_bytes, sha256=file.sha256 or seen.sha256, git_sha1=seen.git_sha1)


def _split(name: str) -> tuple[str, str]:
    """Give folder and file of a path; the folder is empty for the root."""
    folder, _, file = name.rpartition("/")
    return folder, file


def _join(folder: str, file: str) -> str:
    return str(PurePosixPath(folder, file))
