#!/usr/bin/env bash
# Every shell example of docs/http.md, in order, on a server of its own: each must succeed, or fail with the status it says.
# needs: curl
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

"$TIDEMILL_BIN" serve --data-dir "$CASE_TMP/data" --listen 127.0.0.1:0 >"$CASE_TMP/log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null' EXIT
address=$(grep -m 1 -oE '127\.0\.0\.1:[1-9][0-9]*' < <(timeout 30 tail -n +1 -f "$CASE_TMP/log")) || fail "no server: $(cat "$CASE_TMP/log")"
curl -s --retry 50 --retry-delay 0 --retry-all-errors --fail -o "$CASE_TMP/ready" "http://$address/ready" || fail 'it is not ready'

# curl as in the page, at the server's own address; a reply of 4xx or 5xx fails.
curl() { command curl -sS --fail-with-body "${@//127.0.0.1:8081/$address}"; }
export -f curl
export address

page=$(dirname "${BASH_SOURCE[0]}")/../../../docs/http.md
count=0
while IFS= read -r -d '' example; do
    count=$((count + 1))
    expected=$(grep -oE '# [45][0-9][0-9]$' <<<"$example" | cut -c 3- || true)
    if output=$(bash -euo pipefail -c "$example" 2>&1); then
        [ -z "$expected" ] || fail "it succeeds instead of $expected: $example"
    else
        [ -n "$expected" ] || fail "it fails: $example"$'\n'"$output"
        grep -q "error: $expected" <<<"$output" || fail "not $expected: $example"$'\n'"$output"
    fi
done < <(awk '/^```sh$/ { on = 1; next } /^```$/ && on { on = 0; printf "%c", 0; next } on' "$page")
[ "$count" -ge 12 ] || fail "only $count examples were found"
