"""One wording for a package that an extra brings and that is not there."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

# What must be there before pip can build a package that ships as source only.
_COMPILED = {
    "llama_cpp": (
        "It is compiled while it is installed, which takes some minutes and a C++ compiler: on Debian and Ubuntu "
        "`apt install build-essential cmake`, on macOS `xcode-select --install`, on Windows the "
        '"Desktop development with C++" workload of the Visual Studio Build Tools.'
    )
}


def require(package: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Args:
        package: Name of the module to import.
        extra: Extra of this library that brings it.
        purpose: What needs it, as the start of a sentence: `Loading chat models`.

    Raises:
        MissingExtraError: It is not installed.
    """
    from importlib import import_module

    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:  # the package is there, and one that it needs is not: that is another problem
            raise
        from registry.errors import MissingExtraError

        raise MissingExtraError(package, extra, purpose, _COMPILED.get(package, "")) from None
