"""Python names for ids and vocabulary values."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from keyword import iskeyword


def constant_name(model_id: str) -> str:
    """Name the constant of a record: `qwen2.5-coder-7b-q5_k_m` -> `QWEN2_5_CODER_7B_Q5_K_M`."""
    return _upper(model_id, "MODEL")


@cache
def member_name(enum: str, value: str) -> str:
    """Name the enum member of a value: `Apache-2.0` -> `APACHE_2_0`, organization `01-ai` -> `ORGANIZATION_01_AI`."""
    return _upper(value, enum.upper())


def is_name(name: str) -> bool:
    """Tell whether generated code can say `name = ...`."""
    return name.isidentifier() and not iskeyword(name)


def is_module_name(name: str) -> bool:
    """Tell whether a generated module can have this name; others belong to the files beside a module."""
    return is_name(name) and not name.endswith(("_sources", "_rows"))


def _upper(text: str, prefix: str) -> str:
    # Python itself folds identifiers by NFKC; upper-casing can leave that form (`ﬁ`), hence twice.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).upper())
    name = re.sub(r"[\W_]+", "_", folded).strip("_")
    return name if not name or name[0].isalpha() else f"{prefix}_{name}"
