"""`python -m benchmarks [GROUP ...] [--quick] [--write]`."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    ROOT,
    adapters,
    catalog_search,
    chatting,
    cluster,
    command,
    downloading,
    embedding,
    fallback,
    field,
    generation,
    importing,
    imports,
    keeping,
    late_interaction,
    loading,
    lookup,
    memory,
    rendering,
    scale,
    serving,
    serving_models,
    typing_cost,
)
from benchmarks.measure import Table, machine
from benchmarks.workspace import Workspace

# Group -> what measures it, and how often.
GROUPS: dict[str, tuple[Callable[[Workspace, int], list[Table]], int]] = {
    "imports": (imports.measure, 31),
    "scale": (scale.measure, 15),
    "lookup": (lookup.measure, 11),
    "generation": (generation.measure, 7),
    "typing_cost": (typing_cost.measure, 5),
    "field": (field.measure, 11),
    "embedding": (embedding.measure, 5),
    "late_interaction": (late_interaction.measure, 9),
    "chatting": (chatting.measure, 9),
    "loading": (loading.measure, 5),
    "memory": (memory.measure, 15),
    "downloading": (downloading.measure, 7),
    "keeping": (keeping.measure, 7),
    "importing": (importing.measure, 5),
    "rendering": (rendering.measure, 21),
    "command": (command.measure, 21),
    "catalog_search": (catalog_search.measure, 9),
    "serving": (serving.measure, 9),
    "serving_models": (serving_models.measure, 5),
    "cluster": (cluster.measure, 5),
    "fallback": (fallback.measure, 9),
    "adapters": (adapters.measure, 9),
}
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Measure the groups, print their tables, and with `--write` put them into docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{', '.join(GROUPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a fifth of the repetitions, to see that it works")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    options = parser.parse_args()
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        parser.error(f"expected groups among {', '.join(GROUPS)}, got {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="registry-benchmarks-") as folder:
        workspace = Workspace(Path(folder))
        for group in options.groups or GROUPS:
            measure, rounds = GROUPS[group]
            tables = measure(workspace, max(3, rounds // 5) if options.quick else rounds)
            text = "\n\n".join(map(str, tables))
            print(text, end="\n\n", flush=True)
            if options.write:
                when = f"{datetime.now(UTC):%Y-%m-%d}{', a fifth of the repetitions' if options.quick else ''}"
                _write(group, f"{machine()}, {when}.\n\n{text}")
    return 0


def _write(group: str, text: str) -> None:
    """Put the tables of a group between its marks."""
    begin, end = f"<!-- begin {group} -->", f"<!-- end {group} -->"
    old = PAGE.read_text("utf-8")
    new, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", old, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{PAGE.name}: expected `{begin}` ... `{end}` once, found it {count} times")
    PAGE.write_text(new, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
