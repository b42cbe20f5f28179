#!/usr/bin/env bash
# A Kafka node by hand, and for the demo.
#
#   tests/kafka/broker.sh start [--dir DIR] [--port PORT] [--heap 512m] [--set NAME=VALUE]..
#   tests/kafka/broker.sh stop|kill|restart|status [--dir DIR]
#   tests/kafka/broker.sh topic [--dir DIR] --create --topic purchases --partitions 8
#
# start returns when the node serves, and prints its address; the node goes on by itself. Its folder (default:
# kafka-node in the cache) keeps the port, the data and the log. kill is SIGKILL. topic hands its words to Kafka's own tool.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
case ${1:-} in
    '' | -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    start | restart) bash "$here/../install/kafka.sh" >&2 ;;
esac
exec python3 "$here/broker.py" "$@"
