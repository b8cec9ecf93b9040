#!/usr/bin/env bash
# Find a Python 3.11-3.13 and let it build .venv (scripts/bootstrap.py has the steps).
# PYTHON=/path/to/python chooses one; otherwise an existing .venv keeps the one it was made with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What the caller's shell holds for another environment must not reach this one.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE VIRTUAL_ENV CONDA_PREFIX __PYVENV_LAUNCHER__
unset PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REQUIRE_VIRTUALENV PIP_PYTHON PIP_NO_DEPS PIP_DRY_RUN
unset UV_TARGET UV_PREFIX UV_SYSTEM_PYTHON UV_PYTHON UV_PROJECT_ENVIRONMENT UV_BREAK_SYSTEM_PACKAGES

# Print the interpreter behind $1, without any virtual environment around it, if it can serve.
base_python() {
    "$1" -I -c '
import os, sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(1)
import ctypes, ssl, venv, zlib
print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
' 2>/dev/null
}

candidates() {
    if [ -f .venv/pyvenv.cfg ]; then
        sed -n 's/^executable = //p' .venv/pyvenv.cfg
    fi
    printf '%s\n' python3.13 python3.12 python3.11 python3
    for minor in 13 12 11; do
        printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3."$minor"
    done
}

python=
if [ -n "${PYTHON:-}" ]; then
    python=$(base_python "$PYTHON") || {
        echo "error: PYTHON=$PYTHON is not a complete Python 3.11, 3.12 or 3.13;" \
            "give the path of one, or unset PYTHON" >&2
        exit 1
    }
else
    while IFS= read -r candidate; do
        if python=$(base_python "$candidate"); then break; fi
    done < <(candidates)
fi
if [ -z "$python" ]; then
    echo "error: no Python 3.11, 3.12 or 3.13 here; looked for python3.13, python3.12, python3.11," \
        "python3 and pyenv versions. Install one, or set PYTHON=/path/to/python," \
        "or use a container: docker build -t beam-refinery ." >&2
    exit 1
fi
exec "$python" -E -s scripts/bootstrap.py
