"""Services over HTTP: how long they may take, and what their faults mean for whoever asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from registry.errors import (
    InvalidOptionError,
    ProviderError,
    ProviderModelError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)

_MAX_SHOWN = 300  # characters of what a server has said
_BUSY = (408, 425, 429, 502, 503, 504, 529)  # 529: what some vendors answer when they are overloaded
_KEY = (401, 403)
_CALLERS = (400, 409, 413, 415, 422)


class UnreadableError(ValueError):
    """An answer is not in the language of the service. Providers make a `ProviderUnavailableError` of it."""


class ServiceBusyError(ProviderUnavailableError):
    """A service is busy, and says for how long.

    Attributes:
        retry_after_s: When it wants to be asked again, in seconds from now.
    """

    def __init__(self, provider: str, model: str, problem: str, remedy: str, retry_after_s: float) -> None:
        super().__init__(provider, model, problem, remedy)
        self.args = (provider, model, problem, remedy, retry_after_s)
        self.retry_after_s = retry_after_s


class MissingModelError(ProviderModelError):
    """A service does not have this model: it was never fetched, or is gone."""


class Timeouts(NamedTuple):
    """How long a service may take, in seconds.

    Attributes:
        connect_s: To a connection, with the look-up of the name and the handshake.
        first_token_s: From the request to the first token; a model may have to be loaded in it.
        between_tokens_s: From one token to the next.
    """

    connect_s: float
    first_token_s: float
    between_tokens_s: float

    def checked(self) -> Timeouts:
        """Give these, if they can be.

        Raises:
            InvalidOptionError: One is no positive number.
        """
        for name, value in self._asdict().items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 < value < math.inf:
                raise InvalidOptionError(f"{name[:-2]}_timeout_s", "a positive number of seconds", value)
        return self


class Service(NamedTuple):
    """A service that a provider asks, and what helps when it fails.

    Attributes:
        provider: Name of the provider.
        url: Address.
        timeouts: How long it may take.
        start: What to do where nothing listens, a sentence.
        key: What to do where it asks for a key, a sentence.
        fetch: What to do where it does not have the model, a sentence with `{model}` in it.
    """

    provider: str
    url: str
    timeouts: Timeouts
    start: str
    key: str
    fetch: str

    def unavailable(self, model: str, problem: str, remedy: str = "") -> ProviderUnavailableError:
        """Give the error for a service that cannot be asked."""
        return ProviderUnavailableError(self.provider, model, problem, remedy)

    def not_connected(self, model: str, error: BaseException) -> ProviderUnavailableError:
        """Give the error for a connection that could not be made."""
        causes = list(_causes(error))
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            return self.unavailable(model, f"Nothing listens at `{self.url}`.", self.start)
        if any(isinstance(cause, TimeoutError) or type(cause).__name__ == "ConnectTimeout" for cause in causes):
            problem = f"No connection to `{self.url}` within {self.timeouts.connect_s:g} s."
            return ProviderTimeoutError(self.provider, model, problem, self.start)
        return self.unavailable(model, f"No connection to `{self.url}`: {_text(causes[-1])}.", self.start)

    def of_connection(self, model: str, error: BaseException) -> ProviderUnavailableError:
        """Give the error for a connection that could not be made, or was cut."""
        if any(type(cause).__name__ in ("ConnectError", "ProxyError") for cause in _causes(error)):
            return self.not_connected(model, error)
        *_, cause = _causes(error)
        problem = f"`{self.url}` cut the connection: {_text(cause)}."
        return self.unavailable(model, problem, "Look into its log: it may have been stopped, or have crashed.")

    def of_timeout(self, model: str, error: BaseException, problem: str) -> ProviderTimeoutError:
        """Give the error for a service that takes too long."""
        if any(type(cause).__name__ == "ConnectTimeout" for cause in _causes(error)):
            problem = f"No connection to `{self.url}` within {self.timeouts.connect_s:g} s."
            return ProviderTimeoutError(self.provider, model, problem, self.start)
        return ProviderTimeoutError(self.provider, model, problem, "Give it more time, or choose a smaller model.")

    def of_status(self, model: str, status: int, said: str, retry_after_s: float | None = None) -> ProviderError:
        """Give the error for an answer that is an error.

        Args:
            model: The model that was asked for.
            status: Status of HTTP.
            said: What the service has said.
            retry_after_s: When it wants to be asked again, in seconds from now; `None` where it does not say.
        """
        answer = f"`{self.url}` answered {status}: {shortened(said)}"
        if status == 404:
            return MissingModelError(self.provider, model, answer, self.fetch.format(model=model))
        if status in _KEY:
            return self.unavailable(model, answer, self.key)
        if status in _BUSY:
            remedy = "Try again later: it is busy, or is being started."
            if retry_after_s is not None:
                return ServiceBusyError(self.provider, model, answer, remedy, retry_after_s)
            return self.unavailable(model, answer, remedy)
        if status in _CALLERS:
            return ProviderError(self.provider, model, answer, "Change the request.")
        if 300 <= status < 400:
            return self.unavailable(model, answer, "Name the address that it redirects to instead.")
        if status < 500:
            return self.unavailable(model, answer, "Name the address of a service of this kind.")
        return ProviderModelError(self.provider, model, answer, "Look into its log.")

    def unreadable(self, model: str, error: Exception) -> ProviderUnavailableError:
        """Give the error for an answer that is not in the language of the service."""
        problem = f"`{self.url}` does not answer as expected: {shortened(str(error))}"
        return self.unavailable(model, problem, "Name the address of a service of this kind.")


def sendable(key: str) -> str:
    """Give a key as a header can have it: without the end of the line that a file of it has.

    Raises:
        ValueError: No header can have it. HTTP clients say so too, with the key in their words.
    """
    stripped = key.strip()
    if not (stripped.isascii() and stripped.isprintable()):
        raise ValueError("the key has a character in it that no header can have")
    return stripped


def shortened(said: str) -> str:
    """Give what a server has said as a sentence of a length that people read."""
    text = " ".join(said.split()) or "nothing more"
    text = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what it comes from, whether that was said or hidden."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).rstrip(".")
