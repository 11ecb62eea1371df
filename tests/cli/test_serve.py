"""`registry serve`."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("fastapi")

Run = Callable[..., Any]
KEY = "a-key-of-the-tests"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """What `serve` is called with, instead of serving."""
    calls: list[tuple[Any, dict[str, Any]]] = []
    for name in ("REGISTRY_API_KEY", "REGISTRY_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("registry.server.serve", lambda options, **more: calls.append((options, more)), raising=False)
    return calls


def test_serve_without_options_has_those_of_the_library(run: Run, served: list[Any]) -> None:
    from registry import MODEL_REGISTRY
    from registry.server import ServerOptions

    assert run("serve") == (0, "", "")
    assert served[0][0] == ServerOptions()
    assert served[0][1]["registry"] is MODEL_REGISTRY


def test_serve_takes_every_option(run: Run, served: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.server import ServerOptions

    monkeypatch.setenv("REGISTRY_API_KEY", KEY)
    monkeypatch.setenv("REGISTRY_ADMIN_TOKEN", "another-key-of-the-tests")
    words = (
        "--host 0.0.0.0 --port 9 --allow-download --max-models 3 --max-memory 16GB --queue-length 4 --queue-timeout 5 "
        "--request-timeout 6 --shutdown-timeout 7 --max-body 1MiB --no-access-log --role coding=a --role fast=b "
        "--cors-origin https://a.example --cors-origin https://b.example --profile work --provision"
    )

    paths = ("--catalog", tmp_path / "my.db", "--manifest", tmp_path / "profiles.json")
    assert run("serve", *words.split(), *paths).code == 0
    assert served[0][0] == ServerOptions(
        host="0.0.0.0",
        port=9,
        api_key=KEY,
        admin_token="another-key-of-the-tests",
        catalog_path=tmp_path / "my.db",
        allow_download=True,
        max_models=3,
        max_bytes=16 * 10**9,
        queue_length=4,
        queue_timeout_s=5,
        request_timeout_s=6,
        shutdown_timeout_s=7,
        max_body_bytes=2**20,
        access_log=False,
        profile="work",
        manifest=tmp_path / "profiles.json",
        provision=True,
        roles={"coding": "a", "fast": "b"},
        cors_origins=("https://a.example", "https://b.example"),
    )


def test_serve_with_a_key_on_the_command_line_advises_the_variable(run: Run, served: list[Any]) -> None:
    result = run("serve", "--api-key", KEY)

    assert served[0][0].api_key == KEY
    assert result.err == (
        "warning: `--api-key` shows the key to everybody who lists processes: set `REGISTRY_API_KEY` instead.\n"
    )


def test_serve_says_where_and_that_nothing_can_be_written(run: Run, served: list[Any]) -> None:
    run("serve")

    from contextlib import redirect_stderr
    from io import StringIO

    with redirect_stderr(StringIO()) as said:
        served[0][1]["announce"]("http://127.0.0.1:8081")
    assert said.getvalue() == (
        "Serving at http://127.0.0.1:8081. Ctrl-C stops.\n"
        "note: nothing can be written: set `REGISTRY_API_KEY` to allow that to who has the key.\n"
    )


def test_serve_json_prints_the_address_once_it_answers(
    run: Run, served: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run("serve", "--json", "--api-key", KEY)
    served[0][1]["announce"]("http://127.0.0.1:8081")

    assert json.loads(capsys.readouterr().out) == {"address": "http://127.0.0.1:8081", "writable": True}


def test_serve_takes_a_registry_of_ones_own(run: Run, served: list[Any], small: Callable[..., str]) -> None:
    import tiny

    assert run("serve", "--registry", small(tiny.dense_record())).code == 0
    assert list(served[0][1]["registry"]) == ["tiny-dense"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--role", "coding"], "error: `--role coding` says no model."),
        (["--role", "a=b", "--role", "a=c"], "error: `--role a` is given twice."),
        (
            ["--max-memory", "much"],
            "error: Invalid value for --max-memory: expected a size such as `16GB` or `24GiB`, got `much`.",
        ),
        (["--host", "0.0.0.0"], "error: `--host`: expected an address of this machine alone"),
        (["--api-key", "short"], "error: `api_key`: expected at least 16 "),
        (["--port", "-1"], "error: `--port`: expected an integer of at least 0, got -1."),
    ],
)
def test_serve_with_a_wrong_option_says_what_it_may_be(
    run: Run, served: list[Any], words: list[str], problem: str
) -> None:
    result = run("serve", *words)

    assert (result.code, served) == (2, [])
    assert any(line.startswith(problem) for line in result.err.splitlines())


def test_serve_at_a_port_that_is_taken_is_one_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "--port", taken.getsockname()[1])
        port = taken.getsockname()[1]

    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == [
        f"error: `--port`: expected a port that nothing listens at, got {port}.",
        "hint: Stop the other program, or choose another port; 0 takes a free one.",
    ]
