"""What a fault of a provider concerns, and how it is told."""

from __future__ import annotations

from registry.errors import (
    DownloadError,
    MissingExtraError,
    ModelNotDownloadedError,
    ProviderError,
    ProviderTimeoutError,
    RegistryError,
    StreamBrokenError,
)
from registry.profiles.circuit import Scope
from registry.profiles.providers.services import MissingModelError


def scope_of(error: Exception) -> Scope:
    """Say whether a fault concerns a provider with all its models, or one of its models."""
    match error:
        case ProviderTimeoutError() if _was_connecting(error):
            return "provider"
        case ProviderTimeoutError() | StreamBrokenError() | DownloadError() | MissingExtraError():
            return "model"
        case ConnectionError() | ImportError():
            return "provider"
        case _:
            return "model"


def _was_connecting(error: BaseException) -> bool:
    """True where a time-out is that of a connection: then no model of the provider can be had."""
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__name__ == "ConnectTimeout":  # of httpx, which only providers import
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def is_missing(error: Exception) -> bool:
    """True where a model is not there, which fetching it may mend."""
    return any(isinstance(each, MissingModelError | ModelNotDownloadedError) for each in (error, error.__cause__))


def problem_of(error: Exception) -> str:
    """Put what went wrong into a sentence."""
    if isinstance(error, ProviderError):
        return error.problem
    return _on_one_line(error)


def words_of(error: Exception) -> str:
    """Put what went wrong, and what to do, on one line; who was asked stands beside it."""
    if isinstance(error, ProviderError):
        return f"{error.problem} {error.remedy}".rstrip()
    return _on_one_line(error)


def _on_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, RegistryError) and text:
        return text
    return f"{type(error).__name__}: {text}".rstrip(": ").rstrip(".") + "."
