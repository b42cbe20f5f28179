#!/usr/bin/env bash
# Rows by curl in NDJSON, JSON and CSV: what is kept, what is refused, and how that is told.
# needs: curl jq gzip
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# post STREAM-AND-QUERY TYPE BODY
post() { request -X POST "$TIDEMILL_URL/api/v1/ingest/$1" -H "Content-Type: $2" --data-binary "$3"; }

post curl_people application/x-ndjson '{"name":"Ada"}'
want_status 404 'a stream that does not exist'
want_json '.error.code and .error.message' 'the form of an error'

post 'curl_people?create=true' application/x-ndjson '{"time":"2024-01-01T00:00:00Z","name":"Ada","age":36,"home":{"city":"London"}}
{"time":"2024-01-01T00:00:01Z","name":"Alan","age":41}'
want_status 200 'NDJSON'
want_json '.accepted == 2 and .rejected == 0 and (.lsn | type) == "number"' 'NDJSON'
sql 'SELECT name, age, "home.city" FROM curl_people ORDER BY name'
want_json '.rows == [["Ada", 36, "London"], ["Alan", 41, null]]' 'nested fields'

post curl_people application/json '[{"time":"2024-01-01T00:00:02Z","name":"Grace","age":85},{"time":"2024-01-01T00:00:03Z","name":"Edsger","age":72}]'
want_status 200 'a JSON array'
post curl_people application/json '{"time":"2024-01-01T00:00:04Z","name":"Barbara","age":50}'
want_status 200 'a JSON object'
want_value 'SELECT count(*) AS n FROM curl_people' 5

sql 'CREATE STREAM curl_orders (id BIGINT, amount DECIMAL(10,2), city STRING, ts TIMESTAMP)'
post curl_orders application/x-ndjson '{"id":1,"amount":10.10,"city":"Oslo","ts":"2024-01-01T00:00:00Z"}
{"id":"many","amount":1,"city":"Oslo","ts":"2024-01-01T00:00:01Z"}
{"id":3,"amount":0.05,"city":"Rome","ts":"2024-01-01T00:00:02Z"}'
want_status 200 'NDJSON with a bad row'
want_json '.accepted == 2 and .rejected == 1 and (.errors | length) == 1 and .errors[0].reason' 'a bad row'
want_value 'SELECT sum(amount) AS total FROM curl_orders' 10.15

post curl_orders text/csv 'id,amount,city,ts
4,2.50,Oslo,2024-01-01T00:00:03Z
5,7.25,"Rome, Italy",2024-01-01T00:00:04Z'
want_status 200 'CSV'
want_json '.accepted == 2' 'CSV'
want_value "SELECT count(*) AS n FROM curl_orders WHERE city = 'Rome, Italy'" 1

printf '{"id":%d,"amount":1,"city":"Kyiv","ts":"2024-01-02T00:00:00Z"}\n' $(seq 100 1099) | gzip >"$CASE_TMP/zip"
request -X POST "$TIDEMILL_URL/api/v1/ingest/curl_orders" -H 'Content-Type: application/x-ndjson' \
    -H 'Content-Encoding: gzip' --data-binary "@$CASE_TMP/zip"
want_status 200 'a gzip body'
want_value "SELECT count(*) AS n FROM curl_orders WHERE city = 'Kyiv'" 1000
