"""Which licences are allowed here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry import _settings
from registry.errors import LicenseNotAllowedError

if TYPE_CHECKING:
    from registry.records import LoraAdapter, ModelInfo

_SIGN = re.compile(r"(\(|\)|(?<![^\s()])(?:AND|OR)(?![^\s()]))")
_SIGNS = {"(": "(", ")": ")", "AND": "&", "OR": "|"}
# What an expression of truth values comes to, AND before OR. Of one that is malformed more than a value is left.
_RULES = (
    (re.compile(r"1&1"), "1"),
    (re.compile(r"0&[01]|1&0"), "0"),
    (re.compile(r"(?<!&)(?:1\|[01]|0\|1)(?!&)"), "1"),
    (re.compile(r"(?<!&)0\|0(?!&)"), "0"),
    (re.compile(r"\(([01])\)"), r"\1"),
)


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
    """Tell whether an SPDX expression is covered by a list of SPDX ids. One that is not known, or is none, is not."""
    covered = {name.casefold() for name in allowed}
    form = "".join(_truth(part.strip(), covered) for part in _SIGN.split(license or ""))
    before = ""
    while form != before:
        before = form
        for pattern, value in _RULES:
            form = pattern.sub(value, form)
    return form == "1"


def _truth(part: str, covered: set[str]) -> str:
    """Give a sign of an expression as it is, and for a licence `1` or `0`; `A WITH exception` is covered by `A` too."""
    if not part or part in _SIGNS:
        return _SIGNS.get(part, "")
    return str(int(part.casefold() in covered or part.partition(" WITH ")[0].casefold() in covered))
