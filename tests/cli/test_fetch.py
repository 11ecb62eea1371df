"""`registry download`, `registry verify`, `registry remove`: what is fetched, proven and deleted."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer")
pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")
import tiny
from hub_server import Fault, Hub
from waiting import until

from .keeping import CHAT_BYTES, pinned

Run = Callable[..., Any]


def test_download_prints_id_and_path(run: Run, module: str, models: Path) -> None:
    assert run("download", "talk", "--registry", module) == (0, f"talk\t{models / 'talk.gguf'}\n", "")
    assert (models / "talk.gguf").read_bytes() == CHAT_BYTES


def test_download_of_what_is_here_asks_no_hub(run: Run, fetched: str, hub: Hub) -> None:
    hub.requests.clear()

    assert run("download", "talk", "see", "--registry", fetched).code == 0
    assert hub.requests == []


def test_download_force_fetches_anew(run: Run, fetched: str, hub: Hub) -> None:
    hub.requests.clear()

    assert run("download", "talk", "--registry", fetched, "--force").code == 0
    assert hub.asked("talk.gguf") != []


def test_download_takes_a_source_and_an_endpoint(
    run: Run, module: str, hub: Hub, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")

    assert run("download", "talk", "--registry", module, "--endpoint", hub.endpoint).code == 0
    (models / "talk.gguf").unlink()
    hub.requests.clear()
    assert run("download", "talk", "--registry", module, "--source", tmp_path).code == 0
    assert hub.requests == []


def test_download_of_several_goes_on_after_one_that_fails(run: Run, module: str, hub: Hub) -> None:
    hub.gated.add("tiny/talk")

    result = run("download", "talk", "see", "--registry", module, "--json")

    assert result.code == 1
    assert [found["id"] for found in result.json["models"]] == ["see"]
    assert [found["id"] for found in result.json["failed"]] == ["talk"]
    assert result.err.startswith("error: Cannot fetch `talk`: ")


def test_download_of_one_that_fails_has_the_same_document(run: Run, module: str, hub: Hub) -> None:
    hub.gated.add("tiny/talk")

    result = run("download", "talk", "--registry", module, "--json")

    (failed,) = result.json["failed"]
    assert (result.code, result.json["models"], set(failed)) == (1, [], {"id", "error", "hint"})
    assert result.err == f"error: {failed['error']}\nhint: {failed['hint']}\n"


@pytest.mark.parametrize("names", [["talk"], ["talk", "see"]], ids=len)
def test_download_from_what_is_no_source_is_wrong_usage(names: list[str], run: Run, module: str, hub: Hub) -> None:
    result = run("download", *names, "--registry", module, "--source", "ftp://mirror.example")

    assert (result.code, result.out, hub.requests) == (2, "", [])
    assert result.err.startswith("error: `--source`: expected ")


def test_download_without_a_network_says_so(run: Run, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    hint = run("download", "talk", "--registry", module).err.splitlines()[1]

    assert hint.startswith("hint: Fetch them with `registry download talk` or `registry.hub.ensure(...)` without ")


def test_download_that_is_stopped_says_that_it_can_go_on(
    run: Run, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import registry.hub

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry.hub, "ensure", stop)

    hint = "The same command goes on where this stopped: what has come of `talk` is kept."
    assert run("download", "talk", "--registry", module) == (130, "", f"error: Stopped by Ctrl-C.\nhint: {hint}\n")


def test_download_of_wrong_bytes_is_an_error(run: Run, module: str, hub: Hub) -> None:
    hub.misbehave("talk.gguf", *[Fault(flip=7)] * 4)

    result = run("download", "talk", "--registry", module)

    assert (result.code, result.out) == (1, "")
    assert "is not the file that the registry pins: expected" in result.err


def test_download_allow_unpinned_is_passed_on(run: Run, hub: Hub, small: Callable[..., str], tmp_path: Path) -> None:
    talk, see = pinned(hub, tmp_path)
    module = small(talk, replace(see, revision=None, files=()))
    options = ("--registry", module, "--endpoint", hub.endpoint)

    refused = run("download", "see", *options)

    assert refused.code == 1
    assert "or fetch it with `--allow-unpinned`" in refused.err
    assert run("download", "see", *options, "--allow-unpinned").code == 0


def test_verify_finds_what_was_damaged(run: Run, fetched: str, models: Path) -> None:
    assert run("verify").rows == [["see", "ok", "16", "-"], ["talk", "ok", str(len(CHAT_BYTES)), "-"]]

    (models / "talk.gguf").write_bytes(CHAT_BYTES.replace(b"\x07", b"\x08", 1))
    result = run("verify", "talk", "--json")

    assert result.code == 1
    (found,) = result.json["models"]
    assert (found["id"], found["ok"]) == ("talk", False)
    assert found["problems"][0].startswith("talk.gguf: expected sha256 ")


def test_verify_where_nothing_is_kept_says_so(run: Run) -> None:
    assert run("verify") == (0, "", "No model is kept here.\n")


def test_remove_without_a_terminal_needs_yes(run: Run, fetched: str, models: Path) -> None:
    problem = "error: Delete talk (102 kB)? Without a terminal nobody can be asked."

    assert run("remove", "talk") == (2, "", f"{problem}\nhint: `--yes` is the answer.\n")
    assert (models / "talk.gguf").exists()


def test_remove_yes_deletes(run: Run, fetched: str, models: Path) -> None:
    assert run("remove", "talk", "--yes") == (0, "", "Removed talk, 102 kB.\n")
    assert not (models / "talk.gguf").exists()


def test_remove_json_has_what_was_removed(run: Run, fetched: str) -> None:
    assert [entry["id"] for entry in run("remove", "talk", "-y", "--json").json["removed"]] == ["talk"]


def test_remove_of_what_is_not_kept_is_an_error(run: Run) -> None:
    result = run("remove", "colbertv2", "--yes")

    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[1] == "hint: `registry cache list` shows what is kept."


def test_remove_of_several_tells_what_was_done_where_one_is_in_use(run: Run, fetched: str) -> None:
    from registry.hub import use

    with use("talk", registry=sys.modules[fetched].MODEL_REGISTRY):
        result = run("remove", "see", "talk", "--yes", "--json")

    (failed,) = result.json["failed"]
    assert (result.code, [entry["id"] for entry in result.json["removed"]], failed["id"]) == (1, ["see"], "talk")
    assert result.err == f"error: {failed['error']}\nhint: {failed['hint']}\n"


@pytest.mark.parametrize("command", [["remove", "--yes"], ["verify"], ["cache", "pin"]], ids=" ".join)
def test_wrong_id_of_a_kept_model_names_close_ones(command: list[str], run: Run, fetched: str) -> None:
    expected = "error: Model `tolk` is not in the registry.\nhint: Did you mean `talk`?\n"

    assert run(*command, "tolk", "--registry", fetched) == (1, "", expected)


@pytest.mark.parametrize("command", [["remove", "--yes"], ["verify"], ["cache", "pin"]], ids=" ".join)
def test_model_that_lies_elsewhere_is_not_kept_here(
    command: list[str], run: Run, small: Callable[..., str], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "talk.gguf").write_bytes(CHAT_BYTES)
    record = tiny.chat_record(tmp_path / "talk.gguf", id="talk", huggingface_id="tiny/talk", revision="1" * 40)
    file = tmp_path / "hub" / "models--tiny--talk" / "snapshots" / ("1" * 40) / "talk.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(CHAT_BYTES)

    problem = f"error: `talk` is not kept here: found at `{file}`."
    hint = "hint: `registry cache list` shows what is kept; `registry download talk` takes it in."
    assert run(*command, "talk", "--registry", small(record)) == (1, "", f"{problem}\n{hint}\n")


def test_remove_takes_an_alias_of_ones_own_registry(
    run: Run, fetched: str, small: Callable[..., str], hub: Hub, tmp_path: Path
) -> None:
    talk, see = pinned(hub, tmp_path)

    class Aliased(type(sys.modules[fetched].MODEL_REGISTRY)):
        def find_model(self, text: str) -> Any:
            return super().find_model("talk" if text == "chatter" else text)

    sys.modules[fetched].MODEL_REGISTRY = Aliased([talk, see])  # type: ignore[attr-defined]

    assert run("remove", "chatter", "--yes", "--registry", fetched).err == "Removed talk, 102 kB.\n"


def test_ctrl_c_leaves_a_part_that_the_next_call_goes_on_with(
    hub: Hub, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, terminal: Callable[..., Any]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    content = bytes(range(256)) * 16384
    commit = hub.add("tiny/talk", {"talk.gguf": content})
    (tmp_path / "talk.gguf").write_bytes(content)
    tests = Path(__file__).parents[1]
    (tmp_path / "mine.py").write_text(
        f"import sys; sys.path[:0] = {[str(tests), str(tests.parent)]!r}\n"
        "import pathlib, tiny\n"
        "from tests.cli.conftest import Registry\n"
        f"record = tiny.chat_record(pathlib.Path({str(tmp_path / 'talk.gguf')!r}), id='talk',\n"
        f"    huggingface_id='tiny/talk', revision={commit!r})\n"
        "MODEL_REGISTRY = Registry([record])\n"
    )
    words = ("download", "talk", "--registry", "mine")
    hub.misbehave("talk.gguf", Fault(stall=3_000_000))

    stopped = terminal(*words, folder=tmp_path)
    stopped.wait_for("/4.2 MB")
    until(lambda: any(part.stat().st_size for part in home.rglob("*.part")))
    stopped.type("\x03")

    assert stopped.finish() == 130
    assert "hint: The same command goes on where this stopped" in stopped.text
    again = terminal(*words, folder=tmp_path, columns=200)
    assert again.finish() == 0
    assert (home / "models" / "talk.gguf").read_bytes() == content
    assert hub.asked("talk.gguf")[-1].headers["range"].startswith("bytes=")
