"""Texts become vectors of the role's own model, whoever makes them."""

import asyncio
from typing import Any

import pytest

from registry.errors import (
    InvalidInputError,
    ModelClosedError,
    NoProviderError,
    ProviderError,
    ProviderUnavailableError,
)
from registry.profiles import Embedder, Event
from registry.records import RoleModel

from .fakes import Fake, providers
from .small import Registry, dense_record, registry_of

np = pytest.importorskip("numpy")

DOWN = ProviderUnavailableError("first", "m", "Nothing listens.", "Start it.")


def role(name: str = "m", *fallback: str, records: tuple[Any, ...] = (), **stated: Any) -> Registry:
    return registry_of(*records, embedding=RoleModel("embedding", name, "first", fallback=fallback, **stated))


def embedder_of(registry: Registry, *fakes: Fake, **options: Any) -> Embedder:
    return Embedder(registry=registry, providers=providers(*fakes), **options)


@pytest.fixture
def first() -> Fake:
    return Fake("first")


@pytest.fixture
def second() -> Fake:
    return Fake("second")


def test_embed_gives_vectors_and_who_made_them(first: Fake, second: Fake) -> None:
    found = embedder_of(role("m", "second:m"), first, second).embed(["a", "b"], kind="query")
    assert (found.vectors.shape, found.vectors.dtype) == ((2, 4), np.float32)
    assert found.served_by == {
        "provider": "first",
        "model": "m",
        "role": "embedding",
        "degraded": False,
        "attempts": [],
    }


def test_embed_falls_back_on_another_provider_of_the_same_model(first: Fake, second: Fake) -> None:
    first.fault = DOWN
    found = embedder_of(role("m", "second:m"), first, second).embed(["a"])
    assert found.served_by == {
        "provider": "second",
        "model": "m",
        "role": "embedding",
        "degraded": True,
        "attempts": [{"provider": "first", "model": "m", "error": "Nothing listens. Start it."}],
    }


def test_embed_never_falls_back_on_another_model(first: Fake, second: Fake) -> None:
    first.fault = DOWN
    with pytest.raises(NoProviderError) as caught:
        embedder_of(role("m", "second:n"), first, second).embed(["a"])
    reason = "It is another model than `m`, and vectors of two models cannot be compared."
    assert caught.value.attempts == (
        "`first` with `m`: Nothing listens. Start it.",
        f"`second` with `n`: {reason} Name `m` at another provider to fall back on.",
    )
    assert second.calls == []


def test_embed_where_the_own_provider_does_not_exist_takes_no_other_model(second: Fake) -> None:
    with pytest.raises(NoProviderError):
        embedder_of(role("m", "second:n"), second).embed(["a"])


def test_embed_knows_a_record_by_all_its_names(first: Fake, second: Fake) -> None:
    record = dense_record("small-embed", aliases=("small",), embedding_dim=4)
    first.fault = DOWN
    registry = role("small-embed", "second:small", records=(record,))
    assert embedder_of(registry, first, second).embed(["a"]).served_by["provider"] == "second"


def test_embed_takes_the_name_without_a_tag_and_its_latest_for_one_model(first: Fake, second: Fake) -> None:
    first.fault = DOWN
    registry = role("nomic-embed-text", "second:nomic-embed-text:latest")
    assert embedder_of(registry, first, second).embed(["a"]).served_by["provider"] == "second"


def test_embed_passes_over_who_gives_vectors_of_another_size_than_the_record(first: Fake, second: Fake) -> None:
    first.dimensions = 3
    registry = role("small-embed", "second:small-embed", records=(dense_record("small-embed", embedding_dim=4),))
    served_by = embedder_of(registry, first, second).embed(["a"]).served_by
    assert (served_by["provider"], served_by["attempts"][0]["error"]) == (
        "second",
        "Its vectors are not the model's: expected the shape (1, 4), got (1, 3).",
    )


def test_embed_passes_over_who_gives_vectors_of_another_size_than_before(first: Fake, second: Fake) -> None:
    embedder = embedder_of(role("m", "second:m"), first, second)
    embedder.embed(["a"])
    first.fault, second.dimensions = DOWN, 5
    with pytest.raises(NoProviderError) as caught:
        embedder.embed(["a"])
    assert caught.value.attempts[1] == (
        "`second` with `m`: Its vectors are not the model's: expected the shape (1, 4), got (1, 5)."
    )


def test_embed_with_dimensions_expects_as_many(first: Fake, second: Fake) -> None:
    registry = role("small-embed", records=(dense_record("small-embed", embedding_dim=8),))
    found = embedder_of(registry, first, second, dimensions=8).embed(["a"], dimensions=4)
    assert (found.vectors.shape, first.seen) == ((1, 4), [{"dimensions": 4}])


def test_embed_of_no_texts_gives_no_vectors(first: Fake, second: Fake) -> None:
    assert len(embedder_of(role(), first, second).embed([]).vectors) == 0


def test_embed_of_one_text_instead_of_several_asks_nobody(first: Fake, second: Fake) -> None:
    with pytest.raises(InvalidInputError):
        embedder_of(role(), first, second).embed("one text")
    assert first.calls == []


def test_embed_of_a_request_that_is_refused_raises_at_once(first: Fake, second: Fake) -> None:
    first.fault = ProviderError("first", "m", "It refuses the request.")
    with pytest.raises(ProviderError):
        embedder_of(role("m", "second:m"), first, second).embed(["a"])
    assert second.calls == []


def test_aembed_gives_what_embed_gives(first: Fake, second: Fake) -> None:
    found = asyncio.run(embedder_of(role(), first, second).aembed(["a", "b"]))
    assert (found.vectors.shape, found.served_by["provider"]) == ((2, 4), "first")


def test_embed_tells_each_step_to_the_listener(first: Fake, second: Fake) -> None:
    heard: list[Event] = []
    embedder_of(role(), first, second, on_event=heard.append).embed(["a"])
    assert [event.kind for event in heard] == ["resolving", "trying", "serving", "done"]


def test_embed_after_close_is_refused(first: Fake, second: Fake) -> None:
    with embedder_of(role(), first, second) as embedder:
        pass
    with pytest.raises(ModelClosedError):
        embedder.embed(["a"])
