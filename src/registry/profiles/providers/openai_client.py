"""The official client of OpenAI's API, with deadlines."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2
import openai

from registry.profiles.providers.lines import events_of, object_of, readable
from registry.profiles.providers.openai_requests import dialect_of
from registry.profiles.providers.patience import transport
from registry.profiles.providers.services import UnreadableError, sendable

if TYPE_CHECKING:
    from registry.profiles.providers.endpoints import Endpoint

DecodingError = httpx2.DecodingError
TimeoutException = (httpx2.TimeoutException, openai.APITimeoutError)
TransportError = (httpx2.TransportError, openai.APIConnectionError)
APIStatusError = openai.APIStatusError


class FailedError(Exception):
    """The server has said in the midst of an answer that it fails.

    Attributes:
        message: What it has said.
        status: Status of HTTP that it has said with it; `None` where there is none.
    """

    def __init__(self, error: object) -> None:
        stated: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
        self.message = str(stated.get("message") or error)
        code = str(stated.get("code"))  # a status as a number or a text, or a word
        self.status = int(code) if code.isdecimal() and 400 <= int(code) < 600 else None
        super().__init__(self.message, self.status)


class Client:
    """Asks a server; for any number of threads. A key goes to its address alone: redirects are not followed."""

    def __init__(self, endpoint: Endpoint, api_key: str | None, connect_timeout_s: float) -> None:
        key = sendable(api_key or "")
        timeout = httpx2.Timeout(None, connect=connect_timeout_s)
        http = httpx2.Client(
            transport=transport(httpx2, httpcore2, proxy=endpoint.proxy()), timeout=timeout, follow_redirects=False
        )
        self._client = openai.OpenAI(
            base_url=endpoint.url,
            api_key=key,  # left out, it would be the one of the environment, for whatever address
            http_client=http,
            timeout=timeout,
            max_retries=0,
            _enforce_credentials=False,
        )
        self._headers: Any = {} if key else {"Authorization": openai.Omit()}
        self._host = endpoint.host
        self._dialect: str | None = None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def names(self) -> list[str] | None:
        """Give the names of the models that the server lists; `None` where it lists none."""
        try:
            with readable():
                listed = self._client.models.list(extra_headers=self._headers).data
                return [str(model.id) for model in listed or ()]
        except openai.NotFoundError:
            return None

    def dialect(self, *, asks: bool) -> str:
        """Say which dialect of the API the server speaks, see `dialect_of`.

        Args:
            asks: True to look at what the server says of its models, once, where its address does not tell.
        """
        known = self._dialect or dialect_of(self._host, ())
        if asks and not known and self._dialect is None:
            try:
                with readable():
                    listed = self._client.models.list(extra_headers=self._headers).data
                    owners = [str(getattr(model, "owned_by", "")) for model in listed or ()]
            except (openai.APIStatusError, UnreadableError):
                owners = []
            known = self._dialect = dialect_of(self._host, owners)
        return known

    def chunks(self, model: str, body: dict[str, Any]) -> Generator[dict[str, Any] | None, None, None]:
        """Give the chunks of an answer, then `None`; closing this closes the connection, which stops the server's work.

        The client's own reading of streams gives up the connection after each, and makes an object of every chunk.

        Raises:
            openai.APIError: The server cannot be asked, or refuses.
            httpx2.TransportError: The connection is cut.
            FailedError: The server has said in the midst of its answer that it fails.
            UnreadableError: A chunk is no JSON object.
        """
        messages = body.pop("messages")
        create = self._client.chat.completions.with_streaming_response.create
        options: Any = {"stream_options": {"include_usage": True}, "extra_body": body, "extra_headers": self._headers}
        with create(model=model, messages=messages, stream=True, **options) as answer:
            for data in events_of(answer.iter_bytes()):
                if data == b"[DONE]":
                    yield None
                    continue
                chunk = object_of(data)
                if (error := chunk.get("error")) is not None:
                    raise FailedError(error)
                yield chunk

    def vectors(self, model: str, texts: list[str], dimensions: int | None) -> Sequence[Sequence[float]]:
        """Give the vectors of some texts, in their order."""
        with readable():
            answer = self._client.embeddings.create(
                model=model,
                input=texts,
                encoding_format="float",  # the other one, which the client would choose, is not known to every server
                dimensions=openai.omit if dimensions is None else dimensions,
                extra_headers=self._headers,
            )
            return [entry.embedding for entry in sorted(answer.data, key=lambda entry: entry.index)]
