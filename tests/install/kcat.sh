#!/usr/bin/env bash
# kcat, the Kafka client of the command line: Debian's.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

debian kcat kcat
kcat -V 2>&1 | grep -m 1 -o 'Version [0-9.]*' || die "kcat does not start"
