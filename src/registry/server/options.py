"""What a caller may say about serving."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import InvalidOptionError

_LEAST_KEY = 16
_TWO_KEYS = "Whoever may use the models shall not, by that, be able to fetch others."


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to serve.

    Attributes:
        host: Address to listen on. Another one than this machine's own needs an `api_key`.
        port: Port to listen on; 0 takes a free one.
        api_key: Key that requests must bring to write, and to use a model. `None`: nothing can be written.
        admin_token: Token that requests under `/api/v1` must bring: to see profiles, and to provision. `None`: there
            are no such addresses.
        catalog_writes: False to refuse writes of the catalogue, whoever asks: where several servers, each with a store
            of its own, answer as one.
        catalog_path: Catalogue store. `None`: `catalog.db` in the home folder.
        allow_download: True to fetch the files of a model when it is first asked for.
        cors_origins: Origins, such as `https://app.example`, whose pages may call this server from a browser.
        max_body_bytes: Longest request body.
        queue_length: Requests that may wait for one model; the next is refused with 429.
        queue_timeout_s: Time that a request may wait for its model, loading included.
        request_timeout_s: Time that a request may take altogether.
        max_models: Models to keep loaded.
        max_bytes: Memory that loaded models may take together. `None`: no limit.
        profile: Profile whose models play the roles. `None`: the setting `profile`, else `default`.
        manifest: File with profiles to lay over the compiled ones. `None`: the setting `manifest`, else none.
        provision: True to have the models of the profile ready: they are fetched in the background from the start.
        roles: Role, such as `coding`, to the id of the model that plays it, over those of the profile.
        access_log: True to write a line for each request.
        shutdown_timeout_s: Time that answers in flight have to finish when the server is stopped.
    """

    host: str = "127.0.0.1"
    port: int = 8081
    api_key: str | None = field(default=None, repr=False)
    admin_token: str | None = field(default=None, repr=False)
    catalog_writes: bool = True
    catalog_path: Path | None = None
    allow_download: bool = False
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 16 * 2**20
    queue_length: int = 32
    queue_timeout_s: float = 60.0
    request_timeout_s: float = 600.0
    max_models: int = 2
    max_bytes: int | None = None
    profile: str | None = None
    manifest: Path | None = None
    provision: bool = False
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
        for name in ("api_key", "admin_token"):
            _check_key(name, getattr(self, name))
        if self.admin_token is not None and self.admin_token == self.api_key:
            raise InvalidOptionError("admin_token", "another one than `api_key`", "the same", _TWO_KEYS)
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


def _check_key(name: str, key: str | None) -> None:
    if key is None or (len(key) >= _LEAST_KEY and _is_header_value(key)):
        return
    shown = f"{len(key)} characters"  # not the key: messages end up in logs
    remedy = f"`REGISTRY_{name.upper()}` sets it, and `openssl rand -hex 16` makes one."
    raise InvalidOptionError(name, f"at least {_LEAST_KEY} printable ASCII characters, no blanks", shown, remedy)


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
