"""Conversations by role: whoever can serve the role answers, and the answer says who that was."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from registry.chat import check_messages
from registry.errors import ProviderError, RegistryError, StreamBrokenError
from registry.profiles.answers import (
    AsyncRoleStream,
    Cancellation,
    Opened,
    RoleCompletion,
    RoleStream,
    Told,
    open_stream,
    until_set,
)
from registry.profiles.chunks import joined
from registry.profiles.client import RoleClient
from registry.profiles.failover import Served
from registry.profiles.faults import problem_of, scope_of
from registry.profiles.in_thread import call_in_thread, iterate_in_thread

if TYPE_CHECKING:
    from registry.chat import Messages
    from registry.loaders.completion import ChatCompletion, ChatCompletionChunk
    from registry.profiles.active import PathLike
    from registry.profiles.events import OnEvent
    from registry.profiles.failover import Link
    from registry.profiles.protocol import Provider
    from registry.profiles.registered import Providers
    from registry.profiles.resolution import Candidate
    from registry.queries import ModelRegistry

_BREAKS_OFF = (
    RegistryError,
    OSError,
    MemoryError,
)  # what is none of these is a fault of the program, and shown as it is


class Chat(RoleClient):
    """Converses as a role: with its first model, or with those that it falls back on.

    Who is down, too slow, or without the model or the memory for it is passed over before the first token, and not
    asked again for a while. A model that the role has marked `auto_download` is fetched before its first call. Messages
    and answers have the shape of OpenAI's API. Any number of threads may call it at the same time.

    Args:
        role: The role.
        profile: Name of the profile. Left out: the setting `profile`, else `default`.
        manifest: File with profiles of the user's own. Left out: the setting `manifest`.
        registry: Registry of the records. Left out: that of `providers`, else this package's own.
        providers: Who may be asked. Left out: those that all share who use this registry.
        on_event: Called with what happens on the way to an answer, in the thread that does it; what it raises is
            logged.
        parameters: How to generate, in all calls: `temperature`, `max_tokens`, ...

    Raises:
        ProfileNotFoundError: There is no such profile; the error names close matches.
        RoleNotFoundError: The profile has no such role; the error names close matches.
        ManifestError: The manifest cannot be used.
        InvalidOptionError: A parameter is out of its range, or means nothing to the model.
        NoProviderError: None of the role's providers exists.

    Example:
        >>> with Chat(role="general", temperature=0.2) as chat:  # doctest: +SKIP
        ...     answer = chat.reply([{"role": "user", "content": "How tall is Mount Everest?"}])
        >>> answer["served_by"]["provider"]  # doctest: +SKIP
        'ollama'
    """

    def __init__(
        self,
        role: str = "general",
        *,
        profile: str | None = None,
        manifest: PathLike | None = None,
        registry: ModelRegistry[Any] | None = None,
        providers: Providers | None = None,
        on_event: OnEvent | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(
            role,
            profile=profile,
            manifest=manifest,
            registry=registry,
            providers=providers,
            on_event=on_event,
            parameters=parameters,
        )
        self._streams: WeakSet[RoleStream] = WeakSet()
        self._running: WeakSet[Cancellation] = WeakSet()  # asynchronous calls
        self._lock = threading.Lock()

    def reply(self, messages: Messages, **options: Any) -> RoleCompletion:
        """Answer a conversation. An answer that breaks off is begun again by the next provider.

        Args:
            messages: The conversation, in OpenAI's shape: `[{"role": "user", "content": "..."}]`.
            options: How to generate, over what was said for all calls, where it is not `None`; and `tools`,
                `response_format` and what else the providers take.

        Returns:
            The answer in OpenAI's shape, with `served_by`.

        Raises:
            InvalidMessageError: The conversation is not one that a chat model can be given.
            InvalidOptionError: An option has a value that it cannot have.
            RegistryError: The role's own choice refuses the request, as for a prompt that is too long.
            NoProviderError: None of them has answered; the error says why, for each.
            ModelClosedError: This is closed.
        """
        links = self._links_of(messages, options)

        def ask(provider: Provider, candidate: Candidate) -> ChatCompletion:
            return provider.chat(candidate.target, messages, candidate.parameters)

        return self._completion(self._failover.serve(links, ask))

    def stream(self, messages: Messages, **options: Any) -> RoleStream:
        """Answer a conversation piece by piece. Otherwise as `reply`; what is wrong with the call is raised at once.

        Nobody is asked before the first chunk is wanted. Once it is there, nobody else is asked any more.

        Returns:
            Chunks in OpenAI's shape; `.served_by` says who makes them. Close it, or leave a `with` block of it, to
            stop early. Reading it raises `NoProviderError` where nobody answers, and `StreamBrokenError`, with the text
            so far, where the answer breaks off.
        """
        links, cancelled, told = self._links_of(messages, options), Cancellation(), Told()
        stream = RoleStream(self._chunks(links, messages, cancelled, told), cancelled, told)
        with self._lock:
            self._streams.add(stream)
        return stream

    async def areply(self, messages: Messages, **options: Any) -> RoleCompletion:
        """Answer a conversation without blocking the event loop. As `reply`; a cancelled task frees the provider.

        The provider streams, so that it can be stopped at the next token.
        """
        links, cancelled = self._links_of(messages, options), self._cancellation()

        def ask(provider: Provider, candidate: Candidate) -> ChatCompletion:
            with closing(self._opened(provider, candidate, messages, cancelled)) as opened:
                return joined(until_set(cancelled, opened))

        def work() -> RoleCompletion:
            try:
                served = self._failover.serve(links, ask, cancelled)
            finally:
                if cancelled.is_set():  # whatever came of it: half an answer, or a connection that was cut
                    raise self._closed_error()
            return self._completion(served)

        return await call_in_thread(work, cancelled)

    def astream(self, messages: Messages, **options: Any) -> AsyncRoleStream:
        """Answer a conversation piece by piece without blocking the event loop. As `stream`, for `async for`."""
        links, cancelled, told = self._links_of(messages, options), self._cancellation(), Told()
        chunks = iterate_in_thread(lambda: self._chunks(links, messages, cancelled, told), cancelled)
        return AsyncRoleStream(chunks, told)

    def close(self) -> None:
        """End the streams that are open. Providers stay: others use them too, or the caller brought them."""
        with self._lock:
            streams, running = tuple(self._streams), tuple(self._running)
        for cancelled in running:
            cancelled.set()
        for stream in streams:
            stream.close()
        super().close()

    def _links_of(self, messages: Messages, options: dict[str, Any]) -> tuple[Link, ...]:
        links = self._links_for(options)
        check_messages(messages)  # here: one provider shall not take what the next one refuses
        return links

    def _cancellation(self) -> Cancellation:
        """Give what an asynchronous call is stopped with."""
        cancelled = Cancellation()
        with self._lock:
            self._running.add(cancelled)
        return cancelled

    def _completion(self, served: Served[ChatCompletion]) -> RoleCompletion:
        self._tell_done(served)
        return cast("RoleCompletion", {**served.value, "served_by": served.served_by})

    def _chunks(
        self, links: tuple[Link, ...], messages: Messages, cancelled: Cancellation, told: Told
    ) -> Generator[ChatCompletionChunk, None, None]:
        def ask(provider: Provider, candidate: Candidate) -> Opened:
            return self._opened(provider, candidate, messages, cancelled)

        try:
            served = self._failover.serve(links, ask, cancelled)
        except Exception:
            if cancelled.is_set():
                return
            raise
        told.served_by = served.served_by
        with closing(served.value) as opened:
            try:
                for chunk in until_set(cancelled, opened):
                    told.take(chunk)
                    yield chunk
            except Exception as error:
                if cancelled.is_set():
                    return
                if not isinstance(error, _BREAKS_OFF):
                    raise
                raise self._broken(served, told, error) from error
        if not cancelled.is_set():
            self._tell_done(served)

    def _opened(self, provider: Provider, candidate: Candidate, messages: Messages, cancelled: Cancellation) -> Opened:
        chunks = provider.stream(candidate.target, messages, candidate.parameters)
        cancelled.ends(chunks)
        return open_stream(candidate.provider, candidate.target.name, chunks)

    def _broken(self, served: Served[Opened], told: Told, error: Exception) -> StreamBrokenError:
        by, problem = served.served_by, problem_of(error)
        served.permit.failed(scope_of(error), problem)
        self._failover.tell("broken", by["provider"], by["model"], problem)
        remedy = error.remedy if isinstance(error, ProviderError) else ""
        return StreamBrokenError(by["provider"], by["model"], problem, remedy, told.text())
