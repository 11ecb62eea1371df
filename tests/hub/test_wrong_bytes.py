"""Fetching bytes that are not the right ones: deleted, fetched once more from nothing, then an error with its cause."""

import hashlib
import json
from pathlib import Path

import pytest
from hub_records import REPOSITORY
from hub_server import Fault, Hub

pytest.importorskip("stamina")

from registry.errors import ChecksumMismatchError, DownloadError
from registry.hub.needed import Wanted
from registry.hub.sources import Address
from registry.hub.transfer import fetch

NAME = "model.gguf"
CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
WANTED = Wanted(NAME, len(CONTENT), SHA256)
TWICE = "It was fetched twice and deleted."
REFUSED = "It was asked for twice and not taken; what had arrived is kept."
SAME = (
    "Twice the same other bytes came, so they are not damaged: the file was changed after it was pinned. "
    "Check `revision` and `sha256` of the record."
)
CHANGED = f"{TWICE} {SAME}"
PAGE = "What came is a web page: a proxy or a login page answered in place of the server."
POINTER = "What came is a pointer of Git LFS, not the file: the source was copied without `git lfs pull`."
LOGIN_PAGE = b"<html>Please log in</html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf.part"


def serve(hub: Hub, content: bytes = CONTENT) -> Address:
    return Address(hub.url(REPOSITORY, NAME, hub.add(REPOSITORY, {NAME: content})))


def flipped(position: int) -> str:
    """The digest of the file with one byte changed."""
    content = bytearray(CONTENT)
    content[position] ^= 0xFF
    return hashlib.sha256(content).hexdigest()


def message(url: str, expected: object, got: object, remedy: str) -> str:
    return f"`{url}` is not the file that the registry pins: expected {expected}, got {got}. {remedy}"


def begun(part: Path) -> None:
    """Put what an earlier process has left: most of the file."""
    part.write_bytes(CONTENT[:9000])
    part.with_name(f"{part.name}.json").write_text(json.dumps({"url": "", "digest": SHA256}))


def test_bytes_that_are_wrong_once_are_fetched_again_from_nothing(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(flip=7))

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256
    assert [request.headers.get("range") for request in hub.requests] == [None, None]


def test_a_part_that_is_wrong_is_fetched_again_from_nothing(hub: Hub, part: Path) -> None:
    part.write_bytes(b"x" * 1000)
    part.with_name(f"{part.name}.json").write_text(json.dumps({"url": "", "digest": SHA256}))

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256
    assert [request.headers.get("range") for request in hub.requests] == ["bytes=1000-", None]


def test_bytes_that_are_wrong_at_one_address_are_fetched_from_the_next(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(flip=7))
    mirror = Address(f"{hub.endpoint}/mirror/{NAME}")

    assert fetch("m", WANTED, part, [serve(hub), mirror]).address == mirror


def test_bytes_that_are_wrong_at_one_address_are_fetched_there_again_where_the_next_fails(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(flip=7))
    first = serve(hub)

    assert fetch("m", WANTED, part, [first, Address(f"{hub.endpoint}/mirror/absent")]).address == first


def test_bytes_that_are_wrong_and_cannot_be_fetched_again_are_refused(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(flip=7), Fault(status=404))
    address = serve(hub)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", WANTED, part, [address])
    again = f"{address.url}: there is no such file (status 404)."
    remedy = f"It was deleted, and could not be fetched again: {again}"
    assert str(caught.value) == message(address.url, SHA256, flipped(7), remedy)


def test_the_same_wrong_bytes_twice_are_a_file_that_was_changed(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, *[Fault(flip=7)] * 9)
    address = serve(hub)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", WANTED, part, [address])
    assert str(caught.value) == message(address.url, SHA256, flipped(7), CHANGED)
    assert len(hub.requests) == 2
    assert list(part.parent.glob("model*")) == []


def test_other_wrong_bytes_each_time_are_damaged_on_the_way(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(flip=7), Fault(flip=8))
    address = serve(hub)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", WANTED, part, [address])

    damaged = (
        f"{TWICE} Other bytes came each time, so they are damaged on the way: by the line, a proxy, or this machine's "
        "memory. Try another network or source."
    )
    assert str(caught.value) == message(address.url, SHA256, flipped(8), damaged)


