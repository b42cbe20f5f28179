#!/usr/bin/env bash
# The Go WebSocket client of tests/clients/go-ws, built from its committed module.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need go "https://go.dev/doc/install"
mkdir -p "$TIDEMILL_CACHE/bin"
# Go's own build cache decides whether there is anything to do.
(cd "$TIDEMILL_REPO/tests/clients/go-ws" && go build -mod=readonly -o "$TIDEMILL_CACHE/bin/go-ws" .) || die "go build failed in tests/clients/go-ws"
say "built $TIDEMILL_CACHE/bin/go-ws"
