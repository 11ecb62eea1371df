"""One replica of one model: a process on some node that has the model loaded and answers for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import serve

from registry.cluster.adapters import ReplicaAdapters
from registry.cluster.batching import Part, encode_together
from registry.cluster.plan import registry_of
from registry.errors import RegistryError
from registry.hub import ensure
from registry.loaders import LoadOptions, ModelManager
from registry.server.options import ServerOptions
from registry.server.v1.desks import Desks
from registry.server.v1.embeddings import EmbeddingWork, Encoded
from registry.server.v1.fair_queue import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.adapters.version import AdapterVersion
    from registry.records import ModelInfo
    from registry.server.v1.calls import Work

_LOG = logging.getLogger("registry.cluster")
_BATCH = Client("", "batch")
_SILENCE_S = 0.5  # after which a request that has no answer yet is said to be taken
_GRACE_S = 60.0  # after the time that a request may take: work that still goes on then cannot be stopped


@dataclass(frozen=True)
class Served:
    """What a replica serves, as a value that is sent to its node.

    Attributes:
        record: The model.
        load: How to load it. With `download`, files that the node lacks are fetched.
        server: How long requests may wait and take.
        batch_texts: Texts of several requests that are encoded together.
        registry: Module with the typed records.
        adapters: File or address of the manifest of adapters, if there is one.
    """

    record: ModelInfo
    load: LoadOptions
    server: ServerOptions
    batch_texts: int
    registry: str | None = None
    adapters: str | None = None


class ModelReplica:
    """Has one model loaded, and answers requests for it.

    Files are proven by their digests, on this node, and the model is loaded before the first request is taken.

    Args:
        served: What it serves.

    Raises:
        RegistryError: The files are not there or not the right ones, or the model cannot be loaded. Serve tries again,
            maybe on another node.
    """

    def __init__(self, served: Served) -> None:
        self._served = served
        loaded = served.server.max_models if served.adapters else 1  # the model alone, and with each adapter
        self._manager = ModelManager(max_models=loaded, options=served.load)
        self._desks = Desks(self._manager, served.server)
        self._begun_at: dict[int, float] = {}
        self._numbers = itertools.count()
        self._batched: Any = self._encode  # what Serve has made of it takes one work, and gives its part
        self._batched.set_max_batch_size(served.batch_texts)
        ensure(served.record, download=served.load.download)
        with self._manager.use(served.record):
            _LOG.info("`%s` is loaded", served.record.id)
        self._adapters = self._watching()

    def __del__(self) -> None:
        """Leave the meeting of those who serve adapters. Called by Serve when the replica is stopped in peace."""
        if (adapters := self.__dict__.pop("_adapters", None)) is not None:
            adapters.__exit__(None, None, None)

    async def stream(
        self, work: Work[Any], client: Client, adapter: AdapterVersion | None = None
    ) -> AsyncGenerator[Part, None]:
        """Give the pieces of an answer as they are made.

        Where none is made at once, a part without any goes ahead, which says that this replica has the request. Each
        part costs a message, so quick answers do without.
        """
        parts = self._parts(work, client, adapter)
        first = asyncio.ensure_future(anext(parts, None))
        try:
            if not (await asyncio.wait({first}, timeout=_SILENCE_S))[0]:
                yield Part()
            part = await first
            while part is not None:
                yield part
                part = await anext(parts, None)
        finally:
            first.cancel()
            await asyncio.wait({first})
            await parts.aclose()

    async def check_health(self) -> None:
        """Tell Serve whether this replica can go on.

        Raises:
            RuntimeError: A request has been worked on for so long that the model must hang. Serve starts another
                replica then.
        """
        if self._adapters is not None:
            self._adapters.keep()
        limit_s = self._served.server.request_timeout_s + _GRACE_S
        longest_s = max((time.monotonic() - begun_at for begun_at in self._begun_at.values()), default=0.0)
        if longest_s > limit_s:
            raise RuntimeError(f"`{self._served.record.id}` has worked on a request for {longest_s:.0f} s.")

    async def _parts(
        self, work: Work[Any], client: Client, adapter: AdapterVersion | None
    ) -> AsyncGenerator[Part, None]:
        with self._watched():
            if isinstance(work, EmbeddingWork) and len(work.texts) <= self._served.batch_texts:
                yield await self._batched(work)
                return
            async with aclosing(self._worked(work, client, adapter)) as parts:
                async for part in parts:
                    yield part

    async def _worked(
        self, work: Work[Any], client: Client, adapter: AdapterVersion | None
    ) -> AsyncGenerator[Part, None]:
        try:
            own = None if adapter is None else await self._own(adapter)
            if adapter is not None and own is None:
                yield Part(lacks_adapter=True)
                return
            call = self._desks.open(self._served.record, work, client, own)
        except (RegistryError, OSError) as error:
            yield Part(error=_portable(error))
            return
        try:
            while pieces := await call.more():
                yield Part(pieces)
        except Exception as error:  # whatever it is, it is told to who waits for the answer
            yield Part(error=_portable(error))
        finally:
            call.cancel()

    def _watching(self) -> ReplicaAdapters | None:
        served = self._served
        if served.adapters is None:
            return None
        adapters = ReplicaAdapters(served.adapters, served.record, registry_of(served.registry), self._manager)
        return adapters.__enter__()

    async def _own(self, adapter: AdapterVersion) -> AdapterVersion | None:
        return None if self._adapters is None else await asyncio.to_thread(self._adapters.find, adapter)

    @serve.batch(  # type: ignore[untyped-decorator] # Ray is not looked into
        batch_wait_timeout_s=0.0, batch_size_fn=lambda works: sum(len(work.texts) for work in works)
    )
    async def _encode(self, works: list[EmbeddingWork]) -> list[Part]:
        """Encode what has come while the batch before was encoded: nobody waits for a batch to fill."""
        parts = await encode_together(works, self._encode_now)
        return [part if part.error is None else Part(error=_portable(part.error)) for part in parts]

    async def _encode_now(self, work: EmbeddingWork) -> Encoded:
        return await self._desks.ask(self._served.record, work, _BATCH)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        number = next(self._numbers)
        self._begun_at[number] = time.monotonic()
        try:
            yield
        finally:
            del self._begun_at[number]


def _portable(error: Exception) -> Exception:
    """Give an error that survives the way to another process: the error itself wherever it can be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 # its own bytes
    except Exception:
        _LOG.exception("An error cannot be sent to the ingress")
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
