"""Rewrites what the golden cases expect, from what the code does now: `make golden`. Read the diff afterwards.

A case is a folder with a `models.json`, and either `expected/` with everything that is generated from it, or
`errors.txt` with everything that is wrong with it. `warnings.txt` stands beside `expected/` where there are warnings.
"""

import contextlib
import shutil
from pathlib import Path

from registry_build import load
from registry_build.emit import emit
from registry_build.pages import page
from registry_build.plan import plan
from registry_build.problems import BuildError, Problem

CASES = Path(__file__).parent / "cases"


def outcome(case: Path) -> dict[str, str]:
    """Give what a case makes: path in its folder -> text."""
    with contextlib.chdir(case):  # problems name the file as the caller did
        try:
            source, warnings = load("models.json")
        except BuildError as error:
            return {"errors.txt": _lines(error.problems)}
    planned = plan(source)
    files = emit(planned) | {"MODELS.md": page(planned)}
    made = {f"expected/{name}": text for name, text in files.items()}
    return made | {"warnings.txt": _lines(warnings)} if warnings else made


def expected(case: Path) -> dict[str, str]:
    """Give what the folder of a case says it makes."""
    paths = [path for path in case.rglob("*") if path.is_file() and path.name != "models.json"]
    return {path.relative_to(case).as_posix(): path.read_bytes().decode("utf-8") for path in paths}


def _lines(problems: tuple[Problem, ...]) -> str:
    return "".join(f"{problem}\n" for problem in problems)


def rewrite(case: Path) -> None:
    """Make the folder of a case say what the code does."""
    shutil.rmtree(case / "expected", ignore_errors=True)
    for name in ("errors.txt", "warnings.txt"):
        (case / name).unlink(missing_ok=True)
    for name, text in outcome(case).items():
        path = case / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("utf-8"))


if __name__ == "__main__":
    for folder in sorted(CASES.iterdir()):
        rewrite(folder)
        print(folder.name)
