#!/usr/bin/env bash
# A Go program subscribed to a view sees its snapshot and then a change of it.
# needs: go-ws curl jq
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# row CITY VALUE TIME
row() {
    request -X POST "$TIDEMILL_URL/write?db=default" --data-binary "ws_rows,city=$1 v=$2 $3"
    want_status 204 'a row'
}
row Oslo 1.5 1700000000000000000
sql 'CREATE MATERIALIZED VIEW ws_sums AS SELECT city, COUNT(*) AS n, SUM(v) AS total FROM ws_rows WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY city'
: >"$CASE_TMP/frames"
"$TIDEMILL_CACHE/bin/go-ws" -url "ws://127.0.0.1:$TIDEMILL_PORT/ws" -topics view:ws_sums >"$CASE_TMP/frames" 2>"$CASE_TMP/go.err" &
client=$!
# The change must come after the subscription: its snapshot is awaited first.
grep -m 1 '"snapshot"' >"$CASE_TMP/snapshot" < <(timeout 20 tail -n +1 -f "$CASE_TMP/frames") || fail "no snapshot: $(cat "$CASE_TMP/go.err")"
grep -q '"Oslo"' "$CASE_TMP/snapshot" || fail "the snapshot lacks the row of before: $(cat "$CASE_TMP/snapshot")"
row Rome 8.25 1700000001000000000
wait "$client" || fail "the client: $(tail -n 1 "$CASE_TMP/go.err")"
change=$(grep '"changes"' "$CASE_TMP/frames" | tail -n 1)
jq -e '[.insert[][]] | index("Rome") != null and index(8.25) != null' <<<"$change" >/dev/null || fail "another change: $change"
