#!/usr/bin/env bash
# Installs the packages of the Python and JavaScript examples into target/receivers, for
# tests/deliveries/example_receivers.rs.
# Needs python3 with venv, and node with npm. Does nothing when the pinned versions are installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly from=examples/receivers into=target/receivers
mkdir -p "$into"

# $1 is the file that pins versions, $2 its copy from the last installation.
is_installed() { cmp -s "$1" "$2"; }

# The interpreter is a link, which an update of Python may have broken.
if ! is_installed "$from/python/requirements.txt" "$into/python/installed.txt" || [ ! -x "$into/python/bin/python" ]; then
    echo "installing the Python receiver's packages"
    rm -rf "$into/python"
    python3 -m venv "$into/python"
    "$into/python/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$from/python/requirements.txt"
    # Copied last, so that an interrupted installation is repeated.
    cp "$from/python/requirements.txt" "$into/python/installed.txt"
fi

if ! is_installed "$from/javascript/package-lock.json" "$into/javascript/installed.json"; then
    echo "installing the JavaScript receiver's packages"
    rm -rf "$into/javascript"
    mkdir -p "$into/javascript"
    cp "$from/javascript/package.json" "$from/javascript/package-lock.json" "$into/javascript/"
    (cd "$into/javascript" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$from/javascript/package-lock.json" "$into/javascript/installed.json"
fi
