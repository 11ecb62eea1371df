"""The hatchling build hook `model-registry`, for every project that has a models.json of its own.

[build-system]
requires = ["hatchling", "typed-model-registry[build]"]
build-backend = "hatchling.build"

[tool.hatch.build.hooks.model-registry]
source = "models.json"
target = "src/acme/_registry.py"
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.plugin import hookimpl

from registry_build import build
from registry_build.naming import is_module_name
from registry_build.output import write
from registry_build.problems import BuildError, one_of

_OPTIONS = ("source", "target", "schema")
# What hatchling itself reads of the table of a hook.
_HATCHLING_OPTIONS = {
    "dependencies",
    "enable-by-default",
    "path",
    "require-runtime-dependencies",
    "require-runtime-features",
}


class ModelRegistryHook(BuildHookInterface[BuilderConfig]):
    """Generates the registry before files are collected; bad data stop the build with the problem lines only."""

    PLUGIN_NAME = "model-registry"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Generate, and ship what was generated although git ignores it."""
        for option in sorted(self.config.keys() - {*_OPTIONS, *_HATCHLING_OPTIONS}):
            expected = one_of(_OPTIONS, "and")
            self.app.abort(f"Build hook `{self.PLUGIN_NAME}` has no option `{option}`: its options are {expected}.")
        target = self._target()
        try:
            schema = self._path("schema") if "schema" in self.config else None
            files, warnings = build(self._path("source"), schema, module=target.stem)
            written = write(files, target.parent)
        except BuildError as error:
            self.app.abort(self._shortened(str(error)))
            raise  # abort() ends the process
        except OSError as error:
            self.app.abort(self._shortened(f"{error.filename}: {error.strerror}"))
            raise
        for warning in warnings:
            self.app.display_warning(self._shortened(str(warning)))
        root = Path(self.root).resolve()
        names = (path.relative_to(root).as_posix() for path in written)
        # Patterns as git's: a sign that is one there stands for itself here.
        build_data["artifacts"] += ["/" + re.sub(r"([\\*?\[\]!#])", r"\\\1", name) for name in names]

    def _shortened(self, text: str) -> str:
        """Name files as the project does."""
        return text.replace(f"{Path(self.root).resolve()}{os.sep}", "")

    def _target(self) -> Path:
        path = self._path("target")
        if path.suffix != ".py" or not is_module_name(path.stem):
            self._refuse("target", "a Python module")
        if not path.is_relative_to(Path(self.root).resolve()):
            self._refuse("target", "inside the project")
        return path

    def _path(self, option: str) -> Path:
        value = self.config.get(option)
        if not isinstance(value, str) or not value:
            self._refuse(option, "a path")
        try:
            return Path(self.root, str(value)).resolve()
        except ValueError:  # a NUL byte
            self._refuse(option, "a path")
            raise

    def _refuse(self, option: str, expected: str) -> None:
        self.app.abort(
            f"Option `{option}` of build hook `{self.PLUGIN_NAME}` must be {expected}, "
            f"got {self.config.get(option)!r}. Set it in `[tool.hatch.build.hooks.{self.PLUGIN_NAME}]`."
        )


@hookimpl
def hatch_register_build_hook() -> type[ModelRegistryHook]:
    """Make the hook known to hatchling."""
    return ModelRegistryHook
