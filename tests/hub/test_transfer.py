"""Fetching one file: what is continued, what is asked again, and what ends it."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_records import REPOSITORY
from hub_server import Fault, Hub

pytest.importorskip("stamina")

from registry.errors import CacheFullError, DownloadError
from registry.hub.needed import Wanted
from registry.hub.part import Part
from registry.hub.sources import Address
from registry.hub.transfer import Fetched, fetch

MIB = 2**20
NAME = "model.gguf"
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WANTED = Wanted(NAME, len(CONTENT), SHA256)
LATER = "Try again later; what has arrived is kept and used then."


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "downloading" / "model.gguf.part"


def serve(hub: Hub, content: bytes = CONTENT) -> Address:
    """Put a file on the hub and give its address."""
    return Address(hub.url(REPOSITORY, NAME, hub.add(REPOSITORY, {NAME: content})))


def begin(part: Path, content: bytes, **origin: Any) -> None:
    """Put what an earlier process has left."""
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    part.with_name(f"{part.name}.json").write_text(json.dumps({"digest": SHA256, "etag": None} | origin))


def ranges(hub: Hub) -> list[str | None]:
    return [request.headers.get("range") for request in hub.asked(NAME)]


def random_bytes(size: int) -> bytes:
    return hashlib.shake_128(b"seed").digest(size)


def test_fetch_leaves_the_file_and_nothing_beside_it(hub: Hub, part: Path) -> None:
    address = serve(hub)

    assert fetch("m", WANTED, part, [address]) == Fetched(len(CONTENT), SHA256, None, address)
    assert part.read_bytes() == CONTENT
    assert list(part.parent.iterdir()) == [part]


def test_fetch_of_an_empty_file_gives_it(hub: Hub, part: Path) -> None:
    empty = hashlib.sha256(b"").hexdigest()

    assert fetch("m", Wanted(NAME, None, empty), part, [serve(hub, b"")]).sha256 == empty


def test_fetch_of_a_file_outside_lfs_proves_it_by_its_git_sha1(hub: Hub, part: Path) -> None:
    git_sha1 = hashlib.sha1(b"blob 5\0hello").hexdigest()

    assert fetch("m", Wanted(NAME, 5, None, git_sha1), part, [serve(hub, b"hello")]).git_sha1 == git_sha1


def test_fetch_continues_the_part_of_an_earlier_process_with_a_range_of_the_same_version(hub: Hub, part: Path) -> None:
    address = serve(hub)
    begin(part, CONTENT[:1000], url=address.url, etag=f'"{SHA256}"')

    fetch("m", WANTED, part, [address])

    assert part.read_bytes() == CONTENT
    assert [(r.headers["range"], r.headers["if-range"]) for r in hub.asked(NAME)] == [("bytes=1000-", f'"{SHA256}"')]


def test_fetch_after_a_kill_asks_for_at_most_2_mib_again(hub: Hub, part: Path) -> None:
    content = random_bytes(6 * MIB)
    sha256 = hashlib.sha256(content).hexdigest()
    address = serve(hub, content)
    hub.misbehave(NAME, Fault(stall=5 * MIB))
    code = (
        "import sys\nfrom pathlib import Path\nfrom registry.hub.transfer import fetch\n"
        "from registry.hub.needed import Wanted\nfrom registry.hub.sources import Address\n"
        f"fetch('m', Wanted({NAME!r}, {6 * MIB}, {sha256!r}), Path({str(part)!r}), [Address({address.url!r})])"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while process.poll() is None and not (part.exists() and part.stat().st_size >= 3 * MIB):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    size = part.stat().st_size

    assert size >= 3 * MIB
    assert fetch("m", Wanted(NAME, 6 * MIB, sha256), part, [address]).sha256 == sha256
    assert ranges(hub) == [None, f"bytes={size}-"]


def test_fetch_reads_the_part_of_an_earlier_process_before_it_goes_on(hub: Hub, part: Path) -> None:
    address = serve(hub)
    begin(part, CONTENT[:1000], url=address.url)
    told: list[tuple[str, int, int | None]] = []

    fetch(
        "m",
        WANTED,
        part,
        [address],
        rehashed=lambda done, total: told.append(("hashed", done, total)),
        progress=lambda done, total: told.append(("fetched", done, total)),
    )

    assert told == [
        ("hashed", 1000, 1000),
        ("fetched", 1000, len(CONTENT)),
        ("fetched", len(CONTENT), len(CONTENT)),
    ]


def test_fetch_of_a_complete_part_asks_nobody(hub: Hub, part: Path) -> None:
    begin(part, CONTENT, url="http://127.0.0.1/gone")

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256
    assert hub.requests == []


def test_fetch_of_a_complete_part_of_unknown_size_is_told_so(hub: Hub, part: Path) -> None:
    address = serve(hub)
    begin(part, CONTENT, url=address.url)

    assert fetch("m", Wanted(NAME, None, SHA256), part, [address]).size_bytes == len(CONTENT)
    assert ranges(hub) == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(
    ("left", "origin"),
    [
        pytest.param(CONTENT[:1000], {"digest": "0" * 64}, id="begun for another digest"),
        pytest.param(CONTENT + b"more", {}, id="larger than the file"),
    ],
)
def test_fetch_with_a_part_that_cannot_be_right_begins_from_nothing(
    hub: Hub, part: Path, left: bytes, origin: dict[str, Any]
) -> None:
    address = serve(hub)
    begin(part, left, url=address.url, **origin)

    assert fetch("m", WANTED, part, [address]).sha256 == SHA256
    assert ranges(hub) == [None]


def test_fetch_with_a_part_whose_origin_is_lost_continues_where_a_digest_will_tell(hub: Hub, part: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1000])

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256
    assert ranges(hub) == ["bytes=1000-"]


def test_fetch_with_a_part_whose_origin_is_lost_begins_from_nothing_where_no_digest_is_known(
    hub: Hub, part: Path
) -> None:
    part.parent.mkdir()
    part.write_bytes(b"x" * 1000)

    assert fetch("m", Wanted(NAME), part, [serve(hub)]).sha256 == SHA256
    assert ranges(hub) == [None]


@pytest.mark.parametrize(
    ("etag", "expected"),
    [
        pytest.param(f'"{SHA256}"', CONTENT, id="same version"),
        pytest.param('"old"', b"new" * 500, id="another version"),
        pytest.param(None, b"new" * 500, id="version not known"),
    ],
)
def test_fetch_without_a_digest_continues_only_what_the_server_says_is_the_same(
    hub: Hub, part: Path, etag: str | None, expected: bytes
) -> None:
    address = serve(hub, expected)
    begin(part, CONTENT[:1000], url=address.url, digest=None, etag=etag)

    fetch("m", Wanted(NAME), part, [address])

    assert part.read_bytes() == expected


def test_fetch_without_a_digest_never_continues_from_another_address(hub: Hub, part: Path) -> None:
    begin(part, b"x" * 1000, url="http://127.0.0.1/other", digest=None, etag=f'"{SHA256}"')

    assert fetch("m", Wanted(NAME), part, [serve(hub)]).sha256 == SHA256


def test_fetch_from_a_server_that_ignores_ranges_begins_again_with_its_answer(hub: Hub, part: Path) -> None:
    address = serve(hub)
    begin(part, CONTENT[:1000], url=address.url)
    hub.misbehave(NAME, Fault(ignore_range=True))

    assert fetch("m", WANTED, part, [address]).sha256 == SHA256
    assert ranges(hub) == ["bytes=1000-"]


def test_fetch_from_a_server_that_sends_another_range_asks_for_the_whole_file(hub: Hub, part: Path) -> None:
    address = serve(hub)
    begin(part, CONTENT[:1000], url=address.url)
    hub.misbehave(NAME, Fault(other_range=100))

    assert fetch("m", WANTED, part, [address]).sha256 == SHA256
    assert ranges(hub) == ["bytes=1000-", None]


def test_fetch_from_a_server_that_never_sends_the_beginning_ends(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, *[Fault(status=206, headers={"Content-Range": "bytes 5-9/10"}, message="later")] * 9)
    address = serve(hub)

    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [address])
    assert str(caught.value) == (
        f"Cannot fetch `m`: {address.url}: expected the file from its beginning, got it from another place. "
        "Correct the server, or use another source."
    )
    assert len(hub.requests) == 1


def test_fetch_continues_from_another_address_whatever_version_the_first_has_named(hub: Hub, part: Path) -> None:
    begin(part, CONTENT[:1000], url="http://127.0.0.1/other", etag='"of the other"')

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256
    assert [(r.headers["range"], r.headers.get("if-range")) for r in hub.requests] == [("bytes=1000-", None)]


@pytest.mark.parametrize(("may_see", "sent"), [(True, "Bearer secret"), (False, None)])
def test_fetch_sends_the_token_to_addresses_that_may_see_it(
    hub: Hub, part: Path, may_see: bool, sent: str | None
) -> None:
    fetch("m", WANTED, part, [Address(serve(hub).url, may_see)], token="secret")

    assert [request.headers.get("authorization") for request in hub.requests] == [sent]


def test_fetch_of_a_file_that_has_shrunk_begins_from_nothing(hub: Hub, part: Path) -> None:
    address = serve(hub)
    begin(part, CONTENT + b"more", url=address.url)

    assert fetch("m", Wanted(NAME, None, SHA256), part, [address]).sha256 == SHA256
    assert ranges(hub) == [f"bytes={len(CONTENT) + 4}-", None]


def test_fetch_after_cuts_goes_on_where_they_were(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(cut_after=1000), Fault(cut_after=500))

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256
    assert ranges(hub) == [None, "bytes=1000-", "bytes=1500-"]


def test_fetch_over_a_line_that_is_cut_after_each_mebibyte_gets_to_the_end(hub: Hub, part: Path) -> None:
    content = random_bytes(6 * MIB)
    hub.misbehave(NAME, *[Fault(cut_after=MIB)] * 5)

    assert fetch("m", Wanted(NAME), part, [serve(hub, content)]).sha256 == hashlib.sha256(content).hexdigest()
    assert len(hub.requests) == 6


def test_fetch_from_a_server_without_ranges_that_cuts_each_time_ends_after_three_attempts(hub: Hub, part: Path) -> None:
    content = random_bytes(4 * MIB)
    hub.misbehave(NAME, *[Fault(ignore_range=True, cut_after=2 * MIB)] * 9)
    address = serve(hub, content)

    with pytest.raises(DownloadError) as caught:
        fetch("m", Wanted(NAME), part, [address])

    reason = f"{address.url}: the connection was cut after {2 * MIB} of {4 * MIB} bytes."
    assert str(caught.value) == f"Cannot fetch `m`: {reason} {LATER}"
    assert len(hub.requests) == 3


def test_fetch_that_fails_keeps_what_has_arrived(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(cut_after=1000), *[Fault(status=503)] * 9)

    with pytest.raises(DownloadError):
        fetch("m", WANTED, part, [serve(hub)])
    assert part.read_bytes() == CONTENT[:1000]


def test_fetch_from_a_server_that_is_silent_ends_after_three_attempts(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, *[Fault(stall=0)] * 9)
    address = serve(hub)

    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [address], timeout_s=0.05)

    remedy = f"Check the network; behind a proxy set `HTTPS_PROXY`. {LATER}"
    assert str(caught.value) == f"Cannot fetch `m`: {address.url}: the server did not answer in time. {remedy}"
    assert len(hub.requests) == 3


@pytest.mark.parametrize("fault", [Fault(hang_up=True), Fault(status=500), Fault(status=408), Fault(status=429)])
def test_fetch_after_two_faults_that_may_pass_succeeds(hub: Hub, part: Path, fault: Fault) -> None:
    hub.misbehave(NAME, fault, fault)

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_fetch_after_a_fault_that_does_not_pass_asks_once(hub: Hub, part: Path, status: int) -> None:
    hub.misbehave(NAME, *[Fault(status=status)] * 9)

    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [serve(hub)])
    assert (caught.value.status, len(hub.requests)) == (status, 1)


def test_fetch_takes_the_next_address_where_one_fails(hub: Hub, part: Path) -> None:
    good = serve(hub)

    assert fetch("m", WANTED, part, [Address(hub.url(REPOSITORY, "absent")), good]).address == good


def test_fetch_goes_on_from_the_next_address_where_one_is_cut(hub: Hub, part: Path) -> None:
    mirror = Address(f"{hub.endpoint}/mirror/{NAME}")
    hub.misbehave(NAME, Fault(cut_after=1000), *[Fault(status=503)] * 2)

    assert fetch("m", WANTED, part, [serve(hub), mirror]).address == mirror
    assert ranges(hub)[-1] == "bytes=1000-"


def test_fetch_where_all_addresses_fail_reports_each(hub: Hub, part: Path) -> None:
    first, second = Address(f"{hub.endpoint}/mirror/a"), Address(f"{hub.endpoint}/mirror/b")

    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [first, second])

    said = "there is no such file (status 404). Check the record's file name and the address of the source."
    assert str(caught.value) == (
        f"Cannot fetch `m`: none of 2 addresses gave `{NAME}`:\n  {first.url}: {said}\n  {second.url}: {said}\n"
        " Mend one of them, or add another source."
    )


def test_fetch_without_an_address_says_so(part: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [])
    assert str(caught.value) == (
        f"Cannot fetch `m`: there is no address for `{NAME}`. Add a source that has it, such as `hub`."
    )


def test_fetch_from_a_file_copies_it(tmp_path: Path, part: Path) -> None:
    source = tmp_path / "with a blank.gguf"
    source.write_bytes(CONTENT)

    assert fetch("m", WANTED, part, [Address(source.as_uri())]).sha256 == SHA256
    assert part.read_bytes() == CONTENT


def test_fetch_from_a_file_goes_on_where_it_stopped(tmp_path: Path, part: Path) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes(CONTENT)
    begin(part, CONTENT[:1000], url=source.as_uri())
    told: list[int] = []

    fetch("m", WANTED, part, [Address(source.as_uri())], progress=lambda done, _: told.append(done))

    assert told == [1000, len(CONTENT)]
    assert part.read_bytes() == CONTENT


def test_fetch_from_a_file_that_is_not_there_says_so(tmp_path: Path, part: Path) -> None:
    url = (tmp_path / "absent").as_uri()

    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [Address(url)])
    assert str(caught.value) == (
        f"Cannot fetch `m`: {url}: No such file or directory. "
        "Check the path of the source, and that this user may read it."
    )


def test_fetch_that_is_interrupted_leaves_a_part_that_is_continued(hub: Hub, part: Path) -> None:
    content = random_bytes(3 * MIB)
    wanted, address = Wanted(NAME, 3 * MIB, hashlib.sha256(content).hexdigest()), serve(hub, content)

    def interrupt(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("m", wanted, part, [address], progress=interrupt)
    left = part.stat().st_size
    fetch("m", wanted, part, [address])

    assert 0 < left < 3 * MIB
    assert ranges(hub) == [None, f"bytes={left}-"]


def test_interrupt_before_the_first_bytes_are_counted_keeps_them(
    hub: Hub, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Part._write

    def interrupted(self: Part, piece: memoryview) -> None:
        write(self, piece)
        raise KeyboardInterrupt

    monkeypatch.setattr(Part, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("m", WANTED, part, [serve(hub)])

    assert part.read_bytes() == CONTENT


def test_fetch_onto_a_full_disk_raises_and_keeps_the_part(
    hub: Hub, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(part, CONTENT[:1000], url="")
    monkeypatch.setattr(Part, "_write", _raising(OSError(errno.ENOSPC, "No space left on device")))
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage())

    with pytest.raises(CacheFullError) as caught:
        fetch("m", WANTED, part, [serve(hub)])

    assert str(caught.value) == (
        f"No room for `m` in {part.parent}: expected {len(CONTENT) - 1000} bytes free, got 7. "
        "Free some space and fetch it again: what has arrived is kept. Or set `REGISTRY_HOME` to another disk."
    )
    assert part.read_bytes() == CONTENT[:1000]


def test_fetch_into_a_folder_that_cannot_be_written_says_so(
    hub: Hub, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.open", _raising(OSError(errno.EROFS, "Read-only file system")))

    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [serve(hub)])
    assert str(caught.value) == (
        f"Cannot fetch `m`: `{part}` cannot be written: Read-only file system. "
        "Make the folder writable, or set `REGISTRY_HOME` to one that is."
    )


def test_fetch_waits_until_the_disk_has_the_file(hub: Hub, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append(os.fstat(number).st_size))

    fetch("m", WANTED, part, [serve(hub)])

    assert synced == [len(CONTENT)]


class _Usage:
    free = 7


def _raising(error: OSError) -> Callable[..., Any]:
    def fail(*given: object, **named: object) -> Any:
        raise error

    return fail
