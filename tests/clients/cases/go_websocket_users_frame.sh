#!/usr/bin/env bash
# The users' own Go program: dials /ws, sends its frame word for word, sees the dashboard move.
# needs: go-ws
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

"$TIDEMILL_CACHE/bin/go-ws" -url "ws://127.0.0.1:$TIDEMILL_PORT/ws" >"$CASE_TMP/frames"
grep -q '"dashboard:metrics"' "$CASE_TMP/frames" || fail 'no frame of dashboard:metrics'
# alerts:fraud does not exist: it is accepted all the same.
grep '"subscribed"' "$CASE_TMP/frames" | grep -q '"alerts:fraud"' || fail 'alerts:fraud was not accepted'
