import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from catalog.children import child
from registry.catalog import Catalog
from registry.errors import CatalogBusyError, CatalogFileError, ModelExistsError

Opened = Callable[..., Catalog]
METRIC = {"metric_type": "load_time", "metric_value": 1.5, "unit": "s", "hardware_type": "cpu", "hardware_name": "x"}
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and fork")

# Writes a thousand models, says so, and waits for a line before it keeps them.
WRITER = """\
import sys
from registry.catalog import Catalog
with Catalog.open(sys.argv[1]) as catalog:
    with catalog._writing():
        for number in range(1000):
            catalog.add(name=f"child-{number}", description="what nobody should ever see " * 20)
        print("written", flush=True)
        sys.stdin.readline()
print("kept", flush=True)
"""
# Adds so many models, one by one.
ADDER = """\
import sys
from registry.catalog import Catalog
with Catalog.open(sys.argv[1]) as catalog:
    print("open", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[3])):
        catalog.add(name=f"{sys.argv[2]}-{number}", tags=["of-a-child"])
"""


def names(catalog: Catalog) -> list[str]:
    return [model.name for model in catalog.search(limit=10_000).models]


def test_readers_go_on_while_another_process_writes(opened: Opened, path: Path) -> None:
    catalog = opened()
    catalog.add(name="before")
    with child(WRITER, path) as writer:
        assert writer.line() == "written"
        assert names(catalog) == ["before"]
        assert catalog.get("before").name == "before"
        assert catalog.stats().models == 1
        with Catalog.open(path) as another:
            assert names(another) == ["before"]
        writer.go()
        assert writer.line() == "kept"
    assert catalog.stats().models == 1001


def test_second_writer_waits_for_the_first(opened: Opened, path: Path) -> None:
    catalog = opened()
    with child(WRITER, path) as writer, ThreadPoolExecutor() as threads:
        writer.line()
        added = threads.submit(catalog.add, name="second")
        assert not added.done()
        writer.go()
        assert added.result(60).id == 1001


def test_write_that_waits_too_long_is_busy_and_changes_nothing(opened: Opened, path: Path) -> None:
    catalog = opened(timeout_s=0.2)
    with child(WRITER, path) as writer:
        writer.line()
        with pytest.raises(CatalogBusyError) as caught:
            catalog.add(name="too-late")
        writer.go()
        writer.end()
    assert str(caught.value) == (
        f"Another process is writing to `{path}`, and was not done after 0.2 s. "
        "Nothing was changed. Try again, or wait for longer."
    )
    assert "too-late" not in names(catalog)
    assert catalog.add(name="in-time").name == "in-time"


def test_writer_of_another_thread_is_waited_for_as_long_as_the_time_out(opened: Opened) -> None:
    catalog = opened(timeout_s=0.05)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with catalog._writing():
            held.set()
            done.wait(60)

    with ThreadPoolExecutor() as threads:
        holder = threads.submit(hold)
        held.wait(60)
        with pytest.raises(CatalogBusyError):
            catalog.add(name="x")
        done.set()
        holder.result(60)


@POSIX
def test_writer_killed_in_the_middle_leaves_the_store_as_it_was(opened: Opened, path: Path) -> None:
    catalog = opened()
    catalog.add(name="before", tags=["old"])
    with child(WRITER, path) as writer:
        writer.line()
        writer.process.send_signal(signal.SIGKILL)
        writer.process.wait(60)
    assert names(catalog) == ["before"]
    assert catalog.search("nobody").total == 0
    assert catalog.add(name="after").id == 2
    with catalog._writing() as connection:
        connection.execute("INSERT INTO model_words (model_words) VALUES ('integrity-check')")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@POSIX
def test_store_opens_after_its_last_user_was_killed(opened: Opened, path: Path) -> None:
    with child(WRITER, path) as writer:
        writer.line()
        writer.process.send_signal(signal.SIGKILL)
        writer.process.wait(60)
    assert names(opened()) == []


