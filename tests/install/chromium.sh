#!/usr/bin/env bash
# The browser of the page tests: Debian's chromium and its WebDriver server.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1; then
    say "chromium and chromedriver are there"
else
    apt_install chromium chromium-driver
    say "installed chromium and chromium-driver"
fi
chromium --version --no-sandbox 2>/dev/null | head -n 1 || die "chromium does not start"
chromedriver --version || die "chromedriver does not start"
