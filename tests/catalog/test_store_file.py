import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from registry.catalog import Catalog, migrations, store_file
from registry.catalog.reading import load_models
from registry.errors import CatalogFileError, RegistryError

RESTORE = "Put a copy of it back that is whole, or move it away: a new one is made where none is."
Opened = Callable[..., Catalog]


@pytest.fixture
def filled(path: Path) -> Path:
    """A store with some hundred models, closed."""
    with Catalog.open(path) as catalog, catalog._writing():
        for number in range(300):
            catalog.add(name=f"model-{number}", description="a long description " * 20, tags=["some"])
    return path


def refused(path: Path) -> str:
    """Open it, and give what the error says behind the path; nothing may have changed."""
    before, beside = path.read_bytes(), sorted(path.parent.iterdir())
    with pytest.raises(CatalogFileError) as caught:
        Catalog.open(path)
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == beside
    message = str(caught.value)
    assert message.startswith(f"`{path}` ")
    return message.removeprefix(f"`{path}` ")


def test_text_file_is_refused_and_kept(path: Path) -> None:
    path.write_text("name,type\nmy-model,chat\n" * 100)
    assert refused(path) == f"is damaged: file is not a database. It was left as it is. {RESTORE}"


def test_file_of_a_few_bytes_is_refused_and_kept(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")
    assert refused(path) == f"is damaged: file is not a database. It was left as it is. {RESTORE}"


def test_overwritten_beginning_is_refused_and_kept(filled: Path) -> None:
    with filled.open("r+b") as file:
        file.write(b"\0" * 100)
    assert refused(filled) == f"is damaged: file is not a database. It was left as it is. {RESTORE}"


@pytest.mark.parametrize("left", [0.5, 0.9])
def test_truncated_file_is_refused_and_kept(filled: Path, left: float) -> None:
    os.truncate(filled, int(filled.stat().st_size * left) // 4096 * 4096)
    assert refused(filled) == f"is damaged: database disk image is malformed. It was left as it is. {RESTORE}"


def test_list_of_tables_overwritten_with_zeroes_is_refused_and_kept(filled: Path) -> None:
    with filled.open("r+b") as file:
        file.seek(100)
        file.write(b"\0" * (4096 - 100))
    assert refused(filled) == f"is damaged: database disk image is malformed. It was left as it is. {RESTORE}"


def test_unknown_format_of_the_tables_is_damage(filled: Path) -> None:
    with filled.open("r+b") as file:
        file.seek(44)  # the schema format number: 1 to 4
        file.write(b"\xff" * 4)
    assert refused(filled) == f"is damaged: unsupported file format. It was left as it is. {RESTORE}"


def test_index_that_names_a_lost_model_is_damage(filled: Path, opened: Opened) -> None:
    with pytest.raises(CatalogFileError) as caught, opened()._reading() as connection:
        load_models(connection, [1, 4711])
    problem = "is damaged: an index names model 4711, which is not there. It was left as it is."
    assert str(caught.value) == f"`{filled}` {problem} {RESTORE}"


def test_database_of_another_program_is_refused_and_kept(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    assert refused(path) == (
        "is another program's database. It was left as it is. Choose another path, or move it away."
    )


def test_database_of_another_program_in_use_is_refused_and_kept(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        with pytest.raises(CatalogFileError, match="is another program's database"):
            Catalog.open(path)
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("bookmarks",)]


def test_store_of_a_newer_version_is_refused_and_kept(filled: Path) -> None:
    newer = len(migrations.migrations()) + 1
    with closing(sqlite3.connect(filled)) as other:
        other.execute(f"PRAGMA user_version = {newer}")
    assert refused(filled) == (
        f"was written by a newer version: expected tables of version {newer - 1} at most, got {newer}. It was left as "
        "it is. Upgrade with `pip install --upgrade typed-model-registry`, or use another file."
    )


def test_newer_version_that_is_in_the_log_only_is_refused(filled: Path) -> None:
    with closing(sqlite3.connect(filled)) as other:
        other.execute("PRAGMA user_version = 99")
        with pytest.raises(CatalogFileError, match="was written by a newer version"):
            Catalog.open(filled)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogFileError) as caught:
        Catalog.open(tmp_path)
    assert str(caught.value) == f"`{tmp_path}` is a folder. It was left as it is. Name a file."


def test_file_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CatalogFileError, match="cannot be read: Not a directory"):
        Catalog.open(tmp_path / "file" / "catalog.db")


def test_empty_file_becomes_a_store(path: Path, opened: Opened) -> None:
    path.touch()
    assert opened().add(name="x").id == 1


def test_folder_of_a_store_is_made(tmp_path: Path, opened: Opened) -> None:
    assert opened(tmp_path / "a" / "b" / "catalog.db").add(name="x").id == 1


def test_path_is_a_path_whatever_its_characters(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / "a?b#c%20d é 'e'.db"
    opened(path).add(name="x")
    assert path.is_file()
    assert opened(path).get("x").id == 1


def test_default_path_is_in_the_home_folder(home: Path) -> None:
    with Catalog.open() as catalog:
        assert catalog.path == home / "catalog.db"
    assert (home / "catalog.db").is_file()


def test_path_in_memory_is_none_and_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Catalog.open(":memory:") as catalog:
        catalog.add(name="x")
        assert catalog.path is None
    assert list(tmp_path.iterdir()) == []


def damaged_pages(path: Path) -> Iterator[Path]:
    """Give copies of a store, each with another page in the middle overwritten by zeroes."""
    pages = path.stat().st_size // 4096
    for page in range(1, pages):
        copy = path.with_name("damaged.db")
        shutil.copyfile(path, copy)
        with copy.open("r+b") as file:
            file.seek(page * 4096)
            file.write(b"\0" * 4096)
        yield copy


def use_all(catalog: Catalog) -> None:
    for model in catalog.search(limit=1000).models:
        catalog.get(model.name)
    catalog.search("long description model")
    catalog.search(tag="some", sort="-size")
    catalog.stats()
    catalog.metrics()


def test_page_of_zeroes_is_damage_or_of_no_account_and_never_another_error(filled: Path) -> None:
    messages = []
    for copy in damaged_pages(filled):
        before = copy.read_bytes()
        try:
            with Catalog.open(copy) as catalog:
                use_all(catalog)
        except CatalogFileError as error:
            messages.append(str(error))
        assert copy.read_bytes() == before
    assert len(messages) > 30
    assert {message.removeprefix(f"`{copy}` is damaged: ").partition(". ")[2] for message in messages} == {
        f"It was left as it is. {RESTORE}"
    }


def test_sqlite_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(store_file.sqlite3, "sqlite_version_info", (3, 31, 1))
    monkeypatch.setattr(store_file.sqlite3, "sqlite_version", "3.31.1")
    with pytest.raises(RegistryError) as caught:
        Catalog.open(path)
    assert str(caught.value) == (
        "The SQLite of this Python is too old for the catalogue store: expected 3.37.0 or newer, got 3.31.1. "
        "Use a Python that was built with a newer one."
    )


# What a user without rights does; root may write everywhere, so that it becomes nobody first.
UNPRIVILEGED = """\
import os, sys, urllib.parse
sys.path.insert(0, sys.argv[2])
import registry.catalog
from registry.errors import CatalogFileError
with registry.catalog.Catalog.open(":memory:") as catalog:  # all is imported while this user can read it
    catalog.search("model", sort="name")
    catalog.add(name="x")
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    with registry.catalog.Catalog.open(sys.argv[1]) as catalog:
        print(catalog.search("model").total, catalog.get("model-1").id, catalog.revision() == catalog.revision())
        catalog.add(name="x")
except CatalogFileError as error:
    print(error)
"""


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that other users reach, unlike pytest's own."""
    import tempfile

    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def unprivileged(path: Path) -> list[str]:
    source = str(Path(__file__).parents[2] / "src")
    command = [sys.executable, "-c", UNPRIVILEGED, str(path), source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_store_that_cannot_be_written_is_read(filled: Path, open_to_all: Path) -> None:
    path = open_to_all / "catalog.db"
    shutil.copyfile(filled, path)
    path.chmod(0o444)
    open_to_all.chmod(0o555)
    found, error = unprivileged(path)
    assert found == "300 2 True"
    assert error == (
        f"`{path}` cannot be written. It was left as it is. "
        "Let this user write the file and its folder, or use another file."
    )


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_log_of_a_killed_process_that_cannot_be_read_is_not_passed_over(filled: Path, open_to_all: Path) -> None:
    path = open_to_all / "catalog.db"
    with Catalog.open(filled) as catalog:
        catalog.remove("model-1")  # in the log only, while this is open
        for ending in ("", "-wal"):
            shutil.copyfile(f"{filled}{ending}", f"{path}{ending}")
    open_to_all.chmod(0o555)
    assert unprivileged(path) == [
        f"`{path}` cannot be opened. It was left as it is. Let this user read and write the file and its folder."
    ]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_store_that_cannot_be_read_says_so(filled: Path, open_to_all: Path) -> None:
    path = open_to_all / "catalog.db"
    shutil.copyfile(filled, path)
    path.chmod(0o000)
    (line,) = unprivileged(path)
    assert line == (
        f"`{path}` cannot be opened. It was left as it is. Let this user read and write the file and its folder."
    )


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_store_that_cannot_be_made_says_so(open_to_all: Path) -> None:
    open_to_all.chmod(0o555)
    (line,) = unprivileged(open_to_all / "new" / "catalog.db")
    assert line == (
        f"`{open_to_all}/new/catalog.db` cannot be made: Permission denied at `{open_to_all}/new`. "
        "It was left as it is. Choose another path."
    )
