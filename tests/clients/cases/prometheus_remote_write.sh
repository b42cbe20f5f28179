#!/usr/bin/env bash
# Prometheus scrapes itself and sends every sample on: all that it has stored itself must arrive.
# needs: prometheus curl jq
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$CASE_TMP/prometheus.yml" <<CONF
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: self
    static_configs: [{targets: ["127.0.0.1:$port"]}]
remote_write:
  - url: $TIDEMILL_URL/api/v1/write?db=prometheus_case
    send_exemplars: true
    send_native_histograms: true
    metadata_config: {send_interval: 1s}
    queue_config: {batch_send_deadline: 200ms}
CONF
prometheus --config.file="$CASE_TMP/prometheus.yml" --storage.tsdb.path="$CASE_TMP/data" \
    --web.listen-address="127.0.0.1:$port" --enable-feature=native-histograms,exemplar-storage \
    >"$CASE_TMP/prometheus.log" 2>&1 &
agent=$!
trap 'kill -TERM "$agent" 2>/dev/null || true; wait "$agent" 2>/dev/null || true' EXIT

# ask PROMQL: the value of an instant query, at the server that scrapes.
ask() {
    curl -s --max-time 10 -G "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1" \
        | jq -r '.data.result[0].value[1] // "0"' 2>/dev/null || echo 0
}

end=$((SECONDS + 40)) scrapes=0
while [ $SECONDS -lt $end ] && [ "${scrapes:-0}" -lt 6 ]; do
    kill -0 "$agent" 2>/dev/null || fail "prometheus ended: $(tail -n 2 "$CASE_TMP/prometheus.log" | tr '\n' ' ')"
    scrapes=$(ask 'count_over_time(up[5m])')
    sleep 0.2
done
[ "$scrapes" -ge 6 ] || fail "prometheus has scraped itself $scrapes times"
stored=$(ask 'sum(count_over_time({job="self"}[5m]))')
[ "$(ask 'prometheus_remote_storage_samples_failed_total')" = 0 ] || fail 'samples were refused for good'
# It sends what is left before it ends.
kill -TERM "$agent"
wait "$agent" || fail 'prometheus did not end well'

request "$TIDEMILL_URL/api/v1/streams?db=prometheus_case"
want_status 200 'the streams'
want_json 'all(.streams[]; .name != "dead_letters")' 'some samples were refused'
arrived=$(jq '[.streams[] | select(.name | startswith("metric_") | not) | .rows] | add' <<<"$body")
[ "$arrived" -ge "$stored" ] || fail "$arrived samples arrived of $stored"
sql "SELECT count(*), min(value), max(value), count(DISTINCT instance) FROM prometheus_case.up"
want_json ".rows[0][0] >= $scrapes and .rows[0][2] == 1 and .rows[0][3] == 1" 'up'
sql "SELECT type, help FROM prometheus_case.metric_metadata WHERE metric = 'prometheus_build_info' LIMIT 1"
want_json '.rows[0][0] == "gauge" and (.rows[0][1] | length) > 10' 'the metadata'
