import { createHash } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import type { Chunks } from '../../lib/age/age.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import { effectiveSettings, refuseElsewhere } from '../../lib/k3s/settings.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { fileTime } from '../../lib/script/timestamp.ts'
import { until } from '../../lib/script/wait.ts'
import { disks, HOSTNAME, K3S_VERSION, unitStates } from '../../lib/server/facts.ts'
import { k3sFiles, settingsSources } from '../../lib/server/k3s-files.ts'
import { registeredName } from '../../lib/server/node-name.ts'
import { KUBELET_NAME, NODES } from '../../lib/server/nodes.ts'
import { readFacts, shell, wholeNumber } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { K3S_PARTS } from './parts.ts'

/** The folder on the server for a copy while it is written or restored. */
const WORK = '/var/cache/openappstack-backup'
const COPY = `${WORK}/k3s.tar`
/** Under this name systemd does the work: a cut connection leaves no k3s that stands still. */
const UNIT = 'openappstack-backup-k3s.service'
/** Milliseconds for the whole of the work on the server. */
const DEADLINE = 15 * 60_000
/** Where the state that a restore replaces is kept on the server. */
const KEPT = '/var/backups/openappstack'

/** What there is to copy on a server. */
export interface K3sState {
  version: string
  /** The name of the node of this server in its cluster. */
  node: string | undefined
  /** Bytes of all parts. */
  size: number
  /** Bytes that are free where the copy goes. */
  free: number
}

const QUESTIONS = {
  version: K3S_VERSION,
  hostname: HOSTNAME,
  files: k3sFiles('server'),
  nodes: NODES,
  kubeletName: KUBELET_NAME,
  /** Bytes of all parts; undefined without a datastore. */
  size: shell(
    `cd /; [ "$(ls -A ${K3S.datastore})" = '' ] || du -sbc -- "$@" | tail -n 1`,
    K3S_PARTS,
    ({ text }) => wholeNumber(text.split('\t')[0] || undefined),
  ),
  disks: disks(['/var']),
}

/** Reads what there is to copy. Throws an ExpectedError where there is no k3s, or no datastore to copy. */
export async function readK3sState(ssh: Ssh): Promise<K3sState> {
  const { version, size, disks, files, ...naming } = await readFacts(ssh, QUESTIONS, {
    sudo: true,
    title: 'reading the state of k3s',
  })
  const alone = 'back up the cluster folder alone: --skip-server'
  if (!version) throw new ExpectedError(`k3s is not installed on ${ssh.name}`, alone)
  const settings = await effectiveSettings(settingsSources(files))
  refuseElsewhere(ssh.name, settings, `${alone}; save the data of k3s with the tools of where they are`)
  if (!size) throw new ExpectedError(`${ssh.name} has no datastore in ${K3S.datastore}`, alone)
  return {
    version,
    node: registeredName({ ...naming, settings, datastore: size }),
    size,
    free: disks[0]?.free ?? 0,
  }
}

/** A file that is being written has no one state: so k3s stands still; its applications go on. */
const MAKE = `
set -eu
umask 077
cd /
was=$(systemctl is-active ${K3S.service} || true)
[ "$was" != active ] || systemctl stop ${K3S.service}
parts=
for part in ${K3S_PARTS.join(' ')}; do [ ! -e "$part" ] || parts="$parts $part"; done
tar --create --format=pax --file=${COPY}.part -- $parts
[ "$was" != active ] || systemctl start --no-block ${K3S.service}
sync -- ${COPY}.part
mv -T -- ${COPY}.part ${COPY}
`

/**
 * Until k3s is up with the restored state, any failure puts the previous state back. Arguments: the folder that keeps
 * it, the name that the node keeps where the restored settings do not say it, and the parts that are replaced.
 */
const RESTORE = `
set -eu
umask 077
keep=$1 node=$2 moved=
shift 2
cd /
undo() {
  set +e
  systemctl stop ${K3S.service}
  for part; do
    [ -z "$moved" ] || rm -rf -- "$part"
    [ ! -e "$keep/$part" ] || mv -T -- "$keep/$part" "$part"
  done
  find "$keep" -depth -type d -empty -delete
  systemctl start --no-block ${K3S.service}
}
mkdir -p -m 0700 -- "\${keep%/*}"
mkdir -m 0700 -- "$keep"
trap 'undo "$@"' EXIT
trap 'exit 1' HUP INT TERM
systemctl stop ${K3S.service}
for part; do
  [ -e "$part" ] || continue
  mkdir -p -- "$keep/\${part%/*}"
  mv -T -- "$part" "$keep/$part"
done
moved=1
tar --extract --same-owner --same-permissions --numeric-owner --file=${COPY}
[ -z "$node" ] || printf '\\nnode-name: %s\\n' "$node" >> ${K3S.config}
sync
timeout 300 systemctl start ${K3S.service} || { journalctl -u ${K3S.service} -n 20 -o cat | grep -E 'fatal|error|failed' | tail -n 1 >&2; exit 1; }
trap - EXIT
`

/** Makes the copy on the server. Resolves with its size and SHA-256. k3s runs again afterwards, whatever happens. */
export async function copyK3s(ssh: Ssh, signal: AbortSignal): Promise<{ size: number; sha256: string }> {
  // systemd itself starts k3s again, also when the script below it is killed.
  const start = `ExecStopPost=/bin/systemctl start --no-block ${K3S.service}`
  await prepare(ssh, signal)
  const active = (await stateOf(ssh, K3S.service)) === 'active'
  await runUnit(ssh, MAKE, [], active ? [start] : [], 'copying k3s')
  await waitForK3s(ssh, active, signal)
  const [size, sha256] = (
    await ssh.sh(`stat -c %s ${COPY}; sha256sum < ${COPY} | cut -c 1-64`, [], { sudo: true, timeout: 0 })
  ).split('\n')
  return { size: Number(size), sha256: sha256! }
}

