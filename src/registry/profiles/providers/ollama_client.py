"""The official client of Ollama: with deadlines, and with answers read line by line as they were written."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import ollama

from registry.profiles.providers.lines import lines_of, object_of, readable
from registry.profiles.providers.patience import transport
from registry.profiles.providers.services import sendable

if TYPE_CHECKING:
    from registry.profiles.providers.endpoints import Endpoint

DecodingError = httpx.DecodingError
TimeoutException = httpx.TimeoutException
TransportError = (httpx.TransportError, ConnectionError)  # the client makes the latter of a refused connection
ResponseError = ollama.ResponseError


class Client(ollama.Client):
    """Asks Ollama; for any number of threads.

    Requests with lines for an answer are made here, not by the methods of the client, for three reasons. Its types
    know only part of what a JSON schema can say, so that tools lose what their parameters contain. It takes text in
    the place of a picture for the name of a file, and sends the file. And it ends a line wherever Unicode knows a line
    to end, such as at U+0085, which an answer may contain.
    """

    def __init__(self, endpoint: Endpoint, connect_timeout_s: float) -> None:
        super().__init__(
            endpoint.url,
            transport=transport(httpx, httpcore, proxy=endpoint.proxy()),
            timeout=httpx.Timeout(None, connect=connect_timeout_s),
            follow_redirects=False,  # a conversation is for the host that was named
        )
        if (key := self._client.headers.get("Authorization")) is not None:
            self._client.headers["Authorization"] = sendable(key)

    def version(self) -> str:
        """Give the version of the server."""
        answer = self._client.get("/api/version")
        if not answer.is_success:
            raise _refusal(answer.content, answer.status_code)
        with readable():
            return str(answer.json()["version"])

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def names(self) -> list[str]:
        """Give the names of the models that are there."""
        with readable():
            return [model.model or "" for model in self.list().models]

    def vectors(self, body: dict[str, Any]) -> Sequence[Sequence[float]]:
        """Give the vectors of some texts."""
        with readable():
            return self.embed(**body).embeddings

    def lines(self, path: str, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        """Give the lines of an answer; closing this closes the connection, which stops the server's work.

        Raises:
            ollama.ResponseError: The answer, or one of its lines, is an error.
            UnreadableError: A line is no JSON object.
            httpx.TransportError: The connection cannot be made, or is cut.
        """
        with self._client.stream("POST", path, json=body) as answer:
            if not answer.is_success:
                raise _refusal(answer.read(), answer.status_code)
            for line in filter(None, lines_of(answer.iter_bytes())):
                value = object_of(line)
                if (error := value.get("error")) is not None:
                    raise ResponseError(json.dumps({"error": error if isinstance(error, str) else str(error)}))
                yield value


def _refusal(content: bytes, status: int) -> ollama.ResponseError:
    """Give the error of an answer; the client's own reading fails where JSON is no object."""
    text = content.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    stated = said.get("error") if isinstance(said, dict) else None
    return ResponseError(json.dumps({"error": text if stated is None else str(stated)}), status)
