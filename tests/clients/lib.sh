# shellcheck shell=bash
# Shared by the shell cases: requests, and checks that name what is wrong.
set -euo pipefail

fail() { printf '%s\n' "$*" >&2; exit 1; }

# shellcheck disable=SC2034  # headers is for the cases
# request CURL-ARGS..: sets $status, $body and $headers of one request.
request() {
    status=$(curl -sS --max-time 30 -D "$CASE_TMP/headers" -o "$CASE_TMP/body" -w '%{http_code}' "$@") || fail "curl failed: $*"
    # A command substitution would drop the zero bytes of binary replies, with a warning.
    body=$(tr -d '\0' <"$CASE_TMP/body")
    headers=$(tr -d '\r' <"$CASE_TMP/headers")
}

# want_status CODE WHAT
want_status() { [ "$status" = "$1" ] || fail "$2: status $status instead of $1: ${body:0:300}"; }

# want_json JQ-FILTER WHAT: the filter must give true on the body.
want_json() { jq -e "$1" >/dev/null 2>&1 <<<"$body" || fail "$2: ${body:0:300}"; }

# sql STATEMENT: runs it and leaves the reply in $body; it must succeed.
sql() {
    request -X POST "$TIDEMILL_URL/api/v1/sql" -H 'Content-Type: text/plain' --data-binary "$1"
    want_status 200 "$1"
}

# want_value STATEMENT VALUE: the first column of the first row, as JSON.
want_value() {
    sql "$1"
    local got
    got=$(jq -c '.rows[0][0]' <<<"$body") || fail "$1: no JSON: ${body:0:300}"
    [ "$got" = "$2" ] || fail "$1: $got instead of $2"
}
