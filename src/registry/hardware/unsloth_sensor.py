"""Whether unsloth has patched the models of this process. Imports nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType


def is_patched(modules: Mapping[str, ModuleType | None] | None = None) -> bool | None:
    """Say whether some attention of a model of transformers, in this process, is unsloth's.

    Args:
        modules: The imported modules; for tests.

    Returns:
        `None` where unsloth is not imported: then nothing can be patched.
    """
    loaded = dict(sys.modules) if modules is None else modules
    if loaded.get("unsloth") is None:
        return None
    return any(
        _is_unsloths(module) for name, module in loaded.items() if name.startswith("transformers.models.") and module
    )


def _is_unsloths(module: ModuleType) -> bool:
    # Not `getattr` of the module: those of transformers import more when they are asked.
    attention = (each for name, each in vars(module).items() if name.endswith("Attention") and isinstance(each, type))
    return any(_home_of(vars(each).get("forward")).startswith("unsloth") for each in attention)


def _home_of(function: object) -> str:
    return str(getattr(function, "__module__", ""))
