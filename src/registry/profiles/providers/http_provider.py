"""What providers have in common that ask a service over HTTP: one client, made when it is needed, and its questions."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from registry.errors import MissingExtraError, ProviderError, ProviderUnavailableError, RegistryError
from registry.profiles.chunks import Chunked, Chunks, joined
from registry.profiles.protocol import Availability
from registry.profiles.providers.endpoints import Endpoint, probe
from registry.profiles.providers.patience import Patience
from registry.profiles.providers.services import Service, Timeouts, shortened

if TYPE_CHECKING:
    from registry.chat import Messages
    from registry.loaders import ChatCompletion
    from registry.profiles.protocol import Parameters, Target

LOOK_S = 10.0
"""Longest time for a question that needs no model, in seconds."""
_AVAILABLE_S = 2.0
_LAST_S = 1.0  # for the end of an answer after its last line


class Closable(Protocol):
    """What has connections to close."""

    def close(self) -> None:
        """Close them."""
        ...


C = TypeVar("C", bound=Closable)
T = TypeVar("T")


class HttpProvider(ABC, Generic[C]):
    """Asks a service. Connections are kept; any number of threads may use it at the same time.

    Answers are always read piece by piece, so that a whole one is limited as one that is streamed: by the time to the
    first token, and by the pauses after it. Nothing is tried twice.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts.checked()
        self._lock = threading.Lock()
        self._client: C | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Name in profiles."""

    def available(self) -> Availability:
        """Say whether the service answers. Where nothing listens, that takes no time and imports nothing."""
        limit_s = min(self._timeouts.connect_s, _AVAILABLE_S)
        try:
            self._probe("", limit_s)
            self._ask("", limit_s, "no answer", self._greet)
        except ProviderError as error:
            return Availability(error.problem, error.remedy)
        except RegistryError as error:
            return Availability(*error.explained())
        return Availability()

    def chat(self, model: Target, messages: Messages, parameters: Parameters) -> ChatCompletion:
        """Answer a conversation, in OpenAI's shape.

        Raises:
            ProviderUnavailableError: The service cannot be asked, does not answer in time, or breaks off.
            ProviderModelError: It does not have the model, or cannot load it.
            ProviderError: It refuses the request.
            InvalidMessageError: The conversation is not one that a chat model can be given.
            InvalidOptionError: A parameter has a value that it cannot have.
        """
        with closing(self.stream(model, messages, parameters)) as chunks:
            return joined(chunks)

    def stream(self, model: Target, messages: Messages, parameters: Parameters) -> Chunked:
        """Answer a conversation in chunks. Closing it, from any thread, closes the connection: the service stops then.

        Raises:
            The errors of `chat`, when the first chunk is asked for.
        """
        patience = Patience()
        return Chunks(self._answer(model.name, messages, parameters, patience), patience.cancel)

    def close(self) -> None:
        """Close the connections. It can be used again afterwards."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _answer(self, model: str, messages: Messages, parameters: Parameters, patience: Patience) -> Chunked:
        try:
            yield from self._chunks(model, messages, parameters, patience)
        except ProviderError:
            if not patience.is_cancelled:  # or it is the end that the caller has asked for
                raise

    def _probe(self, model: str, timeout_s: float) -> None:
        """Look whether somebody listens.

        Raises:
            ProviderUnavailableError: Nobody does, or the address is none.
        """
        try:
            probe(self._endpoint(), timeout_s)
        except ProviderUnavailableError:  # which is an OSError too
            raise
        except OSError as error:
            raise self._service().not_connected(model, error) from error

    def _connected(self, model: str = "") -> C:
        """Give the client; the first call imports its package, which takes longer than to see that nobody listens.

        Raises:
            ProviderUnavailableError: Nobody listens, its package is missing, or the address is none.
        """
        if self._client is None:
            self._probe(model, self._timeouts.connect_s)
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._make()
                except MissingExtraError as error:
                    raise ProviderUnavailableError(self.name, "", *error.explained()) from error
                except RegistryError:
                    raise
                except (ImportError, ValueError, OSError) as error:  # of a proxy or a file of certificates, mostly
                    problem = f"Its client cannot be made: {shortened(str(error))}"
                    raise ProviderUnavailableError(self.name, "", problem) from error
            return self._client

    def _ask(self, model: str, seconds: float, what: str, question: Callable[[C], T]) -> T:
        """Ask something that has one answer.

        Args:
            model: The model that it is about; empty for none.
            seconds: Longest time to the end of the answer.
            what: What is missing when that is over: `no vectors`.
            question: Asks it.
        """
        patience = Patience()
        client = self._connected(model)
        with self._translated(model, patience), patience.waiting(seconds, what):
            return question(client)

    @abstractmethod
    def _make(self) -> C:
        """Make the client."""

    @abstractmethod
    def _endpoint(self) -> Endpoint:
        """Give the address of the service."""

    @abstractmethod
    def _service(self) -> Service:
        """Say what helps when it fails."""

    @abstractmethod
    def _greet(self, client: C) -> object:
        """Ask what every service of the kind answers at once."""

    @abstractmethod
    def _chunks(self, model: str, messages: Messages, parameters: Parameters, patience: Patience) -> Chunked:
        """Answer a conversation in chunks."""

    @abstractmethod
    def _translated(self, model: str, patience: Patience) -> AbstractContextManager[None]:
        """Turn the errors of the client into those of providers."""


def read_to_end(lines: Iterator[object], patience: Patience) -> None:
    """Read to the end of a complete answer, without which its connection cannot be used again."""
    patience.over()
    with suppress(Exception), patience.waiting(_LAST_S, "no end of its answer"):
        next(lines, None)
