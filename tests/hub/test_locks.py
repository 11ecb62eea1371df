import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("filelock")

from registry.hub.locks import free_locks, in_use, lock_of, locked, used_keys

# A process that marks a model, says so, and waits until its input ends.
_USER = """
import sys
from pathlib import Path
from registry.hub.locks import in_use
with in_use(Path(sys.argv[1]), sys.argv[2]):
    print("marked", flush=True)
    sys.stdin.read()
"""


def user(folder: Path, key: str, before: str = "") -> subprocess.Popen[str]:
    """Start a process that has marked a model."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", before + _USER, folder, key], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "marked\n"
    return process


def test_lock_is_held_by_one_thread_at_a_time(tmp_path: Path) -> None:
    inside, seen = [], []

    def work() -> None:
        with locked(tmp_path / "lock"):
            inside.append(None)
            seen.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 8


def test_lock_that_is_held_says_once_that_it_waits(tmp_path: Path) -> None:
    waits = threading.Event()
    said: list[int] = []

    def work() -> None:
        with locked(tmp_path / "lock", waiting=lambda: (said.append(1), waits.set())):
            said.append(2)

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=work)
        thread.start()
        assert waits.wait(10)
    thread.join()
    assert said == [1, 2]


def test_lock_that_is_free_does_not_say_that_it_waits(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", waiting=lambda: pytest.fail("waited")):
        pass


def test_lock_is_let_go_of_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    with locked(tmp_path / "lock", waiting=lambda: pytest.fail("still held")):
        pass


def test_lock_in_a_folder_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    with pytest.raises(OSError, match="models"), locked(tmp_path / "models" / "a" / "lock"):
        pass


def test_lock_of_an_adapter_is_apart_from_that_of_a_model(tmp_path: Path) -> None:
    assert lock_of(tmp_path, "a") == tmp_path / ".downloading" / "a.lock"
    assert lock_of(tmp_path, "adapters/a") == tmp_path / ".downloading" / "adapters" / "a.lock"


@pytest.mark.parametrize("key", ["a-chat", "adapters/a-lora", "a--b", "a%2Fb", "100%", "a--b-1-2"])
def test_marked_model_is_in_use_until_the_block_ends(tmp_path: Path, key: str) -> None:
    with in_use(tmp_path, key):
        assert used_keys(tmp_path) == {key}
        assert used_keys(tmp_path) == {key}
    assert used_keys(tmp_path) == set()


def test_model_that_is_marked_twice_stays_in_use_until_both_end(tmp_path: Path) -> None:
    with in_use(tmp_path, "a"):
        with in_use(tmp_path, "a"):
            pass
        assert used_keys(tmp_path) == {"a"}


def test_mark_may_be_taken_away_by_another_thread(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(in_use(tmp_path, "a"))
        kept = stack.pop_all()
    thread = threading.Thread(target=kept.close)
    thread.start()
    thread.join()
    assert used_keys(tmp_path) == set()


def test_two_processes_with_one_number_mark_one_model(tmp_path: Path) -> None:
    as_in_a_container = "import os; os.getpid = lambda: 1\n"
    process = user(tmp_path, "a", as_in_a_container)
    command = [sys.executable, "-c", as_in_a_container + _USER, tmp_path, "a"]
    second = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True)
    assert second.stdout == "marked\n"
    assert used_keys(tmp_path) == {"a"}
    process.communicate(timeout=30)


def test_model_of_another_process_is_in_use_until_that_ends(tmp_path: Path) -> None:
    process = user(tmp_path, "a")
    assert used_keys(tmp_path) == {"a"}
    process.communicate(timeout=30)
    assert used_keys(tmp_path) == set()


def test_mark_of_a_killed_process_is_taken_away(tmp_path: Path) -> None:
    process = user(tmp_path, "a")
    process.kill()
    process.communicate(timeout=30)
    assert [file.name for file in (tmp_path / ".in-use").glob("a--*")] != []
    assert used_keys(tmp_path) == set()
    assert list((tmp_path / ".in-use").glob("a--*")) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_end_of_a_forked_child_leaves_the_mark_of_its_parent(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from registry.hub.locks import in_use, used_keys
with in_use(Path(sys.argv[1]), "a"):
    if not (child := os.fork()):
        raise SystemExit  # which unwinds the block here too
    os.waitpid(child, 0)
    print(used_keys(Path(sys.argv[1])))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "{'a'}\n"


def test_nothing_is_marked_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no folder")
    with in_use(tmp_path / "models", "a"):
        assert used_keys(tmp_path / "models") == set()


def test_looking_for_marks_makes_no_folder(tmp_path: Path) -> None:
    assert used_keys(tmp_path / "models") == set()
    assert list(tmp_path.iterdir()) == []


def test_free_locks_are_those_that_nobody_holds(tmp_path: Path) -> None:
    with locked(lock_of(tmp_path, "b")), ExitStack() as stack:
        assert free_locks(stack, tmp_path, ["a", "b", "adapters/c"]) == {"a", "adapters/c"}


def test_free_locks_are_held_until_the_stack_unwinds(tmp_path: Path) -> None:
    with ExitStack() as stack:
        free_locks(stack, tmp_path, ["a"])
        with ExitStack() as other:
            assert free_locks(other, tmp_path, ["a"]) == set()
    with ExitStack() as stack:
        assert free_locks(stack, tmp_path, ["a"]) == {"a"}


def test_threads_that_are_first_together_all_get_their_lock(tmp_path: Path, run_python: Callable[..., str]) -> None:
    """The package of the locks is imported by the first of them, while the others ask for it."""
    code = (
        "import threading, sys; from pathlib import Path; from registry.hub.locks import locked\n"
        "start, done = threading.Barrier(4), []\n"
        "def work(n):\n"
        "    start.wait()\n"
        "    with locked(Path(sys.argv[1]) / str(n)): done.append(n)\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]; print(len(done))"
    )
    assert run_python(code.replace("sys.argv[1]", repr(str(tmp_path)))) == "4\n"
