"""Turns: of addresses, and of the users of an address."""

import pytest

pytest.importorskip("fastapi")
from registry.server.v1.fair_queue import Client, FairQueue

A, B, C = (Client(name) for name in "ABC")


def queue_of(*clients: Client) -> FairQueue[str]:
    """Make a queue with an item of each of these, named by client and number."""
    queue: FairQueue[str] = FairQueue()
    counts: dict[Client, int] = {}
    for client in clients:
        counts[client] = counts.get(client, 0) + 1
        queue.put(client, f"{client.address}{client.user}{counts[client]}")
    return queue


def taken(queue: FairQueue[str]) -> list[str]:
    return [queue.take() for _ in range(len(queue))]


def test_items_of_one_client_are_taken_in_the_order_in_which_they_came() -> None:
    assert taken(queue_of(A, A, A)) == ["A1", "A2", "A3"]


def test_clients_take_turns_however_many_items_one_has() -> None:
    assert taken(queue_of(A, A, A, A, B, C, B)) == ["A1", "B1", "C1", "A2", "B2", "A3", "A4"]


def test_users_of_an_address_take_turns_within_the_turns_of_that_address() -> None:
    x, y = Client("A", "x"), Client("A", "y")
    assert taken(queue_of(x, x, y, B, B)) == ["Ax1", "B1", "Ay1", "B2", "Ax2"]


def test_client_that_comes_back_is_behind_those_that_wait() -> None:
    queue = queue_of(A, B)
    assert queue.take() == "A1"
    queue.put(A, "A2")
    assert taken(queue) == ["B1", "A2"]


def test_removed_item_is_not_taken_and_a_stranger_is_not_removed() -> None:
    queue = queue_of(A, A, B)
    assert [queue.remove(A, "A1"), queue.remove(A, "A1"), queue.remove(C, "A2"), len(queue)] == [True, False, False, 2]
    assert taken(queue) == ["A2", "B1"]


def test_newest_item_of_who_has_most_gives_way_to_a_client_with_less() -> None:
    queue = queue_of(A, A, A, B)
    assert [queue.displace(C), queue.displace(B), len(queue)] == ["A3", None, 3]
    assert taken(queue) == ["A1", "B1", "A2"]


@pytest.mark.parametrize("waiting", [(), (A,), (A, B), (A, A, B)])
def test_nothing_gives_way_where_shares_are_fair_already(waiting: tuple[Client, ...]) -> None:
    queue = queue_of(*waiting)
    assert [queue.displace(A), queue.displace(B), len(queue)] == [None, None, len(waiting)]


def test_users_of_an_address_give_way_to_each_other_as_addresses_do() -> None:
    x, y = Client("A", "x"), Client("A", "y")
    queue = queue_of(x, x, x)
    assert queue.displace(y) == "Ax3"
    queue.put(y, "Ay1")
    assert queue.displace(y) is None
    assert queue.displace(x) is None


def test_made_up_users_take_nothing_from_another_address() -> None:
    queue = queue_of(*(Client("A", str(number)) for number in range(9)), B)
    assert taken(queue)[:2] == ["A01", "B1"]
    queue = queue_of(*(Client("A", str(number)) for number in range(9)))
    assert queue.displace(B) is not None
