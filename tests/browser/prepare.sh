#!/usr/bin/env bash
# Installs what the tests in a browser need: the packages of web/, and Debian's chromium where this may
# install it. What is then still missing the tests name: they fail, and are never skipped.
set -uo pipefail
cd "$(dirname "$0")/../.."
if command -v npm >/dev/null && [ ! web/node_modules/.package-lock.json -nt web/package-lock.json ]; then
  (cd web && npm ci --no-audit --no-fund)
fi
if [ ! -x "${CHROMIUM:-/usr/bin/chromium}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y chromium
fi
exit 0
