"""Models of Ollama, through its official client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from registry import _settings
from registry._extras import require
from registry.errors import (
    DownloadError,
    ProviderModelError,
    ProviderUnavailableError,
    RegistryError,
)
from registry.profiles.protocol import OLLAMA, Ensured
from registry.profiles.providers.endpoints import Endpoint, parse, shown
from registry.profiles.providers.http_provider import LOOK_S, HttpProvider, read_to_end
from registry.profiles.providers.ollama_answers import ChatLines, PullLines
from registry.profiles.providers.ollama_requests import chat_body, options_of
from registry.profiles.providers.patience import Patience
from registry.profiles.providers.services import (
    MissingModelError,
    Service,
    Timeouts,
    UnreadableError,
    shortened,
)
from registry.profiles.providers.vectors import embedded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from registry.chat import Messages
    from registry.loaders import ChatCompletionChunk
    from registry.profiles.chunks import Chunked
    from registry.profiles.protocol import OnProgress, Parameters, Target, TextKind
    from registry.profiles.providers.ollama_client import Client
    from registry.queries import ModelRegistry

_PORT = 11434
_PULL_S = 600.0  # between two words about a pull: a large model is hashed and written without one
_START = "Start it with `ollama serve`, or set `OLLAMA_HOST` to where it runs."
_KEY = "Set `OLLAMA_API_KEY` to a key that it takes."
_FETCH = "Fetch it with `ollama pull {model}`, or with `registry provision`."
_AGAIN = "Try again: what was fetched is kept."
# What Ollama says of a model that cannot do this kind of work, and of one that is not there.
_WRONG_KIND = tuple(f"does not support {work}" for work in ("chat", "generate", "completion", "embedding"))
_MISSING = ("not found", "file does not exist", "no such model", "invalid model name")


class OllamaProvider(HttpProvider["Client"]):
    """Asks an Ollama server. Connections are kept; any number of threads may use it at the same time.

    Args:
        host: Address of the server, in any form that `OLLAMA_HOST` takes. Left out: the setting `ollama_host`, else
            http://127.0.0.1:11434.
        registry: Not used: what a model is called is for Ollama to say. Every provider can be given one.
        connect_timeout_s: Longest time to a connection, in seconds.
        first_token_timeout_s: Longest time from a request to the first token; Ollama may have to load the model in it.
            A batch of texts to embed has as long, and so has a pause in an answer to a request with tools, because
            Ollama gives a call in one piece.
        between_tokens_timeout_s: Longest pause between two tokens.

    Example:
        >>> OllamaProvider("http://127.0.0.1:9").available().reason
        'Nothing listens at `http://127.0.0.1:9`.'
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        registry: ModelRegistry[Any] | None = None,  # noqa: ARG002 - see above
        connect_timeout_s: float = 2.0,
        first_token_timeout_s: float = 120.0,
        between_tokens_timeout_s: float = 60.0,
    ) -> None:
        super().__init__(Timeouts(connect_timeout_s, first_token_timeout_s, between_tokens_timeout_s))
        self._host = host

    @property
    def name(self) -> str:
        """`ollama`."""
        return OLLAMA

    def has(self, model: Target) -> bool:
        """Say whether Ollama has a model of this name; without a tag, the one that is called `latest`.

        Raises:
            ProviderUnavailableError: It cannot be asked.
        """
        names = self._ask(model.name, LOOK_S, "no list of its models", lambda client: client.names())
        return _full_name(model.name) in map(_full_name, names)

    def ensure(self, model: Target, *, force: bool = False, progress: OnProgress | None = None) -> Ensured:
        """Have Ollama pull a model that it does not have. What an earlier pull has fetched is not fetched again.

        Args:
            model: The model.
            force: True to pull one that is there too: Ollama fetches what has changed.
            progress: Called now and then. What it raises ends the pull.

        Raises:
            ProviderUnavailableError: Ollama cannot be asked.
            ProviderModelError: Nobody has a model of this name.
            DownloadError: Fetching failed, or was cut off.
        """
        was_there = self.has(model)
        if was_there and not force:
            return Ensured("already_present")
        fetched_bytes = self._pull(model.name, progress)
        return Ensured("already_present" if was_there and not fetched_bytes else "pulled", fetched_bytes)

    def embed(
        self, model: Target, texts: Sequence[str], parameters: Parameters, *, kind: TextKind | None = None
    ) -> NDArray[Any]:
        """Turn texts into vectors, float32 of shape (texts, dimensions), in batches.

        Ollama cuts texts that are longer than the model reads, unless `truncate` is false.

        Args:
            model: The model.
            texts: The texts.
            parameters: `dimensions`: size to cut the vectors to; `truncate`, `keep_alive`, and options of the model.
            kind: What the texts are, where the model's record has a prompt for it.

        Raises:
            The errors of `chat`.
        """
        dimensions = parameters.get("dimensions")
        body = {"model": model.name, "options": options_of(parameters) or None, "dimensions": dimensions}
        body |= {name: parameters.get(name) for name in ("truncate", "keep_alive")}

        def ask(batch: list[str]) -> Sequence[Sequence[float]]:
            asked = {**body, "input": batch}
            return self._ask(
                model.name, self._timeouts.first_token_s, "no vectors", lambda client: client.vectors(asked)
            )

        return embedded(ask, texts, provider=self.name, model=model, kind=kind, dimensions=dimensions)

    def _endpoint(self) -> Endpoint:
        """Give the address of the server.

        Raises:
            ProviderUnavailableError: What was stated is none.
        """
        stated = self._host or _settings.text("ollama_host") or ""
        try:
            return parse(stated, default_port=_PORT)
        except ValueError as error:
            problem = f"`{shown(stated)}` is no address of an Ollama server: {error}."
            raise ProviderUnavailableError(self.name, "", problem, f"Correct {self._stated_in()}.") from error

    def _stated_in(self) -> str:
        return "`host`" if self._host else _settings.stated_in("ollama_host")

    def _service(self) -> Service:
        return Service(self.name, self._endpoint().url, self._timeouts, _START, _KEY, _FETCH)

    def _make(self) -> Client:
        require("ollama", extra="ollama", purpose="Asking Ollama")
        from registry.profiles.providers.ollama_client import Client

        return Client(self._endpoint(), self._timeouts.connect_s)

    def _greet(self, client: Client) -> object:
        return client.version()

    def _chunks(self, model: str, messages: Messages, parameters: Parameters, patience: Patience) -> Chunked:
        body = chat_body(model, messages, parameters)
        reader = ChatLines(model, first_call=sum(len(message.get("tool_calls", ())) for message in body["messages"]))
        client = self._connected(model)
        with self._translated(model, patience), closing(client.lines("/api/chat", body)) as lines:
            while not reader.is_done:
                with patience.waiting(*self._limit(reader, with_tools="tools" in body)):
                    chunks = self._next(model, lines, reader)
                if reader.is_done:
                    read_to_end(lines, patience)
                yield from chunks

    def _limit(self, reader: ChatLines, *, with_tools: bool) -> tuple[float, str]:
        if not reader.count:
            return self._timeouts.first_token_s, "no first token"
        longest_s = max(self._timeouts.first_token_s, self._timeouts.between_tokens_s)
        wait_s = longest_s if with_tools else self._timeouts.between_tokens_s
        return wait_s, f"no further token after {reader.count}"

    def _next(self, model: str, lines: Iterator[dict[str, Any]], reader: ChatLines) -> list[ChatCompletionChunk]:
        """Read lines until one has something of the answer."""
        for line in lines:
            if chunks := reader.read(line):
                return chunks
        problem = f"The answer ended after {reader.count} pieces, without its last line."
        raise self._service().unavailable(model, problem, "Look into the log of Ollama.")

    def _pull(self, model: str, progress: OnProgress | None) -> int:
        """Pull a model, and give the bytes that were fetched."""
        reader, patience, client = PullLines(model, progress), Patience(), self._connected(model)
        has_begun = False
        try:
            with (
                self._translated(model, patience),
                closing(client.lines("/api/pull", {"model": model, "stream": True})) as lines,
            ):
                while not reader.is_done:
                    with patience.waiting(_PULL_S, "no progress"):
                        reader.take(self._pulled(model, lines))
                    has_begun = True
                    reader.tell()
        except ProviderUnavailableError as error:
            if not has_begun:
                raise
            raise DownloadError(model, error.problem, _AGAIN, self._endpoint().url) from error
        return reader.fetched_bytes

    def _pulled(self, model: str, lines: Iterator[dict[str, Any]]) -> dict[str, Any]:
        """Give the next line of a pull."""
        from registry.profiles.providers.ollama_client import ResponseError

        try:
            for line in lines:
                return line
        except ResponseError as error:
            said = str(error.error)
            if error.status_code != -1:
                raise
            if any(words in said.lower() for words in _MISSING):
                problem = f"Ollama cannot fetch this model: {shortened(said)}"
                raise ProviderModelError(self.name, model, problem, "Correct the name of the model.") from error
            raise DownloadError(model, f"Ollama has failed: {shortened(said)}", _AGAIN, self._endpoint().url) from error
        raise DownloadError(model, "Ollama ended the pull before it was complete.", _AGAIN, self._endpoint().url)

    @contextmanager
    def _translated(self, model: str, patience: Patience) -> Iterator[None]:
        """Turn the errors of the client into those of providers."""
        from registry.profiles.providers.ollama_client import (
            DecodingError,
            ResponseError,
            TimeoutException,
            TransportError,
        )

        service = self._service()
        try:
            yield
        except RegistryError:  # some of which are a ConnectionError, too
            raise
        except ResponseError as error:
            raise self._refused(service, model, str(error.error), error.status_code) from error
        except TimeoutException as error:
            raise service.of_timeout(model, error, patience.problem) from error
        except TransportError as error:
            raise service.of_connection(model, error) from error
        except (UnreadableError, DecodingError) as error:
            raise service.unreadable(model, error) from error

    def _refused(self, service: Service, model: str, said: str, status: int) -> RegistryError:
        """Give the error for what Ollama says of a request, or in the middle of an answer, where it has no status."""
        lower = said.lower()
        if any(words in lower for words in _WRONG_KIND):
            problem = f"Ollama cannot use this model for that: {shortened(said)}"
            return ProviderModelError(self.name, model, problem, "Choose another model for the role.")
        if status != -1 and status != 500:
            return service.of_status(model, status, said)
        problem = f"Ollama has failed: {shortened(said)}"
        if any(words in lower for words in _MISSING):
            return MissingModelError(self.name, model, problem, _FETCH.format(model=model))
        if "memory" in lower:
            return ProviderModelError(self.name, model, problem, "Choose a smaller model, or free memory.")
        return ProviderModelError(self.name, model, problem, "Look into the log of Ollama.")


def _full_name(name: str) -> str:
    """Give the name of a model as Ollama tells models apart: with its tag, and without the place that is usual."""
    short = name.casefold().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] else f"{short}:latest"
