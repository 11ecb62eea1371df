"""A queue in which nobody waits longer because somebody else asks for more."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Client(NamedTuple):
    """Who asks.

    Attributes:
        address: Address that the request came from.
        user: Which of those who use this address, where the request says so.
    """

    address: str
    user: str = ""


class FairQueue(Generic[T]):
    """Takes turns: one of each address, and of those of an address one of each user. Not for several threads at once.

    Users are counted within their address only: to make up many of them takes nothing from other addresses.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, client: Client, item: T) -> None:
        """Let an item wait behind the others of its client."""
        users = self._waiting.setdefault(client.address, OrderedDict())
        users.setdefault(client.user, deque()).append(item)
        self._length += 1

    def take(self) -> T:
        """Take the item whose turn it is out of the queue, which must not be empty."""
        address, users = next(iter(self._waiting.items()))
        user, items = next(iter(users.items()))
        item = items.popleft()
        users.move_to_end(user)
        self._waiting.move_to_end(address)
        self._tidy(Client(address, user))
        return item

    def remove(self, client: Client, item: T) -> bool:
        """Take an item out, and tell whether it was there."""
        items = self._users(client.address).get(client.user)
        if items is None or item not in items:
            return False
        items.remove(item)
        self._tidy(client)
        return True

    def displace(self, client: Client) -> T | None:
        """Take out the newest item of whoever has by far the most, to make room for an item of this client.

        Returns:
            The item; `None` where the client would then have as much as the other has left, or more.
        """
        if not self._length:
            return None
        address = max(self._waiting, key=self._of_address)
        if self._of_address(address) < self._of_address(client.address) + 2:
            address = client.address  # no other has much more: who of its own users has?
        users = self._users(address)
        user = max(users, key=lambda user: len(users[user]), default="")
        if address == client.address and self._of(address, user) < self._of(*client) + 2:
            return None
        item = users[user].pop()
        self._tidy(Client(address, user))
        return item

    def _users(self, address: str) -> OrderedDict[str, deque[T]]:
        return self._waiting.get(address) or OrderedDict()

    def _of(self, address: str, user: str) -> int:
        return len(self._users(address).get(user, ()))

    def _of_address(self, address: str) -> int:
        return sum(map(len, self._users(address).values()))

    def _tidy(self, client: Client) -> None:
        """Count an item out, and forget a client that has no other."""
        self._length -= 1
        users = self._waiting[client.address]
        if not users[client.user]:
            del users[client.user]
        if not users:
            del self._waiting[client.address]
