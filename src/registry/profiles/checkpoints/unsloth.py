"""unsloth, where it is installed: its loader of checkpoints in 4 bits, and whether its patch of transformers took.

It replaces functions of transformers by its own when it is imported, and those of an architecture when it loads a
model of it; and it refuses to be imported on a machine without a GPU.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from registry._logfmt import log
from registry.profiles.events import LOGGER

_NAME = "unsloth"


class Patch(NamedTuple):
    """Whether code of unsloth computes in place of that of transformers.

    Attributes:
        patched: True where it does.
        version: Version of unsloth; `None` where it is not installed.
        reason: Why it does not, a sentence; `None` where it does.
    """

    patched: bool
    version: str | None
    reason: str | None


def unsloth_version() -> str | None:
    """Give the version of unsloth that is installed; `None` where none is. Imports nothing."""
    if not _is_installed():
        return None
    try:
        return version(_NAME)
    except PackageNotFoundError:  # a copy without metadata
        return "unknown"


def patch_status() -> Patch:
    """Say whether unsloth has patched transformers in this process. Imports nothing.

    A patch comes with the first model that unsloth loads, so in a process that has loaded none there is none.
    """
    found = unsloth_version()
    if found is None:
        return Patch(False, None, "unsloth is not installed.")
    if _NAME not in sys.modules:
        return Patch(False, found, "unsloth has not been imported in this process.")
    if any(map(_has_patched_class, tuple(sys.modules))):
        return Patch(True, found, None)
    return Patch(False, found, "No class of transformers that is in use here runs code of unsloth.")


def patch_of(model: Any) -> Patch:
    """Say whether a loaded model runs code of unsloth, by the modules that it is made of.

    Args:
        model: A model of torch.
    """
    if any(_is_own(getattr(type(part), "forward", None)) for part in model.modules()):
        return Patch(True, unsloth_version(), None)
    reason = f"No module of this `{type(model).__name__}` runs code of unsloth."
    return Patch(False, unsloth_version(), reason)


@cache
def why_not_importable() -> str | None:
    """Import unsloth, before transformers where that is still possible. Give the reason where it cannot be.

    It needs a GPU. What it prints goes to the standard error. It is tried once: a failure takes seconds as well.
    """
    if not _is_installed():
        return "unsloth is not installed."
    try:
        with _printing_elsewhere():
            import_module(_NAME)
    except Exception as error:  # it runs much code of others when it is imported, which fails in many ways
        return f"unsloth cannot be imported: {type(error).__name__}: {error}"
    return None


def load_with_unsloth(
    folder: Path, *, device: str, dtype: Any, load_in_4bit: bool, max_seq_length: int
) -> tuple[Any, Any]:
    """Load a checkpoint with `FastLanguageModel`, made ready to generate. Never uses the network.

    Args:
        folder: The checkpoint.
        device: CUDA device to load it to.
        dtype: Type of torch to compute in; `None` lets unsloth choose.
        load_in_4bit: True to store the weights in 4 bits.
        max_seq_length: Tokens that prompt and answer may have together.

    Returns:
        The model, and its tokenizer or processor.
    """
    fast: Any = import_module(_NAME).FastLanguageModel
    with _printing_elsewhere():
        model, tokenizer = fast.from_pretrained(
            model_name=str(folder),
            max_seq_length=max_seq_length,
            dtype=dtype,
            load_in_4bit=load_in_4bit,
            device_map="sequential" if device == "cuda" else {"": device},
            trust_remote_code=False,
            use_exact_model_name=True,  # or it would take another repository that it knows to be the same in 4 bits
            local_files_only=True,
        )
        fast.for_inference(model)
    return model, tokenizer


def report_patch(patch: Patch, model: str, *, wanted: bool) -> None:
    """Write the line of the log that says whether the patch took.

    Args:
        patch: What was found.
        model: Name of the model that was loaded.
        wanted: True where unsloth was to load it: then it is a warning where the patch did not take.
    """
    level = logging.WARNING if wanted and not patch.patched else logging.INFO
    facts = {"patched": patch.patched, "version": patch.version, "reason": patch.reason, "model": model}
    log(LOGGER, level, "registry.unsloth.patched", **facts)


def _is_installed() -> bool:
    return _NAME in sys.modules or find_spec(_NAME) is not None


def _has_patched_class(name: str) -> bool:
    """Tell whether a module of transformers has a class whose work unsloth does."""
    if not name.startswith("transformers.models.") or ".modeling_" not in name:
        return False
    found = tuple(vars(sys.modules[name]).values())
    return any(isinstance(value, type) and _is_own(vars(value).get("forward")) for value in found)


def _is_own(function: object) -> bool:
    """Tell whether a function is unsloth's: its own, or one that it has compiled (`unsloth_compiled_module_llama`)."""
    return (getattr(function, "__module__", None) or "").startswith(_NAME)


@contextmanager
def _printing_elsewhere() -> Iterator[None]:
    """Keep banners out of the standard output, which may be a program's answer."""
    with redirect_stdout(sys.stderr):
        yield
