"""Ratios against a named rival in the same run: `python -m benchmarks`. What they mean: docs/benchmarks.md."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What is measured is this checkout, not what happens to be installed.
sys.path.insert(0, str(ROOT / "src"))
