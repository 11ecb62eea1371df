"""What the user has set: environment variables, and `config.toml` in the home folder for what they leave open."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from registry._home import home
from registry.errors import InvalidSettingError


class Setting(NamedTuple):
    """One setting.

    Attributes:
        key: Name in `config.toml`.
        variable: Environment variable, which wins over the file.
        expected: What it may be, in words.
        meaning: What it does, a sentence; and what is done where it is not set.
    """

    key: str
    variable: str
    expected: str
    meaning: str


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(k|m|g|t)(i?)b?|b)?\s*", re.IGNORECASE)
_FLAG = "true or false"
_LIST = "a list of words, in the environment with commas between them"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")

# Every setting; docs/configuration.md has the same table, and a test compares them. `REGISTRY_HOME`, which says where
# the file is, cannot stand in it.
SETTINGS = {
    setting.key: setting
    for setting in (
        Setting(
            "licenses", "REGISTRY_LICENSES", _LIST, "Licences that may be fetched and loaded, SPDX ids. Not set: all."
        ),
        Setting(
            "adapters",
            "REGISTRY_ADAPTERS",
            "a folder, or the file or address of a manifest",
            "Where LoRA adapters lie, or which manifest lists those to serve. Not set: the model folder, and none.",
        ),
        Setting("sources", "REGISTRY_SOURCES", _LIST, "Where files are fetched from, in order. Not set: the hub."),
        Setting("hf_endpoint", "HF_ENDPOINT", "an address", "Hub to ask. Not set: https://huggingface.co."),
        Setting(
            "hf_token", "HF_TOKEN", "a token", "Token for the hub. Not set: the one that `hf auth login` has kept."
        ),
        Setting("hf_hub_offline", "HF_HUB_OFFLINE", _FLAG, "True: fetch nothing, and say so at once."),
        Setting(
            "max_cache_size",
            "REGISTRY_MAX_CACHE_SIZE",
            "a size such as `50GB`",
            "Most that kept models may take. Not set: no limit.",
        ),
        Setting(
            "when_full",
            "REGISTRY_WHEN_FULL",
            "`error`, `prune` or `ask`",
            "What to do where the limit is reached. Not set: `error`.",
        ),
        Setting(
            "reserved_memory",
            "REGISTRY_RESERVED_MEMORY",
            "a size such as `2GB`",
            "Memory left to the system when a model is chosen. Not set: 2 GB.",
        ),
        Setting(
            "check_updates",
            "REGISTRY_CHECK_UPDATES",
            _FLAG,
            "True: look for newer models once a week, when a command starts.",
        ),
        Setting("auto_update", "REGISTRY_AUTO_UPDATE", _FLAG, "True: fetch what these checks find."),
        Setting(
            "api_key",
            "REGISTRY_API_KEY",
            "a key of at least 16 letters and digits",
            "Key that requests to the server must bring to write. Not set: the server is read-only.",
        ),
        Setting(
            "admin_token",
            "REGISTRY_ADMIN_TOKEN",
            "a token of at least 16 letters and digits",
            "Token that requests must bring to see and provision what a server uses. Not set: no such routes.",
        ),
        Setting("profile", "REGISTRY_PROFILE", "the name of a profile", "Profile to use. Not set: `default`."),
        Setting("manifest", "REGISTRY_MANIFEST", "a file", "Profiles of your own, laid over the compiled ones."),
        Setting(
            "parameters",
            "REGISTRY_PARAMETERS",
            _LIST,
            "How to generate where neither caller, role nor record says it, as `temperature=0.2`.",
        ),
        Setting("ollama_host", "OLLAMA_HOST", "an address", "Ollama to ask. Not set: http://127.0.0.1:11434."),
        Setting(
            "openai_base_url",
            "OPENAI_BASE_URL",
            "an address that ends in `/v1`",
            "OpenAI-compatible server to ask. Not set: the provider `openai` is not there.",
        ),
        Setting("openai_api_key", "OPENAI_API_KEY", "a key", "Key for that server."),
        Setting("no_color", "NO_COLOR", "anything", "Set, and not empty: no colour."),
    )
}


def config_file() -> Path:
    """Give the path of `config.toml`, which need not exist."""
    return home() / "config.toml"


def stated_in(key: str) -> str:
    """Say where a setting stands, or would stand: for messages."""
    setting = SETTINGS[key]
    return f"`{setting.variable}`" if setting.variable in os.environ else f"`{key}` of `{config_file()}`"


def text(key: str) -> str | None:
    """Give a setting, or `None` where it is neither in the environment nor in the file.

    Raises:
        InvalidSettingError: The file is no TOML, has a name that is no setting, or the value is no text.
    """
    setting = SETTINGS[key]
    if (value := os.environ.get(setting.variable)) is not None:
        return value or None
    found = _file().get(key)
    if found is None or isinstance(found, str):
        return found or None
    if isinstance(found, bool | int | float):
        return str(found).lower()
    raise _invalid(key, found)


def words(key: str) -> tuple[str, ...] | None:
    """Give a setting that is a list, or `None` where it is not set.

    Raises:
        InvalidSettingError: It is no list.
    """
    if SETTINGS[key].variable not in os.environ and isinstance(found := _file().get(key), list):
        if not all(isinstance(word, str) for word in found):
            raise _invalid(key, found)
        return tuple(found)
    stated = text(key)
    return None if stated is None else tuple(word.strip() for word in stated.split(",") if word.strip()) or None


def flag(key: str) -> bool:
    """Give a setting that is true or false; false where it is not set.

    Raises:
        InvalidSettingError: It is neither.
    """
    stated = (text(key) or "").strip().lower()
    if stated not in _TRUE + _FALSE:
        raise _invalid(key, stated)
    return stated in _TRUE


def size_bytes(key: str) -> int | None:
    """Give a setting that is a size, in bytes, or `None` where it is not set.

    Raises:
        InvalidSettingError: It is no size.
    """
    stated = text(key)
    if stated is None:
        return None
    if (size := parse_size(stated)) is None:
        raise _invalid(key, stated)
    return size


def choice(key: str, options: tuple[str, ...]) -> str:
    """Give a setting that is one of several words; the first where it is not set.

    Raises:
        InvalidSettingError: It is none of them.
    """
    stated = text(key) or options[0]
    if stated not in options:
        raise _invalid(key, stated)
    return stated


def parse_size(stated: str) -> int | None:
    """Read `50GB` (10^9), `50GiB` (2^30) or a number of bytes; `None` where it is none of these."""
    if not (match := _SIZE.fullmatch(stated)):
        return None
    number, prefix, binary = match.groups()
    power = " kmgt".index((prefix or " ").lower())
    return int(float(number) * (1024 if binary else 1000) ** power)


def _invalid(key: str, got: object) -> InvalidSettingError:
    return InvalidSettingError(key, stated_in(key), SETTINGS[key].expected, got)


def _file() -> dict[str, object]:
    path = config_file()
    try:
        seen = path.stat()
    except OSError:
        return {}
    return _read(path, seen.st_mtime_ns, seen.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, modified: int, size: int) -> dict[str, object]:  # noqa: ARG001 - they say that it is the same file
    import tomllib
    from difflib import get_close_matches

    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))  # some editors begin a file with a mark
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettingError("config.toml", f"`{path}`", "a file in TOML", str(error)) from error
    for key in found:
        if key not in SETTINGS:
            near = get_close_matches(key, SETTINGS, n=1)
            expected = f"a name such as `{near[0]}`" if near else f"one of {', '.join(SETTINGS)}"
            raise InvalidSettingError(key, f"`{path}`", expected, key)
    return found
