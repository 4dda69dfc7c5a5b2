#!/usr/bin/env bash
# Installs what `npm run try` and `npm test` need: the packages of package-lock.json, and the Debian packages
# named as arguments where they are missing. It does nothing the second time.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing: ${missing[*]}. Install them (Debian: apt-get install ${missing[*]}), then run this again." >&2
    exit 1
  fi
  echo "Installing ${missing[*]} (Debian packages)"
  # The tests start programs of their own: no service shall open a port of this machine.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! cmp -s package-lock.json node_modules/.openappstack-lock; then
  echo "Installing the packages of package-lock.json (under a minute)"
  npm ci
  cp package-lock.json node_modules/.openappstack-lock
fi
