import { K3S } from '../../lib/k3s/k3s.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { unitStates } from '../../lib/server/facts.ts'
import { filesAt, type K3sFile, k3sFiles, settingsSources } from '../../lib/server/k3s-files.ts'
import { linesOf, readFacts, shell, type ValuesOf } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { mentions, replaceAddress } from './address.ts'
import { withAddress } from './k3s.ts'
import type { FileEdit } from './state.ts'

/** What a server has to say about its address. */
export interface ServerState {
  /** The files that are edited, by their real paths. */
  files: K3sFile[]
  /** What systemd says of k3s: `active`, `inactive`, `failed`, …; `absent` where there is no unit. */
  k3s: string
  /** Lines elsewhere on the server that hold one of the two addresses. */
  elsewhere: { path: string; line: number; text: string }[]
  /** Files that should be edited and are not text. */
  binary: string[]
}

/** Milliseconds that k3s may take to start. */
const START = 6 * 60_000

/** Manifests that k3s writes itself at every start (https://docs.k3s.io/installation/packaged-components). */
const PACKAGED =
  /^\/var\/lib\/rancher\/k3s\/server\/manifests\/(ccm|coredns|local-storage|rolebindings|runtimes|traefik|metrics-server\/.*)\.yaml$/

/** What a server is asked about these two addresses: the files that k3s reads them from, and where else they stand. */
export const addressQuestions = (old: string, address: string) => ({
  files: k3sFiles('server'),
  others: filesAt([K3S.kubeconfig, '/etc/hosts']),
  units: unitStates([K3S.service]),
  elsewhere: shell(
    'grep -rIFinZ -e "$1" -e "$2" /etc /var/lib/rancher/k3s/server/manifests',
    [old, address],
    // FILE NUL NUMBER:TEXT
    answer =>
      linesOf(answer).flatMap(found => {
        const [, path, number, text] = /^([^\0]*)\0(\d+):(.*)$/.exec(found) ?? []
        return path === undefined ? [] : [{ path, line: Number(number), text: text ?? '' }]
      }),
  ),
})

/** Reads what a server has to say about these two addresses. */
export async function readServer(ssh: Ssh, old: string, address: string): Promise<ServerState> {
  const questions = addressQuestions(old, address)
  return serverStateOf(
    await readFacts(ssh, questions, { sudo: true, title: 'reading the configuration of k3s' }),
  )
}

/** What the server answered. Its own units are not edited: those of a package lie outside of /etc. Pure. */
export function serverStateOf(said: ValuesOf<ReturnType<typeof addressQuestions>>): ServerState {
  const isOurs = ({ kind, path }: K3sFile) =>
    !(['unit', 'environment'].includes(kind) && !path.startsWith('/etc/'))
  const all = [...said.files, ...said.others].filter(isOurs)
  const files = all.filter(({ path }, i) => all.findIndex(other => other.path === path) === i)
  const edited = new Set(files.map(({ path }) => path))
  return {
    files: files.filter(({ isBinary }) => !isBinary),
    binary: files.filter(({ isBinary }) => isBinary).map(({ path }) => path),
    k3s: said.units.get(K3S.service) ?? 'absent',
    elsewhere: said.elsewhere.filter(({ path }) => !edited.has(path) && !PACKAGED.test(path)),
  }
}

/** What the files of the server become. Pure. */
export async function planServer(
  state: ServerState,
  change: { old: string; address: string; nodeIp: boolean },
): Promise<FileEdit[]> {
  const { old, address, nodeIp } = change
  const replaced = state.files.map(file => ({ ...file, text: replaceAddress(file.text, old, address) }))
  if (state.k3s !== 'absent') {
    for (const { path, text } of await withAddress(settingsSources(replaced), { address, nodeIp })) {
      const file = replaced.find(each => each.path === path)
      if (file) file.text = text
      else replaced.push({ path, text, kind: 'config', mode: 0o600, owner: '0:0', isBinary: false })
    }
  }
  return replaced.flatMap(({ path, text, mode, owner }): FileEdit[] => {
    const before = state.files.find(file => file.path === path)?.text
    return before === text ? [] : [{ place: 'server', path, mode, owner, before, after: text }]
  })
}

/** The settings that need the address on an interface of the server, as far as these edits give it to them. Pure. */
export function needsInterface(edits: readonly FileEdit[], address: string): string[] {
  return ['node-ip', 'bind-address'].filter(key =>
    edits.some(({ place, after = '' }) =>
      place === 'server'
        ? // A value ends with the next flag, or with the next key of YAML.
          after
            .split(key)
            .slice(1)
            .some(rest => mentions(rest.split(/\n(?=[\w#])|['"\s]--/)[0] ?? '', address))
        : false,
    ),
  )
}

/** Brings a file of the server to what it is to become, whole or not at all. */
export async function writeServerFile(ssh: Ssh, edit: FileEdit): Promise<void> {
  if (edit.after === undefined) {
    await ssh.run(['rm', '-f', '--', edit.path], { sudo: true })
    return
  }
  await ssh.upload(edit.after, edit.path, { mode: edit.mode, sudo: true })
  if (edit.owner && edit.owner !== '0:0')
    await ssh.run(['chown', '--', edit.owner, edit.path], { sudo: true })
}

/**
 * Restarts k3s, and says what it has said since when it does not start. `systemctl restart` waits until it serves,
 * since it is of Type=notify.
 */
const RESTART = `
since=$(date +%s)
systemctl daemon-reload
systemctl restart "$1" && exit 0
journalctl -u "$1" --since "@$since" -o cat --no-pager | tail -n 100
exit 1
`

/** Starts k3s with its present configuration. Its pods go on running meanwhile (https://docs.k3s.io/upgrades/killall). */
export async function restartK3s(ssh: Ssh): Promise<void> {
  const { code, stdout, stderr } = await ssh.exec(['sh', '-c', RESTART, 'sh', K3S.service], {
    sudo: true,
    timeout: START,
    title: 'restart of k3s',
  })
  if (code === 0) return
  const reason = reasonIn(stdout.toString()) ?? stderr.toString().trim().split('\n')[0]
  throw new ExpectedError(
    `k3s on ${ssh.name} does not start: ${reason || `exit code ${code}`}`,
    'look at its log: journalctl -u k3s -n 50',
  )
}

/** The line of the journal that says why k3s did not start: its own last word, else what systemd says of it. Pure. */
export function reasonIn(log: string): string | undefined {
  const lines = log.split('\n').map(line => line.trim())
  const own = lines.findLast(line => /level=(fatal|error)/.test(line))
  return (
    /msg="((?:[^"\\]|\\.)*)"/.exec(own ?? '')?.[1] ??
    own ??
    lines.findLast(line => /Failed with result|code=exited/.test(line))
  )
}
