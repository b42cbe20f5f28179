#!/usr/bin/env bash
# Exactly once, against a real Kafka: broker and servers are killed, records are counted.
#
#   tests/kafka/run.sh [--tidemill BIN] [--install] [--keep] [--big] [CASE..]
#
# A CASE is a module or a test of it: test_fill, test_kills, test_group.Group.test_takeover, ..; all of them without one.
# Without --big each is as small as fits CI. Knobs, as environment: KAFKA_RECORDS (fill), KAFKA_ROUNDS, KAFKA_GROUP_ROUNDS,
# KAFKA_RATE (records/s under kills), KAFKA_TRANSACTIONS, KAFKA_PARTITIONS, KAFKA_TAKEOVER_S (bar), KAFKA_SEED, KAFKA_DIR.
# --keep leaves data and logs behind. TIDEMILL_MUTANT=positions_apart says that the binary is a build with that defect
# (`cargo build --release --features mutant-positions-apart`), which test_kills must catch.
# A run that lasts over KAFKA_LIMIT seconds (default 1500, with --big 14400) is ended as failed.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
export TIDEMILL_CACHE=${TIDEMILL_CACHE:-$repo/.cache}
export TIDEMILL_BIN=${TIDEMILL_BIN:-$repo/target/release/tidemill}
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here
limit=${KAFKA_LIMIT:-1500}
install=
cases=()
while [ $# -gt 0 ]; do
    case $1 in
        --tidemill) TIDEMILL_BIN=${2:?--tidemill wants a path}; shift 2 ;;
        --install) install=yes; shift ;;
        --keep) export KAFKA_KEEP=yes; shift ;;
        --big)
            export KAFKA_RECORDS=${KAFKA_RECORDS:-2000000} KAFKA_ROUNDS=${KAFKA_ROUNDS:-100} KAFKA_GROUP_ROUNDS=${KAFKA_GROUP_ROUNDS:-60}
            export KAFKA_RATE=${KAFKA_RATE:-100000} KAFKA_TRANSACTIONS=${KAFKA_TRANSACTIONS:-400} KAFKA_TAKEOVER_S=${KAFKA_TAKEOVER_S:-5}
            limit=${KAFKA_LIMIT:-14400}
            shift ;;
        -h | --help) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
        *) cases+=("$1"); shift ;;
    esac
done
[ -x "$TIDEMILL_BIN" ] || { echo "run.sh: no $TIDEMILL_BIN: build it with \`cargo build --release\`" >&2; exit 2; }
if [ -n "$install" ]; then
    bash "$repo/tests/install/all.sh" python kafka kcat || exit 2
fi
python=$TIDEMILL_CACHE/venv/bin/python
[ -x "$python" ] || { echo "run.sh: no $python: run tests/install/python.sh, or give --install" >&2; exit 2; }
[ ${#cases[@]} -gt 0 ] || mapfile -t cases < <(cd "$here" && printf '%s\n' test_*.py | sed 's/\.py$//')
cd "$here" || exit 2
exec timeout --kill-after=30 "$limit" "$python" -m unittest -v "${cases[@]}"
