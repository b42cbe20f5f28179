#!/usr/bin/env bash
# Telegraf with the memory input and both Influx outputs, and nothing else (about a minute).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

go_install telegraf -tags custom,inputs.mem,outputs.influxdb,outputs.influxdb_v2 \
    github.com/influxdata/telegraf/cmd/telegraf@v1.37.2
