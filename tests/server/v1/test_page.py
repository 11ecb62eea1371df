"""The page for users: its Python prints what its comments say, and it names what there is."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sentence_transformers")
import tiny

from registry.server.v1.chat_shapes import ChatRequest, CompletionRequest
from server.v1.served import Serve

PAGE = (Path(__file__).parents[3] / "docs" / "openai.md").read_text("utf-8")
ROLES = {"general": "tiny-chat", "embedding": "tiny-dense"}


def test_python_of_the_page_prints_what_its_comments_say(serve: Serve) -> None:
    chat = serve.chat("It scatters blue light.", record={"context_length": 512})
    served = serve(chat, serve.encoder(tiny.dense, tiny.dense_record()), roles=ROLES)

    blocks = re.findall(r"```python no_run\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    for code in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code.replace("http://127.0.0.1:8081", served.url), names)
        expected = [line.rpartition("  # ")[2] for line in code.splitlines() if "print(" in line]
        assert printed.getvalue().splitlines() == expected
    names["client"].close()
    assert len(blocks) > 5


def test_page_names_every_parameter() -> None:
    table = PAGE.partition("## What is honoured")[2]
    named = set(re.findall(r"`(\w+)`", table))
    assert {*ChatRequest.model_fields, *CompletionRequest.model_fields} - {"model"} <= named
