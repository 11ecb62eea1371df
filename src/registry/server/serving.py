"""Running the application: the socket, the logs, and a stop that lets answers in flight finish."""

from __future__ import annotations

import errno
import gc
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import uvicorn

from registry.errors import InvalidOptionError
from registry.server._app import create_app
from registry.server.access_log import LOGGER as ACCESS_LOGGER
from registry.server.access_log import BufferedHandler
from registry.server.front import Application
from registry.server.protocol import Protocol

if TYPE_CHECKING:
    from fastapi import FastAPI

    from registry.queries import ModelRegistry
    from registry.server.options import ServerOptions

_KEEP_ALIVE_S = 65  # longer than proxies keep theirs, so that they never write into one that is being closed
_BACKLOG = 2048
_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    options: ServerOptions,
    *,
    registry: ModelRegistry[Any] | None = None,
    announce: Callable[[str], None] | None = None,
    application: Callable[[ServerOptions], FastAPI] | None = None,
) -> None:
    """Serve until SIGINT (Ctrl-C) or SIGTERM, then let answers in flight finish.

    The access log goes to the standard output; problems, and what is provisioned, go to the standard error, unless the
    loggers `registry.access`, `registry.server`, `registry.profiles`, `registry.provision`, `registry.adapters` and
    `uvicorn.error` have handlers already. A second Ctrl-C ends the process at once.

    Args:
        options: How to serve.
        registry: The typed records to serve. Left out: this package's.
        announce: Takes the address, `http://127.0.0.1:8081`, once it answers.
        application: Makes the application, once the address is taken. Left out: `create_app`, with the registry.

    Raises:
        InvalidOptionError: Nothing can listen at this host and port.
        CatalogFileError: The store cannot be used.
    """
    with closing(_listening(options)) as listener, _logging(options):
        options = replace(options, port=listener.getsockname()[1])  # 0 took a free one; pages name it
        app = create_app(options, registry=registry) if application is None else application(options)
        with _frozen():
            _Server(_configured(app, options), listener, announce).run()


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep the garbage collector from looking through what stays anyway, for each few hundred requests again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _configured(app: Any, options: ServerOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        loop="auto",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # the front writes its own
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(options.shutdown_timeout_s),
        backlog=_BACKLOG,
    )


class _Server(uvicorn.Server):
    """A server of one socket, which says where it answers and returns when it was stopped."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, announce: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._listener = listener
        self._announce = announce

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run([self._listener] if sockets is None else sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._announce is not None and self.started:
            self._announce(address_of(self._listener))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers in flight finish, but for those that wait for a download, which may take hours."""
        if isinstance(app := self.config.app, Application):
            app.state.services.provisioner.close()  # the end of its lifespan comes when all is answered
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at signals. The base raises them again at the end, which would leave no time to clean up."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as in the base
        if self.should_exit and sig == signal.SIGINT:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"Stopped at once.\n")
            os._exit(
                _INTERRUPTED
            )  # threads that compute would be waited for otherwise; the store is never half written
        self.should_exit = True


def address_of(listener: socket.socket) -> str:
    """Give the address that a socket answers at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listening(options: ServerOptions) -> socket.socket:
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        remedy = "Use 127.0.0.1 for this machine alone, or 0.0.0.0 for all its addresses."
        raise InvalidOptionError("host", "an address of this machine", options.host, remedy) from error
    except PermissionError as error:
        remedy = "Ports below 1024 are for the system's own: choose a higher one, and let a proxy pass requests on."
        raise InvalidOptionError("port", "a port that this user may listen at", options.port, remedy) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "Stop the other program, or choose another port; 0 takes a free one."
            raise InvalidOptionError("port", "a port that nothing listens at", options.port, remedy) from error
        remedy = "Use 127.0.0.1 for this machine alone, or 0.0.0.0 for all its addresses."
        raise InvalidOptionError("host", "an address of this machine", options.host, remedy) from error


@contextmanager
def _logging(options: ServerOptions) -> Iterator[None]:
    """Give the loggers of a server handlers for as long as it runs, where they have none."""
    with ExitStack() as handled:
        problems = logging.StreamHandler(handled.enter_context(_kept(sys.stderr)))
        problems.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        for name in ("registry.server", "registry.profiles", "uvicorn.error"):
            handled.enter_context(_handled(logging.getLogger(name), problems))
        for name in ("registry.provision", "registry.adapters"):
            handled.enter_context(_handled(logging.getLogger(name), problems, logging.INFO))
        if options.access_log and not ACCESS_LOGGER.hasHandlers():
            handler = BufferedHandler()
            handled.callback(handler.close)
            handled.enter_context(_handled(ACCESS_LOGGER, handler, logging.INFO))
        yield


@contextmanager
def _kept(stream: TextIO) -> Iterator[TextIO]:
    """Give a copy of a standard stream: `llama_cpp` has those lead nowhere while it loads a model, for all threads."""
    try:
        copy = os.dup(stream.fileno())
    except (OSError, ValueError):  # it is no file of the system, and stays what it is
        yield stream
        return
    with os.fdopen(copy, "w", buffering=1, encoding=stream.encoding, errors="backslashreplace") as kept:
        yield kept


@contextmanager
def _handled(logger: logging.Logger, handler: logging.Handler, level: int = logging.NOTSET) -> Iterator[None]:
    if logger.hasHandlers():
        yield
        return
    before, logger.propagate = (logger.level, logger.propagate), False
    logger.setLevel(level or before[0])
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
