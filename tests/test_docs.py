"""What README and examples show is what happens."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _shown(code: str) -> list[str]:
    """Give what the comments behind `print(...)` say it prints."""
    return [line.rpartition("  # ")[2] for line in code.splitlines() if "print(" in line]


def test_readme_python_blocks_print_what_their_comments_say() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}

    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block, names)  # one namespace: the blocks build on each other
        assert printed.getvalue().splitlines() == _shown(block)
    assert len(blocks) > 3


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_page_links_lead_to_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}

    missing = sorted(target for target in targets - {""} if not ((ROOT / page).parent / target).exists())

    assert missing == []


def test_demo_runs_without_a_warning_and_fits_the_screen() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "model_registry_demo.py"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "Did you mean `colbert-v2`" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
