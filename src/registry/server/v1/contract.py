"""What the routes need of whoever does the work: the desks of this process, or replicas on other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from registry.adapters.version import AdapterVersion
    from registry.records import ModelInfo
    from registry.server.v1.calls import Work
    from registry.server.v1.fair_queue import Client

T = TypeVar("T")


class DeskStatus(NamedTuple):
    """One desk.

    Attributes:
        model_id: The model.
        waiting: Requests in the queue.
        is_busy: True while one is being answered, or the model is being loaded for it.
        seconds: Mean time of the latest requests with the model; `None` before the first.
        adapter_id: The adapter on top of the model, if there is one.
    """

    model_id: str
    waiting: int
    is_busy: bool
    seconds: float | None
    adapter_id: str | None = None


class Answering(Protocol[T]):
    """A request that was taken. Whoever opens it must cancel it in the end, which does nothing to what is over.

    Attributes:
        model_id: The model.
    """

    model_id: str

    async def more(self) -> list[T]:
        """Wait for pieces, and give all that were made since last time; none when the answer is at its end.

        Raises:
            ModelBusyError: The model was not lent in time, or the request had to give way to others.
            HTTPException: The request took too long (504).
            Exception: What the work raised, once all pieces before it were given.
        """
        ...

    def cancel(self) -> None:
        """Leave the queue, or stop the work."""


class ModelDesks(Protocol):
    """Takes requests to models, from the event loop of the application."""

    def open(
        self, record: ModelInfo, work: Work[T], client: Client, adapter: AdapterVersion | None = None
    ) -> Answering[T]:
        """Put a request into the queue of a model.

        Raises:
            ModelBusyError: The queue is full.
            ModelClosedError: The server is being stopped.
        """
        ...

    async def ask(self, record: ModelInfo, work: Work[T], client: Client, adapter: AdapterVersion | None = None) -> T:
        """Wait for the one piece that the work gives. A cancelled task stops the work.

        Raises:
            The errors of `open`, of `Answering.more` and of the work.
        """
        ...

    def has(self, record: ModelInfo) -> bool:
        """True when requests for a model need not fetch its files. May look at the disk."""
        ...

    def status(self) -> tuple[DeskStatus, ...]:
        """Give what goes on at the desks that have been used."""
        ...

    async def close(self) -> None:
        """Take no more requests, and end those that were taken."""
