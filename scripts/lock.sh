#!/usr/bin/env bash
# Renew requirements.lock from setup.py: `scripts/lock.sh` keeps what still fits,
# `scripts/lock.sh --upgrade` takes the newest of everything,
# `scripts/lock.sh --upgrade-package NAME` of one package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
.venv/bin/uv pip compile setup.py --extra tfx --extra dev --quiet \
    --universal --python-version 3.11 --fork-strategy fewest --no-annotate \
    --no-emit-index-url --no-emit-find-links --custom-compile-command scripts/lock.sh \
    --override scripts/overrides.txt --output-file requirements.lock "$@"
echo "requirements.lock: $(grep -c == requirements.lock) packages"
