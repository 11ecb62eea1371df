"""Models of servers that speak OpenAI's API: llama.cpp, vLLM, this package's own, OpenAI's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from registry import _settings
from registry._extras import require
from registry.errors import ProviderModelError, ProviderUnavailableError
from registry.hub.retry import retry_after_s
from registry.profiles.protocol import OPENAI, Ensured
from registry.profiles.providers.endpoints import Endpoint, parse, shown
from registry.profiles.providers.http_provider import LOOK_S, HttpProvider, read_to_end
from registry.profiles.providers.openai_answers import ChatChunks
from registry.profiles.providers.openai_requests import chat_body
from registry.profiles.providers.patience import Patience
from registry.profiles.providers.services import Service, Timeouts, UnreadableError, shortened
from registry.profiles.providers.vectors import embedded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.chat import Messages
    from registry.loaders import ChatCompletionChunk
    from registry.profiles.chunks import Chunked
    from registry.profiles.protocol import OnProgress, Parameters, Target, TextKind
    from registry.profiles.providers.openai_client import Client

_START = "Start it, or set `OPENAI_BASE_URL` to where it runs."
_KEY = "Set `OPENAI_API_KEY` to a key that it takes."
_SET = "Set `OPENAI_BASE_URL` to an address that ends in `/v1`."
_FETCH = "Name a model that it lists, and an address that ends in `/v1`; it lists them at `/v1/models`."


class OpenAIProvider(HttpProvider["Client"]):
    """Asks a server that speaks OpenAI's API. Connections are kept; any number of threads may use it at the same time.

    Args:
        base_url: Address of the API, such as `http://127.0.0.1:8080/v1`. Left out: the setting `openai_base_url`;
            where that is not set either, the provider is not available.
        api_key: Key. Left out: the setting `openai_api_key`, which goes to the address of the settings alone.
        connect_timeout_s: Longest time to a connection, in seconds.
        first_token_timeout_s: Longest time from a request to the first token; a batch of texts to embed has as long.
        between_tokens_timeout_s: Longest pause between two tokens.

    Example:
        >>> OpenAIProvider("http://127.0.0.1:9/v1").available().reason
        'Nothing listens at `http://127.0.0.1:9/v1`.'
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        connect_timeout_s: float = 2.0,
        first_token_timeout_s: float = 120.0,
        between_tokens_timeout_s: float = 60.0,
    ) -> None:
        super().__init__(Timeouts(connect_timeout_s, first_token_timeout_s, between_tokens_timeout_s))
        self._base_url = base_url
        self._api_key = api_key

    @property
    def name(self) -> str:
        """`openai`."""
        return OPENAI

    def has(self, model: Target) -> bool:
        """Say whether the server lists a model of this name, or has no list.

        Raises:
            ProviderUnavailableError: It cannot be asked.
        """
        names = self._names(model)
        return names is None or model.name in names

    def ensure(self, model: Target, *, force: bool = False, progress: OnProgress | None = None) -> Ensured:
        """Look whether the server has a model; it cannot be told to fetch one.

        Raises:
            ProviderUnavailableError: It cannot be asked.
            ProviderModelError: It does not list the model.
        """
        _ = force, progress
        names = self._names(model)
        if names is None or model.name in names:
            return Ensured("already_present")
        listed = ", ".join(f"`{name}`" for name in names[:10]) or "no model"
        problem = f"The server at `{self._endpoint().url}` does not have it; it lists {listed}."
        raise ProviderModelError(self.name, model.name, problem, "Have it loaded there, or name one of these.")

    def embed(
        self, model: Target, texts: Sequence[str], parameters: Parameters, *, kind: TextKind | None = None
    ) -> NDArray[Any]:
        """Turn texts into vectors, float32 of shape (texts, dimensions), in batches.

        Args:
            model: The model.
            texts: The texts.
            parameters: `dimensions`: size to cut the vectors to.
            kind: What the texts are, where the model's record has a prompt for it.

        Raises:
            The errors of `chat`.
        """
        dimensions = parameters.get("dimensions")

        def ask(batch: list[str]) -> Sequence[Sequence[float]]:
            wait_s = self._timeouts.first_token_s
            return self._ask(
                model.name, wait_s, "no vectors", lambda client: client.vectors(model.name, batch, dimensions)
            )

        return embedded(ask, texts, provider=self.name, model=model, kind=kind, dimensions=dimensions)

    def _names(self, model: Target) -> list[str] | None:
        return self._ask(model.name, LOOK_S, "no list of its models", lambda client: client.names())

    def _make(self) -> Client:
        require("openai", extra="openai", purpose="Asking an OpenAI-compatible server")
        from registry.profiles.providers.openai_client import Client

        key = self._api_key
        if key is None and self._base_url is None:
            key = _settings.text("openai_api_key")
        return Client(self._endpoint(), key, self._timeouts.connect_s)

    def _endpoint(self) -> Endpoint:
        stated = self._base_url or _settings.text("openai_base_url")
        if not stated:
            raise ProviderUnavailableError(self.name, "", "No address of a server is set.", _SET)
        try:
            return parse(stated)
        except ValueError as error:
            where = "`base_url`" if self._base_url else _settings.stated_in("openai_base_url")
            problem = f"`{shown(stated)}` is no address of a server: {error}."
            raise ProviderUnavailableError(self.name, "", problem, f"Correct {where}.") from error

    def _service(self) -> Service:
        return Service(self.name, self._endpoint().url, self._timeouts, _START, _KEY, _FETCH)

    def _greet(self, client: Client) -> object:
        return client.names()

    def _chunks(self, model: str, messages: Messages, parameters: Parameters, patience: Patience) -> Chunked:
        client, reader = self._connected(model), ChatChunks(model)
        with self._translated(model, patience):
            with patience.waiting(LOOK_S, "no list of its models"):
                dialect = client.dialect(asks="repeat_penalty" in parameters)
            body = chat_body(messages, parameters, dialect)
            with closing(client.chunks(model, body)) as answer:
                while not reader.is_done:
                    with patience.waiting(*self._limit(reader)):
                        chunks = self._next(model, answer, reader)
                    if reader.is_done:
                        read_to_end(answer, patience)
                    yield from chunks

    def _next(
        self, model: str, answer: Iterator[dict[str, Any] | None], reader: ChatChunks
    ) -> list[ChatCompletionChunk]:
        """Read chunks until one has something of the answer."""
        for chunk in answer:
            if chunk is None:
                break
            if pieces := reader.read(chunk):
                return pieces
        if reader.has_ended:
            return reader.last()
        problem = f"The answer ended after {reader.count} pieces, without its last one."
        raise self._service().unavailable(model, problem, "Look into the log of the server.")

    def _limit(self, reader: ChatChunks) -> tuple[float, str]:
        if not reader.count:
            return self._timeouts.first_token_s, "no first token"
        return self._timeouts.between_tokens_s, f"no further token after {reader.count}"

    @contextmanager
    def _translated(self, model: str, patience: Patience) -> Iterator[None]:
        """Turn the errors of the client into those of providers."""
        from registry.profiles.providers.openai_client import (
            APIStatusError,
            DecodingError,
            FailedError,
            TimeoutException,
            TransportError,
        )

        service = self._service()
        try:
            yield
        except TimeoutException as error:
            raise service.of_timeout(model, error, patience.problem) from error
        except TransportError as error:
            raise service.of_connection(model, error.__cause__ or error) from error
        except APIStatusError as error:
            said, wait_s = _said(error.body, error.message), retry_after_s(error.response.headers)
            raise service.of_status(model, error.status_code, said, wait_s) from error
        except FailedError as error:
            if error.status is not None:
                raise service.of_status(model, error.status, error.message) from error
            problem = f"`{service.url}` has failed: {shortened(error.message)}"
            raise ProviderModelError(self.name, model, problem, "Look into the log of the server.") from error
        except (UnreadableError, DecodingError) as error:
            raise service.unreadable(model, error) from error


def _said(body: object, message: str) -> str:
    """Give the words of the server: the client puts the status and the whole body around them."""
    if isinstance(body, dict):
        stated = body.get("message") or body.get("error") or body.get("detail")
        return stated if isinstance(stated, str) else message
    return body if isinstance(body, str) and body else message