@POSIX
def test_wait_for_a_writer_ends_at_ctrl_c(opened: Opened, path: Path) -> None:
    opened()
    waiting = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have told its children to ignore
from registry.catalog import Catalog
catalog = Catalog.open(sys.argv[1])
try:
    print("waiting", flush=True)
    catalog.add(name="x")
except KeyboardInterrupt:
    print("stopped")
catalog.close()
"""
    with child(WRITER, path) as writer:
        writer.line()
        with child(waiting, path) as second:
            second.line()
            second.process.send_signal(signal.SIGINT)
            assert second.end() == "stopped\n"
        writer.go()
        writer.end()


def test_writers_of_several_processes_lose_nothing(opened: Opened, path: Path) -> None:
    catalog = opened()
    with child(ADDER, path, "a", 30) as first, child(ADDER, path, "b", 30) as second:
        for each in (first, second):
            each.line()
        for each in (first, second):
            each.go()
        for number in range(30):
            catalog.add(name=f"c-{number}", tags=["of-a-child"])
        for each in (first, second):
            each.end()
    assert sorted(names(catalog)) == sorted(f"{letter}-{number}" for letter in "abc" for number in range(30))
    assert catalog.search(tag="of-a-child").total == catalog.search("child").total == 90


def test_store_that_several_processes_open_first_is_made_once(path: Path) -> None:
    code = "import sys\nfrom registry.catalog import Catalog\nprint('ready', flush=True)\nsys.stdin.readline()\n"
    code += "with Catalog.open(sys.argv[1]) as catalog:\n    catalog.add(name=sys.argv[2])\n"
    with child(code, path, "a") as first, child(code, path, "b") as second, child(code, path, "c") as third:
        for each in (first, second, third):
            each.line()
        for each in (first, second, third):
            each.go()
        for each in (first, second, third):
            each.end()
    with Catalog.open(path) as catalog:
        assert names(catalog) == ["a", "b", "c"]


def test_store_that_several_threads_open_first_is_made_once(path: Path) -> None:
    def add(number: int) -> None:
        with Catalog.open(path) as catalog:
            catalog.add(name=f"model-{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(8)))
    with Catalog.open(path) as catalog:
        assert catalog.stats().models == 8


def test_threads_share_a_catalog(catalog: Catalog) -> None:
    def use(number: int) -> int:
        catalog.add(name=f"model-{number}", tags=[f"tag-{number % 3}"])
        catalog.add_metrics(f"model-{number}", [METRIC])
        assert catalog.search(f"model-{number}").total >= 1
        return catalog.get(f"model-{number}").id

    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(use, range(40)))
    assert sorted(ids) == list(range(1, 41))
    assert catalog.count_metrics() == catalog.stats().models == 40


def test_error_in_a_write_keeps_nothing_of_it(catalog: Catalog) -> None:
    revision, page = catalog.revision(), catalog.search()
    with suppress(ZeroDivisionError), catalog._writing():
        catalog.add(name="x", tags=["t"])
        1 / 0  # noqa: B018
    assert catalog.search() == page
    assert catalog.tags() == ()
    if catalog.path:
        assert catalog.revision() == revision


def test_write_within_a_write_fails_alone(catalog: Catalog) -> None:
    with catalog._writing():
        catalog.add(name="kept")
        with pytest.raises(ModelExistsError):
            catalog.add(name="kept")
        with suppress(ZeroDivisionError), catalog._writing():
            catalog.add(name="lost")
            1 / 0  # noqa: B018
    assert names(catalog) == ["kept"]


def test_revision_stays_while_nothing_changes(catalog: Catalog) -> None:
    catalog.add(name="x")
    revision = catalog.revision()
    catalog.search("x")
    catalog.get("x")
    assert catalog.revision() == revision


def test_revision_is_another_one_after_every_change(catalog: Catalog) -> None:
    seen = [catalog.revision()]
    catalog.add(name="x")
    seen.append(catalog.revision())
    metric = catalog.add_metrics("x", [METRIC])[0]
    seen.append(catalog.revision())
    catalog.update("x", notes="n")
    seen.append(catalog.revision())
    catalog.remove_metric(metric.id)
    seen.append(catalog.revision())
    catalog.remove("x")
    seen.append(catalog.revision())
    assert len(set(seen)) == len(seen)


def test_revision_notices_other_processes(opened: Opened, path: Path) -> None:
    catalog = opened()
    before = catalog.revision()
    with child(ADDER, path, "x", 1) as adder:
        adder.line()
        adder.go()
        adder.end()
    assert catalog.revision() != before


def test_revision_notices_programs_that_know_nothing_of_it(opened: Opened, path: Path) -> None:
    catalog = opened()
    catalog.add(name="x")
    before = catalog.revision()
    other = sqlite3.connect(path)
    other.execute("UPDATE models SET parameters = 7")
    other.commit()
    other.close()
    assert catalog.revision() != before


def test_revisions_of_two_openings_differ(opened: Opened) -> None:
    assert opened().revision() != opened().revision()


@pytest.mark.parametrize(
    "use",
    [
        lambda catalog: catalog.search(),
        lambda catalog: catalog.get("x"),
        lambda catalog: catalog.add(name="x"),
        lambda catalog: catalog.revision(),
        lambda catalog: catalog.stats(),
        lambda catalog: catalog.sync(),
    ],
    ids=["search", "get", "add", "revision", "stats", "sync"],
)
def test_use_after_close_says_so(catalog: Catalog, use: Callable[[Catalog], object]) -> None:
    catalog.close()
    with pytest.raises(CatalogFileError) as caught:
        use(catalog)
    assert str(caught.value) == (
        f"`{catalog.path or ':memory:'}` was closed by this program. It was left as it is. "
        "Open it again with `Catalog.open`."
    )


def test_close_again_does_nothing(catalog: Catalog) -> None:
    catalog.close()
    catalog.close()


def test_close_waits_for_a_write_and_lets_readers_end(opened: Opened, path: Path) -> None:
    catalog = opened()
    catalog.add(name="x")
    reading, closed = threading.Event(), threading.Event()

    def read() -> int:
        with catalog._reading() as connection:
            reading.set()
            closed.wait(60)
            (count,) = connection.execute("SELECT count(*) FROM models").fetchone()
            return int(count)

    with ThreadPoolExecutor() as threads:
        count = threads.submit(read)
        reading.wait(60)
        catalog.close()
        closed.set()
        assert count.result(60) == 1
    gc.collect()
    assert not path.with_name("catalog.db-wal").exists()  # every connection is closed


def test_close_within_a_write_ends_it_first(opened: Opened) -> None:
    catalog = opened()
    with catalog._writing():
        catalog.add(name="x")
        catalog.close()
    assert names(opened()) == ["x"]


@POSIX
def test_fork_leaves_the_connections_to_the_parent(opened: Opened) -> None:
    catalog = opened()
    catalog.add(name="parents")
    catalog.search("parents")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of `fork` beside threads that other tests have left
        pid = os.fork()
    if pid == 0:
        try:
            catalog.add(name="childs")
            os._exit(0 if names(catalog) == ["childs", "parents"] else 1)
        except BaseException:  # whatever it is, the child must end here
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    catalog.add(name="again")
    assert names(catalog) == ["again", "childs", "parents"]


@POSIX
def test_write_that_began_before_a_fork_is_the_parents(opened: Opened) -> None:
    catalog = opened()
    parent = os.getpid()
    try:
        with catalog._writing():
            catalog.add(name="parents")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except CatalogFileError as error:
        if os.getpid() == parent:
            raise
        os._exit(0 if "is being written by the parent process" in str(error) else 1)
    except BaseException:  # whatever it is, the child must end here
        os._exit(2)
    if os.getpid() != parent:
        os._exit(3)
    assert status == 0
    assert names(catalog) == ["parents"]


def test_import_opens_nothing_and_does_not_import_sqlite() -> None:
    code = "import sys, registry.catalog\nprint('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
