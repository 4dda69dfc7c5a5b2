import { createHash } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import type { Chunks } from '../../lib/age/age.ts'
import { tarMembers } from '../../lib/age/tar.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { fileTime } from '../../lib/script/timestamp.ts'
import { until } from '../../lib/script/wait.ts'
import { disks, K3S_VERSION } from '../../lib/server/facts.ts'
import { readFacts, shell, wholeNumber } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { checkPath } from './archive.ts'

/** The folder on the server for a copy while it is written or restored. */
const WORK = '/var/cache/openappstack-backup'
const COPY = `${WORK}/k3s.tar`
/** Under this name systemd does the work: a cut connection leaves no k3s that stands still. */
const UNIT = 'openappstack-backup-k3s.service'
/** Milliseconds for the whole of the work on the server. */
const DEADLINE = 15 * 60_000
/** Where the state that a restore replaces is kept on the server. */
const KEPT = '/var/backups/openappstack'

/**
 * What a k3s server consists of: the datastore and the token that encrypts a part of it, as its documentation
 * says (https://docs.k3s.io/datastore/backup-restore); certificates and keys, which have to be those of the
 * datastore or k3s does not start; and the password by which the datastore knows the node.
 */
export const K3S_PARTS = [
  K3S.datastore,
  K3S.token,
  `${K3S.data}/server/tls`,
  `${K3S.data}/server/cred`,
  '/etc/rancher/node/password',
].map(path => path.slice(1))

/** What there is to copy on a server. */
export interface K3sState {
  version: string
  /** Bytes of all parts. */
  size: number
  /** Bytes that are free where the copy goes. */
  free: number
}

const QUESTIONS = {
  version: K3S_VERSION,
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
  const { version, size, disks } = await readFacts(ssh, QUESTIONS, {
    sudo: true,
    title: 'reading the state of k3s',
  })
  if (version && size) return { version, size, free: disks[0]?.free ?? 0 }
  throw version
    ? new ExpectedError(
        `${ssh.name} has no datastore in ${K3S.datastore}`,
        'back up the cluster folder alone: --skip-server; save a datastore elsewhere where it is',
      )
    : new ExpectedError(
        `k3s is not installed on ${ssh.name}`,
        'back up the cluster folder alone: --skip-server',
      )
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

/** Until k3s is up with the restored state, any failure puts the previous state back. */
const RESTORE = `
set -eu
umask 077
keep=$1
cd /
server=${K3S.data}/server
password=/etc/rancher/node/password
undo() {
  set +e
  systemctl stop ${K3S.service}
  for part in db tls cred token; do
    [ ! -e "$keep/$part" ] || { rm -rf -- "$server/$part"; mv -T -- "$keep/$part" "$server/$part"; }
  done
  [ ! -e "$keep/password" ] || mv -T -- "$keep/password" "$password"
  rmdir -- "$keep"
  systemctl start --no-block ${K3S.service}
}
mkdir -p -m 0700 -- "\${keep%/*}"
mkdir -m 0700 -- "$keep"
trap undo EXIT
trap 'exit 1' HUP INT TERM
systemctl stop ${K3S.service}
for part in db tls cred token; do
  [ ! -e "$server/$part" ] || mv -T -- "$server/$part" "$keep/$part"
done
[ ! -e "$password" ] || mv -T -- "$password" "$keep/password"
tar --extract --same-owner --same-permissions --numeric-owner --file=${COPY}
sync
timeout 300 systemctl start ${K3S.service} || { journalctl -u ${K3S.service} -n 20 -o cat | grep -E 'fatal|error|failed' | tail -n 1 >&2; exit 1; }
trap - EXIT
`

/** Makes the copy on the server. Resolves with its size and SHA-256. k3s runs again afterwards, whatever happens. */
export async function copyK3s(ssh: Ssh, signal: AbortSignal): Promise<{ size: number; sha256: string }> {
  // systemd itself starts k3s again, also when the script below it is killed.
  const start = `ExecStopPost=/bin/systemctl start --no-block ${K3S.service}`
  await prepare(ssh, signal)
  const active = (await ssh.exec(['systemctl', 'is-active', K3S.service], { sudo: true })).code === 0
  await runUnit(ssh, MAKE, [], active ? [start] : [], 'copying k3s')
  await waitForK3s(ssh, active, signal)
  const [size, sha256] = (
    await ssh.sh(`stat -c %s ${COPY}; sha256sum < ${COPY} | cut -c 1-64`, [], { sudo: true, timeout: 0 })
  ).split('\n')
  return { size: Number(size), sha256: sha256! }
}

async function waitForK3s(ssh: Ssh, active: boolean, signal: AbortSignal): Promise<void> {
  if (!active) return
  await until(
    async () => {
      const { stdout } = await ssh.exec(['systemctl', 'is-active', K3S.service], { sudo: true })
      const state = stdout.toString().trim()
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

/** Removes the working folder of a copy or a restore from the server. */
export async function removeCopy(ssh: Ssh): Promise<void> {
  await ssh.run(['rm', '-rf', '--', WORK], { sudo: true })
}

/**
 * Reads a copy of k3s to its end. Throws an ExpectedError for anything in it that does not belong to k3s, or that is
 * more than a file or a folder: it is unpacked by root.
 */
export async function checkCopy(copy: Chunks, name: string): Promise<void> {
  for await (const { member } of tarMembers(copy)) {
    const path = member.path.replace(/\/$/, '')
    const isPart = K3S_PARTS.some(part => path === part || path.startsWith(`${part}/`))
    const problem = checkPath(path) ?? (isPart ? undefined : 'it does not belong to k3s')
    const kind = /^(contiguous-)?file$|^directory$/.test(String(member.type))
      ? undefined
      : `it is a ${member.type}`
    if (problem ?? kind)
      throw new ExpectedError(
        `${name} holds ${JSON.stringify(path)}, which cannot be restored: ${problem ?? kind}`,
        'find out who created this archive; nothing of it was used',
      )
  }
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
export async function restoreK3s(ssh: Ssh, now: Date): Promise<string> {
  const keep = `${KEPT}/before-restore-${fileTime(now)}`
  await runUnit(ssh, RESTORE, [keep], [], 'restoring k3s')
  return keep
}

/** Makes an empty folder to work in. It waits first for the end of an earlier run's work. */
async function prepare(ssh: Ssh, signal: AbortSignal): Promise<void> {
  await until(
    async () => {
      const { stdout } = await ssh.exec(['systemctl', 'is-active', UNIT], { sudo: true })
      const state = stdout.toString().trim()
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
