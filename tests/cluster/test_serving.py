"""`serve_on_ray` in a process of its own, with Ray started by it: it takes requests, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cluster.two_nodes import environment, make_models

KEY = {"Authorization": "Bearer a-key-of-the-tests"}


@pytest.fixture
def stated(tmp_path: Path) -> dict[str, str]:
    """The environment of the process, with models where it looks for them."""
    make_models(tmp_path)
    return os.environ | environment(tmp_path)


def test_serve_on_ray_answers_writes_and_stops_at_a_signal(stated: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cluster.served_on_ray"]
    chat = {"model": "tiny-chat", "max_tokens": 3, "messages": [{"role": "user", "content": "hi"}]}
    with (tmp_path / "err").open("w") as errors:
        child = subprocess.Popen(command, env=stated, text=True, stdout=subprocess.PIPE, stderr=errors)
    try:
        assert child.stdout is not None
        url = next(line[1:].strip() for line in child.stdout if line.startswith("@"))
        with httpx.Client(base_url=url, headers=KEY, timeout=60) as client:
            answer = client.post("/v1/chat/completions", json=chat).json()
            added = client.post("/api/models", json={"name": "mine"})
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    finally:
        child.kill()

    assert answer["choices"][0]["message"]["content"] == "la lo la "
    assert added.status_code == 201
    assert child.returncode == 0, (tmp_path / "err").read_text()
