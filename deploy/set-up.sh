#!/bin/sh
# Makes .venv with exactly the locked dependencies. Needs Python 3.11 or newer and nothing else.
set -eu

say() { printf '%s\n' "$*" >&2; }

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null 2>&1 && fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null || echo 'no python3')
    say "error: Python 3.11 or newer is needed, and found was: $found."
    say "Install one (https://www.python.org/downloads), or name it: make PYTHON=/path/to/python3.11"
    exit 1
}

python=$(find_python)
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    say "error: $python lacks the module venv. On Debian and Ubuntu: apt-get install python3-venv"
    exit 1
fi

if ! [ -x .venv/bin/python ] || ! fits .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "Setting up .venv with $("$python" --version) ..."
    rm -rf .venv
    "$python" -m venv .venv
fi

pip() {
    PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip --quiet "$@"
}

# Where pip is told to use another index, uv is too.
if [ -z "${UV_DEFAULT_INDEX:-}" ]; then
    index=$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)
    index=${PIP_INDEX_URL:-$index}
    if [ -n "$index" ]; then
        UV_DEFAULT_INDEX=$index
        export UV_DEFAULT_INDEX
    fi
fi

say "Installing locked dependencies ..."
pip install --require-hashes --no-deps -r requirements-uv.lock
if ! .venv/bin/python -m uv pip sync --quiet --python .venv/bin/python --require-hashes --allow-empty-requirements \
    requirements-uv.lock requirements-dev.lock; then
    say "uv could not install them; trying pip, which may know other sources ..."
    pip install --require-hashes --no-deps -r requirements-dev.lock
fi
.venv/bin/python -m uv pip install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation --editable .
say "Ready."
