"""Import of the shipped registry in a fresh process, against a process that imports just `dataclasses` and `enum`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import VERSIONS, Line, Table, Target, always, find_python, processes, run, timed
from benchmarks.workspace import Workspace

RIVAL = "import dataclasses, enum"
USE = "from registry import COLBERT_V2, get_model"
STATEMENTS = {
    "`import registry`": "import registry",
    f"`{USE}`": USE,
    "the same and `COLBERT_V2.embedding_dim`": f"{USE}\nCOLBERT_V2.embedding_dim",
    "the same and `COLBERT_V2.languages`, an enum": f"{USE}\nCOLBERT_V2.languages",
}
# Modules that lie in a file outside the standard library, and are not `registry`.
_FOREIGN = """
import os
own = os.path.dirname(os.__file__)
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
print(*(name for name, file in files.items() if file and not file.startswith(own) and not name.startswith("registry")))
"""
# What many programs have loaded already: `dataclasses` and `enum` are then cheaper, and the ratio is harder.
LOADED = "import re, typing"


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure on every supported Python that is here."""
    return [_table(workspace, version, rounds) for version in VERSIONS]


def _table(workspace: Workspace, version: str, rounds: int) -> Table:
    table = Table(f"Import, Python {version}")
    python = find_python(version)
    if python is None:
        table.remarks.append(f"Python {version} is not there.")
        return table
    workspace.compile(python)
    forms = [(what, "", statement) for what, statement in STATEMENTS.items()]
    forms.append((f"`{USE}`, `re` and `typing` loaded before", LOADED, USE))
    for what, setup, statement in forms:
        ours, rival = always(timed(setup, statement)), always(timed(setup, RIVAL))
        found = processes(python, ours, rival, rounds, [workspace.library])
        target = None if setup else _target(statement, version)
        table.lines.append(Line.ratio(what, f"`{RIVAL}`", found, target))
    foreign = _foreign_modules(python, workspace.library)
    table.lines.append(
        Line(
            "modules of third parties in `sys.modules`",
            "",
            f"**{len(foreign)}** {', '.join(foreign)}",
            target="none",
            reached="**no**" if foreign else "yes",
        )
    )
    return table


def _target(statement: str, version: str) -> Target | None:
    if statement == "import registry":
        return Target(0.5)
    return {"3.11": Target(2.2), "3.13": Target(1.6)}.get(version) if statement == USE else None


def _foreign_modules(python: Path, library: Path) -> list[str]:
    """Give the modules that all of it together brings and that are neither Python's own nor ours."""
    return run(python, "\n".join([*STATEMENTS.values(), _FOREIGN]), [library]).split()
