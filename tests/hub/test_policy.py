from pathlib import Path

import pytest

from hub.keeping import adapter, chat
from registry.errors import LicenseNotAllowedError
from registry.hub.policy import check_license, is_allowed


@pytest.mark.parametrize(
    ("license", "allowed"),
    [
        ("MIT", ("MIT",)),
        ("mit", ("MIT",)),
        ("Apache-2.0", ("MIT", "apache-2.0")),
        ("MIT OR LicenseRef-own", ("MIT",)),
        ("LicenseRef-own OR MIT", ("MIT",)),
        ("MIT AND Apache-2.0", ("MIT", "Apache-2.0")),
        ("GPL-3.0 OR MIT AND Apache-2.0", ("MIT", "Apache-2.0")),
        ("(GPL-3.0 OR MIT) AND Apache-2.0", ("MIT", "Apache-2.0")),
        ("((MIT))", ("MIT",)),
        ("GPL-2.0 WITH Classpath-exception-2.0", ("GPL-2.0",)),
        ("GPL-2.0 WITH Classpath-exception-2.0", ("gpl-2.0 with classpath-exception-2.0",)),
    ],
)
def test_license_that_the_list_covers_is_allowed(license: str, allowed: tuple[str, ...]) -> None:
    assert is_allowed(license, allowed)


@pytest.mark.parametrize(
    ("license", "allowed"),
    [
        (None, ("MIT",)),
        ("", ("MIT",)),
        ("MIT-0", ("MIT",)),
        ("MIT", ()),
        ("MIT AND GPL-3.0", ("MIT",)),
        ("GPL-3.0 AND MIT", ("MIT",)),
        ("MIT AND (GPL-3.0 OR BSD-3-Clause)", ("MIT",)),
        ("(MIT OR GPL-3.0) AND Apache-2.0", ("MIT",)),
        ("GPL-2.0", ("GPL-2.0 WITH Classpath-exception-2.0",)),
        ("MIT Apache-2.0", ("MIT", "Apache-2.0")),
        ("(MIT) Apache-2.0", ("MIT",)),
    ],
)
def test_license_that_the_list_does_not_cover_is_refused(license: str | None, allowed: tuple[str, ...]) -> None:
    assert not is_allowed(license, allowed)


@pytest.mark.parametrize(
    "license", ["   ", "()", "OR", "AND", "MIT OR", "MIT AND", "OR MIT", "MIT)", "MIT) AND GPL-3.0", "(MIT", "MIT ()"]
)
def test_license_that_is_no_expression_is_refused(license: str) -> None:
    assert not is_allowed(license, ("MIT",))


def test_every_license_passes_without_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_LICENSES", raising=False)
    check_license(chat(license=None))


def test_license_that_is_not_on_the_list_of_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", "MIT,Apache-2.0")
    with pytest.raises(LicenseNotAllowedError) as caught:
        check_license(chat(license="cc-by-nc-4.0"))
    assert str(caught.value) == (
        "The licence of `a-chat` is not allowed: expected one of MIT, Apache-2.0, got `cc-by-nc-4.0`. "
        "Choose another model, or add the licence to `REGISTRY_LICENSES`."
    )


def test_license_that_is_not_known_is_an_error_by_the_list_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRY_LICENSES", raising=False)
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text('licenses = ["MIT"]')
    with pytest.raises(LicenseNotAllowedError) as caught:
        check_license(adapter())
    assert str(caught.value) == (
        "The licence of `a-lora` is not allowed: expected one of MIT, got one that is not known. "
        f"Choose another model, or add the licence to `licenses` of `{tmp_path / 'config.toml'}`."
    )
