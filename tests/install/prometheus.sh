#!/usr/bin/env bash
# Prometheus, for its remote write: Debian's.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

debian prometheus prometheus
prometheus --version 2>&1 | head -n 1 || die "prometheus does not start"
