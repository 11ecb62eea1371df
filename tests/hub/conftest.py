"""Fixtures of the hub's tests: a hub on loopback, nothing of the user's, and no waiting."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hub_server import Hub

_NAMES = ("XDG_CACHE_HOME", "HUGGINGFACE_HUB_CACHE", "CI", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_PREFIXES = ("HF_", "REGISTRY_", "CURL_")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of this library, which is not there yet, as the Hugging Face cache is not."""
    for name in list(os.environ):
        if name in _NAMES or name.startswith(_PREFIXES) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path / "home"))
    if find_spec("huggingface_hub"):  # it keeps what the environment was when it was imported
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_waits() -> Iterator[None]:
    """Let no attempt wait for the next one."""
    if find_spec("stamina") is None:
        yield
        return
    import stamina

    with stamina.set_testing(True, attempts=100):
        yield


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub on loopback, without repositories."""
    with Hub() as server:
        yield server


@pytest.fixture
def make_hub() -> Iterator[Callable[..., Hub]]:
    """Start hubs with options, such as `cdn=True`."""
    started: list[Hub] = []

    def make(**options: object) -> Hub:
        started.append(Hub(**options))  # type: ignore[arg-type]
        return started[-1]

    yield make
    for server in started:
        server.__exit__()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    made.write_text(made.read_text() + key.read_text())
    return made


@pytest.fixture
def tls_hub(certificate: Path, make_hub: Callable[..., Hub]) -> Hub:
    """A hub over https, with that certificate."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(certificate)
    return make_hub(tls=settings, cdn=True)
