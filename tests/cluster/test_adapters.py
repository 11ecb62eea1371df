"""Adapters of a replica, without Ray: which it has, and which it leaves to other replicas."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from adapters.making import digest, entry, word_adapter, write_manifest
from server.v1.few_records import FewRecords

from registry.adapters import AdapterRef, AdapterVersion, Ballot, Decision, Refusal
from registry.cluster import adapters as module
from registry.cluster.adapters import ReplicaAdapters
from registry.loaders import LoadOptions, ModelManager

MISSING = "c" * 64


class Decided:
    """A meeting that has decided: on the adapter of the test, and on one that is nowhere."""

    sha256 = ""

    def __init__(self, manifest: str) -> None: ...

    def decided(self) -> Decision:
        refs = (AdapterRef(name, "1", "tiny-chat", sha256) for name, sha256 in (("a", self.sha256), ("b", MISSING)))
        return Decision(1, "m", tuple(refs))

    look = decided

    def meet(self, _: Ballot | None) -> Decision:
        return self.decided()

    def refused(self) -> tuple[Refusal, ...]:
        return ()

    def leave(self) -> None: ...


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicaAdapters]:
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    base = tiny.chat_gguf(tmp_path / "home" / "models" / "tiny-chat.gguf", script=("la ", "li ", "lo "), repeat=True)
    file = word_adapter(tmp_path / "1.gguf", base)
    monkeypatch.setattr(Decided, "sha256", digest(file))
    monkeypatch.setattr(module, "RayRendezvous", Decided)
    manifest = write_manifest(tmp_path / "adapters.json", entry(file, id="a"))
    record = tiny.chat_record(base)
    with (
        ModelManager(max_models=2, options=LoadOptions(gpu_layers=0)) as manager,
        ReplicaAdapters(str(manifest), record, FewRecords(record), manager) as adapters,
    ):
        yield adapters


def test_replica_has_what_the_manifest_lists_when_it_is_ready(replica: ReplicaAdapters) -> None:
    asked = AdapterVersion("a", "1", "tiny-chat", Decided.sha256, Path("/of/the/ingress"))

    found = replica.find(asked)

    assert found is not None
    assert digest(found.path) == asked.sha256


def test_replica_does_not_have_a_version_whose_file_is_not_on_its_node(replica: ReplicaAdapters) -> None:
    assert replica.find(AdapterVersion("b", "1", "tiny-chat", MISSING, Path())) is None
