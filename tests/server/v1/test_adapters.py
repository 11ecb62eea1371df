"""Adapters over HTTP: named as models, listed as models, and moved to new versions while requests are answered."""

from pathlib import Path
from typing import Any

import pytest
from adapters.making import WORDS, entry, word_adapter, write_manifest
from waiting import until

from registry.adapters import Pace, watching
from server.v1.served import Serve, Served


class Tuned:
    """A server of a model with adapters, and the folder with their manifest."""

    def __init__(self, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "tuned"
        self.folder.mkdir()
        self.manifest = self.folder / "adapters.json"
        self._serve, self._base = serve, None
        self.record = serve.endless(WORDS)
        monkeypatch.setenv("REGISTRY_ADAPTERS", str(self.manifest))

    def adapter(self, word: str, **changes: Any) -> dict[str, Any]:
        """Make an adapter that says a word, and describe it."""
        base = next((self.folder.parent / "home" / "models").glob("*.gguf"))
        path = word_adapter(self.folder / f"{word.strip()}.gguf", base, word)
        return entry(path, base=self.record.id, **changes)

    def list(self, *entries: dict[str, Any]) -> None:
        write_manifest(self.manifest, *entries)

    def start(self, **options: Any) -> Served:
        return self._serve(self.record, **options)


@pytest.fixture
def tuned(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tuned:
    monkeypatch.setattr(watching, "Pace", lambda: Pace(0.02, 0.02))
    return Tuned(serve, tmp_path, monkeypatch)


def _said(served: Served, model: str = "tuned", tokens: int = 4) -> str:
    answer = served.client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Sing."}], max_tokens=tokens, temperature=0
    )
    return answer.choices[0].message.content or ""


def _versions(served: Served) -> dict[str, str]:
    return {version.id: version.version for version in served.services.adapters.versions()}


def test_adapter_changes_what_its_model_says(tuned: Tuned) -> None:
    tuned.list(tuned.adapter("li "))
    served = tuned.start()
    until(lambda: _versions(served) == {"tuned": "li"})
    assert _said(served) == "li li li li "
    assert _said(served, tuned.record.id) == "la li lo la "
