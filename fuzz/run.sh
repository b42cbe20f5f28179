#!/usr/bin/env bash
# Runs fuzz targets one after the other, each for some seconds, under AddressSanitizer.
#
#   fuzz/run.sh [--seconds N] [TARGET..]
#
# All targets without one; 60 seconds each unless told. Installs cargo-fuzz if it is missing. What is found lies below
# fuzz/artifacts; `cargo fuzz run TARGET FILE` shows it again (with RUSTC_BOOTSTRAP=1: sanitizers are not stable).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=60
targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds) seconds=${2:?--seconds wants a number}; shift 2 ;;
        -h | --help) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
        -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
        *) targets+=("$1"); shift ;;
    esac
done
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-fuzz || exit 2
export RUSTC_BOOTSTRAP=1
# Our own code is watched. C libraries would be, too, by another compiler's sanitizer, which librdkafka's configure can't link.
export CFLAGS="${CFLAGS:-} -fno-sanitize=all" CXXFLAGS="${CXXFLAGS:-} -fno-sanitize=all"
host=$(rustc -vV | sed -n 's/^host: //p')
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
cargo fuzz build || exit 2
failed=()
for target in "${targets[@]}"; do
    corpus=fuzz/corpus/$target
    mkdir -p "$corpus" "fuzz/artifacts/$target"
    seeds=()
    [ ! -d "fuzz/seeds/$target" ] || seeds=("fuzz/seeds/$target")
    said=$("fuzz/target/$host/release/$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$target/" "$corpus" "${seeds[@]}" 2>&1)
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' <<<"$said")
    if [ $status -eq 0 ]; then
        printf '%-20s ok, %s runs\n' "$target" "$runs"
    else
        printf '%-20s FAILED\n%s\n' "$target" "$(tail -40 <<<"$said")"
        failed+=("$target")
    fi
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
