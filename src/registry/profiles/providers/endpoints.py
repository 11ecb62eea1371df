"""Where a service listens, and whether it does: addresses, names and bare connections. Imports no HTTP client."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what a server may listen on; a client has to name a host


class ConnectTimeout(TimeoutError):  # noqa: N818 - the name that it has in HTTP clients, by which it is told
    """No connection was made in time: a fault of the whole service, and not of one of its models."""


class Endpoint(NamedTuple):
    """An address of a service.

    Attributes:
        url: The address, as a client needs it: scheme, host, port and path, without a slash at its end.
        scheme: `http` or `https`.
        host: Name or address of the host, an IPv6 address without brackets.
        port: The port.
    """

    url: str
    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True for this machine, which no proxy leads to."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def proxy(self) -> str | None:
        """Give the address of the proxy that the system has for this host: `HTTPS_PROXY`, `NO_PROXY` and the like."""
        if self.is_loopback or proxy_bypass(self.host):
            return None
        proxies = getproxies()
        found = proxies.get(self.scheme) or proxies.get("all")
        return found if not found or "://" in found else f"http://{found}"


def parse(stated: str, *, default_port: int | None = None) -> Endpoint:
    """Read an address: `host`, `host:port`, `:port`, `[::1]:port`, or an address with `http://` or `https://`.

    Args:
        stated: The address.
        default_port: Port of an address without scheme and port. Left out: that of http.

    Raises:
        ValueError: It is no address of a web service.
    """
    has_scheme = "://" in stated
    parts = urlsplit(stated.strip() if has_scheme else f"http://{stated.strip()}")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"expected http:// or https://, got {parts.scheme}://")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("expected neither query, fragment nor user in it")
    host = parts.hostname or "127.0.0.1"
    host = {_ANYWHERE[0]: "127.0.0.1", _ANYWHERE[1]: "::1"}.get(host, host)
    port = _port(parts) or (default_port if default_port and not has_scheme else _PORTS[parts.scheme])
    return Endpoint(_url(parts, host, port), parts.scheme, host, port)


def shown(stated: str) -> str:
    """Give what was stated as an address without what must not be shown: user, password, query and fragment."""
    from registry.hub.refusals import masked

    has_scheme = "://" in stated
    text = masked(stated if has_scheme else f"http://{stated}")
    text = re.sub(r"([?#]).*", r"\1***", text, flags=re.DOTALL)
    return text if has_scheme else text.removeprefix("http://")


def _port(parts: SplitResult) -> int | None:
    """Give the port of an address; the words of `urlsplit` would show what may be the half of a password."""
    try:
        return parts.port
    except ValueError:
        raise ValueError("expected a port from 0 to 65535") from None


def _url(parts: SplitResult, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}{parts.path.rstrip('/')}"


def probe(endpoint: Endpoint, timeout_s: float) -> None:
    """Open a connection to a service, or to the proxy that leads there, and close it again.

    Raises:
        OSError: Nothing listens there (`ConnectionRefusedError`), the name is unknown (`socket.gaierror`), or nothing
            answers in time (`ConnectTimeout`).
    """
    try:
        _connect(*_entrance(endpoint), timeout_s)
    except TimeoutError as error:
        raise ConnectTimeout(str(error)) from error


def _connect(host: str, port: int, timeout_s: float) -> None:
    problem: OSError = TimeoutError(f"{host} has no address")
    for address, left_s in addresses(host, port, timeout_s):
        try:
            socket.create_connection((address, port), timeout=left_s).close()
        except OSError as error:
            problem = error
        else:
            return
    raise problem


def _entrance(endpoint: Endpoint) -> tuple[str, int]:
    """Give host and port to connect to: those of the proxy that leads to a service, or its own."""
    proxy = endpoint.proxy()
    if proxy is None:
        return endpoint.host, endpoint.port
    try:
        parts = urlsplit(proxy)
        return parts.hostname or endpoint.host, _port(parts) or _PORTS.get(parts.scheme, endpoint.port)
    except ValueError as error:
        problem = str(error)
    raise OSError(f"the system has `{shown(proxy)}` as its proxy: {problem}")


def addresses(host: str, port: int, timeout_s: float) -> Iterator[tuple[str, float]]:
    """Give the addresses of a host one after another, each with its share of the time that is left, in seconds.

    Raises:
        OSError: The name is unknown, or looking it up takes too long.
    """
    end = time.monotonic() + timeout_s
    found = _look_up(host, port, timeout_s)
    for number, address in enumerate(found):
        if (left_s := end - time.monotonic()) <= 0:
            raise TimeoutError(f"no address of {host} has answered in {timeout_s:g} s")
        yield address, left_s / (len(found) - number)


def _look_up(host: str, port: int, timeout_s: float) -> list[str]:
    """Give the addresses of a name. A dead name server takes its time, which no socket's time-out limits."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)
        except UnicodeError as error:  # a name that is too long, or has an empty part
            found.append(socket.gaierror(f"{host!r} is no name of a host: {error}"))

    thread = threading.Thread(target=look_up, name="registry-look-up", daemon=True)
    thread.start()
    thread.join(min(timeout_s, threading.TIMEOUT_MAX))
    if not found:
        raise TimeoutError(f"looking up {host} took longer than {timeout_s:g} s")
    if isinstance(found[0], OSError):
        raise found[0]
    return list(dict.fromkeys(str(entry[4][0]) for entry in found[0]))
