#!/usr/bin/env bash
# Installs what the examples in Python and JavaScript import, into target/receivers, for
# tests/deliveries/example_receivers.rs.
# Needs python3 with venv, and node with npm. Does nothing when all is there as the pinned versions say.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly from=examples/receivers into=target/receivers
mkdir -p "$into"

# $1 is a file that pins versions, $2 where what was installed by it is noted.
is_installed() { cmp -s "$1" "$2"; }

# The interpreter is a link, which a newer Python may have broken.
if ! is_installed "$from/python/requirements.txt" "$into/python/installed.txt" || [ ! -x "$into/python/bin/python" ]; then
    echo "installing the Python receiver's packages"
    rm -rf "$into/python"
    python3 -m venv "$into/python"
    "$into/python/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$from/python/requirements.txt"
    # Last, so that what broke off half-way is done again.
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
