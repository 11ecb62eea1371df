from pathlib import Path

import pytest

from registry import _settings
from registry.errors import InvalidSettingError


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of `config.toml`, which is not there; no setting is in the environment."""
    for setting in _settings.SETTINGS.values():
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv("REGISTRY_HOME", str(tmp_path))
    return tmp_path / "config.toml"


def test_text_that_is_nowhere_is_none() -> None:
    assert _settings.text("hf_endpoint") is None


def test_text_of_the_file_is_given(file: Path) -> None:
    file.write_text('hf_endpoint = "https://hub.example"')
    assert _settings.text("hf_endpoint") == "https://hub.example"


def test_environment_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('hf_endpoint = "https://hub.example"')
    monkeypatch.setenv("HF_ENDPOINT", "https://other.example")
    assert _settings.text("hf_endpoint") == "https://other.example"


def test_empty_variable_unsets_what_the_file_says(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('hf_endpoint = "https://hub.example"\nsources = ["hub"]\nmax_cache_size = "1GB"')
    for name in ("HF_ENDPOINT", "REGISTRY_SOURCES", "REGISTRY_MAX_CACHE_SIZE"):
        monkeypatch.setenv(name, "")
    assert (_settings.text("hf_endpoint"), _settings.words("sources")) == (None, None)
    assert _settings.size_bytes("max_cache_size") is None


def test_file_that_changes_is_read_again(file: Path) -> None:
    file.write_text('hf_endpoint = "https://a.example"')
    assert _settings.text("hf_endpoint") == "https://a.example"
    file.write_text('hf_endpoint = "https://other.example"')
    assert _settings.text("hf_endpoint") == "https://other.example"


def test_file_that_has_not_changed_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('hf_endpoint = "https://a.example"')
    _settings.text("hf_endpoint")
    monkeypatch.setattr(Path, "read_text", lambda *_: pytest.fail("read again"))
    assert _settings.text("hf_endpoint") == "https://a.example"


def test_name_that_is_no_setting_is_refused_with_the_nearest(file: Path) -> None:
    file.write_text('license = ["mit"]')
    with pytest.raises(InvalidSettingError) as caught:
        _settings.text("hf_endpoint")
    assert str(caught.value) == (
        f"Setting `license` in `{file}`: expected a name such as `licenses`, got 'license'. Correct it."
    )


def test_table_is_refused_as_no_setting(file: Path) -> None:
    file.write_text("[hub]\nsources = []")
    with pytest.raises(InvalidSettingError) as caught:
        _settings.text("hf_endpoint")
    assert caught.value.expected == f"one of {', '.join(_settings.SETTINGS)}"


@pytest.mark.parametrize("content", [b"max_cache_size = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_file_that_is_no_toml_is_refused_with_its_path(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidSettingError) as caught:
        _settings.flag("check_updates")
    assert str(caught.value).startswith(f"Setting `config.toml` in `{file}`: expected a file in TOML, got ")


def test_folder_in_place_of_the_file_is_refused_with_its_path(file: Path) -> None:
    file.mkdir()
    with pytest.raises(InvalidSettingError) as caught:
        _settings.text("hf_endpoint")
    assert str(caught.value).startswith(f"Setting `config.toml` in `{file}`: expected a file in TOML, got ")


def test_file_of_an_editor_that_marks_its_encoding_is_read(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbfhf_endpoint = "https://hub.example"')
    assert _settings.text("hf_endpoint") == "https://hub.example"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [('["MIT", "Apache-2.0"]', ("MIT", "Apache-2.0")), ('"MIT, Apache-2.0 ,"', ("MIT", "Apache-2.0")), ('""', None)],
)
def test_words_of_the_file(file: Path, stated: str, expected: tuple[str, ...] | None) -> None:
    file.write_text(f"licenses = {stated}")
    assert _settings.words("licenses") == expected


def test_words_of_the_environment_are_parted_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_LICENSES", " MIT,,Apache-2.0 WITH LLVM-exception ")
    assert _settings.words("licenses") == ("MIT", "Apache-2.0 WITH LLVM-exception")


def test_words_that_are_numbers_are_refused(file: Path) -> None:
    file.write_text("licenses = [1, 2]")
    with pytest.raises(InvalidSettingError) as caught:
        _settings.words("licenses")
    assert str(caught.value) == (
        f"Setting `licenses` in `licenses` of `{file}`: expected a list of words, in the environment with commas "
        "between them, got [1, 2]. Correct it."
    )


@pytest.mark.parametrize("stated", ["1", "true", "YES", " on "])
def test_flag_of_the_environment_is_true(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", stated)
    assert _settings.flag("hf_hub_offline") is True


@pytest.mark.parametrize("stated", ["0", "false", "No", "off", ""])
def test_flag_of_the_environment_is_false(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", stated)
    assert _settings.flag("hf_hub_offline") is False


def test_flag_of_the_file_is_a_truth_value(file: Path) -> None:
    file.write_text("check_updates = true\nauto_update = false")
    assert (_settings.flag("check_updates"), _settings.flag("auto_update")) == (True, False)


def test_flag_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "maybe")
    with pytest.raises(InvalidSettingError) as caught:
        _settings.flag("hf_hub_offline")
    assert str(caught.value) == (
        "Setting `hf_hub_offline` in `HF_HUB_OFFLINE`: expected true or false, got 'maybe'. Correct it."
    )


@pytest.mark.parametrize(
    ("stated", "size_bytes"),
    [
        ("0", 0),
        ("1500", 1500),
        ("12b", 12),
        ("50GB", 50 * 10**9),
        ("50 gb", 50 * 10**9),
        ("2G", 2 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("4KiB", 4096),
        ("3mb", 3 * 10**6),
        ("1TiB", 2**40),
    ],
)
def test_size_is_read(stated: str, size_bytes: int) -> None:
    assert _settings.parse_size(stated) == size_bytes


@pytest.mark.parametrize("stated", ["", "GB", "-1GB", "1e9", "1,5GB", "5 PB", "5iB", "nan", "1 2", "0x10"])
def test_size_that_is_none_is_none(stated: str) -> None:
    assert _settings.parse_size(stated) is None


def test_size_of_the_file_may_be_a_number(file: Path) -> None:
    file.write_text("max_cache_size = 1000")
    assert _settings.size_bytes("max_cache_size") == 1000


def test_setting_that_is_no_size_is_refused(file: Path) -> None:
    file.write_text('max_cache_size = "much"')
    with pytest.raises(InvalidSettingError) as caught:
        _settings.size_bytes("max_cache_size")
    assert str(caught.value) == (
        f"Setting `max_cache_size` in `max_cache_size` of `{file}`: expected a size such as `50GB`, got 'much'. "
        "Correct it."
    )


def test_list_for_a_size_is_refused(file: Path) -> None:
    file.write_text("max_cache_size = [1]")
    with pytest.raises(InvalidSettingError) as caught:
        _settings.size_bytes("max_cache_size")
    assert caught.value.got == [1]


def test_choice_is_the_first_where_nothing_is_set(file: Path) -> None:
    assert _settings.choice("when_full", ("error", "prune")) == "error"
    file.write_text('when_full = "prune"')
    assert _settings.choice("when_full", ("error", "prune")) == "prune"


def test_choice_of_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_WHEN_FULL", "delete")
    with pytest.raises(InvalidSettingError) as caught:
        _settings.choice("when_full", ("error", "prune", "ask"))
    assert str(caught.value) == (
        "Setting `when_full` in `REGISTRY_WHEN_FULL`: expected `error`, `prune` or `ask`, got 'delete'. Correct it."
    )


def test_reading_settings_makes_no_file(file: Path) -> None:
    _settings.text("hf_endpoint")
    assert list(file.parent.iterdir()) == []
