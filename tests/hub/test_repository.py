"""What the hub says of a repository."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hub_records import REPOSITORY, adapter_record, chat_record
from hub_server import Fault, Hub

pytest.importorskip("huggingface_hub")
pytest.importorskip("stamina")

from registry.errors import DownloadError
from registry.hub.needed import RepositoryFile
from registry.hub.repository import hub_token, list_files, newest_commit

WEIGHTS, CONFIG = b"weights", b"{}"
LATER = "Try again later; what has arrived is kept and used then."
NO_API = "Check that the endpoint has the API of the hub."


def ask(hub: Hub, **options: Any) -> tuple[str, tuple[RepositoryFile, ...]]:
    revision = options.pop("revision", None)
    return list_files(chat_record(revision=revision), **({"endpoint": hub.endpoint, "token": None} | options))


def url(hub: Hub) -> str:
    return f"{hub.endpoint}/api/models/{REPOSITORY}"


def test_files_have_the_sha256_of_lfs_or_the_sha1_of_git(hub: Hub) -> None:
    commit = hub.add(REPOSITORY, {"model.gguf": WEIGHTS, "config.json": CONFIG})

    assert ask(hub) == (
        commit,
        (
            RepositoryFile("config.json", 2, None, hashlib.sha1(b"blob 2\0{}").hexdigest()),
            RepositoryFile("model.gguf", 7, hashlib.sha256(WEIGHTS).hexdigest(), None),
        ),
    )
    assert len(hub.requests) == 1


def test_files_are_those_of_the_pinned_commit(hub: Hub) -> None:
    first = hub.add(REPOSITORY, {"model.gguf": WEIGHTS})
    hub.add(REPOSITORY, {"other.gguf": WEIGHTS})

    commit, files = ask(hub, revision=first)
    assert (commit, [file.name for file in files]) == (first, ["model.gguf"])


def test_newest_commit_is_that_of_main_whatever_is_pinned(hub: Hub) -> None:
    first = hub.add(REPOSITORY, {"model.gguf": WEIGHTS})
    newest = hub.add(REPOSITORY, {"other.gguf": WEIGHTS})

    assert newest_commit(chat_record(revision=first), endpoint=hub.endpoint, token=None) == newest


def test_endpoint_is_the_settings_where_none_is_given(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add(REPOSITORY, {"model.gguf": WEIGHTS})
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)

    assert newest_commit(chat_record(), endpoint=None, token=None) == commit


@pytest.mark.parametrize(("token", "sent"), [("secret", "Bearer secret"), (None, None)])
def test_token_is_sent_where_one_is_given(
    hub: Hub, token: str | None, sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "of the environment")
    hub.add(REPOSITORY, {})

    ask(hub, token=token)

    assert hub.requests[0].headers.get("authorization") == sent


def test_gated_repository_says_where_its_terms_are(hub: Hub) -> None:
    hub.add(REPOSITORY, {})
    hub.gated.add(REPOSITORY)

    with pytest.raises(DownloadError) as caught:
        ask(hub, token="secret")
    assert str(caught.value) == (
        f"Cannot fetch `a-chat`: {url(hub)}: the model is gated. Accept its terms at {hub.endpoint}/{REPOSITORY}, "
        "then log in with `hf auth login` or set `HF_TOKEN`."
    )


@pytest.mark.parametrize(
    ("revision", "known", "reason"),
    [
        (None, False, "there is no such repository, or it is private (status 404)."),
        ("1" * 40, True, "the repository has no such revision (status 404)."),
    ],
)
def test_what_is_not_there_is_asked_for_once(hub: Hub, revision: str | None, known: bool, reason: str) -> None:
    if known:
        hub.add(REPOSITORY, {})

    with pytest.raises(DownloadError) as caught:
        ask(hub, revision=revision)
    assert caught.value.reason == f"{url(hub)}{f'/revision/{revision}' if revision else ''}: {reason}"
    assert len(hub.requests) == 1


def test_hub_that_is_busy_is_asked_again(hub: Hub) -> None:
    commit = hub.add(REPOSITORY, {})
    hub.misbehave(f"api:{REPOSITORY}", Fault(status=503), Fault(hang_up=True))

    assert ask(hub) == (commit, ())


def test_hub_that_stays_busy_is_asked_three_times(hub: Hub) -> None:
    hub.misbehave(f"api:{REPOSITORY}", *[Fault(status=502)] * 9)

    with pytest.raises(DownloadError) as caught:
        ask(hub)
    assert str(caught.value) == f"Cannot fetch `a-chat`: {url(hub)}: the server refused (status 502). {LATER}"
    assert len(hub.requests) == 3


def test_hub_that_is_not_there_is_said_to_be() -> None:
    with pytest.raises(DownloadError) as caught:
        list_files(chat_record(), endpoint="http://127.0.0.1:1", token=None)
    assert str(caught.value) == (
        "Cannot fetch `a-chat`: http://127.0.0.1:1/api/models/org/model: [Errno 111] Connection refused. "
        f"Check the network; behind a proxy set `HTTPS_PROXY`. {LATER}"
    )


@pytest.mark.parametrize("body", ["<html>", "[]", "{", json.dumps({"id": "x"}), json.dumps({"id": "x", "sha": "main"})])
def test_endpoint_without_the_api_is_said_to_have_none(hub: Hub, body: str) -> None:
    hub.misbehave(f"api:{REPOSITORY}", Fault(status=200, message=body))

    with pytest.raises(DownloadError) as caught:
        ask(hub)
    assert caught.value.remedy == NO_API


@pytest.mark.parametrize("siblings", [[1], ["x"], [{}], [{"rfilename": 1}], [{"rfilename": "x", "lfs": 1}], 7])
def test_endpoint_whose_files_cannot_be_read_is_said_to_have_no_api(hub: Hub, siblings: object) -> None:
    body = json.dumps({"id": REPOSITORY, "sha": "2" * 40, "siblings": siblings})
    hub.misbehave(f"api:{REPOSITORY}", Fault(status=200, message=body))

    with pytest.raises(DownloadError) as caught:
        ask(hub)
    assert caught.value.remedy == NO_API


def test_answer_that_is_cut_is_asked_for_again(hub: Hub) -> None:
    commit = hub.add(REPOSITORY, {"x": b"{" * 9999})
    hub.misbehave("x", Fault(cut_after=5))
    hub.misbehave(f"api:{REPOSITORY}", Fault(location=hub.url(REPOSITORY, "x")))

    assert ask(hub)[0] == commit


def test_answer_without_an_end_is_not_read_to_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.hub.repository._MOST_BYTES", 1000)
    hub.misbehave(f"api:{REPOSITORY}", Fault(status=200, message="x" * 1001))

    with pytest.raises(DownloadError) as caught:
        ask(hub)
    assert str(caught.value) == (
        f"Cannot fetch `a-chat`: {url(hub)}: expected what the hub says of a repository, got something else "
        f"(ValueError('more than 1000 bytes')). {NO_API}"
    )


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_private_certificate_is_trusted_where_a_variable_names_it(
    tls_hub: Hub, certificate: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = tls_hub.add(REPOSITORY, {})
    monkeypatch.setenv(variable, str(certificate))

    assert ask(tls_hub) == (commit, ())


def test_certificate_that_nobody_trusts_is_refused(tls_hub: Hub) -> None:
    with pytest.raises(DownloadError, match=r"the server's certificate is not trusted \(self-signed certificate\)"):
        ask(tls_hub)


def test_client_that_huggingface_hub_has_is_not_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.add(REPOSITORY, {})
    monkeypatch.setattr("huggingface_hub.utils._http._GLOBAL_CLIENT_FACTORY", None)
    monkeypatch.setattr("huggingface_hub.utils._http._GLOBAL_CLIENT", None)

    assert ask(hub) == (commit, ())


def test_user_of_the_endpoint_is_sent(hub: Hub) -> None:
    commit = hub.add(REPOSITORY, {})

    assert ask(hub, endpoint=hub.endpoint.replace("://", "://bob:s3cret@"), token="secret") == (commit, ())
    assert hub.requests[0].headers["authorization"] == "Basic Ym9iOnMzY3JldA=="


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=401),
        Fault(status=200, message="["),
        Fault(status=200, message="{}"),
        Fault(status=200, message=json.dumps({"sha": "2" * 40})),
        Fault(status=200, message=json.dumps({"sha": "1" * 40, "siblings": [1]})),
    ],
)
def test_user_of_the_endpoint_is_in_no_error(hub: Hub, fault: Fault) -> None:
    hub.misbehave(f"api:{REPOSITORY}", fault)

    with pytest.raises(DownloadError) as caught:
        ask(hub, endpoint=hub.endpoint.replace("://", "://bob:s3cret@"), revision="1" * 40)
    assert "s3cret" not in f"{caught.value} {caught.value.url}"


def test_endpoint_that_gives_another_commit_is_refused(hub: Hub) -> None:
    body = json.dumps({"id": REPOSITORY, "sha": "2" * 40, "siblings": []})
    hub.misbehave(f"api:{REPOSITORY}", Fault(status=200, message=body))

    with pytest.raises(DownloadError) as caught:
        ask(hub, revision="1" * 40)
    assert str(caught.value) == (
        f"Cannot fetch `a-chat`: {hub.endpoint}/{REPOSITORY}: expected commit {'1' * 40}, got {'2' * 40}. "
        "Use another endpoint: this one does not give what was asked for."
    )


def test_what_is_no_sha256_is_not_taken_for_one(hub: Hub) -> None:
    lfs = {"sha256": "xet:1234", "size": 7, "pointerSize": 134}
    sibling = {"rfilename": "model.gguf", "size": 7, "blobId": "3" * 40, "lfs": lfs}
    body = json.dumps({"id": REPOSITORY, "sha": "2" * 40, "siblings": [sibling]})
    hub.misbehave(f"api:{REPOSITORY}", Fault(status=200, message=body))

    assert ask(hub) == ("2" * 40, (RepositoryFile("model.gguf", 7, None, None),))


def test_record_without_a_repository_is_refused() -> None:
    with pytest.raises(DownloadError) as caught:
        list_files(adapter_record(), endpoint=None, token=None)
    assert str(caught.value) == (
        "Cannot fetch `an-adapter`: its record names no repository to look into. "
        "Add `huggingface_id`, or an address of the file, to the record."
    )


@pytest.mark.parametrize("name", ["a/b/c", "a/..", "../b", "a b", "a/b?x", ""])
def test_record_whose_repository_has_no_such_name_is_refused(hub: Hub, name: str) -> None:
    with pytest.raises(DownloadError) as caught:
        list_files(chat_record(huggingface_id=name), endpoint=hub.endpoint, token=None)
    assert str(caught.value) == (
        f"Cannot fetch `a-chat`: `{name}` is no name of a repository: expected `organization/name`. "
        "Correct `huggingface_id` of the record."
    )
    assert hub.requests == []


def test_token_is_the_callers_then_the_settings_then_the_kept_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "kept")

    assert hub_token() == "kept"
    monkeypatch.setenv("HF_TOKEN", "set")
    assert hub_token() == "set"
    assert hub_token("stated") == "stated"


def test_token_that_nobody_has_is_none() -> None:
    assert hub_token() is None
