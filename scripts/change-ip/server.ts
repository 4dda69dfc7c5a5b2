import { K3S } from '../../lib/k3s/k3s.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { mentions, replaceAddress } from './address.ts'
import { type NamedText, withAddress } from './k3s.ts'
import type { FileEdit } from './state.ts'

/** A file of the server as it is. */
export interface ServerFile extends NamedText {
  mode: number
  /** UID:GID */
  owner: string
}

/** What a server has to say about its address. */
export interface ServerState {
  /** The files that are edited, by their real paths. */
  files: ServerFile[]
  /** What systemd says of k3s: `active`, `inactive`, `failed`, …; `absent` where there is no unit. */
  k3s: string
  /** Lines elsewhere on the server that hold one of the two addresses. */
  elsewhere: { path: string; line: number; text: string }[]
  /** Files that should be edited and are not text. */
  binary: string[]
}

/** Milliseconds that k3s may take to start. */
const START = 6 * 60_000

/**
 * The files that k3s reads its address from, and the names of the server. systemd says where the unit is, and which
 * drop-ins and environment files it has. Words are sent in base64: file names and contents may hold anything.
 */
const READ = `
show() {
  for file; do
    [ -f "$file" ] || continue
    real=$(readlink -f -- "$file")
    printf 'file %s %s %s\\n' "$(stat -c '%a %u:%g' -- "$real")" "$(printf %s "$real" | base64 -w0)" "$(base64 -w0 < "$real")"
  done
}
show /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/*.yaml /etc/rancher/k3s/k3s.yaml /etc/hosts
for property in FragmentPath DropInPaths EnvironmentFiles; do
  for file in $(systemctl show --value -p "$property" k3s.service 2>/dev/null); do
    case $file in /etc/*) show "$file" ;; esac
  done
done
load=$(systemctl show --value -p LoadState k3s.service 2>/dev/null)
if [ "$load" = loaded ]; then printf 'k3s %s\\n' "$(systemctl show --value -p ActiveState k3s.service)"; fi
printf 'elsewhere %s\\n' "$(grep -rIFinZ -e "$1" -e "$2" /etc /var/lib/rancher/k3s/server/manifests 2>/dev/null | base64 -w0)"
`

/** Manifests that k3s writes itself at every start (https://docs.k3s.io/installation/packaged-components). */
const PACKAGED =
  /^\/var\/lib\/rancher\/k3s\/server\/manifests\/(ccm|coredns|local-storage|rolebindings|runtimes|traefik|metrics-server\/.*)\.yaml$/

/** Reads what a server has to say about these two addresses. */
export async function readServer(ssh: Ssh, old: string, address: string): Promise<ServerState> {
  return parseServer(
    await ssh.sh(READ, [old, address], { sudo: true, title: 'reading the configuration of k3s' }),
  )
}

/** What the server says, parsed. Pure. */
export function parseServer(said: string): ServerState {
  const state: ServerState = { files: [], k3s: 'absent', elsewhere: [], binary: [] }
  const decode = (word = '') => Buffer.from(word, 'base64')
  for (const line of said.split('\n')) {
    const [kind, ...words] = line.split(' ')
    if (kind === 'k3s') state.k3s = words[0] ?? ''
    if (kind === 'file') {
      const [mode, owner = '', path, content] = words
      const bytes = decode(content)
      const file = {
        path: decode(path).toString(),
        mode: Number.parseInt(mode ?? '', 8),
        owner,
        text: bytes.toString(),
      }
      if (!Buffer.from(file.text).equals(bytes)) state.binary.push(file.path)
      else if (!state.files.some(({ path }) => path === file.path)) state.files.push(file)
    }
    // FILE NUL NUMBER:TEXT
    if (kind === 'elsewhere')
      for (const found of decode(words[0]).toString().split('\n')) {
        const [, path, number, text] = /^([^\0]*)\0(\d+):(.*)$/.exec(found) ?? []
        if (path !== undefined) state.elsewhere.push({ path, line: Number(number), text: text ?? '' })
      }
  }
  const edited = new Set(state.files.map(({ path }) => path))
  state.elsewhere = state.elsewhere.filter(({ path }) => !edited.has(path) && !PACKAGED.test(path))
  return state
}

const isConfig = (path: string) =>
  path === K3S.config || (path.startsWith(`${K3S.config}.d/`) && path.endsWith('.yaml'))
const isUnit = (path: string) => !isConfig(path) && path !== K3S.kubeconfig && path !== '/etc/hosts'

/** The text of the unit of k3s, with drop-ins and environment files. */
export function unitText(state: ServerState): string {
  return state.files
    .filter(({ path }) => isUnit(path))
    .map(({ text }) => text)
    .join('\n')
}

/** What the files of the server become. Pure. */
export async function planServer(
  state: ServerState,
  change: { old: string; address: string; nodeIp: boolean },
): Promise<FileEdit[]> {
  const { old, address, nodeIp } = change
  const replaced = state.files.map(file => ({ ...file, text: replaceAddress(file.text, old, address) }))
  if (state.k3s !== 'absent') {
    const configs = replaced.filter(({ path }) => isConfig(path))
    const unit = unitText({ ...state, files: replaced })
    for (const { path, text } of await withAddress(configs, unit, { address, nodeIp })) {
      const file = replaced.find(each => each.path === path)
      if (file) file.text = text
      else replaced.push({ path, text, mode: 0o600, owner: '0:0' })
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

/** The text of a file of the server; undefined where there is none. */
export async function readServerFile(ssh: Ssh, path: string): Promise<string | undefined> {
  const there = await ssh.exec(['test', '-e', path], { sudo: true })
  return there.code === 0 ? (await ssh.download(path, { sudo: true })).toString() : undefined
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
