"""What the tests of keeping share: small records, a hub that has their files, and the places where these may lie."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub

from registry.records import ChatModel, DenseModel, LoraAdapter, ModelFile

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40
GGUF = b"GGUF" + bytes(range(256)) * 40
FOLDER = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"weights of the model" * 50,
    "tokenizer.json": b'{"version": "1.0"}',
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def chat(content: bytes | None = GGUF, **changes: Any) -> ChatModel:
    """Give a chat record that pins this content; `None`: it pins no digest."""
    digest, size = (None, None) if content is None else (sha256(content), len(content))
    file = ModelFile("chat-q4.gguf", "gguf", digest, size)
    defaults = {"id": "a-chat", "model_type": "chat", "name": "", "organization": "", "description": ""}
    more = {"huggingface_id": "org/chat-gguf", "revision": COMMIT, "file": file, "quantization": "Q4_K_M"}
    return ChatModel(**(defaults | more | changes))


def dense(content: Mapping[str, bytes] = FOLDER, *, pins: tuple[str, ...] = (), **changes: Any) -> DenseModel:
    """Give a dense record; of the files that are named, it pins the digest."""
    pinned = tuple(ModelFile(name, "safetensors", sha256(content[name]), len(content[name])) for name in pins)
    defaults = {"id": "a-dense", "model_type": "embedding", "name": "", "organization": "", "description": ""}
    more = {"huggingface_id": "org/dense", "revision": COMMIT, "embedding_dim": 8, "multi_vector": False}
    return DenseModel(**(defaults | more | {"files": pinned} | changes))


def adapter(content: bytes = GGUF, **changes: Any) -> LoraAdapter:
    """Give an adapter that pins this content."""
    file = ModelFile("lora.gguf", "gguf", sha256(content), len(content))
    facts = {"id": "a-lora", "base_model": "a-chat", "huggingface_id": "org/lora", "revision": COMMIT, "file": file}
    return LoraAdapter(**(facts | changes))


def write(path: Path, content: bytes = GGUF) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def fill(folder: Path, files: Mapping[str, bytes] = FOLDER) -> Path:
    for name, content in files.items():
        write(folder / name, content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Give what lies in a folder, hidden files left out."""
    found = (file for file in sorted(folder.rglob("*")) if file.is_file())
    named = {file.relative_to(folder).as_posix(): file for file in found}
    return {name: file.read_bytes() for name, file in named.items() if "/." not in f"/{name}"}


def snapshot(cache: Path, model: Any) -> Path:
    """Give the folder of a model's commit in a Hugging Face cache."""
    return cache / f"models--{model.huggingface_id.replace('/', '--')}" / "snapshots" / model.revision


def cached(cache: Path, model: Any, files: Mapping[str, bytes]) -> Path:
    """Put files into a Hugging Face cache as huggingface_hub does: links to blobs that have digests as their names."""
    folder = snapshot(cache, model)
    for name, content in files.items():
        digest = sha256(content) if name.endswith((".safetensors", ".gguf")) else git_sha1(content)
        blob = write(folder.parents[1] / "blobs" / digest, content)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(blob)
    return folder


def manifest_of(home: Path) -> dict[str, Any]:
    """Read the models of a manifest as they stand there."""
    found: dict[str, Any] = json.loads((home / "models" / "manifest.json").read_text("utf-8"))["models"]
    return found


@contextmanager
def nothing_read_or_sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every hash and every socket an error while the block runs."""

    def refuse(what: str) -> Callable[..., Any]:
        def raise_it(*given: object, **named: object) -> Any:
            raise AssertionError(f"{what} was used: {given}")

        return raise_it

    with monkeypatch.context() as patch:
        for name in ("sha256", "sha1", "new", "file_digest"):
            patch.setattr(hashlib, name, refuse(f"hashlib.{name}"))
        patch.setattr(socket, "socket", refuse("a socket"))
        patch.setattr(socket, "create_connection", refuse("a socket"))
        patch.setattr(socket, "getaddrinfo", refuse("a name server"))
        yield


@pytest.fixture(name="hub")
def hub_fixture(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that is asked in place of Hugging Face's. It has what the records of this module pin, and more."""
    hub.add("org/chat-gguf", {"chat-q4.gguf": GGUF, "README.md": b"read me"}, COMMIT)
    hub.add("org/lora", {"lora.gguf": GGUF}, COMMIT)
    hub.add("org/dense", FOLDER | {"README.md": b"", "onnx/model.onnx": b"onnx", "pytorch_model.bin": b"p"}, COMMIT)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    return hub
