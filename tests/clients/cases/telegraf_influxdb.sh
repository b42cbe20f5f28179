#!/usr/bin/env bash
# Telegraf's outputs.influxdb: it creates its database first, and takes only 204 as success.
# needs: telegraf curl jq
source "$(dirname "${BASH_SOURCE[0]}")/../telegraf.sh"

telegraf_case telegraf_one "[[outputs.influxdb]]
  urls = [\"$TIDEMILL_URL\"]
  database = \"telegraf_one\""
