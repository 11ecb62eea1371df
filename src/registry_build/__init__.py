"""Build time: models.json -> a typed Python module. Never imports `registry`; needs the extra `build`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry_build.problems import Problem
    from registry_build.source import Source


def build(
    source: str | Path, schema: str | Path | None = None, *, module: str = "_registry"
) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
    """Compile a models.json.

    Args:
        source: The data.
        schema: JSON Schema that the data must satisfy as well as the one of this package.
        module: Name of the module to generate.

    Returns:
        The files to write (path relative to the module's folder -> text), and the warnings.

    Raises:
        BuildError: The data have errors; it carries all of them.
    """
    # Imported here, so that `python -m registry_build` can say in words that the extra is missing.
    from registry_build.emit import emit
    from registry_build.plan import plan

    data, warnings = load(source, schema)
    return emit(plan(data), module), warnings


def load(source: str | Path, schema: str | Path | None = None) -> tuple[Source, tuple[Problem, ...]]:
    """Read and validate a models.json.

    Returns:
        The data, and the warnings.

    Raises:
        BuildError: The data have errors; it carries all of them, and the warnings.
    """
    from registry_build.problems import BuildError
    from registry_build.schema import load_schema
    from registry_build.source import read
    from registry_build.validate import validate

    data = read(source)
    problems = validate(data, [load_schema(), *([] if schema is None else [load_schema(schema)])])
    if any(problem.severity == "error" for problem in problems):
        raise BuildError(problems)
    return data, tuple(problems)
