"""Which licences are allowed here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry import _settings
from registry.errors import LicenseNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.records import LoraAdapter, ModelInfo

_TOKEN = re.compile(r"\(|\)|[^\s()]+")


def check_license(model: ModelInfo | LoraAdapter) -> None:
    """Refuse a model whose licence is not on the list that the setting `licenses` holds. Without a list, all pass.

    Of `A OR B` one must be on the list, of `A AND B` both; `A WITH exception` stands there as a whole, or as `A`.

    Raises:
        LicenseNotAllowedError: It is not, or is not known.
        InvalidSettingError: The setting is no list.
    """
    allowed = _settings.words("licenses")
    if allowed is not None and not is_allowed(model.license, allowed):
        raise LicenseNotAllowedError(model.id, model.license, allowed, _settings.stated_in("licenses"))


def is_allowed(license: str | None, allowed: tuple[str, ...]) -> bool:
    """Tell whether an SPDX expression is covered by a list of SPDX ids. One that is not known is not."""
    if not license:
        return False
    tokens = iter([*_TOKEN.findall(str(license)), ")"])
    return _any_of(tokens, {name.casefold() for name in allowed})


def _any_of(tokens: Iterator[str], allowed: set[str]) -> bool:
    """Evaluate up to the closing parenthesis: AND binds more tightly than OR."""
    alternatives, now, name = [], True, ""
    for part in tokens:
        if part == "(":
            now = _any_of(tokens, allowed) and now
        elif part in ("AND", "OR", ")"):
            now = now and (not name or _names(name, allowed))
            name = ""
            if part != "AND":
                alternatives.append(now)
                now = True
            if part == ")":
                break
        else:
            name = f"{name} {part}".strip()
    return any(alternatives)


def _names(name: str, allowed: set[str]) -> bool:
    return name.casefold() in allowed or name.partition(" WITH ")[0].casefold() in allowed
