#!/usr/bin/env bash
# Installs what `npm run try` and `npm test` need: the packages of package-lock.json, and git where it is
# missing. Both commands call it; it does nothing the second time.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v git >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing git (Debian package)"
    apt-get update -qq && apt-get install -qq -y git
  else
    echo "git is missing. Install it (Debian: apt-get install git), then run this again." >&2
    exit 1
  fi
fi

if ! cmp -s package-lock.json node_modules/.openappstack-lock; then
  echo "Installing the packages of package-lock.json (under a minute)"
  npm ci
  cp package-lock.json node_modules/.openappstack-lock
fi
