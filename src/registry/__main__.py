"""`python -m registry`: the command `registry` of this interpreter, whatever is first on PATH."""

import sys

from registry.cli import main

if __name__ == "__main__":
    sys.exit(main())
