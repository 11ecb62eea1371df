"""Models of this package's own loaders, in this process."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from registry._places import find_files
from registry.errors import InvalidOptionError, ProviderModelError
from registry.profiles.chunks import Chunks
from registry.profiles.parameters import CANONICAL, known_to_local
from registry.profiles.protocol import LOCAL, Availability
from registry.profiles.providers.fetched import ensure_files
from registry.records import ChatModel, DenseModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.chat import Messages
    from registry.loaders import ChatCompletion, ChatCompletionChunk, LoadOptions, ModelManager, Stream
    from registry.profiles.protocol import Ensured, OnProgress, Parameters, Target, TextKind
    from registry.queries import ModelRegistry
    from registry.records import ModelInfo

_MAX_MODELS = 2  # one that answers, and one that embeds: a role of each is what most programs use
_PACKAGES = {"llama_cpp": "chat", "sentence_transformers": "embed"}  # package -> the extra that brings it
_INSTALL = 'Install one with `pip install "typed-model-registry[chat]"`, or with `[embed]` for embeddings.'
_FIND = "Name one of `registry.MODEL_REGISTRY`, or another provider for the role."


class LocalProvider:
    """Loads records and runs them. Any number of threads may use it at the same time; calls to one model queue.

    Models stay loaded until others need their place, or `close()`.

    Args:
        manager: Where models are loaded. It is not closed by `close()`. Left out: one for two models.
        registry: Where names without a record are looked up. Left out: this package's.
        allow_download: False never to use the network: `ensure` then fails where files are missing.

    Example:
        >>> from registry.profiles import Target
        >>> LocalProvider().has(Target("no-such-model"))
        False
    """

    def __init__(
        self,
        manager: ModelManager | None = None,
        registry: ModelRegistry[Any] | None = None,
        *,
        allow_download: bool = True,
    ) -> None:
        self._given = manager
        self._registry = registry
        self._allow_download = allow_download
        self._lock = threading.Lock()
        self._made: ModelManager | None = None

    @property
    def name(self) -> str:
        """`local`."""
        return LOCAL

    def available(self) -> Availability:
        """Say whether a package is there that runs models. Imports none."""
        if any(find_spec(package) for package in _PACKAGES):
            return Availability()
        packages = " nor ".join(f"`{package}`" for package in _PACKAGES)
        return Availability(f"Neither {packages} is installed.", _INSTALL)

    def has(self, model: Target) -> bool:
        """Say whether the files of a model are on this machine, with the package that runs them. Reads none."""
        record = self._find(model)
        found = find_files(record) if record is not None else None
        if found is None:
            return False
        return find_spec("llama_cpp" if found.suffix == ".gguf" else "sentence_transformers") is not None

    def ensure(self, model: Target, *, force: bool = False, progress: OnProgress | None = None) -> Ensured:
        """Have the files of a model on this machine, as `registry.hub.ensure` does.

        Args:
            model: The model.
            force: True to read files that are there, and fetch anew what is not as the record pins it.
            progress: Called now and then. What it raises ends the work.

        Raises:
            ProviderModelError: No record has this name.
            RegistryError: What `registry.hub.ensure` raises.
        """
        return ensure_files(self._record(model), force=force, progress=progress, download=self._allow_download)

    def chat(self, model: Target, messages: Messages, parameters: Parameters) -> ChatCompletion:
        """Answer a conversation, in OpenAI's shape. The first call loads the model; its files must be there.

        Raises:
            ProviderModelError: No record has this name, or it is no chat model.
            InvalidOptionError: A parameter is not one of `Chat.reply`, or has a value that it cannot have.
            RegistryError: What loading a model and `Chat.reply` raise.
        """
        record = self._chat_model(model)
        options = _reply_options(record, parameters)
        with self._manager().use(record, options=self._load_options(parameters)) as chat:
            return chat.reply(messages, **options)

    def stream(
        self, model: Target, messages: Messages, parameters: Parameters
    ) -> Generator[ChatCompletionChunk, None, None]:
        """Answer a conversation in chunks. Closing it, from any thread, ends the work at the next token.

        Raises:
            The errors of `chat`, when the first chunk is asked for.
        """
        stop = _Stop()
        return Chunks(self._chunks(model, messages, parameters, stop), stop)

    def embed(
        self, model: Target, texts: Sequence[str], parameters: Parameters, *, kind: TextKind | None = None
    ) -> NDArray[Any]:
        """Turn texts into vectors, float32 of shape (texts, dimensions).

        Args:
            model: The model.
            texts: The texts.
            parameters: `dimensions`: one of the sizes of the record; `context_length`: tokens to cut longer texts to.
            kind: What the texts are: decides which prompt of the record is put in front.

        Raises:
            ProviderModelError: No record has this name, or it does not give one vector a text.
            RegistryError: What loading a model and encoding raise.
        """
        _refuse_others(parameters, (*CANONICAL, "dimensions"))
        record = self._record(model)
        if not isinstance(record, DenseModel):
            raise ProviderModelError(self.name, model.name, "It does not give one vector a text.", _FIND)
        options = replace(self._load_options(parameters), truncate_dim=parameters.get("dimensions"), progress=False)
        with self._manager().use(record, options=options) as encoder:
            encode = {"query": encoder.encode_query, "document": encoder.encode_document}.get(kind or "")
            return (encode or encoder.encode)(texts)

    def close(self) -> None:
        """Free the models that it has loaded itself. It can be used again afterwards."""
        with self._lock:
            manager, self._made = self._made, None
        if manager is not None:
            manager.close()

    def _manager(self) -> ModelManager:
        if self._given is not None:
            return self._given
        with self._lock:
            if self._made is None:
                from registry.loaders import ModelManager

                self._made = ModelManager(max_models=_MAX_MODELS, registry=self._registry)
            return self._made

    def _load_options(self, parameters: Parameters) -> LoadOptions:
        options = self._manager().options
        length = parameters.get("context_length")
        return options if length is None else replace(options, context_length=length)

    def _find(self, model: Target) -> ModelInfo | None:
        if model.record is not None:
            return model.record
        if self._registry is not None:
            return cast("ModelInfo | None", self._registry.find_model(model.name))
        from registry import find_model

        return find_model(model.name)

    def _record(self, model: Target) -> ModelInfo:
        if (record := self._find(model)) is None:
            raise ProviderModelError(self.name, model.name, "No record has this name.", _FIND)
        return record

    def _chat_model(self, model: Target) -> ChatModel:
        record = self._record(model)
        if not isinstance(record, ChatModel):
            raise ProviderModelError(self.name, model.name, "It is no chat model.", _FIND)
        return record

    def _chunks(
        self, model: Target, messages: Messages, parameters: Parameters, stop: _Stop
    ) -> Generator[ChatCompletionChunk, None, None]:
        record = self._chat_model(model)
        options = _reply_options(record, parameters)
        with (
            self._manager().use(record, options=self._load_options(parameters)) as chat,
            chat.stream(messages, **options) as stream,
        ):
            stop.ends(stream)
            yield from stream


class _Stop:
    """Ends a stream that may not be there yet. Called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_called = False
        self._stream: Stream[Any] | None = None

    def __call__(self) -> None:
        with self._lock:
            self._is_called = True
            stream = self._stream
        if stream is not None:
            stream.close()

    def ends(self, stream: Stream[Any]) -> None:
        """Say which stream it ends."""
        with self._lock:
            self._stream = stream
            is_late = self._is_called
        if is_late:
            stream.close()


def _reply_options(record: ChatModel, parameters: Parameters) -> Any:
    _refuse_others(parameters, sorted(known_to_local(record)))
    return {name: value for name, value in parameters.items() if name != "context_length" and value is not None}


def _refuse_others(parameters: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse parameters that mean nothing here; another provider may know them, but a misspelt one nobody does."""
    for name, value in parameters.items():
        if name not in known:
            remedy = f"The provider `local` knows {', '.join(known)}."
            raise InvalidOptionError(name, "a parameter that is known here", value, remedy)
