"""The actor where workers meet, called directly: who counts, and what a new start may decide."""

import pytest

from registry.adapters import AdapterRef, Ballot, Decision, Refusal
from registry.cluster import rendezvous as module
from registry.cluster.rendezvous import Meeting

OLD, NEW = (AdapterRef("dialect", version, "base", version * 64) for version in "12")
WANTED = Ballot("m", (NEW,), (NEW,))
STALE_S = 10.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def meeting(clock: list[float]) -> Meeting:
    """Give one that has begun long ago."""
    made = Meeting(STALE_S)
    clock[0] += STALE_S
    return made


def test_decision_is_made_once_all_have_prepared(clock: list[float]) -> None:
    actor = meeting(clock)

    assert actor.meet("a", None, Decision()) == Decision()
    assert actor.meet("b", WANTED, Decision()) == Decision()
    assert actor.meet("a", WANTED, Decision()) == actor.decided() == Decision(1, "m", (NEW,))


def test_worker_that_is_silent_counts_no_more(clock: list[float]) -> None:
    actor = meeting(clock)
    actor.meet("a", None, Decision())
    clock[0] += STALE_S

    assert actor.meet("b", WANTED, Decision()).number == 1


def test_worker_that_has_left_counts_no_more(clock: list[float]) -> None:
    actor = meeting(clock)
    actor.meet("a", None, Decision())
    actor.leave("a")

    assert actor.meet("b", WANTED, Decision()).number == 1


def test_who_leaves_is_told_how_many_others_there_are(clock: list[float]) -> None:
    actor = meeting(clock)
    for name in "abc":
        actor.meet(name, None, Decision())
    assert actor.leave("a") == 2
    clock[0] += STALE_S
    assert actor.leave("b") == 0


def test_new_start_learns_what_was_decided_and_waits_for_all_to_speak(clock: list[float]) -> None:
    actor, known = Meeting(STALE_S), Decision(7, "old", (OLD,))

    assert actor.meet("a", WANTED, known) == known
    assert actor.meet("b", None, Decision()) == known
    clock[0] += STALE_S / 2
    assert actor.meet("b", WANTED, known) == known
    clock[0] += STALE_S / 2
    assert actor.meet("b", WANTED, known) == Decision(8, "m", (NEW,))


def test_version_that_was_decided_without_its_model_goes_when_a_replica_finds_it_unfit(clock: list[float]) -> None:
    actor = meeting(clock)
    ingress, replica = Ballot("m", (NEW,), (NEW,), (NEW,)), Ballot("m", (NEW,), (), (), (Refusal(NEW, "bad.", True),))
    served = actor.meet("ingress", ingress, Decision())
    assert served == Decision(1, "m", (NEW,))

    assert actor.meet("replica", replica, served) == Decision(2, "m", ())

    clock[0] += STALE_S
    assert actor.meet("ingress", ingress, served) == Decision(2, "m", ())

    assert actor.meet("replica", WANTED, served) == Decision(3, "m", (NEW,))
    clock[0] += STALE_S
    assert actor.meet("ingress", ingress, served) == Decision(3, "m", (NEW,))


def test_old_version_stays_while_no_replica_has_tried_the_new_one(clock: list[float]) -> None:
    actor, known = meeting(clock), Decision(1, "old", (OLD,))
    actor.meet("ingress", Ballot("m", (NEW,), (NEW,), (NEW,)), known)

    assert actor.decided() == Decision(2, "m", (OLD,))
    assert actor.meet("replica", WANTED, known) == Decision(3, "m", (NEW,))


def test_workers_are_told_what_others_refuse(clock: list[float]) -> None:
    actor, refusal = meeting(clock), Refusal(NEW, "it is gone.", False)
    actor.meet("ingress", WANTED, Decision())
    for name in ("a", "b"):
        actor.meet(name, Ballot("m", (NEW,), (), (), (refusal,)), Decision())

    assert (actor.refused("ingress"), actor.refused("a")) == ((refusal,), (refusal,))
    actor.leave("a")
    assert (actor.refused("ingress"), actor.refused("b")) == ((refusal,), ())
