"""The one layer round the whole application: who may ask, what comes from memory, what is logged and counted."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.server import access_log
from registry.server.answers import answer_of
from registry.server.body_limit import limited, too_long
from registry.server.failures import STOPPING, failure_of
from registry.server.kept_answers import KeptAnswers, Key, is_to_keep
from registry.server.methods import allowed_methods, counted_as
from registry.server.outgoing import CLIENT_WENT, Exchange, Outgoing, unkept
from registry.server.representation import guarded, represent, takes_gzip
from registry.server.security import READS, Gate
from registry.server.telemetry import Series

if TYPE_CHECKING:
    from registry.server.failures import Failure
    from registry.server.services import Services

LOGGER = logging.getLogger("registry.server")
_CORS_HEADERS = b"authorization, content-type, if-match, if-none-match, x-api-key, x-request-id"


class Application(FastAPI):
    """An application with the front before all of it, also before what the framework puts round its routes.

    Args:
        services: What its routes share; it is `state.services` too.
        settings: Those of `FastAPI`.
    """

    def __init__(self, services: Services, **settings: Any) -> None:
        super().__init__(**settings)
        self.state.services = services
        self._front = Front(super().__call__, services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and stop with the server."""
        scope["app"] = self
        await self._front(scope, receive, send)


class Front:
    """Answers what needs no route, and looks after the rest: one layer, so that a request passes few calls.

    In this order: request id; who may ask (host, origin, key); `OPTIONS`; answers that are kept; the routes, with the
    body limited. Whatever is sent gets its headers, is counted and logged.

    Args:
        app: The application inside.
        services: What its routes share.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._options = services.options
        self._catalog = services.catalog
        self._telemetry = services.telemetry
        self._gate = Gate(services.options)
        self._kept = KeptAnswers()
        self._revision = ""
        self._looked_in: asyncio.AbstractEventLoop | None = None
        self._logs = services.options.access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is no request, such as the start of the server, goes to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        self._telemetry.in_flight += 1
        try:
            await self._answer(exchange, receive)
        except asyncio.CancelledError:  # the time that a stop may take is over; raised, it would be logged as a fault
            LOGGER.warning("request %s was cut: the server stops", exchange.request_id.decode())
            if exchange.status == 0:
                await self._refuse(exchange, STOPPING)
        except ClientDisconnect:
            LOGGER.debug("request %s: the client went away", exchange.request_id.decode())
        except Exception as error:
            LOGGER.exception("request %s failed", exchange.request_id.decode())
            if exchange.status == 0:
                await self._refuse(exchange, failure_of(error))
        finally:
            self._telemetry.in_flight -= 1
            self._record(exchange)

    async def _answer(self, exchange: Exchange, receive: Receive) -> None:
        scope, method = exchange.scope, exchange.method
        headers = exchange.headers
        if self._gate.origins:
            exchange.varies_by_origin = True
            exchange.cors_origin = self._gate.cors_origin(headers)
        refusal = self._gate.refusal(method, scope["path"], headers, scope["headers"])
        if refusal is not None and (method in READS or method in allowed_methods(scope)):
            await self._refuse(exchange, refusal)
        elif method == "OPTIONS":
            await self._answer_options(exchange, receive)
        elif method in ("GET", "HEAD"):
            await self._answer_read(exchange, receive)
        elif problem := too_long(headers, self._options):
            await self._refuse(exchange, problem)
        else:  # also what is refused, and has no route: the router says so
            await self._pass_on(exchange, limited(receive, self._options))

    async def _answer_read(self, exchange: Exchange, receive: Receive) -> None:
        scope, headers = exchange.scope, exchange.headers
        gzip = takes_gzip(headers.get(b"accept-encoding", b""))
        key = Key(scope["path"], scope["query_string"], gzip)
        revision = self._revision_now()
        if (found := self._kept.find(revision, key)) is not None:
            representation, exchange.route = found
            self._telemetry.kept_answers += 1
            await exchange.send_whole(representation.for_client(headers.get(b"if-none-match")))
            return
        inner = scope if scope["method"] == "GET" else {**scope, "method": "GET"}
        exchange.inner = inner
        outgoing = Outgoing(exchange)
        await self._app(inner, receive, outgoing.send)
        if (whole := outgoing.whole) is None:
            return
        made = represent(whole.status, whole.headers, whole.body, gzip=gzip, is_private=self._gate.reads_are_private)
        if is_to_keep(inner) and made.etag:
            self._kept.put(revision, key, made, exchange.template)
        await exchange.send_whole(made.for_client(headers.get(b"if-none-match")))

    async def _pass_on(self, exchange: Exchange, receive: Receive) -> None:
        outgoing = Outgoing(exchange)
        await self._app(exchange.scope, receive, outgoing.send)
        if (whole := outgoing.whole) is not None:
            await exchange.send_whole(whole._replace(headers=unkept(guarded(whole.headers))))

    def _revision_now(self) -> str:
        """Ask the store for its revision, once for all requests that wait in this turn of the event loop.

        What it says is true for each of them: they were sent before the turn began, and whoever writes meanwhile is
        told so after it.
        """
        loop = asyncio.get_running_loop()
        if self._looked_in is not loop:
            self._revision, self._looked_in = self._catalog.revision(), loop
            loop.call_soon(self._forget)
        return self._revision

    def _forget(self) -> None:
        self._looked_in = None

    async def _answer_options(self, exchange: Exchange, receive: Receive) -> None:
        """Say which methods an address has, and to the pages of known origins what they may send."""
        scope = exchange.scope
        methods = allowed_methods(scope)
        if not methods:
            await self._pass_on(exchange, receive)  # there is no such address, and the router says so
            return
        allowed = ", ".join(methods).encode()
        headers = [(b"allow", allowed)]
        if exchange.cors_origin and b"access-control-request-method" in exchange.headers:
            headers += [
                (b"access-control-allow-methods", allowed),
                (b"access-control-allow-headers", _CORS_HEADERS),
                (b"access-control-max-age", b"600"),
            ]
        await exchange.send_whole(represent(204, headers, b""))

    async def _refuse(self, exchange: Exchange, failure: Failure) -> None:
        answer = answer_of(Request(exchange.scope), failure)
        await exchange.send_whole(represent(answer.status_code, answer.raw_headers, bytes(answer.body)))

    def _record(self, exchange: Exchange) -> None:
        seconds = perf_counter() - exchange.started
        series = Series(exchange.template, counted_as(exchange.method), exchange.status or CLIENT_WENT)
        self._telemetry.count(series, seconds)
        if self._logs and access_log.LOGGER.isEnabledFor(logging.INFO):
            access_log.write(exchange.line(seconds))
