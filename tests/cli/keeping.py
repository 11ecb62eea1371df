"""A hub on loopback with two tiny models, and the registry that pins them."""

from pathlib import Path
from typing import Any

import tiny
from hub_server import Hub

CHAT_BYTES = b"GGUF" + bytes(range(256)) * 400
DENSE = {
    "config.json": b"{}",
    "modules.json": b"[]",
    "tokenizer.json": b"{}",
    "model.safetensors": b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
}


def pinned(hub: Hub, folder: Path) -> tuple[Any, Any]:
    """Put two models on a hub and give their records."""
    file = folder / "talk.gguf"
    file.write_bytes(CHAT_BYTES)
    chat = hub.add("tiny/talk", {"talk.gguf": CHAT_BYTES})
    dense = hub.add("tiny/see", DENSE)
    return (
        tiny.chat_record(file, id="talk", huggingface_id="tiny/talk", revision=chat),
        tiny.dense_record(id="see", huggingface_id="tiny/see", revision=dense),
    )