@pytest.mark.parametrize(
    ("came", "cause"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", POINTER),
        (b"\n<!DOCTYPE html><title>Log in</title>", PAGE),
    ],
    ids=["pointer", "web page"],
)
@pytest.mark.parametrize(
    ("size", "became"), [(len(CONTENT), REFUSED), (None, TWICE)], ids=["size known", "size unknown"]
)
def test_wrong_bytes_that_look_like_something_known_say_so(
    hub: Hub, part: Path, came: bytes, cause: str, size: int | None, became: str
) -> None:
    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", Wanted(NAME, size, SHA256), part, [serve(hub, came)])
    assert caught.value.remedy == f"{became} {cause}"


def test_a_pointer_in_a_folder_is_said_to_be_one(tmp_path: Path, part: Path) -> None:
    source = tmp_path / "pointer"
    source.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    begun(part)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", WANTED, part, [Address(source.as_uri())])
    assert caught.value.remedy == f"{REFUSED} {POINTER}"


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size known", "size unknown"])
@pytest.mark.parametrize("how", [{}, {"chunked": True}, {"bare": True}], ids=["length", "chunked", "no length"])
def test_a_login_page_leaves_the_part_as_it_is(hub: Hub, part: Path, how: dict, size: int | None) -> None:  # type: ignore[type-arg]
    begun(part)
    address = serve(hub)
    hub.misbehave(NAME, *[Fault(content=LOGIN_PAGE, ignore_range=True, headers=HTML, **how)] * 2)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", Wanted(NAME, size, SHA256), part, [address])

    by_size = size is not None and not how
    differs = (f"{len(CONTENT)} bytes", "26 bytes") if by_size else (SHA256, "a web page")
    assert str(caught.value) == message(address.url, *differs, f"{REFUSED} {PAGE}")
    assert part.read_bytes() == CONTENT[:9000]
    assert fetch("m", WANTED, part, [address]).sha256 == SHA256
    assert [request.headers.get("range") for request in hub.requests] == ["bytes=9000-"] * 3


def test_a_login_page_is_not_taken_where_no_part_is_there(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, *[Fault(content=LOGIN_PAGE, headers=HTML, chunked=True)] * 2)

    with pytest.raises(ChecksumMismatchError):
        fetch("m", WANTED, part, [serve(hub)])
    assert list(part.parent.glob("model*")) == []


def test_a_login_page_at_one_address_is_followed_by_the_next(hub: Hub, part: Path) -> None:
    begun(part)
    hub.misbehave(NAME, Fault(content=LOGIN_PAGE, ignore_range=True))
    mirror = Address(f"{hub.endpoint}/mirror/{NAME}")

    assert fetch("m", WANTED, part, [serve(hub), mirror]).address == mirror
    assert hub.requests[-1].headers["range"] == "bytes=9000-"


def test_a_login_page_and_then_nothing_says_both(hub: Hub, part: Path) -> None:
    begun(part)
    hub.misbehave(NAME, Fault(content=LOGIN_PAGE, ignore_range=True), Fault(status=403))
    address = serve(hub)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", WANTED, part, [address])
    again = f"{address.url}: the server does not allow it (status 403)."
    remedy = f"It was not taken, and could not be fetched again: {again} {PAGE}"
    assert str(caught.value) == message(address.url, f"{len(CONTENT)} bytes", "26 bytes", remedy)
    assert part.read_bytes() == CONTENT[:9000]


def test_an_end_of_another_file_leaves_the_part_as_it_is(hub: Hub, part: Path) -> None:
    begun(part)

    with pytest.raises(ChecksumMismatchError):
        fetch("m", WANTED, part, [serve(hub, b"short")])
    assert part.read_bytes() == CONTENT[:9000]


@pytest.mark.parametrize("how", [{"chunked": True}, {"bare": True}, {}], ids=["chunked", "no length", "length"])
def test_weights_that_are_said_to_be_a_web_page_are_taken(hub: Hub, part: Path, how: dict) -> None:  # type: ignore[type-arg]
    hub.misbehave(NAME, Fault(headers=HTML, **how))

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256


