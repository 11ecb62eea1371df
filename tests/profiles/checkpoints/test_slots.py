"""Models that stay loaded: where they are, when they move, and who waits for whom. No GPU is needed."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from logging import WARNING

import pytest
from waiting import until, within

from registry.errors import InsufficientMemoryError
from registry.profiles.checkpoints.sensor import DeviceMemory
from registry.profiles.checkpoints.slots import Slots, SlotStatus, Wanted


class Model:
    """A model that remembers where it went."""

    def __init__(self, machine: "Machine", name: str, size: int, device: str, *, can_move: bool = True) -> None:
        self.machine = machine
        self.name = name
        self.footprint_bytes = size
        self.device = device
        self.can_move = can_move
        self.fault: Exception | None = None
        self.closed = False

    def move(self, device: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.machine.events.append(f"{self.name} to {device}")
        self.device = device

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.machine.events.append(f"{self.name} closed")


class Machine:
    """A GPU of 100 bytes and main memory of 1000, filled by the models that are on them.

    Attributes:
        events: What happened to models, in order.
        models: Every model that was loaded.
        others: Bytes that other programs use, by device.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.models: list[Model] = []
        self.totals = {"cuda": 100, "cpu": 1000}
        self.others = {"cuda": 0, "cpu": 0}
        self.slots = Slots(self.memory)

    def memory(self, device: str) -> DeviceMemory | None:
        if device not in self.totals:
            return None
        here = (model.footprint_bytes for model in self.models if model.device == device and not model.closed)
        return DeviceMemory(self.others[device] + sum(here), self.totals[device])

    def wanted(
        self,
        name: str,
        size: int = 30,
        *,
        threshold: float | None = None,
        device: str = "cuda",
        can_move: bool = True,
        load: Callable[[], Model] | None = None,
    ) -> Wanted[Model]:
        def made() -> Model:
            self.events.append(f"{name} loaded")
            model = Model(self, name, size, device, can_move=can_move)
            self.models.append(model)
            return model

        return Wanted(name, name, device, lambda: size, load or made, threshold)

    def use(self, *names: str, size: int = 30, threshold: float | None = None) -> None:
        """Use models one after the other."""
        for name in names:
            with self.slots.use(self.wanted(name, size, threshold=threshold)):
                pass

    @property
    def places(self) -> dict[str, str]:
        return {status.name: status.device for status in self.slots.status()}


@pytest.fixture
def machine() -> Machine:
    return Machine()


# Loading


def test_use_loads_a_model_once_and_lends_it_again(machine: Machine) -> None:
    with machine.slots.use(machine.wanted("a")) as first:
        pass
    with machine.slots.use(machine.wanted("a")) as second:
        pass

    assert first is second
    assert machine.events == ["a loaded"]


def test_use_by_many_threads_at_once_loads_a_model_once(machine: Machine) -> None:
    together = threading.Barrier(20)

    def use(_: int) -> Model:
        together.wait(30)
        with machine.slots.use(machine.wanted("a")) as model:
            return model

    with ThreadPoolExecutor(20) as pool:
        models = set(pool.map(use, range(20)))

    assert len(models) == 1
    assert machine.events == ["a loaded"]


def test_use_while_another_model_is_loaded_lends_what_is_there_at_once(machine: Machine) -> None:
    machine.use("a")
    loading, go_on = threading.Event(), threading.Event()

    def slow() -> Model:
        loading.set()
        assert go_on.wait(30)
        return Model(machine, "b", 30, "cuda")

    def use_slow() -> None:
        with machine.slots.use(machine.wanted("b", load=slow)):
            pass

    thread = threading.Thread(target=use_slow)
    thread.start()
    assert loading.wait(30)
    within(lambda: machine.use("a"))
    go_on.set()
    thread.join()

    assert machine.events == ["a loaded"]


def test_use_after_a_failed_load_loads_again(machine: Machine) -> None:
    def fail() -> Model:
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"), machine.slots.use(machine.wanted("a", load=fail)):
        pass
    machine.use("a")

    assert machine.events == ["a loaded"]


def test_status_gives_the_most_recently_used_first_with_its_users(machine: Machine) -> None:
    machine.use("a", "b", threshold=0.1)
    with machine.slots.use(machine.wanted("a")):
        assert machine.slots.status() == (
            SlotStatus("b", "cpu", "cuda", 0, 30),
            SlotStatus("a", "cuda", "cuda", 1, 30),
        )


