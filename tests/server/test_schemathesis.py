"""Every request that the description of the interface allows, and many that it does not, against a real server.

schemathesis makes them, the same ones each time, and holds each answer against the description with all its checks.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("schemathesis")
pytest.importorskip("uvicorn")

from registry.errors import DownloadError

from .admin.shop import TOKEN, Shop
from .admin.shop import client as administered
from .api import KEY, METRIC, client, server

_API = "^/(api|health|metrics|ready)"
_ADMIN = "^/(api/v1|ready)"
_V1 = "^/v1"


def tried(address: str, folder: Path, paths: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Let schemathesis try the paths that match; its seed is fixed, and nothing is kept from run to run."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--checks", "all"]
    command += ["--include-path-regex", paths, "--seed", "1", "--generation-deterministic", "--no-color"]
    command += ["--warnings", "off", *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "SCHEMATHESIS"))}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)


def assert_passed(done: Any) -> None:
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout.splitlines()[-1]


def test_catalogue_is_as_described_for_who_has_the_key(tmp_path: Path) -> None:
    with client() as api, server(api.app) as address:
        api.app.state.services.catalog.add_metrics("talk", [METRIC])

        done = tried(address, tmp_path, _API, "-H", f"Authorization: Bearer {KEY}", "--max-examples", "3")

    assert_passed(done)


def test_catalogue_is_as_described_where_the_server_has_no_key(tmp_path: Path) -> None:
    with client(api_key=None) as api, server(api.app) as address:
        done = tried(address, tmp_path, _API, "--phases", "examples,fuzzing,stateful", "--max-examples", "3")

    assert_passed(done)


def test_models_are_as_described(tmp_path: Path) -> None:
    with client(api_key=None) as api, server(api.app) as address:
        done = tried(address, tmp_path, _V1, "--phases", "examples,coverage,fuzzing", "--max-examples", "5")

    assert_passed(done)


def test_administration_is_as_described_for_who_has_the_token(tmp_path: Path) -> None:
    with administered(Shop()) as api, server(api.app) as address:
        done = tried(address, tmp_path, _ADMIN, "-H", f"Authorization: Bearer {TOKEN}", "--max-examples", "5")

    assert_passed(done)


def test_administration_is_as_described_where_a_server_cannot_be_ready(tmp_path: Path) -> None:
    shop = Shop()
    shop.error = DownloadError("rank", "the line is cut.", "Try again.")
    words = ("--max-examples", "5", "--exclude-checks", "not_a_server_error")  # 503 is what is tried here
    with administered(shop, provision=True) as api, server(api.app) as address:
        done = tried(address, tmp_path, _ADMIN, "-H", f"Authorization: Bearer {TOKEN}", *words)

    assert_passed(done)
