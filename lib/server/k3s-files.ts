import { filesOf, K3S, type Role } from '../k3s/k3s.ts'
import type { SettingsSources } from '../k3s/settings.ts'
import type { Ssh } from '../ssh/ssh.ts'
import { readServerFile } from './facts.ts'
import { type Answer, type Fact, linesOf, shell } from './reader.ts'

/** A file that k3s or its service reads, as it is on the server. */
export interface K3sFile {
  /** Its real path: links are followed. */
  path: string
  kind: 'config' | 'unit' | 'environment' | 'other'
  mode: number
  /** UID:GID */
  owner: string
  text: string
  /** Its bytes are not those of a text. */
  isBinary: boolean
}

/**
 * Drop-ins of config.yaml are `*.yaml` and `*.yml`, whatever their case, also hidden ones (github.com/k3s-io/k3s
 * pkg/configfilearg/parser.go, dotDFiles). systemd says which unit, drop-ins and environment files a service has.
 * Paths and contents are sent in base64: they may hold anything.
 */
const SHOW = `
show() {
  [ -f "$2" ] || return 0
  real=$(readlink -f -- "$2")
  printf '%s %s %s %s %s\\n' "$1" "$(stat -c '%a %u:%g' -- "$real")" "$(printf %s "$2" | base64 -w0)" "$(printf %s "$real" | base64 -w0)" "$(base64 -w0 < "$real")"
}
`
const READ = `${SHOW}
show config "$1"
for file in "$1".d/* "$1".d/.[!.]*; do
  case $file in *.[yY][aA][mM][lL] | *.[yY][mM][lL]) show config "$file" ;; esac
done
unit=$(systemctl show --value -p FragmentPath "$2")
show unit "\${unit:-$3}"
for file in $(systemctl show --value -p DropInPaths "$2"); do show unit "$file"; done
found=
for file in $(systemctl show --value -p EnvironmentFiles "$2"); do
  case $file in /*) found=1; show environment "$file" ;; esac
done
[ -n "$found" ] || show environment "$4"
`

/** The files that k3s and its service read in a role, in the order in which they are read. */
export function k3sFiles(role: Role): Fact<K3sFile[]> {
  const { service, unit, env } = filesOf(role)
  return shell(READ, [K3S.config, service, unit, env], answer => {
    const files = shownFiles(answer)
    // The main file is read first, then its drop-ins in the order of their bytes.
    const rank = ({ name }: ShownFile) => (name === K3S.config ? '' : name)
    const configs = files.filter(({ kind }) => kind === 'config').sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    return [...configs, ...files.filter(({ kind }) => kind !== 'config')].map(({ name: _, ...file }) => file)
  })
}

/** Those of these files that exist. */
export function filesAt(paths: readonly string[]): Fact<K3sFile[]> {
  return shell(`${SHOW}for file; do show other "$file"; done`, paths, answer =>
    shownFiles(answer).map(({ name: _, ...file }) => file),
  )
}

/** A file with the name by which it was asked for. */
type ShownFile = K3sFile & { name: string }

function shownFiles(answer: Answer): ShownFile[] {
  return linesOf(answer).map(line => {
    const [kind, mode = '', owner = '', name, real, content] = line.split(' ')
    const decode = (word = '') => Buffer.from(word, 'base64')
    const bytes = decode(content)
    const text = bytes.toString()
    return {
      name: decode(name).toString(),
      path: decode(real).toString(),
      kind: kind as K3sFile['kind'],
      mode: Number.parseInt(mode, 8),
      owner,
      text,
      isBinary: !Buffer.from(text).equals(bytes),
    }
  })
}

/** These files by what they are, for `effectiveSettings`. Pure. */
export function settingsSources(files: readonly K3sFile[]): SettingsSources {
  const of = (kind: K3sFile['kind']) => files.filter(file => file.kind === kind)
  return { configs: of('config'), units: of('unit'), environments: of('environment') }
}

/** k3s' kubeconfig as it is on the server; undefined while there is none. */
export async function remoteKubeconfig(ssh: Ssh): Promise<string | undefined> {
  return (await readServerFile(ssh, K3S.kubeconfig)) || undefined
}
