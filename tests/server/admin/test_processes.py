"""Provisioning with a server in a process of its own, and the hub and the Ollama that it fetches from on loopback."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from hub_server import Fault, Hub
from ollama_server import Model, Ollama
from waiting import until

from .shop import ADMIN, TOKEN

CONTENT = b"GGUF" + bytes(range(256)) * 8192
TESTS = Path(__file__).parents[2]


class Running(NamedTuple):
    process: "subprocess.Popen[str]"
    port: int

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = self.connected(method, path, body, **headers)
        answer = connection.getresponse()
        found = answer.status, json.loads(answer.read())
        connection.close()
        return found

    def connected(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPConnection:
        """A connection on which this was asked."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {**ADMIN, **headers})
        return connection

    def provision(self, *roles: str, **more: Any) -> Any:
        status, answer = self.ask("POST", "/api/v1/models/provision", {"roles": roles or None, **more})
        assert status == 200, answer
        return answer["data"]

    def in_flight(self) -> int:
        """How many requests are being answered, this one among them."""
        connection = self.connected("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return next(
            int(float(line.split()[1])) for line in lines if line.startswith("registry_http_requests_in_flight")
        )

    def is_ready(self) -> bool:
        return self.ask("GET", "/ready")[0] == 200


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        yield made


@pytest.fixture
def serve(tmp_path: Path, hub: Hub) -> Iterator[Callable[..., Running]]:
    """Run `registry serve` with a manifest of these roles, the model `talk`, and these words and variables."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "talk.gguf").write_bytes(CONTENT)
    commit = hub.add("tiny/talk", {"talk.gguf": CONTENT})
    (tmp_path / "mine.py").write_text(
        f"import sys; sys.path[:0] = [{str(TESTS)!r}]\n"
        "import pathlib, tiny\n"
        "from server.v1.few_records import FewRecords\n"
        f"file = pathlib.Path({str(tmp_path / 'talk.gguf')!r})\n"
        f"talk = tiny.chat_record(file, id='talk', huggingface_id='tiny/talk', revision={commit!r})\n"
        "MODEL_REGISTRY = FewRecords(talk)\n"
    )

    def start(roles: object, *words: str, **variables: str) -> Running:
        manifest = tmp_path / "profiles.json"
        manifest.write_text(json.dumps({"profiles": {"default": {"models": roles}}}))
        env = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "HF_"))}
        env |= {"REGISTRY_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.endpoint}
        env |= {"REGISTRY_ADMIN_TOKEN": TOKEN, **variables}
        command = [sys.executable, "-m", "registry.cli", "serve", "--port", "0", "--no-access-log"]
        command += ["--registry", "mine", "--manifest", str(manifest), *words]
        with (tmp_path / "errors.txt").open("w") as errors:
            process = subprocess.Popen(
                [*command, "--json"], env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        started.append(process)
        assert process.stdout is not None
        said = ""
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, (tmp_path / "errors.txt").read_text()
            said += line
        return Running(process, int(json.loads(said)["address"].rpartition(":")[2]))

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_fifty_clients_at_the_same_time_cause_one_download(serve: Callable[..., Running], hub: Hub) -> None:
    server = serve({"general": "talk", "coding": "talk"})
    selections = [("general",), ("coding",), ("general", "coding"), ()]
    with ThreadPoolExecutor(50) as pool:
        reports = list(pool.map(lambda number: server.provision(*selections[number % 4]), range(50)))

    assert [request.method for request in hub.asked("talk.gguf")].count("GET") == 1
    assert {outcome["action"] for report in reports for outcome in report["outcomes"]} == {"downloaded"}
    assert {outcome["bytes"] for report in reports for outcome in report["outcomes"]} == {len(CONTENT)}
    assert all(report["ok"] for report in reports)


def test_download_goes_on_when_the_client_leaves(serve: Callable[..., Running], hub: Hub, tmp_path: Path) -> None:
    server = serve({"general": "talk"})
    hub.misbehave("talk.gguf", Fault(stall=1_000_000))
    connection = server.connected("POST", "/api/v1/models/provision", accept="text/event-stream")
    answer = connection.getresponse()
    while b"event: progress" not in answer.readline():
        pass
    answer.close()
    connection.close()

    status, models = server.ask("GET", "/api/v1/models")
    assert (status, models["data"]["active"]["roles"][0]["state"]) == (200, "provisioning")
    assert any(part.stat().st_size for part in (tmp_path / "home").rglob("*.part"))


def test_server_is_ready_when_its_profile_is_provisioned(
    serve: Callable[..., Running], hub: Hub, tmp_path: Path
) -> None:
    server = serve({"general": "talk"}, "--provision")

    until(server.is_ready)

    assert server.ask("GET", "/ready")[1]["data"] == {
        "status": "ready",
        "profile": "default",
        "roles": {"general": "ready"},
    }
    assert (tmp_path / "home" / "models" / "talk.gguf").read_bytes() == CONTENT
    assert "INFO: registry.provision.downloaded role=general model=talk" in (tmp_path / "errors.txt").read_text()


def test_server_answers_while_it_cannot_be_ready(serve: Callable[..., Running], hub: Hub) -> None:
    hub.gated.add("tiny/talk")
    server = serve({"general": "talk"}, "--provision")

    until(lambda: server.ask("GET", "/ready")[1].get("data", {}).get("status") == "failed")

    assert server.ask("GET", "/ready")[0] == 503
    assert server.ask("GET", "/health")[0] == 200
    hub.gated.clear()
    assert server.provision()["ok"]
    assert server.is_ready()


def test_server_that_is_stopped_waits_for_no_download(serve: Callable[..., Running], hub: Hub) -> None:
    hub.misbehave("talk.gguf", Fault(stall=1_000_000))
    server = serve({"general": "talk"}, "--provision")
    until(lambda: hub.asked("talk.gguf") != [])

    server.process.terminate()

    assert server.process.wait(30) == 0


def test_server_that_is_stopped_sends_away_who_follows(serve: Callable[..., Running], hub: Hub, tmp_path: Path) -> None:
    hub.misbehave("talk.gguf", Fault(stall=1_000_000))
    server = serve({"general": "talk"})
    connection = server.connected("POST", "/api/v1/models/provision", accept="text/event-stream")
    answer = connection.getresponse()
    while b"event: progress" not in answer.readline():
        pass
    waiting = server.connected("POST", "/api/v1/models/provision", {"roles": ["general"]})
    until(lambda: server.in_flight() == 3)  # the question itself is the third

    server.process.terminate()

    assert server.process.wait(60) == 0  # had it waited for `--shutdown-timeout`, the answers would be cut
    *_, name, data = answer.read().decode().split("\n", -1)[:-2]
    assert (name, json.loads(data.removeprefix("data: "))["error"]["code"]) == ("event: error", "stopping")
    refused = waiting.getresponse()
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert json.load(refused)["error"]["code"] == "stopping"
    connection.close()
    waiting.close()
    told = (tmp_path / "errors.txt").read_text()
    assert [line for line in told.splitlines() if line.startswith(("WARNING", "ERROR", "Traceback"))] == []


def test_models_are_pulled_by_an_ollama_and_fetched_from_the_hub(serve: Callable[..., Running]) -> None:
    pytest.importorskip("ollama")
    with Ollama() as peer:
        peer.library["llama3.2:latest"] = Model(layers=(300_000, 500))
        roles = {"general": {"name": "llama3.2", "provider": "ollama", "fallback": ["talk"]}, "coding": "talk"}
        server = serve(roles, OLLAMA_HOST=peer.host)
        report = server.provision()

    found = [(outcome["role"], outcome["provider"], outcome["action"]) for outcome in report["outcomes"]]
    assert found == [("coding", "local", "downloaded"), ("general", "ollama", "pulled")]


def test_ollama_that_is_down_is_skipped_and_told(serve: Callable[..., Running]) -> None:
    with Ollama() as peer:
        host = peer.host
    server = serve({"general": {"name": "llama3.2", "provider": "ollama", "fallback": ["talk"]}}, OLLAMA_HOST=host)

    skipped, fetched = server.provision()["outcomes"]

    assert (skipped["action"], skipped["reason"].startswith(f"Nothing listens at `{host}`.")) == ("skipped", True)
    assert (fetched["provider"], fetched["action"]) == ("local", "downloaded")


def test_profile_that_does_not_exist_starts_no_server(serve: Callable[..., Running], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        serve({"general": "talk"}, "--profile", "defualt")

    assert (tmp_path / "errors.txt").read_text() == (
        "error: Profile `defualt` is not in the registry.\nhint: Did you mean `default`?\n"
    )
