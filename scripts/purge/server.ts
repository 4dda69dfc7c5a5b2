import { K3S } from '../../lib/k3s/k3s.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { existing, splitAt } from '../../lib/server/facts.ts'
import { linesOf, program, readFacts, shell } from '../../lib/server/reader.ts'
import type { HeldServer } from '../../lib/server/server.ts'
import {
  IDENTITY_FILE,
  type Mark,
  markText,
  type Purging,
  writeMark,
} from '../../lib/server/server-identity.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { DOCKER, DOCKER_UNITS, INSTALLER, LINKS, type PurgePath, TREES, UNITS } from './paths.ts'
import { GUARD } from './survey.ts'

/** Something that a purge should have ended or removed. */
export interface Remnant {
  kind: 'path' | 'process' | 'mount' | 'unit' | 'interface' | 'port' | 'rules'
  what: string
}

/**
 * Stands before every command that stops or removes something: it runs only on the machine that was marked, and
 * only while its mark says so, letter for letter. Whatever happened to addresses and connections since we looked,
 * nothing is touched anywhere else. Shifts its arguments away.
 */
const ONLY_HERE = `
set -eu
[ "$(cat /etc/machine-id)" = "$1" ] && [ "$(cat -- "$2")" = "$3" ] || {
  echo 'this is not the server that is being purged' >&2
  exit 1
}
shift 3
`
const onlyHere = (mark: Mark) => [mark.machineId, IDENTITY_FILE, markText(mark)]

/** Records in the mark that the purge has started, before anything is removed. Keeps the time of an earlier start. */
export async function beginPurge(ssh: Ssh, mark: Mark, purging: Omit<Purging, 'since'>): Promise<Mark> {
  const since = mark.purging?.since ?? new Date().toISOString()
  const serverCa = purging.serverCa ?? mark.purging?.serverCa
  const begun = { ...mark, purging: { ...purging, since, serverCa } }
  await writeMark(ssh, begun)
  return begun
}

/** Disables first: whatever breaks off from here on, k3s does not come back with the next boot. */
const STOP = `${ONLY_HERE}
killall=$1
shift
for unit; do
  [ "$(systemctl show -p LoadState --value "$unit")" = not-found ] && continue
  # One whose file is gone can be stopped, but not disabled.
  case $unit in k3s*) if systemctl cat "$unit" > /dev/null 2>&1; then systemctl disable --quiet "$unit"; fi ;; esac
  systemctl stop "$unit"
done
# Its exit code is that of its last firewall command. What it has not ended is looked for afterwards.
[ ! -x "$killall" ] || "$killall" || :
`

/**
 * Stops k3s and all pods by its own k3s-killall.sh. What lives on, or where that script is gone already, ends with
 * a reboot, after which a k3s that is disabled does not start. Throws when something is still there then.
 */
export async function stopK3s(
  ssh: Ssh,
  held: HeldServer,
  mark: Mark,
  { docker }: { docker: boolean },
): Promise<string | undefined> {
  const units = [INSTALLER, ...UNITS, ...(docker ? DOCKER_UNITS : [])]
  await ssh.sh(STOP, [...onlyHere(mark), K3S.killall, ...units], {
    sudo: true,
    timeout: 10 * 60_000,
    title: 'stopping k3s',
    fix: 'look at `systemctl status k3s` on the server, then run the same command again',
  })
  const alive = async () =>
    (await remnants(ssh, TREES)).filter(({ kind }) => kind === 'process' || kind === 'mount')
  if ((await alive()).length === 0) return undefined
  await held.reboot()
  const still = await alive()
  if (still.length === 0) return 'with a reboot'
  throw new ExpectedError(
    `still there after k3s was disabled and the server rebooted: ${remnantText(still)}`,
    'end or unmount it on the server, then run the same command again',
    { exitCode: EXIT.refused },
  )
}

/**
 * All paths are looked at before the first one is removed. rm stays on one file system and removes no argument
 * that is a mount of its own; bind mounts, which it cannot tell, are what the guard looks for. An argument that is
 * a link never gets as far as rm.
 */
const REMOVE = `${ONLY_HERE}${GUARD}
problems=$(for path; do if there "$path"; then guard "$path"; fi; done | tr '\\t\\n' ' ;')
[ -z "$problems" ] || { printf 'nothing was removed: %s\\n' "$problems" >&2; exit 1; }
for path; do
  there "$path" || continue
  rm -rf --one-file-system --preserve-root=all -- "$path"
  printf '%s\\n' "$path"
done
`