# Thresholds


def test_give_back_below_the_threshold_moves_nothing(machine: Machine) -> None:
    machine.use("a", "b", threshold=0.61)

    assert machine.places == {"b": "cuda", "a": "cuda"}


def test_give_back_at_the_threshold_moves_the_least_recently_used_until_it_is_below(machine: Machine) -> None:
    machine.use("a", "b", "a", "c", threshold=0.9)

    assert machine.places == {"c": "cuda", "a": "cuda", "b": "cpu"}
    assert machine.events == ["a loaded", "b loaded", "c loaded", "b to cpu"]


def test_give_back_counts_what_other_programs_use(machine: Machine) -> None:
    machine.others["cuda"] = 60

    machine.use("a", threshold=0.9)

    assert machine.places == {"a": "cpu"}


def test_use_leaves_models_that_are_used_where_they_are(machine: Machine) -> None:
    with machine.slots.use(machine.wanted("a", threshold=0.5)):
        machine.use("b", threshold=0.5)
        assert machine.places == {"b": "cpu", "a": "cuda"}


def test_give_back_leaves_a_model_that_is_taken_while_it_looks(machine: Machine) -> None:
    asked, taken, go_on = threading.Event(), threading.Event(), threading.Event()

    def use() -> None:
        assert asked.wait(30)
        with machine.slots.use(machine.wanted("a", threshold=0.2)):
            taken.set()
            assert go_on.wait(30)

    def memory(device: str) -> DeviceMemory | None:
        if not asked.is_set():
            asked.set()
            assert taken.wait(30)
        return machine.memory(device)

    with ExitStack() as a:
        a.enter_context(machine.slots.use(machine.wanted("a", threshold=0.2)))
        thread = threading.Thread(target=use)
        thread.start()
        machine.slots._memory = memory
        within(a.close)
    assert machine.places == {"a": "cuda"}
    go_on.set()
    thread.join()
    assert machine.places == {"a": "cpu"}


def test_give_back_moves_only_models_whose_own_threshold_is_reached(machine: Machine) -> None:
    machine.use("a", threshold=0.9)
    machine.use("b", threshold=0.5)

    assert machine.places == {"b": "cpu", "a": "cuda"}


def test_use_of_a_model_with_another_threshold_has_that_from_now_on(machine: Machine) -> None:
    machine.use("a", threshold=0.9)
    machine.use("a", threshold=0.2)

    assert machine.places == {"a": "cpu"}


def test_use_of_a_moved_model_brings_it_back_and_does_not_load_it(machine: Machine) -> None:
    machine.use("a", threshold=0.2)

    with machine.slots.use(machine.wanted("a")) as model:
        assert model.device == "cuda"

    assert machine.events == ["a loaded", "a to cpu", "a to cuda"]


def test_use_of_a_moved_model_by_many_threads_brings_it_back_once(machine: Machine) -> None:
    machine.use("a", threshold=0.2)
    together = threading.Barrier(10)

    def use(_: int) -> str:
        together.wait(30)
        with machine.slots.use(machine.wanted("a")) as model:
            return model.device

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(use, range(10))) == {"cuda"}
    assert machine.events == ["a loaded", "a to cpu", "a to cuda"]


def test_give_back_of_one_that_cannot_move_closes_it(machine: Machine) -> None:
    with machine.slots.use(machine.wanted("a", threshold=0.2, can_move=False)):
        pass

    assert machine.events == ["a loaded", "a closed"]
    assert machine.places == {}


def test_give_back_with_main_memory_full_closes_what_it_cannot_move(machine: Machine) -> None:
    machine.others["cpu"] = 980

    machine.use("a", threshold=0.2)

    assert machine.events == ["a loaded", "a closed"]


def test_give_back_while_another_model_is_loaded_does_not_wait_and_is_tidied_after(machine: Machine) -> None:
    loading, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Model:
        loading.set()
        assert go_on.wait(30)
        return Model(machine, "b", 30, "cuda")

    def use_slow() -> None:
        with machine.slots.use(machine.wanted("b", load=slow)):
            assert done.wait(30)

    with ExitStack() as a:
        a.enter_context(machine.slots.use(machine.wanted("a", threshold=0.2)))
        thread = threading.Thread(target=use_slow)
        thread.start()
        assert loading.wait(30)
        within(a.close)
    assert machine.events == ["a loaded"]
    go_on.set()
    until(lambda: machine.events == ["a loaded", "a to cpu"])
    done.set()
    thread.join()


