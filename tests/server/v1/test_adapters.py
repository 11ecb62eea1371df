"""Adapters over HTTP: named as models, listed as models, and moved to new versions while requests are answered."""

import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from adapters.making import WORDS, entry, word_adapter, write_manifest
from hub_server import Fault, Hub
from waiting import WAIT_S, until

from registry.adapters import Pace, watching
from registry.catalog import Catalog
from registry.loaders import LoadOptions
from registry.server import ServerOptions, create_app
from registry.server.v1.desks import Desks
from server.v1.few_records import FewRecords
from server.v1.served import Serve, Served

MESSAGES: Any = [{"role": "user", "content": "Sing."}]


class Tuned:
    """A model with adapters, and the folder with their manifest."""

    def __init__(self, serve: Serve, folder: Path) -> None:
        self.folder = folder / "tuned"
        self.folder.mkdir()
        self.manifest = self.folder / "adapters.json"
        self.home = folder / "home"
        self.record = serve.endless(WORDS)
        self._base = self.home / "models" / f"{self.record.id}.gguf"
        self._serve = serve

    def adapter(self, word: str, **changes: Any) -> dict[str, Any]:
        """Make an adapter that says a word for ever, and describe it; its version is the word."""
        path = word_adapter(self.folder / f"{word.strip()}.gguf", self._base, word)
        return entry(path, base=self.record.id, **changes)

    def list(self, *entries: dict[str, Any]) -> None:
        """Replace the manifest."""
        write_manifest(self.manifest, *entries)

    def start(self, **options: Any) -> Served:
        return self._serve(self.record, **options)

    def serving(self, *entries: dict[str, Any], **options: Any) -> Served:
        """Start with these adapters, and wait until they are served."""
        self.list(*entries)
        served = self.start(**options)
        until(lambda: served.services.adapters.is_settled)
        return served


@pytest.fixture
def tuned(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tuned:
    monkeypatch.setattr(watching, "Pace", lambda: Pace(0.02, 0.02))
    tuned = Tuned(serve, tmp_path)
    monkeypatch.setenv("REGISTRY_ADAPTERS", str(tuned.manifest))
    return tuned


def _said(served: Served, model: str = "tuned", tokens: int = 4) -> str | None:
    answer = served.client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=tokens, temperature=0)
    return answer.choices[0].message.content


def _stream(served: Served, tokens: int) -> Any:
    return served.client.chat.completions.create(
        model="tuned", messages=MESSAGES, max_tokens=tokens, temperature=0, stream=True
    )


