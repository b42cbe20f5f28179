#!/usr/bin/env bash
# Apache Flink with its Kafka connector: the jars of the PyPI package, the connector from Maven Central. Java alone
# runs them (benches/compare/flink), no Python of Flink's.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=2.3.0
folder=$TIDEMILL_CACHE/flink
stamp=$folder/.version

maven_jars "$folder/connector" org.apache.flink:flink-connector-kafka:4.0.1-2.0
if [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
    say "flink $version is there"
    exit 0
fi
need python3 "install Python 3.10 or newer"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "downloading flink $version (330 MB)"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$work" "apache-flink-libraries==$version" \
    || die "pip could not fetch apache-flink-libraries $version"
rm -rf "$folder/lib"
mkdir -p "$folder/lib"
# The jars alone, without examples, plugins and the parts for Python.
python3 - "$work" "$folder/lib" <<'PYTHON' || die "the package is not as it was"
import pathlib, sys, zipfile
work, target = map(pathlib.Path, sys.argv[1:])
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    jars = [name for name in wheel.namelist() if name.startswith("pyflink/lib/") and name.endswith(".jar")]
    for name in jars:
        (target / name.rsplit("/", 1)[1]).write_bytes(wheel.read(name))
sys.exit(not any("flink-dist" in name for name in jars))
PYTHON
printf '%s' "$version" >"$stamp"
say "$(find "$folder/lib" -name '*.jar' | wc -l) jars in $folder/lib"
