"""What a caller may say about serving."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import InvalidOptionError

_LEAST_KEY = 16


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to serve.

    Attributes:
        host: Address to listen on. Another one than this machine's own needs an `api_key`.
        port: Port to listen on; 0 takes a free one.
        api_key: Key that requests must bring to write, and to use a model. `None`: nothing can be written.
        catalog_path: Catalogue store. `None`: `catalog.db` in the home folder.
        allow_download: True to fetch the files of a model when it is first asked for.
        cors_origins: Origins, such as `https://app.example`, whose pages may call this server from a browser.
        max_body_bytes: Longest request body.
        queue_length: Requests that may wait for one model; the next is refused with 429.
        queue_timeout_s: Time that a request may wait for its model, loading included.
        request_timeout_s: Time that a request may take altogether.
        max_models: Models to keep loaded.
        max_bytes: Memory that loaded models may take together. `None`: no limit.
        roles: Role, such as `coding`, to the id of the model that plays it, over those of the default profile.
        access_log: True to write a line for each request.
        shutdown_timeout_s: Time that answers in flight have to finish when the server is stopped.
    """

    host: str = "127.0.0.1"
    port: int = 8081
    api_key: str | None = field(default=None, repr=False)
    catalog_path: Path | None = None
    allow_download: bool = False
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 16 * 2**20
    queue_length: int = 32
    queue_timeout_s: float = 60.0
    request_timeout_s: float = 600.0
    max_models: int = 2
    max_bytes: int | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    access_log: bool = True
    shutdown_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidOptionError: An option has a value that it cannot have, or the server would be open to others.
        """
        for name, least in (("port", 0), ("queue_length", 0), ("max_models", 1), ("max_body_bytes", 1)):
            if type(value := getattr(self, name)) is not int or value < least:
                raise InvalidOptionError(name, f"an integer of at least {least}", value)
        if self.port > 65535:
            raise InvalidOptionError("port", "at most 65535", self.port)
        for name in ("queue_timeout_s", "request_timeout_s", "shutdown_timeout_s"):
            if not 0 < getattr(self, name) <= 86400:
                raise InvalidOptionError(name, "seconds, above 0 and at most 86400", getattr(self, name))
        if self.api_key is not None and (len(self.api_key) < _LEAST_KEY or not _is_header_value(self.api_key)):
            shown = f"{len(self.api_key)} characters"  # not the key: messages end up in logs
            raise InvalidOptionError("api_key", f"at least {_LEAST_KEY} printable ASCII ones, no blanks", shown)
        if self.api_key is None and not self.is_local:
            needed = "an address of this machine alone, such as 127.0.0.1, or an `api_key` as well"
            raise InvalidOptionError("host", needed, self.host)

    @property
    def is_local(self) -> bool:
        """True when only programs on this machine can reach the server."""
        if self.host.casefold() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
