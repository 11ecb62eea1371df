"""The rule by which all workers move together."""

from dataclasses import asdict
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from registry.adapters import AdapterRef, Ballot, Decision, Refusal, next_decision
from registry.adapters.decision import ballot_from, decision_from, digest_of


def _ref(name: str, version: str = "1") -> AdapterRef:
    return AdapterRef(name, version, "base", (name + version) * 8)


def _ballot(
    *wanted: AdapterRef,
    without: tuple[AdapterRef, ...] = (),
    untried: tuple[AdapterRef, ...] = (),
    unfit: tuple[AdapterRef, ...] = (),
) -> Ballot:
    prepared = tuple(ref for ref in wanted if ref not in without + unfit)
    return Ballot(digest_of(wanted), wanted, prepared, untried, tuple(Refusal(ref, "bad.", True) for ref in unfit))


def _decided(*adapters: AdapterRef, number: int = 1) -> Decision:
    return Decision(number, digest_of(adapters), adapters)


OLD, NEW, OTHER = _ref("tuned"), _ref("tuned", "2"), _ref("other")


def test_first_manifest_is_decided_by_whoever_is_there() -> None:
    assert next_decision(Decision(), [_ballot(NEW)]) == _decided(NEW)


def test_all_move_when_all_have_prepared() -> None:
    assert next_decision(_decided(OLD), [_ballot(NEW), _ballot(NEW)]) == _decided(NEW, number=2)


def test_nobody_moves_while_one_is_not_done() -> None:
    assert next_decision(_decided(OLD), [_ballot(NEW), None]) is None


def test_nobody_moves_while_one_has_another_manifest() -> None:
    assert next_decision(_decided(OLD), [_ballot(NEW), _ballot(OLD)]) is None


def test_nobody_moves_where_nobody_is() -> None:
    assert next_decision(_decided(OLD), []) is None


def test_old_version_stays_where_one_has_refused_the_new_one() -> None:
    ballots = [_ballot(NEW, OTHER), _ballot(NEW, OTHER, without=(NEW,))]
    assert next_decision(_decided(OLD), ballots) == Decision(2, digest_of((NEW, OTHER)), (OLD, OTHER))


def test_adapter_that_was_never_good_is_not_served() -> None:
    ballots = [_ballot(OTHER, NEW, without=(NEW,))]
    assert next_decision(Decision(), ballots) == Decision(1, digest_of((OTHER, NEW)), (OTHER,))


def test_adapter_that_is_mended_moves_later() -> None:
    current = Decision(2, digest_of((NEW,)), (OLD,))
    assert next_decision(current, [_ballot(NEW)]) == Decision(3, digest_of((NEW,)), (NEW,))


def test_adapter_that_is_listed_no_more_goes() -> None:
    assert next_decision(_decided(OLD, OTHER), [_ballot(OTHER)]) == _decided(OTHER, number=2)


def test_empty_manifest_takes_all_away() -> None:
    assert next_decision(_decided(OLD, OTHER), [_ballot()]) == _decided(number=2)


def test_what_is_decided_is_not_decided_again() -> None:
    assert next_decision(_decided(OLD), [_ballot(OLD), _ballot(OLD)]) is None


def test_refused_again_is_no_new_decision() -> None:
    current = Decision(2, digest_of((NEW,)), (OLD,))
    assert next_decision(current, [_ballot(NEW, without=(NEW,))]) is None


def test_new_version_that_nobody_has_tried_does_not_replace_the_old_one() -> None:
    decision = next_decision(_decided(OLD), [_ballot(NEW, untried=(NEW,)), _ballot(NEW, untried=(NEW,))])
    assert decision == Decision(2, digest_of((NEW,)), (OLD,))


def test_new_version_that_one_has_tried_replaces_the_old_one() -> None:
    ballots = [_ballot(NEW, untried=(NEW,)), _ballot(NEW)]
    assert next_decision(_decided(OLD), ballots) == _decided(NEW, number=2)


def test_first_version_that_nobody_has_tried_is_served_until_it_is_found_unfit() -> None:
    first = next_decision(Decision(), [_ballot(NEW, untried=(NEW,))])
    assert first == _decided(NEW)
    ballots = [_ballot(NEW, untried=(NEW,)), _ballot(NEW, unfit=(NEW,))]
    assert next_decision(first, ballots) == Decision(2, digest_of((NEW,)), ())


def test_version_that_somebody_found_unfit_who_is_gone_is_not_served() -> None:
    assert next_decision(_decided(NEW), [_ballot(NEW, untried=(NEW,))], {NEW}) == Decision(2, digest_of((NEW,)), ())


def test_version_that_one_cannot_fetch_now_is_served_on() -> None:
    assert next_decision(_decided(OLD), [_ballot(OLD), _ballot(OLD, without=(OLD,))]) is None


REFS = [_ref(name, version) for name, version in product("abc", "12")]
_WANTED = st.lists(st.sampled_from(REFS), unique_by=lambda ref: ref.id).map(tuple)


@given(_WANTED, _WANTED, st.lists(st.sets(st.sampled_from(REFS)), min_size=1, max_size=4))
def test_only_what_all_have_prepared_or_all_have_served_is_served(
    before: tuple[AdapterRef, ...], wanted: tuple[AdapterRef, ...], refused: list[set[AdapterRef]]
) -> None:
    ballots = [_ballot(*wanted, without=tuple(some)) for some in refused]
    decision = next_decision(_decided(*before), ballots) or _decided(*before)
    by_all = set(wanted).difference(*refused)
    assert set(decision.adapters) <= by_all | set(before)
    assert by_all <= set(decision.adapters)
    assert {ref.id for ref in decision.adapters} <= {ref.id for ref in wanted}


@given(_WANTED, _WANTED, st.sets(st.sampled_from(REFS)))
def test_order_of_the_workers_is_no_matter(
    before: tuple[AdapterRef, ...], wanted: tuple[AdapterRef, ...], refused: set[AdapterRef]
) -> None:
    ballots: list[Ballot | None] = [_ballot(*wanted), _ballot(*wanted, without=tuple(refused))]
    assert next_decision(_decided(*before), ballots) == next_decision(_decided(*before), ballots[::-1])


def test_ballots_and_decisions_survive_being_written_down() -> None:
    ballot, decision = _ballot(NEW, OTHER, unfit=(NEW,), untried=(OTHER,)), _decided(OLD, OTHER)
    assert (ballot_from(asdict(ballot)), decision_from(asdict(decision))) == (ballot, decision)


def test_manifests_are_told_apart_by_what_they_list() -> None:
    assert len({digest_of(wanted) for wanted in [(), (OLD,), (NEW,), (OLD, OTHER), (OTHER, OLD)]}) == 5
