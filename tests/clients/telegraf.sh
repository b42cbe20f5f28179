# shellcheck shell=bash
# Shared by the Telegraf cases: runs the real agent until its rows are seen.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# telegraf_case DATABASE OUTPUT-CONFIG: the memory input once a second into that output.
telegraf_case() {
    local database=$1 config=$CASE_TMP/telegraf.conf end rows=0 agent
    cat >"$config" <<CONF
[agent]
  interval = "1s"
  round_interval = false
  flush_interval = "1s"
  omit_hostname = false
  hostname = "client-test"
[[inputs.mem]]
$2
CONF
    "$TIDEMILL_CACHE/bin/telegraf" --config "$config" >"$CASE_TMP/telegraf.log" 2>&1 &
    agent=$!
    trap 'kill -TERM '"$agent"' 2>/dev/null || true' EXIT
    end=$((SECONDS + 40))
    while [ $SECONDS -lt $end ]; do
        kill -0 "$agent" 2>/dev/null || fail "telegraf ended: $(tail -n 2 "$CASE_TMP/telegraf.log" | tr '\n' ' ')"
        request -X POST "$TIDEMILL_URL/api/v1/sql" --data-binary "SELECT count(*) AS n FROM $database.mem"
        # Until the first batch there is no such stream, which is an answer, too.
        [ "$status" = 200 ] && rows=$(jq '.rows[0][0]' <<<"$body")
        [ "$rows" -ge 3 ] && break
        sleep 0.2
    done
    [ "$rows" -ge 3 ] || fail "$rows rows after 40 s; telegraf said: $(tail -n 2 "$CASE_TMP/telegraf.log" | tr '\n' ' ')"
    sql "SELECT host, total, used_percent FROM $database.mem LIMIT 1"
    want_json '.rows[0][0] == "client-test" and .rows[0][1] > 1000000 and .rows[0][2] > 0' 'the values'
    kill -TERM "$agent"
    wait "$agent" || fail 'telegraf did not end well'
    if grep -E ' E! ' "$CASE_TMP/telegraf.log" >&2; then exit 1; fi
}
