#!/usr/bin/env bash
# Sources against real servers: NATS JetStream and files exactly once, MQTT at least once. Servers are killed, rows counted.
#
#   tests/sources/run.sh [--tidemill BIN] [--install] [--keep] [CASE..]
#
# A CASE is a module or a test of it: test_nats, test_files, test_mqtt, test_nats.Nats.test_kills, ..; all without one.
# Wants nats-server and mosquitto (--install gets them) and Python's standard library. Knobs, as environment:
# SOURCES_ROUNDS (kills a case), SOURCES_SEED. --keep leaves data and logs behind.
# A run that lasts over SOURCES_LIMIT seconds (default 900) is ended as failed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
export TIDEMILL_BIN=${TIDEMILL_BIN:-$repo/target/release/tidemill}
export TIDEMILL_CACHE=${TIDEMILL_CACHE:-$repo/.cache}
export PYTHONDONTWRITEBYTECODE=1
export PATH=$TIDEMILL_CACHE/bin:$PATH:/usr/sbin:/usr/local/sbin
install=
cases=()
while [ $# -gt 0 ]; do
    case $1 in
        --tidemill) TIDEMILL_BIN=$(realpath "${2:?--tidemill wants a path}"); shift 2 ;;
        --install) install=yes; shift ;;
        --keep) export SOURCES_KEEP=yes; shift ;;
        -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
        *) cases+=("$1"); shift ;;
    esac
done
if [ -n "$install" ]; then
    bash "$repo/tests/install/all.sh" nats mqtt || exit 2
fi
[ -x "$TIDEMILL_BIN" ] || { echo "run.sh: no $TIDEMILL_BIN: build it with \`cargo build --release\`" >&2; exit 2; }
[ ${#cases[@]} -gt 0 ] || mapfile -t cases < <(cd "$here" && printf '%s\n' test_*.py | sed 's/\.py$//')
cd "$here" || exit 2
exec timeout --kill-after=30 "${SOURCES_LIMIT:-900}" python3 -m unittest -v "${cases[@]}"
