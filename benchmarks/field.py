"""Import and list-all against other people's model lists, each in a throw-away environment where it installs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from benchmarks import ROOT
from benchmarks.measure import Line, Table, always, environment, output_of, processes, run, timed
from benchmarks.workspace import Workspace

VENVS = ROOT / ".venv-field"
LIST_OURS = """\
from registry import MODEL_REGISTRY
rows = [(m.id, m.huggingface_id, m.license, m.description, m.parameter_count) for m in MODEL_REGISTRY.values()]
"""
LIST_FASTEMBED = """\
from fastembed import TextEmbedding
rows = TextEmbedding.list_supported_models()
"""
LIST_MTEB = """\
import mteb
rows = [(m.name, m.license, m.n_parameters) for m in mteb.get_model_metas()]
"""
# Name of the environment -> what to install, one step after the other, and what is compared: ours, rival.
RIVALS: dict[str, tuple[tuple[tuple[str, ...], ...], dict[str, tuple[str, str]]]] = {
    "huggingface_hub": (
        (("huggingface_hub",),),
        {
            "import: `from registry import COLBERT_V2, get_model` / `import huggingface_hub`": (
                "from registry import COLBERT_V2, get_model",
                "import huggingface_hub",
            ),
            "import and a first name: `get_model` / `HfApi`": (
                "from registry import get_model",
                "from huggingface_hub import HfApi",
            ),
        },
    ),
    "fastembed": (
        (("fastembed",),),
        {
            "import: `from registry import COLBERT_V2, get_model` / `import fastembed`": (
                "from registry import COLBERT_V2, get_model",
                "import fastembed",
            ),
            "import and list all": (LIST_OURS, LIST_FASTEMBED),
        },
    ),
    "mteb": (
        (("torch==2.13.0",), ("mteb",)),
        {
            "import: `from registry import COLBERT_V2, get_model` / `import mteb`": (
                "from registry import COLBERT_V2, get_model",
                "import mteb",
            ),
            "import and list all": (LIST_OURS, LIST_MTEB),
        },
    ),
}


def measure(workspace: Workspace, rounds: int) -> list[Table]:
    """Measure against each package that installs."""
    return [_table(workspace, name, rounds) for name in RIVALS]


def _table(workspace: Workspace, name: str, rounds: int) -> Table:
    steps, cases = RIVALS[name]
    table = Table(f"Against {name}")
    folder = VENVS / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    failure = _install(folder, steps)
    if failure:
        table.remarks.append(f"Left out: `pip install {' '.join(steps[-1])}` failed: {failure}")
        return table
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    workspace.compile(python)
    table.title += f" {_version(folder, name)}"
    turns = rounds if name == "huggingface_hub" else max(3, rounds // 2)
    for what, (ours, rival) in cases.items():
        found = processes(
            python,
            always(timed("", ours)),
            always(timed("", rival)),
            turns,
            [workspace.library],
            flags=("-I",),  # site-packages are needed; both sides pay for the same start
        )
        table.lines.append(Line.ratio(what, name, found))
        if "rows" in ours:
            counts = [
                run(python, f"{code}print(len(rows))", [workspace.library], ("-I",)).strip() for code in (ours, rival)
            ]
            table.remarks.append(f"Listed: {counts[0]} models here, {counts[1]} there.")
    return table


def _install(folder: Path, steps: tuple[tuple[str, ...], ...]) -> str:
    """Make a virtual environment once; give the last line of pip's message where it fails."""
    done = folder / "installed"
    if done.is_file():
        return ""
    VENVS.mkdir(exist_ok=True)
    (VENVS / ".gitignore").write_text("*\n")
    output_of([sys.executable, "-m", "venv", "--clear", folder])
    pip = folder / ("Scripts" if sys.platform == "win32" else "bin") / "pip"
    for step in steps:
        ran = subprocess.run(
            [pip, "install", "--quiet", *step], env=environment(), capture_output=True, text=True, check=False
        )
        if ran.returncode:
            lines = [line for line in ran.stderr.splitlines() if line.strip()]
            return lines[-1] if lines else "no message"
    done.touch()
    return ""


def _version(folder: Path, name: str) -> str:
    found = distributions(name=name, path=[str(path) for path in folder.glob("lib/python*/site-packages")])
    return next((distribution.version for distribution in found), "")
