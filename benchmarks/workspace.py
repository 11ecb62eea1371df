"""A temporary folder with what is measured: this checkout's `registry`, and generated registries of any size."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

from benchmarks import ROOT, synthetic
from benchmarks.measure import check_bytecode, compile_all


class Workspace:
    """Folder with a copy of the package `registry` and, beside it, modules `bench_N` of N synthetic records."""

    def __init__(self, folder: Path) -> None:
        from registry_build import build
        from registry_build.output import write

        self.folder = folder
        self.library = folder / "library"
        package = self.library / "registry"
        shutil.copytree(ROOT / "src" / "registry", package, ignore=shutil.ignore_patterns("__pycache__", "_registry*"))
        files, _ = build(ROOT / "models.json")
        write(files, package)
        self.json = cache(self._json)
        self.module = cache(self._module)
        self.records = cache(synthetic.records)

    def _json(self, count: int) -> Path:
        """Write a models.json of `count` synthetic records, without blanks."""
        path = self.folder / f"models_{count}.json"
        document = synthetic.document(count)
        path.write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False), "utf-8")
        return path

    def _module(self, count: int) -> str:
        """Generate the module of `count` synthetic records and give its name."""
        from registry_build import build
        from registry_build.output import write

        name = f"bench_{count}"
        files, _ = build(self.json(count), module=name)
        write(files, self.library)
        return name

    def compile(self, python: Path) -> None:
        """Compile everything here for this interpreter, and see that its standard library is."""
        check_bytecode(python)
        compile_all(python, self.library)