const UNLINK = `${ONLY_HERE}
while [ $# -gt 0 ]; do
  if [ -L "$1" ] && [ "$(readlink -- "$1")" = "$2" ]; then rm -f -- "$1"; fi
  shift 2
done
systemctl daemon-reload
systemctl reset-failed k3s.service k3s-agent.service 2> /dev/null || :
`

/** Removes these paths and the links of the installers; returns the paths that existed. */
export async function removePaths(ssh: Ssh, mark: Mark, paths: readonly PurgePath[]): Promise<string[]> {
  const removed = await ssh.sh(REMOVE, [...onlyHere(mark), ...paths], {
    sudo: true,
    timeout: 0, // as long as it takes; a connection that is dead ends it
    title: 'removing what OpenAppStack and k3s have on the server',
    fix: 'look at what the message names on the server, then run the same command again: it goes on',
  })
  await ssh.sh(UNLINK, [...onlyHere(mark), ...LINKS.flat()], { sudo: true, title: 'removing links' })
  return removed.split('\n').filter(Boolean)
}

/** What is asked after a purge; `paths` have to be gone. Units may still be starting when sshd lets us in: they first. */
export const remnantQuestions = (paths: readonly PurgePath[]) => ({
  booted: program(['timeout', '120', 'systemctl', 'is-system-running', '--wait'], () => undefined),
  path: existing(paths),
  process: shell(
    `for process in /proc/[0-9]*; do
  program=$(readlink "$process/exe") || continue
  case $program in
    /var/lib/rancher/* | /usr/local/bin/k3s | '/usr/local/bin/k3s '*) ;;
    *) grep -qE '/k3s(-agent)?\\.service$' "$process/cgroup" || continue ;; # a shim, which outlives the service
  esac
  printf '%s %s\\n' "\${process#/proc/}" "$program"
done`,
    [],
    linesOf,
  ),
  mount: shell(
    `${GUARD}for path in "$@" /run/k3s /run/flannel /run/netns/cni-*; do guard "$path"; done | sed -n 's/^mount\\t//p' | cut -f 2`,
    paths,
    linesOf,
  ),
  unit: program(['systemctl', 'list-unit-files', '--no-legend', '--no-pager', 'k3s*'], answer =>
    linesOf(answer).map(line => splitAt(line, ' ')[0]),
  ),
  interface: shell(
    `ip -o link | while read -r _ interface _; do
  case $interface in cni0: | flannel* | kube-*) echo "\${interface%:}" ;; esac
done`,
    [],
    linesOf,
  ),
  port: shell(
    `ss -Hltn | while read -r _ _ _ address _; do
  case $address in *:6443 | *:6444 | *:10250) echo "$address" ;; esac
done`,
    [],
    linesOf,
  ),
  rules: shell(
    `for save in iptables-save ip6tables-save; do
  if "$save" | grep -qE '^:(KUBE|CNI|FLANNEL)-'; then echo "$save"; fi
done`,
    [],
    linesOf,
  ),
})

/** The leftovers of k3s and OpenAppStack on the server; `paths` are those that have to be gone. */
export async function remnants(ssh: Ssh, paths: readonly PurgePath[]): Promise<Remnant[]> {
  const options = { sudo: true, timeout: 5 * 60_000, title: 'looking for leftovers' }
  const { booted: _, ...found } = await readFacts(ssh, remnantQuestions(paths), options)
  return Object.entries(found).flatMap(([kind, all]) =>
    all.map(what => ({ kind: kind as Remnant['kind'], what })),
  )
}

/** Leftovers, in one line. */
export function remnantText(all: readonly Remnant[]): string {
  return all.map(({ kind, what }) => `${kind} ${what}`).join(', ')
}

/** Looks whether everything is gone. Throws an ExpectedError with all that is left. */
export async function proveGone(ssh: Ssh, paths: readonly PurgePath[]): Promise<string> {
  // A Docker that starts with the server makes itself a new, empty folder.
  const left = await remnants(
    ssh,
    paths.filter(path => path !== DOCKER),
  )
  if (left.length > 0)
    throw new ExpectedError(
      `left on ${ssh.name}: ${remnantText(left)}`,
      'see on the server what makes it; then run the same command again',
    )
  return 'no path, process, mount, unit, interface, port or firewall rule of k3s is left'
}

const UNMARK = `${ONLY_HERE}
rm -f -- /etc/openappstack/tools.json /etc/openappstack/cluster.json
rmdir --ignore-fail-on-non-empty /etc/openappstack
`

/** Removes the mark, as the very last: from now on the server is nobody's. */
export async function unmark(ssh: Ssh, mark: Mark): Promise<void> {
  await ssh.sh(UNMARK, onlyHere(mark), { sudo: true, title: 'removing the mark' })
}
