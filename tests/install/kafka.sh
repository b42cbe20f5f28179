#!/usr/bin/env bash
# Apache Kafka, broker and command-line tools, from Maven Central. tests/kafka/broker.sh starts it.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=4.1.1
maven_jars "$TIDEMILL_CACHE/kafka" "org.apache.kafka:kafka_2.13:$version" "org.apache.kafka:kafka-tools:$version" org.slf4j:slf4j-simple:1.7.36
