"""What a refusal means: whether it may pass, and what to do."""

import errno
import socket
from urllib.error import URLError

import pytest

from registry.errors import DownloadError
from registry.hub.refusals import bare, cut, masked, refusal, unreachable
from registry.hub.retry import PassingFaultError

URL = "https://hub.example/org/model/resolve/main/model.gguf"
LOG_IN = "Log in with `hf auth login`, or set `HF_TOKEN` to a token that may read it."
TOKEN = "The token may lack the right to read it."
REWRITTEN = "Correct `revision` of the record: the commit may have been rewritten."
NAME = "Correct the file's name or `revision` in the record."
LATER = "Try again later; what has arrived is kept and used then."


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (401, {}, f"the server wants to know who asks (status 401). {LOG_IN}"),
        (
            401,
            {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"},
            f"there is no such repository, or it is private (status 401). Check `huggingface_id`. {LOG_IN}",
        ),
        (
            403,
            {"X-Error-Message": "Read access is needed"},
            f"the server does not allow it (status 403: Read access is needed). {TOKEN} {LOG_IN}",
        ),
        (
            404,
            {"X-Error-Code": "RevisionNotFound"},
            f"the repository has no such revision (status 404). {REWRITTEN}",
        ),
        (
            404,
            {"X-Error-Code": "EntryNotFound"},
            f"the repository has no such file at this revision (status 404). {NAME}",
        ),
        (418, {}, "the server refused (status 418). Check the address of the source."),
    ],
)
def test_refusal_that_does_not_pass_says_what_to_do(status: int, headers: dict[str, str], expected: str) -> None:
    error = refusal("m", URL, status, headers)

    assert type(error) is DownloadError
    assert str(error) == f"Cannot fetch `m`: {URL}: {expected}"
    assert (error.url, error.status) == (URL, status)


@pytest.mark.parametrize("url", [URL, "https://hub.example/api/models/org/model/revision/main"])
@pytest.mark.parametrize("status", [401, 403])
def test_refusal_of_a_gated_model_says_where_its_terms_are(url: str, status: int) -> None:
    error = refusal("m", url, status, {"X-Error-Code": "GatedRepo"})

    assert str(error) == (
        f"Cannot fetch `m`: {url}: the model is gated. Accept its terms at https://hub.example/org/model, "
        "then log in with `hf auth login` or set `HF_TOKEN`."
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_refusal_that_may_pass_is_a_passing_fault(status: int) -> None:
    assert isinstance(refusal("m", URL, status, {}), PassingFaultError)


def test_refusal_for_a_while_says_when_to_ask_again() -> None:
    error = refusal("m", URL, 429, {"Retry-After": "30"})

    assert isinstance(error, PassingFaultError)
    assert error.retry_after_s == 30
    assert error.reason == f"{URL}: too many requests were made (status 429)."


def test_refusal_for_longer_than_is_waited_says_how_long() -> None:
    assert refusal("m", URL, 503, {"Retry-After": "3600"}).remedy == f"It wants to be asked again in 3600 s. {LATER}"


def test_address_is_shown_without_credentials_and_signature() -> None:
    assert bare("https://user:word@hub.example:8443/a/b?signature=x#y") == "https://hub.example:8443/a/b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bob:s3cret@m.example/{repo}", "https://***@m.example/{repo}"),
        ("https://bob:s3/cr@et@m.example/x", "https://***@m.example/x"),
        ("https://bob:s3#cret@m.example", "https://***@m.example"),
        ("https://token@m.example:port", "https://***@m.example:port"),
        ("https://m.example:8443/{name}@{revsion}", "https://m.example:8443/{name}@{revsion}"),
        ("https://m.example", "https://m.example"),
        ("bob@models", "bob@models"),
    ],
)
def test_text_that_may_be_an_address_is_shown_without_user_and_password(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_host_that_does_not_exist_is_not_asked_again() -> None:
    error = unreachable("m", URL, URLError(socket.gaierror(socket.EAI_NONAME, "Name or service not known")))

    assert type(error) is DownloadError
    assert str(error) == (
        f"Cannot fetch `m`: {URL}: there is no host of this name. "
        "Check the address and the network; behind a proxy set `HTTPS_PROXY`."
    )


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "[Errno 104] Connection reset by peer"),
        (URLError(TimeoutError("timed out")), "the server did not answer in time"),
        (URLError(socket.gaierror(socket.EAI_AGAIN, "again")), f"[Errno {socket.EAI_AGAIN}] again"),
    ],
)
def test_server_that_cannot_be_reached_is_a_passing_fault(cause: Exception, said: str) -> None:
    error = unreachable("m", URL, cause)

    assert isinstance(error, PassingFaultError)
    assert error.reason == f"{URL}: {said}."


def test_cut_says_how_much_has_come() -> None:
    assert cut("m", URL, 10, 4).reason == f"{URL}: the connection was cut after 4 of 10 bytes."
