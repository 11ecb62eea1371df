from collections.abc import Callable

import pytest
from hub_server import Hub

pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from registry.hub import ensure

from .keeping import FOLDER, dense


@pytest.mark.parametrize(("source", "sees"), [("hub", True), ("mirror", False)])
def test_token_goes_to_the_hub_and_to_no_mirror(
    hub: Hub, make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch, source: str, sees: bool
) -> None:
    asked = hub if source == "hub" else make_hub()
    model = dense(revision=asked.add("org/dense", FOLDER))
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    ensure(model, sources=["hub" if source == "hub" else asked.endpoint], token="hf_secret")
    assert asked.requests
    assert {("authorization" in request.headers) for request in asked.requests} == {sees}
