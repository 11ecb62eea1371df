#!/bin/sh
# Runs the tests that need no developer tools on every other supported Python of this machine.
# Usage: sh tests/other_pythons.sh PY   (PY: the interpreter that has run all tests already)
set -eu
cd "$(dirname "$0")/.."

own=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
failed=0

# Prints the path of a Python of version $1 that really runs; a shim of pyenv may be there and run nothing.
find_python() {
    root=$(pyenv root 2>/dev/null || true)
    for candidate in "python$1" "$root"/versions/"$1"*/bin/python; do
        if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

for version in 3.11 3.12 3.13; do
    [ "$version" = "$own" ] && continue
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "Python $version: not on this machine, not tested"
        continue
    fi
    echo "Python $version: $python"
    venv=.venv-$version
    # A copy is installed, not the checkout: that would write the generated files again.
    if [ ! -x "$venv/bin/pip" ]; then
        "$python" -m venv "$venv"
    fi
    PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$venv/bin/pip" install --quiet --force-reinstall --no-deps . &&
    PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$venv/bin/pip" install --quiet '.[build]' pytest hypothesis &&
    "$venv/bin/python" -m pytest -m "not tools" -q || failed=1
done
exit "$failed"