def _text(chunks: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def _versions(served: Served) -> dict[str, str]:
    return {version.id: version.version for version in served.services.adapters.versions()}


def _files(tuned: Tuned) -> set[str]:
    return {path.stem for path in (tuned.home / "adapters").glob("*.gguf")}


def _refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


# What requests may name


def test_adapter_changes_what_its_model_says(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    assert _said(served) == "li li li li "
    assert _said(served, tuned.record.id) == "la li lo la "


def test_adapters_of_one_model_are_told_apart(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "), tuned.adapter("lo ", id="other"))
    assert [_said(served, name, 2) for name in ("tuned", "other", "TUNED", "tuned")] == [
        "li li ",
        "lo lo ",
        "li li ",
        "li li ",
    ]


def test_answer_names_the_adapter(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    answer = served.client.chat.completions.create(model="TUNED", messages=MESSAGES, max_tokens=1)
    assert answer.model == "tuned"
    assert {chunk.model for chunk in _stream(served, 2)} == {"tuned"}


def test_completion_is_made_with_the_adapter(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    answer = served.client.completions.create(model="tuned", prompt="Sing.", max_tokens=3, temperature=0)
    assert answer.choices[0].text == "li li li "


def test_models_list_adapters_after_the_models(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li ", version="2026-11-21"))
    model, adapter = (found.model_dump() for found in served.client.models.list())
    assert (model["id"], model["root"], model["version"]) == (tuned.record.id, None, None)
    own = {"id": "tuned", "name": "tuned", "root": tuned.record.id, "version": "2026-11-21", "roles": [], "aliases": []}
    assert adapter == model | own
    assert served.client.models.retrieve("Tuned").model_dump() == adapter


def test_name_that_is_close_to_an_adapter_is_answered_with_it(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    with pytest.raises(openai.NotFoundError) as caught:
        _said(served, "tunde")
    assert "Did you mean `tuned`?" in caught.value.message


def test_embeddings_are_not_made_with_an_adapter(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    with pytest.raises(openai.BadRequestError):
        served.client.embeddings.create(model="tuned", input="Sing.")


def test_folder_of_adapters_is_no_manifest(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_ADAPTERS", str(tuned.folder))
    assert tuned.start().services.adapters is None


# New versions


def test_new_version_is_served_and_the_old_one_is_freed(tuned: Tuned) -> None:
    old, new = tuned.adapter("li "), tuned.adapter("lo ")
    served = tuned.serving(old, max_models=4)
    assert _said(served, tokens=2) == "li li "
    tuned.list(new)
    until(lambda: _versions(served) == {"tuned": "lo"})
    assert _said(served, tokens=2) == "lo lo "
    until(lambda: _files(tuned) == {new["sha256"]})
    loaded = {slot.wanted.options for slot in served.services.manager._slots}
    assert loaded == {LoadOptions(adapter=tuned.home / "adapters" / f"{new['sha256']}.gguf")}


def test_new_version_is_loaded_before_it_is_served(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    (version,) = served.services.adapters.versions()
    assert {slot.wanted.options.adapter for slot in served.services.manager._slots} == {version.path}


def test_request_that_has_begun_finishes_with_the_old_version(tuned: Tuned) -> None:
    old, new = tuned.adapter("li "), tuned.adapter("lo ")
    served = tuned.serving(old, max_models=2)
    stream = _stream(served, 3000)
    begun = _text([next(stream), next(stream)])
    tuned.list(new)
    until(lambda: _versions(served) == {"tuned": "lo"})
    assert _said(served, tokens=2) == "lo lo "
    assert _files(tuned) == {old["sha256"], new["sha256"]}
    assert begun + _text(stream) == "li " * 3000
    until(lambda: _files(tuned) == {new["sha256"]})


def test_version_is_held_by_the_requests_that_began_with_it(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "), max_models=2)
    held = weakref.ref(served.services.adapters.find("tuned"))
    stream = _stream(served, 8000)
    next(stream)
    tuned.list(tuned.adapter("lo "))
    until(lambda: _versions(served) == {"tuned": "lo"})
    assert held() is not None
    stream.close()
    until(lambda: held() is None)


def test_request_that_waits_in_the_queue_keeps_its_version(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "), max_models=2)
    stream = _stream(served, 8000)
    next(stream)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(_said, served, tokens=2)
        until(lambda: sum(desk.waiting for desk in served.services.desks.status()) == 1)
        tuned.list(tuned.adapter("lo "))
        until(lambda: _versions(served) == {"tuned": "lo"})
        stream.close()
        assert waiting.result(WAIT_S) == "li li "


def test_adapter_that_is_listed_no_more_is_gone_but_finishes(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    stream = _stream(served, 2000)
    begun = _text([next(stream), next(stream)])
    tuned.list()
    until(lambda: _versions(served) == {})
    with pytest.raises(openai.NotFoundError):
        _said(served)
    assert [model.id for model in served.client.models.list()] == [tuned.record.id]
    assert begun + _text(stream) == "li " * 2000
    until(lambda: _files(tuned) == set())


def test_version_that_comes_back_is_served_again(tuned: Tuned) -> None:
    old, new = tuned.adapter("li "), tuned.adapter("lo ")
    served = tuned.serving(old)
    for listed in (new, old, new, old):
        tuned.list(listed)
        until(lambda listed=listed: _versions(served) == {"tuned": listed["version"]})
        assert _said(served, tokens=2) == f"{listed['version']} " * 2


# What changes nothing


def test_manifest_that_is_gone_changes_nothing(tuned: Tuned, caplog: pytest.LogCaptureFixture) -> None:
    served = tuned.serving(tuned.adapter("li "))
    tuned.manifest.unlink()
    until(lambda: any("manifest_refused" in record.getMessage() for record in caplog.records))
    assert _said(served, tokens=2) == "li li "
    tuned.list(tuned.adapter("lo "))
    until(lambda: _versions(served) == {"tuned": "lo"})


@pytest.mark.parametrize("end", [0, 1, 30, -1])
def test_manifest_that_is_half_written_changes_nothing(end: int, tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "))
    whole = write_manifest(tuned.folder / "other.json", tuned.adapter("lo ")).read_bytes()
    tuned.manifest.write_bytes(whole[:end])
    adapters = served.services.adapters
    until(lambda: adapters._content == whole[:end])
    assert _said(served, tokens=2) == "li li "
    tuned.manifest.write_bytes(whole)
    until(lambda: _versions(served) == {"tuned": "lo"})


def test_bad_version_is_refused_and_the_old_one_stays(tuned: Tuned, caplog: pytest.LogCaptureFixture) -> None:
    served = tuned.serving(tuned.adapter("li "))
    tuned.list(tuned.adapter("lo ", sha256="0" * 64, version="2"), tuned.adapter("la ", id="other"))
    until(lambda: _versions(served) == {"tuned": "li", "other": "la"})
    assert [_said(served, name, 2) for name in ("tuned", "other")] == ["li li ", "la la "]
    (refusal,) = served.services.adapters.refused
    assert (refusal.adapter_id, refusal.version) == ("tuned", "2")
    (line,) = _refusals(caplog)
    assert line.startswith(f"registry.adapters.refused id=tuned version=2 sha256={'0' * 64} problem=")


def test_adapter_with_the_name_of_a_model_or_a_role_is_refused(tuned: Tuned, caplog: pytest.LogCaptureFixture) -> None:
    listed = [tuned.adapter("li ", id=name) for name in (tuned.record.id, "singer", "tuned")]
    served = tuned.serving(*listed, roles={"singer": tuned.record.id})
    assert _versions(served) == {"tuned": "li"}
    assert _said(served, "singer") == "la li lo la "
    problem = "requests mean a model, or the role of one, by this name."
    assert [error.problem for error in served.services.adapters.refused] == [problem] * 2
    assert len(_refusals(caplog)) == 2


def test_what_was_decided_is_served_after_a_restart_without_the_manifest(tuned: Tuned) -> None:
    tuned.serving(tuned.adapter("li ")).stop()
    tuned.manifest.unlink()
    assert _said(tuned.start(), tokens=2) == "li li "


def test_server_ends_while_an_adapter_is_fetched(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_CLOSING_S", 0.1)
    with Hub() as hub:
        hub.add("org/tuned", {"tuned.gguf": b"GGUF" * 1000})
        hub.misbehave("tuned.gguf", Fault(stall=10))
        tuned.list(tuned.adapter("li ", file=hub.url("org/tuned", "tuned.gguf")))
        served = tuned.start()
        until(lambda: len(hub.requests) == 1)
        served.stop()


# Readiness


def _readiness(served: Served) -> tuple[int, str, dict[str, Any]]:
    response = httpx.get(f"{served.url}/ready")
    data = response.json()["data"]
    return response.status_code, data["status"], data["adapters"]


def test_server_is_ready_when_its_first_adapters_are_decided_on(tuned: Tuned) -> None:
    with Hub() as hub:
        hub.add("org/tuned", {"tuned.gguf": b"GGUF" * 1000})
        hub.misbehave("tuned.gguf", Fault(stall=10))
        tuned.list(tuned.adapter("li ", file=hub.url("org/tuned", "tuned.gguf")))
        served = tuned.start()
        until(lambda: len(hub.requests) == 1)
        assert _readiness(served) == (503, "preparing", {"manifest": "preparing", "refused": []})
        assert "registry_ready 0.0" in httpx.get(f"{served.url}/metrics").text
        assert httpx.get(f"{served.url}/ready").json()["error"] == {
            "code": "not_ready",
            "message": "Adapters are still being prepared, here or by other servers.",
            "hint": "",
        }
    until(lambda: _readiness(served) == (200, "ready", {"manifest": "settled", "refused": ["tuned"]}))
    assert "registry_ready 1.0" in httpx.get(f"{served.url}/metrics").text


def test_server_that_refuses_an_adapter_is_ready_and_says_so(tuned: Tuned) -> None:
    served = tuned.serving(tuned.adapter("li "), tuned.adapter("lo ", id="bad", sha256="0" * 64))
    assert _readiness(served) == (200, "ready", {"manifest": "settled", "refused": ["bad"]})


def test_server_whose_manifest_is_wrong_from_the_start_is_ready_and_serves_it_once_mended(tuned: Tuned) -> None:
    tuned.manifest.write_text("{")
    served = tuned.start()
    until(lambda: _readiness(served) == (200, "ready", {"manifest": "unusable", "refused": []}))
    tuned.list(tuned.adapter("li "))
    until(lambda: _readiness(served) == (200, "ready", {"manifest": "settled", "refused": []}))
    assert _said(served, tokens=2) == "li li "


def test_server_that_hands_requests_on_watches_no_adapters_of_its_own(tuned: Tuned) -> None:
    tuned.list()
    settings: Any = {"catalog": Catalog.open(":memory:"), "registry": FewRecords(tuned.record)}
    with settings["catalog"]:
        desks: Any = Desks(None, ServerOptions())  # type: ignore[arg-type] # nobody asks for a model
        handing_on, working = (create_app(ServerOptions(), **settings, desks=each) for each in (desks, None))
        assert (handing_on.state.services.adapters, working.state.services.adapters is None) == (None, False)
