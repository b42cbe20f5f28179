#!/usr/bin/env bash
# Real clients, unmodified, against a real server.
#
#   tests/clients/run.sh [--tidemill BIN] [--install] [CASE..]
#
# Starts `tidemill serve` on an empty folder, runs each case of cases/ (or those named) and prints
# `ok` or `FAILED` per case, then one closing line. A case whose tool is missing is skipped and
# listed; with CI=true it fails. --install runs the scripts of tests/install first.
#
# A case is a program in cases/ with a line `# needs: TOOL..`. It is given TIDEMILL_URL, TIDEMILL_PORT, TIDEMILL_BIN
# and CASE_TMP, ends with status 0 when all is well, and names what is wrong on the last line of stderr.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
export TIDEMILL_CACHE=${TIDEMILL_CACHE:-$repo/.cache}
export PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
binary=${TIDEMILL_BIN:-$repo/target/release/tidemill}
install=
cases=()
while [ $# -gt 0 ]; do
    case $1 in
        --tidemill) binary=${2:?--tidemill wants a path}; shift 2 ;;
        --install) install=yes; shift ;;
        -h | --help) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
        *) cases+=("$1"); shift ;;
    esac
done
[ -x "$binary" ] || { echo "run.sh: no $binary: build it with \`cargo build --release\`" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/tidemill-clients.XXXXXX")
server=
cleanup() {
    if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then
        kill -TERM "$server"
        # A server that does not end by itself is killed, so that none is left behind.
        ( sleep 20; kill -KILL "$server" 2>/dev/null ) &
        local guard=$!
        wait "$server" 2>/dev/null
        kill "$guard" 2>/dev/null
    fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start_server ADDRESS: starts it and sets $server.
start_server() {
    # Made here, because the child makes it at a moment of its own.
    : >"$work/server.log"
    "$binary" serve --data-dir "$work/data" --listen "$1" >"$work/server.log" 2>&1 </dev/null &
    server=$!
}

# printed_port: the port in the first address that the server has printed, if any.
printed_port() {
    sed 's/\x1b\[[0-9;]*m//g' "$work/server.log" | grep -oE '127\.0\.0\.1:[1-9][0-9]*' | head -n 1 | cut -d: -f2
}

# await_ready PORT: until /ready answers 200, at most 30 s.
await_ready() {
    local end=$((SECONDS + 30))
    while [ $SECONDS -lt $end ]; do
        kill -0 "$server" 2>/dev/null || return 1
        [ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 2 "http://127.0.0.1:$1/ready")" = 200 ] && return 0
        sleep 0.1
    done
    return 1
}

await_printed_port() {
    local end=$((SECONDS + 10)) port
    while [ $SECONDS -lt $end ] && kill -0 "$server" 2>/dev/null; do
        port=$(printed_port)
        [ -n "$port" ] && { echo "$port"; return 0; }
        sleep 0.1
    done
    return 1
}

start_server 127.0.0.1:0
if ! port=$(await_printed_port); then
    echo "run.sh: the server printed no address for port 0, so a port is picked for it"
    kill -TERM "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    port=$(free_port)
    start_server "127.0.0.1:$port"
fi
if ! await_ready "$port"; then
    echo "run.sh: the server is not ready on port $port; its last words:" >&2
    tail -n 10 "$work/server.log" >&2
    exit 2
fi
export TIDEMILL_PORT=$port TIDEMILL_URL=http://127.0.0.1:$port TIDEMILL_BIN=$binary

if [ -n "$install" ]; then
    bash "$repo/tests/install/all.sh" python go-ws telegraf || exit 2
elif command -v go >/dev/null 2>&1; then
    # From the committed module: a matter of a second, and never an old build.
    bash "$repo/tests/install/go-ws.sh" >"$work/go-ws.log" 2>&1 || cat "$work/go-ws.log"
fi

# missing TOOL..: the first that is not there, with how to get it.
missing() {
    local tool path
    for tool in "$@"; do
        case $tool in
            python) path=$TIDEMILL_CACHE/venv/bin/python ;;
            telegraf | go-ws) path=$TIDEMILL_CACHE/bin/$tool ;;
            *) path=$(command -v "$tool" || echo "/nowhere/$tool") ;;
        esac
        if [ ! -x "$path" ]; then
            if [ -f "$repo/tests/install/$tool.sh" ]; then
                echo "$tool is not installed (tests/install/$tool.sh)"
            else
                echo "$tool is not installed"
            fi
            return 0
        fi
    done
    return 1
}

if [ ${#cases[@]} -eq 0 ]; then
    mapfile -t cases < <(cd "$here/cases" && printf '%s\n' *.py *.sh | sort | sed 's/\.[a-z]*$//')
fi
passed=0 failed=0 skipped=0
for name in "${cases[@]}"; do
    script=
    for candidate in "$here/cases/$name".sh "$here/cases/$name".py; do
        [ -f "$candidate" ] && script=$candidate
    done
    if [ -z "$script" ]; then
        echo "$name: FAILED: there is no such case"
        failed=$((failed + 1))
        continue
    fi
    read -r -a needs < <(sed -n 's/^# needs: //p' "$script" | head -n 1)
    if why=$(missing "${needs[@]}"); then
        if [ "${CI:-}" = true ]; then
            echo "$name: FAILED: $why"
            failed=$((failed + 1))
        else
            echo "$name: skipped: $why"
            skipped=$((skipped + 1))
        fi
        continue
    fi
    export CASE_TMP=$work/$name
    mkdir -p "$CASE_TMP"
    run=(bash "$script")
    [ "${script##*.}" = py ] && run=("$TIDEMILL_CACHE/venv/bin/python" "$script")
    timeout --kill-after=5 90 "${run[@]}" >"$CASE_TMP/out" 2>"$CASE_TMP/err"
    status=$?
    if [ $status -eq 0 ]; then
        echo "$name: ok"
        passed=$((passed + 1))
    else
        why=$(grep -v '^[[:space:]]*$' "$CASE_TMP/err" | tail -n 1)
        [ $status -eq 124 ] && why="not done after 90 s; ${why:-no words}"
        echo "$name: FAILED: ${why:-status $status, without a word}"
        failed=$((failed + 1))
    fi
    if ! kill -0 "$server" 2>/dev/null; then
        echo "run.sh: the server has died; its last words:" >&2
        tail -n 10 "$work/server.log" >&2
        failed=$((failed + 1))
        break
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
