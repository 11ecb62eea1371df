"""The HTTP surface on two real nodes of Ray: answers, streams, errors, and what is lost on the way."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
import ray
import tiny
from adapters.making import word_adapter
from waiting import until

from cluster.two_nodes import TwoNodes, list_adapters
from registry.cluster.rendezvous import RayRendezvous

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own, which differ from one start to the next

HELLO: Any = [{"role": "user", "content": "hi"}]


def chat(cluster: TwoNodes, **options: Any) -> Any:
    return cluster.client.chat.completions.create(model=cluster.chat.id, messages=HELLO, **options)


def embed(cluster: TwoNodes, texts: list[str], **options: Any) -> list[list[float]]:
    made = cluster.client.embeddings.create(
        model=cluster.dense.id, input=texts, encoding_format="float", extra_body=options
    )
    return [each.embedding for each in made.data]


def test_answer_comes_from_a_replica(cluster: TwoNodes) -> None:
    made = chat(cluster, max_tokens=3)

    assert (made.choices[0].message.content, made.choices[0].finish_reason) == ("la lo la ", "length")


def test_stream_gives_what_the_whole_answer_has(cluster: TwoNodes) -> None:
    chunks = list(chat(cluster, max_tokens=5, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "la lo la lo la "


def test_client_that_goes_away_frees_the_model(cluster: TwoNodes) -> None:
    streams = [chat(cluster, stream=True) for _ in range(2)]  # each would go on for minutes
    for stream in streams:
        next(stream)
        stream.close()

    assert chat(cluster, max_tokens=1).choices[0].finish_reason == "length"


def test_vectors_of_requests_that_come_together_are_those_of_requests_alone(cluster: TwoNodes) -> None:
    texts = [["the king"], ["the dog", "a cat"], ["the queen"]] * 4
    alone = [embed(cluster, each) for each in texts[:3]] * 4
    with ThreadPoolExecutor(len(texts)) as pool:
        together = list(pool.map(lambda each: embed(cluster, each), texts))

    for expected, got in zip(alone, together, strict=True):
        assert [pytest.approx(row, abs=1e-5) for row in expected] == got


def test_error_of_the_model_is_told_as_by_one_machine(cluster: TwoNodes) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        cluster.client.chat.completions.create(
            model=cluster.chat.id, messages=[{"role": "user", "content": "hi " * 20_000}]
        )

    assert caught.value.code == "context_length_exceeded"


def test_catalogue_cannot_be_written(cluster: TwoNodes) -> None:
    answer = cluster.http.post("/api/models", json={})

    assert answer.status_code == 403


def test_model_that_is_not_deployed_is_not_found(cluster: TwoNodes) -> None:
    answer = cluster.http.post("/v1/embeddings", json={"model": "no-such", "input": "x"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def served_adapters(cluster: TwoNodes) -> list[str]:
    models = cluster.http.get("/v1/models").json()["data"]
    return [model["version"] for model in models if model["id"] == "dialect"]


def serve_dialect(cluster: TwoNodes, version: str, made: Callable[[Path, Path], Path]) -> None:
    """List a version of an adapter, and wait until it is served."""
    base = cluster.home / "registry" / "models" / f"{cluster.chat.id}.gguf"
    file = made(cluster.home / f"dialect-{version}.gguf", base)
    entry = {"id": "dialect", "base": cluster.chat.id, "file": file.name, "version": version}
    list_adapters(cluster.home / "adapters.json", entry | {"sha256": tiny.model_file(file, "gguf").sha256 or ""})
    until(lambda: served_adapters(cluster) == [version], 60)


def dialect(cluster: TwoNodes) -> str:
    made = cluster.client.chat.completions.create(model="dialect", messages=HELLO, max_tokens=20)
    return str(made.choices[0].message.content)


def test_adapter_of_the_manifest_is_served_by_the_replicas(cluster: TwoNodes) -> None:
    serve_dialect(cluster, "1", tiny.lora_gguf)

    asked = [cluster.client.chat.completions.create(model="dialect", messages=HELLO, max_tokens=3) for _ in range(4)]

    assert [(made.model, made.choices[0].finish_reason) for made in asked] == [("dialect", "length")] * 4
    assert {made.choices[0].message.content for made in asked} == {"lo lo lo "}
    assert chat(cluster, max_tokens=3).choices[0].message.content == "la lo la "


def test_requests_under_way_while_an_adapter_changes_are_whole_answers_of_one_version(cluster: TwoNodes) -> None:
    serve_dialect(cluster, "1", tiny.lora_gguf)
    is_over = threading.Event()

    def ask_on() -> list[str]:
        said = []
        while not is_over.is_set():
            said.append(dialect(cluster))
        return said

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask_on) for _ in range(4)]
        try:
            serve_dialect(cluster, "2", lambda path, base: word_adapter(path, base, "li "))  # the word before the last
            until(lambda: dialect(cluster) == "la " * 20)
        finally:
            is_over.set()
        said = [answer for each in asked for answer in each.result()]

    assert set(said) == {"lo " * 20, "la " * 20}


def test_requests_are_answered_while_a_replica_is_killed(cluster: TwoNodes) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(chat, cluster, max_tokens=2000) for _ in range(8)]
        ray.kill(cluster.replicas(cluster.chat)[0], no_restart=True)
        answers = [each.result() for each in asked]

    assert [each.usage.completion_tokens for each in answers] == [2000] * 8


def test_requests_are_answered_while_a_node_is_lost(cluster: TwoNodes) -> None:
    until(lambda: len(cluster.replicas(cluster.chat)) == 2)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(chat, cluster, max_tokens=2000) for _ in range(8)]
        removing = threading.Thread(
            target=cluster.nodes.remove_node, args=(cluster.other,), kwargs={"allow_graceful": False}
        )
        removing.start()
        answers = [each.result() for each in asked]
        removing.join()

    assert [each.usage.completion_tokens for each in answers] == [2000] * 8


def test_meeting_about_adapters_ends_when_its_last_worker_leaves(cluster: TwoNodes) -> None:
    def meetings() -> int:
        named: Any = ray.util.list_named_actors(all_namespaces=True)
        return sum(each["name"].startswith("adapters-") for each in named)

    def has_met(worker: RayRendezvous) -> bool:
        with suppress(OSError):  # the process of the meeting may take its time to start
            worker.meet(None)
            return True
        return False

    before, workers = meetings(), [RayRendezvous(f"{cluster.home}/other.json") for _ in range(2)]
    for worker in workers:
        until(lambda worker=worker: has_met(worker))
    workers[0].leave()
    assert meetings() == before + 1
    workers[1].leave()
    until(lambda: meetings() == before)
