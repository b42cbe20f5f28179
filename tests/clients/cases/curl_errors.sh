#!/usr/bin/env bash
# What is refused by SQL over HTTP, with which status, and in one form everywhere.
# needs: curl jq
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

# refused STATUS WHAT CURL-ARGS..: that status, and the form of every error.
refused() {
    local code=$1 what=$2
    shift 2
    request "$@"
    want_status "$code" "$what"
    want_json '(.error.code | type) == "string" and (.error.message | length) > 0' "$what: not the form of an error"
}
endpoint=$TIDEMILL_URL/api/v1/sql

refused 400 'a syntax error' -X POST "$endpoint" --data-binary 'SELECT a
FRM b'
want_json '.error.code == "syntax" and .error.line == 2 and (.error.column | type) == "number"' 'the place of a syntax error'
refused 400 'an empty statement' -X POST "$endpoint" --data-binary ''
refused 404 'a stream that does not exist' -X POST "$endpoint" --data-binary 'SELECT * FROM curl_nowhere'
refused 404 'a path that does not exist' "$TIDEMILL_URL/api/v1/nowhere"

sql 'CREATE STREAM curl_refusals (v BIGINT, ts TIMESTAMP)'
refused 409 'a stream that exists' -X POST "$endpoint" --data-binary 'CREATE STREAM curl_refusals (v BIGINT, ts TIMESTAMP)'
refused 403 'a request of a foreign page' -X POST "$endpoint" -H 'Origin: http://evil.example' --data-binary 'DROP STREAM curl_refusals'
refused 403 'an unknown host name' -X POST "$endpoint" -H 'Host: evil.example' --data-binary 'DROP STREAM curl_refusals'
request -G "$endpoint" --data-urlencode 'q=DROP STREAM curl_refusals'
[ "${status:0:1}" = 4 ] || fail "a GET that would write: status $status"

# An error among several statements: those before it stay.
refused 404 'the second of three statements' -X POST "$endpoint" \
    --data-binary 'INSERT INTO curl_refusals (v, ts) VALUES (1, TIMESTAMP '"'2024-01-01 00:00:00'"'); SELECT * FROM curl_nowhere; DROP STREAM curl_refusals'
want_value 'SELECT count(*) AS n FROM curl_refusals' 1
