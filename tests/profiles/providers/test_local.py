"""The provider `local`: records that are fetched and run in this process."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from hub_server import Hub
from waiting import until, within

from registry.errors import (
    DownloadError,
    InvalidMessageError,
    InvalidOptionError,
    ModelNotDownloadedError,
    ProviderModelError,
)
from registry.hub.progress import Progress
from registry.profiles import Availability, Ensured, Provider, Target
from registry.profiles.providers import local
from registry.profiles.providers.local import LocalProvider
from registry.records import ChatModel, DenseModel

from .. import small
from ..peers import ASKED, deltas, without_time

REVISION = "0123456789abcdef0123456789abcdef01234567"
FIND = "Name one of `registry.MODEL_REGISTRY`, or another provider for the role."


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library, which is not there yet, as the Hugging Face cache is not."""
    for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    made = LocalProvider()
    yield made
    made.close()


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a chat model that says a text."""
    pytest.importorskip("llama_cpp")
    pytest.importorskip("gguf")
    folder = tmp_path_factory.mktemp("talking")
    return lambda script, **more: tiny.chat_gguf(folder / f"{abs(hash(script))}.gguf", script=script, **more)


def put(home: Path, file: Path, **changes: Any) -> ChatModel:
    """Put a file where that of a record is looked for."""
    record = tiny.chat_record(file, id="talk", **changes)
    kept = home / "models" / "talk.gguf"
    kept.parent.mkdir(parents=True)
    kept.symlink_to(file)
    return record


@pytest.fixture
def talk(talking: Callable[..., Path], home: Path) -> Target:
    return Target("talk", put(home, talking("Hello there, friend")))


@pytest.fixture
def endless(talking: Callable[..., Path], home: Path) -> Target:
    file = talking("on and off ", repeat=True, context_length=4096)
    return Target("talk", put(home, file, context_length=4096))


@pytest.fixture
def vectors(tmp_path: Path, home: Path) -> Target:
    """An encoder on this machine."""
    pytest.importorskip("sentence_transformers")
    tiny.dense(home / "models" / "see")
    return Target("see", tiny.dense_record(id="see", query_prompt="query: "))


# What is there


def test_provider_has_what_a_provider_has() -> None:
    typed: Provider = LocalProvider()

    assert typed.name == "local"


@pytest.mark.parametrize("package", ["llama_cpp", "sentence_transformers"])
def test_available_with_one_package_that_runs_models_is_true(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: name == package or None)

    assert LocalProvider().available() == Availability()


def test_available_without_such_a_package_says_how_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda _: None)

    assert LocalProvider().available() == Availability(
        "Neither `llama_cpp` nor `sentence_transformers` is installed.",
        'Install one with `pip install "typed-model-registry[chat]"`, or with `[embed]` for embeddings.',
    )


@pytest.mark.parametrize(("installed", "has"), [(("llama_cpp",), True), (("sentence_transformers",), False)])
def test_has_needs_the_file_and_the_package_that_runs_it(
    monkeypatch: pytest.MonkeyPatch, home: Path, installed: tuple[str, ...], has: bool
) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: name if name in installed else None)
    target = Target("talk", small.chat_record("talk"))
    assert not LocalProvider().has(target)

    (home / "models").mkdir(parents=True)
    (home / "models" / "talk.gguf").write_bytes(b"GGUF")

    assert LocalProvider().has(target) is has


def test_has_of_a_name_without_a_record_is_false(provider: LocalProvider) -> None:
    assert not provider.has(Target("nobody-has-this"))


def test_name_without_a_record_is_looked_up_in_the_registry_that_was_given(home: Path) -> None:
    registry = small.Registry([small.chat_record("talk", aliases=("chatty",))])
    (home / "models").mkdir(parents=True)
    (home / "models" / "talk.gguf").write_bytes(b"GGUF")

    pytest.importorskip("llama_cpp")
    assert LocalProvider(registry=registry).has(Target("chatty"))


# Fetching


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for package in ("huggingface_hub", "stamina", "filelock"):
        pytest.importorskip(package)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def published(hub: Hub, tmp_path: Path) -> Target:
    """A record whose file the hub has, and this machine has not."""
    file = tmp_path / "published" / "talk.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF" + bytes(5000))
    commit = hub.add("org/talk", {"talk.gguf": file})
    return Target("talk", tiny.chat_record(file, id="talk", huggingface_id="org/talk", revision=commit))


def test_ensure_fetches_what_is_missing_and_tells_of_it(provider: LocalProvider, published: Target) -> None:
    told: list[Progress] = []

    assert provider.ensure(published, progress=told.append) == Ensured("downloaded", 5004)
    assert provider.ensure(published) == Ensured("already_present")
    assert [progress.stage for progress in told][-1] == "done"


def test_ensure_by_force_reads_what_is_there_and_fetches_nothing(
    provider: LocalProvider, published: Target, hub: Hub
) -> None:
    provider.ensure(published)
    hub.requests.clear()
    told: list[Progress] = []

    assert provider.ensure(published, force=True, progress=told.append) == Ensured("already_present")
    assert "hashing" in {progress.stage for progress in told}
    assert hub.requests == []


def test_ensure_by_force_fetches_what_is_damaged(provider: LocalProvider, published: Target, home: Path) -> None:
    provider.ensure(published)
    kept = home / "models" / "talk.gguf"
    kept.chmod(0o644)
    kept.write_bytes(b"GGUX" + bytes(5000))

    assert provider.ensure(published, force=True) == Ensured("downloaded", 5004)
    assert kept.read_bytes()[:4] == b"GGUF"


def test_ensure_where_nothing_may_be_fetched_says_what_is_missing(published: Target, hub: Hub) -> None:
    with pytest.raises(ModelNotDownloadedError):
        LocalProvider(allow_download=False).ensure(published)
    assert hub.requests == []


def test_ensure_of_what_nobody_has_is_a_failed_download(provider: LocalProvider, hub: Hub) -> None:
    record = small.chat_record("talk", huggingface_id="org/nobody", revision=REVISION)

    with pytest.raises(DownloadError):
        provider.ensure(Target("talk", record))


def test_ensure_of_a_name_without_a_record_says_so(provider: LocalProvider) -> None:
    with pytest.raises(ProviderModelError) as caught:
        provider.ensure(Target("nobody-has-this"))

    assert str(caught.value) == f"`local`, asked for `nobody-has-this`: No record has this name. {FIND}"


# Answers


def test_chat_gives_the_answer_of_the_model(provider: LocalProvider, talk: Target) -> None:
    answer: Any = provider.chat(talk, ASKED, {"temperature": 0.0, "max_tokens": 20})

    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello there, friend"}, "finish_reason": "stop"}
    ]
    assert answer["model"] == "talk"


def test_stream_gives_the_same_in_pieces(provider: LocalProvider, talk: Target) -> None:
    chunks = list(provider.stream(talk, ASKED, {"temperature": 0.0}))

    texts = [delta.get("content", "") for delta in deltas(chunks)]
    assert (texts[0], "".join(texts)) == ("", "Hello there, friend")
    assert "usage" in chunks[-1]


def test_stream_that_is_closed_frees_the_model(provider: LocalProvider, endless: Target) -> None:
    chunks = provider.stream(endless, ASKED, {"temperature": 0.0, "max_tokens": 3000})
    next(chunks)
    next(chunks)

    chunks.close()

    answer = within(lambda: provider.chat(endless, ASKED, {"max_tokens": 1}))
    assert answer["choices"][0]["finish_reason"] == "length"


def test_stream_that_another_thread_reads_can_be_closed(provider: LocalProvider, endless: Target) -> None:
    chunks = provider.stream(endless, ASKED, {"temperature": 0.0, "max_tokens": 3000})
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.extend(chunks), daemon=True)
    reader.start()
    until(lambda: len(found) > 3)

    chunks.close()

    reader.join(30)
    assert not reader.is_alive()
    assert found[-1]["choices"][0]["finish_reason"] is None  # what was cut off has no end to tell of


def test_context_length_is_that_of_the_loaded_model(provider: LocalProvider, talk: Target) -> None:
    from registry.loaders import ModelManager

    record: Any = talk.record
    with ModelManager(max_models=2) as manager:
        LocalProvider(manager).chat(talk, ASKED, {"max_tokens": 1, "context_length": 128})
        options = manager.options
        with manager.use(record, options=type(options)(context_length=128)) as chat:
            assert (chat.context_length, len(manager.loaded)) == (128, 1)


def test_close_frees_its_own_models_and_leaves_those_of_a_manager(talk: Target) -> None:
    from registry.loaders import ModelManager

    with ModelManager() as manager:
        provider = LocalProvider(manager)
        provider.chat(talk, ASKED, {"max_tokens": 1})
        provider.close()
        assert manager.loaded == ("talk",)


def test_provider_that_was_closed_can_be_used_again(provider: LocalProvider, talk: Target) -> None:
    first = provider.chat(talk, ASKED, {"temperature": 0.0})
    provider.close()

    assert without_time(provider.chat(talk, ASKED, {"temperature": 0.0})) == without_time(first)


@pytest.mark.parametrize(
    ("messages", "parameters", "error"),
    [
        (ASKED, {"temprature": 0.1}, InvalidOptionError),
        (ASKED, {"temperature": 9.0}, InvalidOptionError),
        ([], {}, InvalidMessageError),
    ],
)
def test_faults_of_the_caller_are_raised(
    provider: LocalProvider, talk: Target, messages: Any, parameters: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        provider.chat(talk, messages, parameters)
    with pytest.raises(error):
        next(provider.stream(talk, messages, parameters))


def test_parameter_that_is_not_known_is_named_with_those_that_are(provider: LocalProvider) -> None:
    target = Target("talk", small.chat_record("talk"))

    with pytest.raises(InvalidOptionError) as caught:
        provider.chat(target, ASKED, {"mirostat": 2})

    assert str(caught.value) == (
        "`mirostat`: expected a parameter that is known here, got 2. The provider `local` knows context_length, "
        "max_tokens, repeat_penalty, response_format, seed, stop, temperature, template_options, tool_choice, tools, "
        "top_k, top_p."
    )


def test_chat_with_a_model_that_is_not_there_says_how_to_get_it(provider: LocalProvider) -> None:
    pytest.importorskip("llama_cpp")
    with pytest.raises(ModelNotDownloadedError):
        provider.chat(Target("talk", small.chat_record("talk")), ASKED, {})


def test_chat_with_a_record_that_does_not_chat_passes_on(provider: LocalProvider) -> None:
    record: DenseModel = small.dense_record("see")

    with pytest.raises(ProviderModelError) as caught:
        provider.chat(Target("see", record), ASKED, {})

    assert str(caught.value) == f"`local`, asked for `see`: It is no chat model. {FIND}"


# Vectors


def test_embed_gives_float32_vectors_with_the_prompt_of_the_kind(provider: LocalProvider, vectors: Target) -> None:
    import numpy as np

    from registry.loaders import load

    texts = ["one text", "another"]
    found = {kind: provider.embed(vectors, texts, {}, kind=kind) for kind in ("query", "document", None)}

    record: Any = vectors.record
    with load(record) as encoder:
        assert np.allclose(found["query"], encoder.encode_query(texts), atol=1e-6)
        assert np.allclose(found["document"], encoder.encode_document(texts), atol=1e-6)
        assert np.allclose(found[None], encoder.encode(texts), atol=1e-6)
    assert {each.dtype for each in found.values()} == {np.dtype(np.float32)}
    assert not np.allclose(found["query"], found[None])


def test_embed_passes_over_what_is_for_answers(provider: LocalProvider, vectors: Target) -> None:
    assert len(provider.embed(vectors, ["text"], {"temperature": 0.2, "max_tokens": 5})) == 1


def test_embed_with_a_parameter_that_is_not_known_is_refused(provider: LocalProvider) -> None:
    with pytest.raises(InvalidOptionError, match=r"^`dimension`: expected a parameter that is known here, got 5\."):
        provider.embed(Target("see", small.dense_record("see")), ["text"], {"dimension": 5})


def test_embed_with_a_model_that_gives_no_vector_passes_on(provider: LocalProvider) -> None:
    with pytest.raises(ProviderModelError) as caught:
        provider.embed(Target("talk", small.chat_record("talk")), ["text"], {})

    assert str(caught.value) == f"`local`, asked for `talk`: It does not give one vector a text. {FIND}"
