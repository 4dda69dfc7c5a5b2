#!/usr/bin/env bash
# The main job on the sandbox, from nothing: a real control plane on this machine, the core, Nextcloud.
# The first time the programs of the sandbox are built, which takes 10 minutes with two cores; after that, two.
set -euo pipefail
cd "$(dirname "$0")/.."

run() {
  printf '\n$ npx tsx %s\n' "$*"
  npx tsx "$@"
}
run scripts/sandbox.ts up
run scripts/install-core.ts --cluster sandbox --yes
run scripts/install-app.ts nextcloud --cluster sandbox --yes
run scripts/status.ts --cluster sandbox
printf '\nNext, log in with a browser (builds hydra and kratos once; needs PostgreSQL: apt install postgresql):\n'
printf '  npx tsx scripts/sandbox.ts up --login\n'
