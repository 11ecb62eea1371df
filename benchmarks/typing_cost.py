"""`mypy --strict`, cold, on a user's file, against registries of 300 and of 10,000 records."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import Comparison, Line, Table, Target, environment, in_turn, output_of
from benchmarks.workspace import Workspace

SMALL, LARGE = 300, 10_000
TARGET = Target(3)
USER = """\
from {package} import {constants}, ModelType, get_model, models_by_type

total: int = sum(record.context_length or 0 for record in ({constants}))
dim: int | None = get_model({encoder!r}).embedding_dim
names: list[str] = [get_model(model_id).name for model_id in ({ids},)]
dense: list[int] = [record.embedding_dim for record in models_by_type(ModelType.DENSE)]
"""


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure mypy, and for information basedpyright."""
    table = Table(f"Type checking a user's file: {LARGE:,} records against {SMALL}, Python {sys.version.split()[0]}")
    checkers = [name for name in ("mypy", "basedpyright") if find_spec(name)]
    table.remarks += [f"{name} is not installed here." for name in ("mypy", "basedpyright") if name not in checkers]
    for checker in checkers:
        for place in ("installed", "in the user's own tree"):
            times = rounds if checker == "mypy" else max(3, rounds // 2)
            found = _compare(workspace, checker, place == "installed", times)
            name = "`mypy --strict`, cold" if checker == "mypy" else "`basedpyright`"
            target = TARGET if checker == "mypy" else None
            table.lines.append(Line.ratio(f"{name}, {place}", f"{SMALL} records", found, target))
    return [table]


def _compare(workspace: Workspace, checker: str, installed: bool, rounds: int) -> Comparison:
    projects = {size: _project(workspace, size, installed) for size in (SMALL, LARGE)}
    for folder in projects.values():  # types really arrive: an id that is not there is refused
        _check(checker, folder, "wrong.py", errors=True)
    return in_turn(lambda _: _check(checker, projects[LARGE]), lambda _: _check(checker, projects[SMALL]), rounds)


def _project(workspace: Workspace, size: int, installed: bool) -> Path:
    """Make a project with a venv that has `registry`, and with the generated package there or in its own tree."""
    folder = workspace.folder / f"project_{size}_{'installed' if installed else 'own'}"
    if folder.exists():
        return folder
    folder.mkdir()
    output_of([sys.executable, "-m", "venv", "--without-pip", folder / "venv"])
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(output_of([_python(folder), "-I", "-c", code]).strip())
    shutil.copytree(workspace.library / "registry", site_packages / "registry")
    package = (site_packages if installed else folder) / f"acme_{size}"
    package.mkdir()
    module = workspace.module(size)
    for path in workspace.library.glob(f"{module}[._]*"):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, package / path.name)
    (package / "__init__.py").write_text(f"from acme_{size}.{module} import *\n")
    (package / "py.typed").touch()
    _write_user(workspace, folder, size)
    return folder


def _write_user(workspace: Workspace, folder: Path, size: int) -> None:
    from registry_build.naming import constant_name

    records = workspace.records(size)
    ids = [record["id"] for record in records[:: size // 5]]
    encoder = next(record["id"] for record in records if record["type"] == "dense")
    text = USER.format(
        package=f"acme_{size}",
        constants=", ".join(map(constant_name, ids)),
        ids=", ".join(map(repr, ids)),
        encoder=encoder,
    )
    # One literal a call: an id that is chosen at run time is for `lookup_model`.
    calls = ", ".join(f"get_model({model_id!r}).name" for model_id in ids)
    text = "\n".join(
        f"names: list[str] = [{calls}]" if line.startswith("names") else line for line in text.splitlines()
    )
    (folder / "user.py").write_text(text + "\n")
    (folder / "wrong.py").write_text(f'from acme_{size} import get_model\n\nget_model("no-such-model")\n')


def _python(folder: Path) -> Path:
    return folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def _check(checker: str, folder: Path, file: str = "user.py", *, errors: bool = False) -> float:
    """Run a type checker in a fresh process with an empty cache; give ns. It must find errors, or none."""
    with tempfile.TemporaryDirectory() as cache:
        command = (
            [
                *(sys.executable, "-m", "mypy", "--strict", "--config-file", ""),
                *("--cache-dir", cache, "--python-executable", str(_python(folder)), file),
            ]
            if checker == "mypy"
            else [
                sys.executable,
                "-m",
                "basedpyright",
                "--pythonpath",
                str(_python(folder)),
                "--level",
                "error",
                file,
            ]
        )
        start = time.perf_counter_ns()
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
        taken = time.perf_counter_ns() - start
    if bool(done.returncode) != errors:
        raise RuntimeError(f"{checker} on {folder.name}:\n{done.stdout[:3000]}{done.stderr[:3000]}")
    return float(taken)
