#!/usr/bin/env bash
# nats-server with JetStream: a version of its own through Go; Debian's where there is no Go.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if command -v go >/dev/null 2>&1; then
    go_install nats-server github.com/nats-io/nats-server/v2@v2.12.2
    "$TIDEMILL_CACHE/bin/nats-server" --version || die "nats-server does not start"
else
    debian nats-server nats-server
fi
