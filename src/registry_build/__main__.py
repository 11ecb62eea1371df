"""`python -m registry_build`: validate a models.json, generate its module, write its page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from registry_build import build, load
from registry_build.naming import is_module_name
from registry_build.output import differences, write
from registry_build.problems import BuildError, Problem


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0: done, 1: problems, 2: wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except BuildError as error:
        _report(error.problems)
        errors = sum(problem.severity == "error" for problem in error.problems)
        print(f"{errors} error{'s' if errors > 1 else ''}{options.on_error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("jinja2", "jsonschema_rs", "langcodes", "packaging"):
            raise
        print(f"error: generating a registry needs the package `{error.name}`", file=sys.stderr)
        print('hint: install it with `pip install "typed-model-registry[build]"`', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m registry_build", description="Compile a models.json.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    validate = command("validate", _validate, "Report everything that is wrong with a models.json.")
    validate.add_argument(
        "files", metavar="FILE", nargs="+", help="the models.json to read; several are checked one by one"
    )
    generate = command("generate", _generate, "Write the typed module of a models.json, and the files beside it.")
    generate.add_argument("file", metavar="FILE", help="the models.json to read")
    generate.add_argument(
        "-o",
        "--output",
        type=_module_path,
        required=True,
        metavar="OUT",
        help="the module to write, such as src/acme/_registry.py",
    )
    pages = command("pages", _pages, "Write the page that lists the models.")
    pages.add_argument(
        "file", metavar="FILE", nargs="?", default="models.json", help="the models.json to read; default: models.json"
    )
    pages.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("docs/MODELS.md"),
        metavar="OUT",
        help="the page to write; default: docs/MODELS.md",
    )
    validate.set_defaults(on_error="")
    for made in (validate, generate, pages):
        made.add_argument("--schema", metavar="FILE", help="JSON Schema that the data must satisfy as well")
    for made in (generate, pages):
        made.set_defaults(on_error="; nothing was written")
        made.add_argument(
            "--check", action="store_true", help="write nothing; exit 1 with a short diff where OUT is stale"
        )
    return parser


def _module_path(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".py" or not is_module_name(path.stem):
        raise argparse.ArgumentTypeError(
            f"expected the path of a Python module, such as `src/acme/_registry.py`, got {text!r}"
        )
    return path


def _validate(options: argparse.Namespace) -> int:
    problems: list[Problem] = []
    for file in options.files:
        try:
            source, warnings = load(file, options.schema)
        except BuildError as error:
            problems += error.problems
        else:
            _report(warnings)
            count = len(source.data["models"])
            print(f"{file}: {count} model{'s' if count > 1 else ''}, no errors")
    if problems:
        raise BuildError(problems)
    return 0


def _generate(options: argparse.Namespace) -> int:
    files, warnings = build(options.file, options.schema, module=options.output.stem)
    _report(warnings)
    return _put(files, options.output, check=options.check)


def _pages(options: argparse.Namespace) -> int:
    from registry_build.pages import page
    from registry_build.plan import plan

    source, warnings = load(options.file, options.schema)
    _report(warnings)
    return _put({options.output.name: page(plan(source))}, options.output, check=options.check)


def _put(files: Mapping[str, str], output: Path, *, check: bool) -> int:
    if not check:
        write(files, output.parent)
        print(f"{output}: written")
        return 0
    stale = differences(files, output.parent)
    if not stale:
        print(f"{output}: up to date")
        return 0
    print("\n".join(stale), file=sys.stderr)
    print(f"error: {output} is stale\nhint: generate it again, without `--check`", file=sys.stderr)
    return 1


def _report(problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
