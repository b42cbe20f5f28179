#!/usr/bin/env bash
# SQL by curl in every form of reply, and a query that goes on.
# needs: curl jq
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

request -X POST "$TIDEMILL_URL/write?db=default" --data-binary 'curl_forms,city=Oslo v=1.5 1700000000123456789
curl_forms,city=Rome v=2.5 1700000001000000000'
want_status 204 'the rows'
query='SELECT time, city, v FROM curl_forms ORDER BY city'

# ask ACCEPT: $query in that form.
ask() { request -X POST "$TIDEMILL_URL/api/v1/sql" -H "Accept: $1" --data-binary "$query"; want_status 200 "$1"; }
want_type() { grep -qi "^content-type: *$1" <<<"$headers" || fail "the reply to Accept: $1 has another content type"; }

sql "$query"
want_json '[.columns[].name] == ["time","city","v"] and all(.columns[]; .type)' 'the columns'
want_json '.rows == [["2023-11-14T22:13:20.123456789Z","Oslo",1.5],["2023-11-14T22:13:21Z","Rome",2.5]]' 'the rows'
want_json '(.lsn | type) == "number" and (.elapsed_ms | type) == "number"' 'lsn and elapsed_ms'

ask application/x-ndjson
want_type application/x-ndjson
[ "$(wc -l <"$CASE_TMP/body")" -eq 2 ] || fail "x-ndjson: not one line a row: $body"
[ "$(head -n 1 <<<"$body" | jq -r .city)" = Oslo ] || fail "x-ndjson: the first row is not Oslo's: $body"

ask text/csv
want_type text/csv
[ "$(head -n 1 <<<"$body" | tr -d '\r')" = time,city,v ] || fail "csv: another header: $body"
[ "$(sed -n 2p <<<"$body" | tr -d '\r')" = 2023-11-14T22:13:20.123456789Z,Oslo,1.5 ] || fail "csv: another first row: $body"

ask text/event-stream
want_type text/event-stream
[ "$(grep -c '^event: row$' <<<"$body")" -eq 2 ] || fail "event-stream: not one event a row: $body"
[ "$(sed -n 's/^data: //p' <<<"$body" | sed -n 2p | jq -r .city)" = Oslo ] || fail "event-stream: the first row is not Oslo's: $body"
[ "$(grep '^event: ' <<<"$body" | tail -n 1)" = 'event: end' ] || fail "event-stream: no end: $body"

ask application/vnd.apache.arrow.stream
want_type application/vnd.apache.arrow.stream
# An Arrow stream begins with the continuation marker and ends with an empty message.
[ "$(head -c 4 "$CASE_TMP/body" | od -An -tx1 | tr -d ' ')" = ffffffff ] || fail 'arrow: no continuation marker'
[ "$(tail -c 8 "$CASE_TMP/body" | od -An -tx1 | tr -d ' \n')" = ffffffff00000000 ] || fail 'arrow: no end of stream'

request -G "$TIDEMILL_URL/api/v1/sql" --data-urlencode "q=$query"
want_status 200 'GET with q'
want_json '.rows | length == 2' 'GET with q'
request -G "$TIDEMILL_URL/api/v1/query" --data-urlencode "sql=$query"
want_status 200 'GET query?sql='
want_json '.rows | length == 2' 'GET query?sql='
request -X POST "$TIDEMILL_URL/api/v1/sql?epoch=ms" --data-binary "$query"
want_status 200 'epoch=ms'
want_json '.rows[0][0] == 1700000000123' 'epoch=ms'
request -X POST "$TIDEMILL_URL/api/v1/sql" --data-binary 'SELECT 1 AS a; SELECT 2 AS b'
want_status 200 'two statements'
want_json '.columns[0].name == "b" and .rows == [[2]]' 'the last reply of two'

# await TEXT FILE WHAT: the line of $CASE_TMP/live with that text, as curl writes it, in FILE; ends at that line.
await() {
    grep -m 1 "$1" >"$CASE_TMP/$2" < <(timeout 20 tail -n +1 -f "$CASE_TMP/live") || fail "$3 did not come: $(head -c 300 "$CASE_TMP/live")"
}

# A query that goes on: its rows come while the connection stays open.
for form in text/event-stream application/x-ndjson; do
    live="SELECT city, COUNT(*) AS n, SUM(v) AS total FROM curl_forms WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY city EMIT CHANGES"
    : >"$CASE_TMP/live"
    timeout 30 curl -sN -X POST "$TIDEMILL_URL/api/v1/sql" -H "Accept: $form" --data-binary "$live" >"$CASE_TMP/live" &
    reader=$!
    # What is written before the snapshot may be in it rather than come as a change.
    await snapshot snapshot "$form: the snapshot"
    await Rome row "$form: the row of before"
    city=Live_${form##*[/-]}
    request -X POST "$TIDEMILL_URL/write?db=default" --data-binary "curl_forms,city=$city v=8.5 1700000002000000000"
    want_status 204 'a row for the live query'
    await "$city" line "$form: the change of $city"
    grep -q '8.5' "$CASE_TMP/line" || fail "$form: another change: $(cat "$CASE_TMP/line")"
    kill "$reader" 2>/dev/null || true
    wait "$reader" 2>/dev/null || true
done
