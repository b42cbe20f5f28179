#!/usr/bin/env bash
# A Python environment with the clients and in-process peers of requirements.txt.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

venv=$TIDEMILL_CACHE/venv
wanted=$(dirname "${BASH_SOURCE[0]}")/requirements.txt

need python3 "install Python 3.10 or newer"
if [ -x "$venv/bin/python" ] && cmp -s "$wanted" "$venv/requirements.installed"; then
    say "$venv is up to date"
    exit 0
fi
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" || die "python3 -m venv failed (on Debian: apt-get install python3-venv)"
fi
say "installing $(grep -vcE '^(#|$)' "$wanted") packages into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" || die "pip could not install $wanted"
cp "$wanted" "$venv/requirements.installed"
"$venv/bin/python" -m pip list --disable-pip-version-check 2>/dev/null \
    | grep -iE '^(confluent-kafka|influxdb|influxdb-client|questdb|duckdb|websockets) ' || die "packages are missing after the install"
