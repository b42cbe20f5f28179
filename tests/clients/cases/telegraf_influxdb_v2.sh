#!/usr/bin/env bash
# Telegraf's outputs.influxdb_v2.
# needs: telegraf curl jq
source "$(dirname "${BASH_SOURCE[0]}")/../telegraf.sh"

telegraf_case telegraf_two "[[outputs.influxdb_v2]]
  urls = [\"$TIDEMILL_URL\"]
  token = \"any\"
  organization = \"o\"
  bucket = \"telegraf_two\""