def test_a_web_page_of_the_right_size_is_taken(hub: Hub, part: Path) -> None:
    wanted = Wanted(NAME, len(LOGIN_PAGE), hashlib.sha256(LOGIN_PAGE).hexdigest())
    hub.misbehave(NAME, Fault(headers=HTML))

    assert fetch("m", wanted, part, [serve(hub, LOGIN_PAGE)]).sha256 == wanted.sha256


def test_a_wrong_git_sha1_is_wrong_bytes(hub: Hub, part: Path) -> None:
    got = hashlib.sha1(b"blob %d\0%s" % (len(CONTENT), CONTENT)).hexdigest()
    address = serve(hub)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", Wanted(NAME, None, None, "0" * 40), part, [address])
    assert str(caught.value) == message(address.url, f"git sha1 {'0' * 40}", got, CHANGED)


def test_a_file_of_another_size_than_pinned_is_not_read(hub: Hub, part: Path) -> None:
    address = serve(hub, CONTENT + b"more" * 2**20)

    read: list[int] = []
    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", WANTED, part, [address], progress=lambda done, _: read.append(done))
    size = len(CONTENT) + 4 * 2**20
    assert read == []
    assert str(caught.value) == message(address.url, f"{len(CONTENT)} bytes", f"{size} bytes", f"{REFUSED} {SAME}")


def test_a_part_of_a_file_that_has_another_size_by_now_is_kept(hub: Hub, part: Path) -> None:
    begun(part)

    with pytest.raises(ChecksumMismatchError):
        fetch("m", WANTED, part, [serve(hub, CONTENT + b"more")])
    assert part.read_bytes() == CONTENT[:9000]


@pytest.mark.parametrize("how", [{"chunked": True}, {"bare": True}], ids=["chunked", "no length"])
def test_more_bytes_than_pinned_are_refused_where_no_length_is_stated(hub: Hub, part: Path, how: dict) -> None:  # type: ignore[type-arg]
    hub.misbehave(NAME, *[Fault(**how)] * 2)

    with pytest.raises(ChecksumMismatchError) as caught:
        fetch("m", WANTED, part, [serve(hub, CONTENT + b"more")])
    assert (caught.value.expected, caught.value.got) == (f"{len(CONTENT)} bytes", f"{len(CONTENT) + 4} bytes")


@pytest.mark.parametrize("how", [{"chunked": True}, {"bare": True}], ids=["chunked", "no length"])
def test_a_file_is_fetched_where_no_length_is_stated(hub: Hub, part: Path, how: dict) -> None:  # type: ignore[type-arg]
    hub.misbehave(NAME, Fault(**how))

    assert fetch("m", Wanted(NAME, None, SHA256), part, [serve(hub)]).size_bytes == len(CONTENT)


@pytest.mark.parametrize("how", [{"chunked": True}, {"bare": True}], ids=["chunked", "no length"])
def test_fewer_bytes_than_pinned_are_a_cut_where_no_length_is_stated(hub: Hub, part: Path, how: dict) -> None:  # type: ignore[type-arg]
    hub.misbehave(NAME, Fault(cut_after=1000, **how))

    assert fetch("m", WANTED, part, [serve(hub)]).sha256 == SHA256
    assert len(hub.requests) == 2


def test_a_length_that_is_too_large_is_a_cut_where_no_size_is_pinned(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(lie=100))

    assert fetch("m", Wanted(NAME, None, SHA256), part, [serve(hub)]).size_bytes == len(CONTENT)
    assert [request.headers.get("range") for request in hub.requests] == [None, f"bytes={len(CONTENT)}-"]


def test_a_packed_body_is_refused(hub: Hub, part: Path) -> None:
    hub.misbehave(NAME, Fault(headers={"Content-Encoding": "gzip"}))
    address = serve(hub)

    with pytest.raises(DownloadError) as caught:
        fetch("m", WANTED, part, [address])
    assert str(caught.value) == (
        f"Cannot fetch `m`: {address.url}: expected the file as it is, got it packed with gzip. "
        "Correct the server, or use another source."
    )
