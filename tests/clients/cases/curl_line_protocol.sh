#!/usr/bin/env bash
# Line protocol by curl: both write routes, gzip, what is refused and how.
# needs: curl jq gzip
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

write() { request -X POST "$TIDEMILL_URL/write?$1" --data-binary "$2"; }

write 'db=default&precision=ns' 'curl_weather,city=Oslo temp=3.5,wet=t,note="rain, \"again\"" 1700000000000000000
curl_weather,city=Bergen temp=cold 1700000000000000000'
# The second line has no value: the first is kept.
want_status 400 'a write with one bad line'
want_json '.error | contains("partial write")' 'a write with one bad line'
grep -qi '^x-influxdb-error:' <<<"$headers" || fail 'a refused write has no X-Influxdb-Error header'
sql 'SELECT city, temp, wet, note FROM curl_weather'
want_json '.rows == [["Oslo", 3.5, true, "rain, \"again\""]]' 'the line that was kept'

write 'db=default&precision=s' 'curl_weather,city=Oslo temp=4.5 1700000001'
want_status 204 'seconds'
write 'db=default&precision=ms' 'curl_weather,city=Oslo temp=5.5 1700000002000'
want_status 204 'milliseconds'
want_value "SELECT count(*) AS n FROM curl_weather WHERE time >= '2023-11-14T22:13:20Z' AND time < '2023-11-14T22:13:23Z'" 3
want_value 'SELECT sum(temp) AS total FROM curl_weather' 13.5

printf 'curl_zip,n=%d v=1i 1700000000000000000\n' $(seq 1 1000) | gzip >"$CASE_TMP/zip"
request -X POST "$TIDEMILL_URL/write?db=default" -H 'Content-Encoding: gzip' --data-binary "@$CASE_TMP/zip"
want_status 204 'a gzip body'
want_value 'SELECT count(*) AS n FROM curl_zip' 1000

request -X POST "$TIDEMILL_URL/api/v2/write?org=o&bucket=default&precision=ns" -H 'Authorization: Token anything' \
    --data-binary 'curl_second,room=a\ b v=-12i 1700000000000000001'
want_status 204 'the v2 route'
sql 'SELECT room, v FROM curl_second'
want_json '.rows == [["a b", -12]]' 'a tag with an escaped blank'

write 'db=default' ''
want_status 204 'an empty body'
write '' 'x v=1 1'
want_status 400 'a write without db'
want_json '.error == "database is required"' 'a write without db'

request "$TIDEMILL_URL/ping"
want_status 204 '/ping'
grep -qi '^x-influxdb-version:' <<<"$headers" || fail '/ping has no X-Influxdb-Version header'
