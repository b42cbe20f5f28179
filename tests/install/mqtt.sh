#!/usr/bin/env bash
# mosquitto, an MQTT broker, and its command-line clients: Debian's.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The package starts a broker by itself where it may; the tests start their own, on a port of their own.
debian mosquitto mosquitto
debian mosquitto_pub mosquitto-clients
