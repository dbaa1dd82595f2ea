#!/usr/bin/env bash
# Makes the lock files in requirements/ from setup.py, for Python 3.11, 3.12 and 3.13. Arguments go to uv:
# `--upgrade` takes newer versions of what setup.py does not pin; without it only what setup.py demands is changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compile() {
    .venv/bin/uv pip compile --quiet --python .venv/bin/python --no-build-isolation \
        --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
        --custom-compile-command "make lock" "$@"
}

compile setup.py --extra kfp --extra dev --extra docs --extra compat --override requirements/overrides.txt \
    --no-emit-package ml-metadata --no-emit-package tensorflow-data-validation \
    --output-file requirements/lock.txt "$@"
compile requirements/bootstrap.in --constraint requirements/lock.txt --output-file requirements/bootstrap.txt
compile requirements/glibc.in --no-deps --output-file requirements/glibc.txt
