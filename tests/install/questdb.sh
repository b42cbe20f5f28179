#!/usr/bin/env bash
# QuestDB: one jar with its native library, from Maven Central.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=9.3.2
folder=$TIDEMILL_CACHE/questdb
jar=$folder/questdb-$version.jar

need java "a Java runtime of version 17 or newer"
if [ -s "$jar" ]; then
    say "questdb $version is there"
    exit 0
fi
need mvn "on Debian: apt-get install maven"
mkdir -p "$folder"
say "downloading questdb $version"
mvn -q -B dependency:copy -Dartifact="org.questdb:questdb:$version" -DoutputDirectory="$folder" -Dmdep.useBaseVersion=true \
    || die "mvn could not fetch org.questdb:questdb:$version"
[ -s "$jar" ] || die "mvn left no $jar"
say "installed $jar"
