#!/usr/bin/env bash
# Drives the page in Debian's chromium against a real `tidemill serve`.
#
#   tests/browser/run.sh [--tidemill BIN] [--only NAME]
#
# The binary defaults to target/release/tidemill, the browser to $CHROMIUM or `chromium`. Screenshots go to
# $TIDEMILL_CACHE/browser (default .cache/browser). The last line is `N passed, N failed, N skipped`; a missing browser or
# node is a failure when CI=true and a skip otherwise.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

missing() {
  echo "browser tests: $1 is not installed"
  if [ "${CI:-}" = true ]; then
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
  fi
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}

command -v node >/dev/null || missing node
command -v npm >/dev/null || missing npm
chromium=$(command -v "${CHROMIUM:-chromium}") || missing chromium

cd "$here"
lock=node_modules/.package-lock.json
if [ ! -f "$lock" ] || [ package-lock.json -nt "$lock" ]; then
  PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --silent
fi
CHROMIUM=$chromium TIDEMILL_CACHE=${TIDEMILL_CACHE:-$root/.cache} TIDEMILL_ROOT=$root exec node main.mjs "$@"
