#!/usr/bin/env bash
# VictoriaMetrics, single node.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

go_install victoria-metrics github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@v1.131.0
