"""`registry generate`, `registry validate`: the commands of `python -m registry_build`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from registry._extras import require
from registry.cli._options import Json
from registry.cli._output import show_json

if TYPE_CHECKING:
    from registry_build.problems import Problem

Schema = Annotated[
    str | None, typer.Option(metavar="FILE", help="JSON Schema that the data must satisfy as well as the built-in one.")
]


def generate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The models.json to read.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT", help="The module to write, such as src/acme/_registry.py.")
    ],
    schema: Schema = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 where OUT is stale.")] = False,
    json: Json = False,
) -> None:
    """Write the typed module of a models.json.

    Beside the module OUT come its stub (.pyi) and the sources of its values. Needs the extra `build`.

    Examples:
        registry generate models.json -o src/acme/_registry.py
        registry generate models.json -o src/acme/_registry.py --check
    """
    _check_module(output)
    code = _build("generate", file, "-o", output, *_stated(schema), *(["--check"] if check else []), quiet=json)
    if json:
        done = ("up to date" if check else "written") if code == 0 else "stale" if check else "failed"
        show_json({"file": file, "output": output, "result": done})
    raise typer.Exit(code)


def _check_module(output: str) -> None:
    from registry_build.naming import is_module_name

    path = PurePath(output)
    if path.suffix != ".py" or not is_module_name(path.stem):
        expected = f"expected the path of a Python module, such as `src/acme/_registry.py`, got `{output}`"
        raise typer.BadParameter(expected, param_hint="--output")


def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="The models.json to read; several, one by one.")],
    schema: Schema = None,
    json: Json = False,
) -> None:
    """Report everything that is wrong with a models.json.

    Exit code 1 where something is. Needs the extra `build`.

    Examples:
        registry validate models.json
        registry validate models.json --json | jq ".files[].problems[].line"
    """
    if not json:
        raise typer.Exit(_build("validate", *files, *_stated(schema)))
    reports = [_report(file, schema) for file in files]
    show_json({"files": reports})
    raise typer.Exit(1 if any(report["models"] is None for report in reports) else 0)


def _stated(schema: str | None) -> list[str]:
    return [] if schema is None else ["--schema", schema]


def _build(*arguments: str, quiet: bool = False) -> int:
    from registry_build.__main__ import main

    with redirect_stdout(sys.stderr if quiet else sys.stdout):
        return main(arguments)


def _report(file: str, schema: str | None) -> dict[str, object]:
    """Give the number of models of a file, `None` where it has errors, and its problems."""
    from registry_build import load
    from registry_build.problems import BuildError

    for package in ("jsonschema_rs", "langcodes", "packaging"):
        require(package, extra="build", purpose="Reading a models.json")

    problems: tuple[Problem, ...]
    try:
        source, problems = load(file, schema)
        models = len(source.data["models"])
    except BuildError as error:
        models, problems = None, error.problems
    return {"file": file, "models": models, "problems": [asdict(problem) for problem in problems]}