/** What systemd says of a service; `absent` where it does not exist. */
async function stateOf(ssh: Ssh, unit: string): Promise<string> {
  const facts = { states: unitStates([unit]) }
  const { states } = await readFacts(ssh, facts, { sudo: true, title: `reading the state of ${unit}` })
  return states.get(unit) ?? 'absent'
}

async function waitForK3s(ssh: Ssh, active: boolean, signal: AbortSignal): Promise<void> {
  if (!active) return
  await until(
    async () => {
      const state = await stateOf(ssh, K3S.service)
      return state === 'active' ? { done: true } : { last: state }
    },
    {
      deadline: 5 * 60_000,
      describe: last => `k3s is ${last}`,
      fix: `read its log: journalctl -u ${K3S.service} -n 50`,
      signal,
    },
  )
}

/** The bytes of the copy, as they come from the server. Throws at their end when they are others than there. */
export async function* contentOfCopy(ssh: Ssh, sha256: string): AsyncGenerator<Uint8Array> {
  const stdout = new PassThrough()
  const done = ssh
    .run(['cat', '--', COPY], { sudo: true, stdout, timeout: 0, idle: 60_000, title: 'download of the copy' })
    .then(
      () => stdout.end(),
      error => stdout.destroy(error),
    )
  const hash = createHash('sha256')
  for await (const chunk of stdout as AsyncIterable<Uint8Array>) {
    hash.update(chunk)
    yield chunk
  }
  await done
  if (hash.digest('hex') !== sha256)
    throw new ExpectedError(`the copy of k3s on ${ssh.name} changed on its way`, 'run the same command again')
}

/**
 * Removes the working folder of a copy or a restore from the server, also after an interruption: it has the token and
 * the keys. Work that systemd still does there goes through with what it has opened, or fails and puts k3s back.
 */
export async function removeCopy(ssh: Ssh): Promise<void> {
  await ssh.run(['rm', '-rf', '--', WORK], { sudo: true, inSpiteOfAbort: true, timeout: 60_000 })
}

/** Brings a copy to the server, whole or not at all. */
export async function uploadCopy(ssh: Ssh, copy: Chunks, sha256: string, signal: AbortSignal): Promise<void> {
  await prepare(ssh, signal)
  await ssh.sh(
    `umask 077; cat > ${COPY}.part && [ "$(sha256sum < ${COPY}.part | cut -c 1-64)" = "$1" ] && mv -T -- ${COPY}.part ${COPY}`,
    [sha256],
    { sudo: true, input: Readable.from(copy), timeout: 0, idle: 0, title: 'upload of the copy' },
  )
}

/**
 * Replaces the state of k3s by the copy that was uploaded. Resolves with the folder on the server that keeps
 * the previous state. Where k3s does not come up, the previous state is put back.
 */
export async function restoreK3s(
  ssh: Ssh,
  now: Date,
  { parts, node }: { parts: readonly string[]; node: string | undefined },
): Promise<string> {
  const keep = `${KEPT}/before-restore-${fileTime(now)}`
  await runUnit(ssh, RESTORE, [keep, node ?? '', ...parts], [], 'restoring k3s')
  return keep
}

/** Makes an empty folder to work in. It waits first for the end of an earlier run's work. */
async function prepare(ssh: Ssh, signal: AbortSignal): Promise<void> {
  await until(
    async () => {
      const state = await stateOf(ssh, UNIT)
      return ['active', 'activating', 'deactivating'].includes(state) ? { last: state } : { done: true }
    },
    {
      deadline: DEADLINE,
      describe: last => `${UNIT} of an earlier run is ${last}`,
      fix: `check it: systemctl status ${UNIT}`,
      signal,
    },
  )
  await removeCopy(ssh)
  await ssh.run(['install', '-d', '-m', '0700', '--', WORK], { sudo: true })
}

/** Runs a script on the server as a unit of systemd, and waits for its end. */
async function runUnit(
  ssh: Ssh,
  script: string,
  args: readonly string[],
  properties: readonly string[],
  title: string,
): Promise<void> {
  const file = `${WORK}/run.sh`
  await ssh.upload(script, file, { mode: 0o600, sudo: true })
  const since = await ssh.run(['date', '+%s'])
  const { code } = await ssh.exec(
    [
      ...(['systemd-run', '--quiet', '--collect', '--wait', `--unit=${UNIT}`] as const),
      ...properties.map(property => `--property=${property}`),
      ...['sh', file, ...args],
    ],
    { sudo: true, timeout: DEADLINE, title },
  )
  if (code === 0) return
  const said = await ssh.exec(
    ['journalctl', '-u', UNIT, '--since', `@${since}`, '-o', 'cat', '--no-pager', '-n', '20'],
    { sudo: true },
  )
  const lines = said.stdout.toString().trim().split('\n')
  const reason = lines.filter(line => !line.startsWith(UNIT) && !/^(Started|Stopped) /.test(line)).at(-1)
  throw new ExpectedError(
    `${title} on ${ssh.name} failed: ${reason || `exit code ${code}`}`,
    'k3s is as it was before; see the message and the free space there (df -h), then run the same command again',
  )
}
