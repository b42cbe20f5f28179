#!/usr/bin/env bash
# Every tool of the client tests and the comparison. Names given as arguments limit the list.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

here=$(dirname "${BASH_SOURCE[0]}")
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(chromium python go-ws telegraf kafka kcat nats prometheus mqtt questdb victoriametrics flink)
failed=()
for name in "${names[@]}"; do
    [ -f "$here/$name.sh" ] || die "there is no $name.sh"
    bash "$here/$name.sh" || failed+=("$name")
done
[ ${#failed[@]} -eq 0 ] || die "these could not be installed: ${failed[*]}"
