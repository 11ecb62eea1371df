"""Write docs/api/openapi.json, the description of the HTTP interface; `--check` only compares.

The application is made with an empty store in memory, so that nothing of this machine gets into the file, and with an
admin token, as there are no routes for administration without one.
"""

from __future__ import annotations

import argparse
import json
import sys
from difflib import unified_diff
from pathlib import Path

from registry.catalog import Catalog
from registry.server import ServerOptions, create_app

PAGE = Path(__file__).parent / "api" / "openapi.json"
DIFF_LINES = 20


def main() -> int:
    """Write the file, or with `--check` say how it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a short diff if it is stale")
    check = parser.parse_args().check
    old, new = PAGE.read_text("utf-8") if PAGE.is_file() else "", page()
    if check and old != new:
        lines = list(unified_diff(old.splitlines(), new.splitlines(), PAGE.name, "generated", lineterm=""))
        print("\n".join(lines[:DIFF_LINES]), file=sys.stderr)
        print(f"error: {PAGE.name} is stale\nhint: run `python docs/make_openapi.py`", file=sys.stderr)
        return 1
    if not check:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(new, "utf-8", newline="\n")
    return 0


def page() -> str:
    """Give the text of the file."""
    with Catalog.open(":memory:") as catalog:
        options = ServerOptions(access_log=False, admin_token="x" * 16)
        description = create_app(options, catalog=catalog).openapi()
    return json.dumps(description, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
