"""Who has just failed is not asked for a while; one call finds out whether it is back."""

import gc
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.profiles import Providers, Target
from registry.profiles.circuit import Circuits, Permit, Refusal, circuits_of

from .small import chat_record

QWEN, DOLPHIN = Target("qwen3"), Target("dolphin3")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(clock=clock, chance=lambda: 0.0)


def admitted(
    circuits: Circuits, provider: str = "ollama", model: Target = QWEN, *, last_resort: bool = False
) -> Permit:
    permit = circuits.admit(provider, model, last_resort=last_resort)
    assert isinstance(permit, Permit), permit
    return permit


def fail(circuits: Circuits, scope: str = "provider", model: Target = QWEN) -> None:
    with admitted(circuits, model=model) as permit:
        permit.failed(scope, "nothing listens")  # type: ignore[arg-type] # a literal, in all these tests


def test_admit_at_first_lets_everybody_in(circuits: Circuits) -> None:
    assert [type(circuits.admit("ollama", QWEN)) for _ in range(3)] == [Permit] * 3


def test_admit_after_one_fault_refuses_with_its_reason_and_the_time_left(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 10
    assert circuits.admit("ollama", QWEN) == Refusal("nothing listens", 20.0)


def test_refusal_says_when_it_is_asked_again_and_why_not_now(circuits: Circuits) -> None:
    fail(circuits)
    assert str(circuits.admit("ollama", QWEN)) == "Not asked for another 30 s. Its last fault: nothing listens"


def test_fault_of_a_provider_concerns_all_its_models_and_no_other_provider(circuits: Circuits) -> None:
    fail(circuits)
    assert isinstance(circuits.admit("ollama", DOLPHIN), Refusal)
    assert isinstance(circuits.admit("openai", QWEN), Permit)


def test_fault_of_a_model_concerns_no_other_model(circuits: Circuits) -> None:
    fail(circuits, "model")
    assert isinstance(circuits.admit("ollama", QWEN), Refusal)
    assert isinstance(circuits.admit("ollama", DOLPHIN), Permit)


def test_fault_of_a_model_shows_that_its_provider_is_back(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 30
    fail(circuits, "model")
    assert [type(circuits.admit("ollama", DOLPHIN)) for _ in range(2)] == [Permit] * 2


def test_admit_after_the_time_lets_one_caller_probe_and_refuses_the_others(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 30
    admitted(circuits)
    refusal = circuits.admit("ollama", QWEN)
    assert str(refusal) == "Not asked while another call finds out if it is back. Its last fault: nothing listens"


def test_probe_that_succeeds_lets_everybody_in(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 30
    with admitted(circuits) as probe:
        probe.succeeded()
    assert [type(circuits.admit("ollama", QWEN)) for _ in range(3)] == [Permit] * 3


def test_probe_that_says_nothing_leaves_it_to_the_next_caller(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 30
    with admitted(circuits):
        pass
    admitted(circuits)
    assert isinstance(circuits.admit("ollama", QWEN), Refusal)


def test_probe_that_never_comes_back_is_followed_by_another(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 30
    admitted(circuits)
    clock.now_s += 300
    admitted(circuits)


def test_faults_in_a_row_double_the_time_up_to_five_minutes(circuits: Circuits, clock: Clock) -> None:
    waits = []
    for _ in range(7):
        fail(circuits)
        refusal = circuits.admit("ollama", QWEN)
        assert isinstance(refusal, Refusal)
        waits.append(refusal.wait_s)
        clock.now_s += refusal.wait_s
    assert waits == [30, 60, 120, 240, 300, 300, 300]


def test_success_takes_the_time_back_to_its_beginning(circuits: Circuits, clock: Clock) -> None:
    for _ in range(3):
        fail(circuits)
        clock.now_s += 300
    with admitted(circuits) as probe:
        probe.succeeded()
    fail(circuits)
    assert circuits.admit("ollama", QWEN) == Refusal("nothing listens", 30.0)


@given(st.floats(0, 1), st.integers(1, 2000))
def test_time_has_chance_in_it_and_is_never_beyond_five_minutes(chance: float, faults: int) -> None:
    wait_s = Circuits(chance=lambda: chance)._wait_s(faults)
    assert wait_s == pytest.approx(min(30 * 2 ** (faults - 1), 300) * (1 - 0.2 * chance))


def test_fault_that_names_its_own_time_is_believed(circuits: Circuits) -> None:
    with admitted(circuits) as permit:
        permit.failed("model", "busy", for_s=3)
    assert circuits.admit("ollama", QWEN) == Refusal("busy", 3)


def test_fault_that_names_a_time_beyond_five_minutes_is_not(circuits: Circuits) -> None:
    with admitted(circuits) as permit:
        permit.failed("model", "busy", for_s=86_400)
    assert circuits.admit("ollama", QWEN) == Refusal("busy", 300)


def test_faults_of_calls_that_ran_at_the_same_time_count_once(circuits: Circuits, clock: Clock) -> None:
    permits = [admitted(circuits) for _ in range(50)]
    for permit in permits:
        permit.failed("provider", "nothing listens")
    assert circuits.admit("ollama", QWEN) == Refusal("nothing listens", 30.0)


def test_success_of_a_call_that_began_before_the_fault_does_not_count(circuits: Circuits) -> None:
    old = admitted(circuits)
    fail(circuits)
    old.succeeded()
    assert isinstance(circuits.admit("ollama", QWEN), Refusal)


def test_fault_of_a_call_that_began_before_the_fault_makes_nobody_wait_for_longer(
    circuits: Circuits, clock: Clock
) -> None:
    old = admitted(circuits)
    fail(circuits)
    clock.now_s += 10
    old.failed("provider", "timed out")
    assert circuits.admit("ollama", QWEN) == Refusal("nothing listens", 20.0)


def test_success_of_a_probe_that_was_given_up_does_not_count(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 30
    old = admitted(circuits)
    clock.now_s += 300
    fail(circuits)
    old.succeeded()
    assert isinstance(circuits.admit("ollama", QWEN), Refusal)


def test_call_that_fails_after_its_success_opens_the_circuit(circuits: Circuits) -> None:
    with admitted(circuits) as permit:
        permit.succeeded()
    permit.failed("model", "broke off")
    assert circuits.admit("ollama", QWEN) == Refusal("broke off", 30.0)


def test_probe_that_fails_after_its_success_opens_the_circuit_for_the_first_time(
    circuits: Circuits, clock: Clock
) -> None:
    fail(circuits, "model")
    clock.now_s += 30
    with admitted(circuits) as permit:
        permit.succeeded()
    permit.failed("model", "broke off")
    assert circuits.admit("ollama", QWEN) == Refusal("broke off", 30.0)


def test_last_resort_is_asked_again_where_the_fault_showed_at_once(circuits: Circuits) -> None:
    fail(circuits)
    admitted(circuits, last_resort=True)


def test_last_resort_is_not_asked_again_where_the_fault_took_time(circuits: Circuits, clock: Clock) -> None:
    with admitted(circuits) as permit:
        clock.now_s += 2
        permit.failed("provider", "timed out")
    assert circuits.admit("ollama", QWEN, last_resort=True) == Refusal("timed out", 30.0)


def test_last_resort_is_asked_again_where_an_answer_broke_off_whenever_that_was(
    circuits: Circuits, clock: Clock
) -> None:
    with admitted(circuits) as permit:
        clock.now_s += 20
        permit.succeeded()
    clock.now_s += 20
    permit.failed("model", "broke off")
    assert circuits.admit("ollama", QWEN) == Refusal("broke off", 30.0)
    admitted(circuits, last_resort=True)


def test_last_resort_that_fails_makes_nobody_wait_for_longer(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 10
    with admitted(circuits, last_resort=True) as permit:
        permit.failed("provider", "still nothing")
    assert circuits.admit("ollama", QWEN) == Refusal("still nothing", 20.0)


def test_last_resort_that_succeeds_closes_the_circuit(circuits: Circuits) -> None:
    fail(circuits)
    with admitted(circuits, last_resort=True) as permit:
        permit.succeeded()
    admitted(circuits)


def test_forget_lets_everybody_in(circuits: Circuits) -> None:
    fail(circuits)
    circuits.forget("ollama", QWEN)
    assert isinstance(circuits.admit("ollama", DOLPHIN), Permit)


def test_circuit_that_opens_and_closes_is_logged(
    circuits: Circuits, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "registry.profiles")
    fail(circuits, "model")
    clock.now_s += 30
    with admitted(circuits) as probe:
        probe.succeeded()
    assert caplog.messages == [
        'registry.profiles.circuit_opened provider=ollama model=qwen3 for_s=30 reason="nothing listens"',
        "registry.profiles.circuit_closed provider=ollama model=qwen3",
    ]


def test_half_open_with_fifty_threads_lets_exactly_one_probe(circuits: Circuits, clock: Clock) -> None:
    fail(circuits)
    clock.now_s += 30
    together = threading.Barrier(50)

    def ask(_: int) -> type:
        together.wait(30)
        return type(circuits.admit("ollama", QWEN))

    with ThreadPoolExecutor(50) as threads:
        assert Counter(threads.map(ask, range(50))) == {Permit: 1, Refusal: 49}


def test_circuits_of_the_same_providers_are_the_same() -> None:
    first, second = Providers(), Providers()
    assert circuits_of(first) is circuits_of(first)
    assert circuits_of(first) is not circuits_of(second)


def test_circuits_of_providers_that_are_gone_are_gone() -> None:
    from registry.profiles import circuit

    made = Providers()
    circuits_of(made)
    gc.collect()
    before = len(circuit._OF_PROVIDERS)
    del made
    gc.collect()
    assert len(circuit._OF_PROVIDERS) == before - 1


@pytest.mark.parametrize(("provider", "expected"), [("local", Refusal), ("ollama", Permit), ("openai", Permit)])
def test_fault_of_a_record_concerns_its_other_names_where_the_record_is_what_is_loaded(
    circuits: Circuits, provider: str, expected: type
) -> None:
    record = chat_record("qwen3-4b")
    with admitted(circuits, provider, Target("qwen3-4b", record)) as permit:
        permit.failed("model", "it is not there")
    assert isinstance(circuits.admit(provider, Target("qwen3", record)), expected)
