"""curl, as people type it."""

import json
import shutil
import subprocess
from typing import Any

import pytest
import tiny

from server.v1.served import Serve

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

CHAT = '{"model": "tiny-chat", "messages": [{"role": "user", "content": "hello"}]'


def curl(*options: str) -> str:
    command = ["curl", "--silent", "--show-error", "--max-time", "30", "--noproxy", "*", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_chat_without_a_content_type_is_answered(serve: Serve) -> None:
    served = serve(serve.chat())
    answer: Any = json.loads(curl("-X", "POST", f"{served.url}/v1/chat/completions", "-d", CHAT + "}"))
    assert answer["choices"][0]["message"]["content"] == "Hello world."


def test_stream_is_server_sent_events_up_to_done(serve: Serve) -> None:
    served = serve(serve.chat())
    text = curl("-N", "-i", f"{served.url}/v1/chat/completions", "-d", CHAT + ', "stream": true}')
    head, _, body = text.partition("\n\n")
    assert "content-type: text/event-stream" in head.lower()
    events = body.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Hello world."


def test_embeddings_and_models_are_answered(serve: Serve) -> None:
    served = serve(serve.encoder(tiny.dense, tiny.dense_record()))
    answer: Any = json.loads(curl(f"{served.url}/v1/embeddings", "-d", '{"model": "tiny-dense", "input": "hello"}'))
    assert len(answer["data"][0]["embedding"]) == 32
    assert json.loads(curl(f"{served.url}/v1/models"))["data"][0]["id"] == "tiny-dense"


def test_origin_of_another_site_is_refused(serve: Serve) -> None:
    served = serve(serve.chat())
    status = curl("-o", "-", "-w", "%{http_code}", "-H", "Origin: https://elsewhere.example",
                  f"{served.url}/v1/chat/completions", "-d", CHAT + "}")  # fmt: skip
    assert status.endswith("403")