def test_give_back_with_a_failing_move_closes_the_model_and_says_so(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    with machine.slots.use(machine.wanted("a", threshold=0.2)) as model:
        model.fault = RuntimeError("an illegal memory access was encountered")

    assert machine.events == ["a loaded", "a closed"]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        WARNING,
        'registry.profiles.not_moved model=a reason="RuntimeError: an illegal memory access was encountered"',
    )


# Room


def test_use_moves_idle_models_that_are_in_the_way_the_least_recently_used_first(machine: Machine) -> None:
    machine.use("a", "b", "c", "a")

    machine.use("d", size=60)

    assert machine.events == ["a loaded", "b loaded", "c loaded", "b to cpu", "c to cpu", "d loaded"]


def test_use_of_a_moved_model_makes_room_for_it(machine: Machine) -> None:
    machine.use("a", "b", size=60)

    machine.use("a", size=60)

    assert machine.events == ["a loaded", "a to cpu", "b loaded", "b to cpu", "a to cuda"]


def test_use_in_main_memory_closes_idle_models_that_are_in_the_way(machine: Machine) -> None:
    for name in ("a", "b"):
        with machine.slots.use(machine.wanted(name, 600, device="cpu")):
            pass

    assert machine.events == ["a loaded", "a closed", "b loaded"]


def test_use_with_no_room_and_all_models_in_use_says_what_is_missing(machine: Machine) -> None:
    with (
        machine.slots.use(machine.wanted("a", 70)),
        pytest.raises(InsufficientMemoryError) as caught,
        machine.slots.use(machine.wanted("b", 40)),
    ):
        pass

    assert str(caught.value) == (
        "Not enough memory for `b`. It needs 40 bytes on `cuda`, and 30 of 100 are free. "
        "Close other programs, or choose a smaller model."
    )
    assert (caught.value.needed_bytes, caught.value.available_bytes) == (40, 30)
    assert machine.places == {"a": "cuda"}


def test_use_of_a_moved_model_with_no_room_leaves_it_where_it_is(machine: Machine) -> None:
    machine.use("a", size=60, threshold=0.5)
    with machine.slots.use(machine.wanted("b", 60)):
        with pytest.raises(InsufficientMemoryError), machine.slots.use(machine.wanted("a", 60)):
            pass

        assert machine.places["a"] == "cpu"
    machine.use("a", size=60)
    assert machine.places["a"] == "cuda"


def test_use_whose_load_runs_out_of_memory_tries_again_without_idle_models(machine: Machine) -> None:
    machine.use("a")

    def load() -> Model:
        if machine.places["a"] == "cuda":
            raise InsufficientMemoryError("b", "In pieces.")
        return Model(machine, "b", 30, "cuda")

    with machine.slots.use(machine.wanted("b", load=load)) as model:
        assert model.name == "b"
    assert machine.events == ["a loaded", "a to cpu"]


def test_use_whose_load_runs_out_of_memory_with_nobody_idle_raises(machine: Machine) -> None:
    def load() -> Model:
        raise InsufficientMemoryError("b", "Too large.")

    with (
        pytest.raises(InsufficientMemoryError, match="Too large"),
        machine.slots.use(machine.wanted("b", load=load)),
    ):
        pass


def test_use_on_a_device_of_unknown_memory_loads(machine: Machine) -> None:
    with machine.slots.use(machine.wanted("a", 10**9, device="xpu", threshold=0.1)):
        pass

    assert machine.places == {"a": "xpu"}


# Closing


def test_close_frees_idle_models_now_and_others_when_they_are_given_back(machine: Machine) -> None:
    machine.use("a")
    with machine.slots.use(machine.wanted("b")):
        machine.slots.close()
        assert machine.events == ["a loaded", "b loaded", "a closed"]
        assert machine.places == {}

    assert machine.events == ["a loaded", "b loaded", "a closed", "b closed"]


def test_close_with_two_users_frees_with_the_last(machine: Machine) -> None:
    with machine.slots.use(machine.wanted("a")):
        with machine.slots.use(machine.wanted("a")):
            machine.slots.close()
        assert machine.events == ["a loaded"]

    assert machine.events == ["a loaded", "a closed"]


def test_use_after_close_loads_anew(machine: Machine) -> None:
    machine.use("a")
    machine.slots.close()

    machine.use("a")

    assert machine.events == ["a loaded", "a closed", "a loaded"]
