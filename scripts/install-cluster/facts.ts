import {
  DOWNLOADS,
  filesOf,
  K3S,
  LOCAL_STORAGE,
  ROOT_KUBECONFIG,
  type Role,
  TOOLS,
  TOOLS_RECORD,
} from '../../lib/k3s/k3s.ts'
import { ARCHITECTURES, type Arch } from '../../lib/k3s/releases.ts'
import { versionIn } from '../../lib/k3s/version.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'

/** The names of the tools of `TOOLS`. */
export type Tool = keyof typeof TOOLS

/** A tool as it is found on a server. */
export interface ToolFacts {
  /** The words in which it tells its version; empty when it says nothing. */
  said: string
  /** install-cluster wrote it. */
  isOurs: boolean
}

/** What is there of k3s on a host. */
export interface K3sFacts {
  arch: Arch
  hostname: string
  /** Of the binary; undefined where there is none. */
  sha256?: string
  version?: string
  /** Unit, environment file and configuration; undefined where there is none. */
  unit?: string
  env?: string
  config?: string
  /** Drop-ins, which win over the configuration. */
  dropIns: string[]
  enabled: boolean
  active: boolean
  /** The service was started after the last change of its binary, unit and configuration. */
  current: boolean
  /** The scripts that the installer makes next to the binary are there. */
  complete: boolean
  /** k3s runs in the other role here. */
  otherRole: boolean
  /** Bytes of the datastore; undefined where there is none. */
  datastore?: number
  /** Archives of images that k3s loads when it starts. */
  images: string[]
  storage: boolean
  /** SHA-256 of the token that an agent joins with; undefined where there is none. */
  agentToken?: string
  /** What root's kubeconfig is: k3s' own, another one, or absent. */
  rootKubeconfig: 'ours' | 'other' | 'absent'
  tools: Partial<Record<Tool, ToolFacts>>
  /** The folder of downloads is left from an earlier run. */
  leftovers: boolean
}

/** How a tool is asked for its version. */
const VERSION_ARGS: Record<Tool, readonly string[]> = {
  flux: ['version', '--client'],
  helm: ['version', '--short'],
  velero: ['version', '--client-only'],
  krew: ['version'],
}

/**
 * Says `fact value` a line; texts in base64, so that nothing in a file can pass for another fact. Arguments: role,
 * its service, unit and environment file, the service of the other role, its uninstaller.
 */
const LOOK = `
export LC_ALL=C
say() { printf '%s %s\\n' "$1" "$2"; }
text() { [ ! -f "$2" ] || say "$1" "$(base64 -w0 < "$2")"; }
say arch "$(uname -m)"
say hostname "$(uname -n)"
if [ -x ${K3S.binary} ]; then
  say sha256 "$(sha256sum < ${K3S.binary} | cut -c1-64)"
  say version "$(timeout 30 ${K3S.binary} --version 2>/dev/null </dev/null | head -n 1)"
fi
text unit "$3"
text env "$4"
text config ${K3S.config}
for file in ${K3S.config}.d/*.yaml; do [ ! -f "$file" ] || say drop-in "$file"; done
say enabled "$(systemctl is-enabled "$2" 2>/dev/null)"
say active "$(systemctl is-active "$2" 2>/dev/null)"
say started "$(systemctl show --property=ExecMainStartTimestampMonotonic --value "$2")"
say uptime "$(cut -d ' ' -f 1 /proc/uptime)"
say now "$(date +%s.%N)"
for file in ${K3S.binary} "$3" "$4" ${K3S.config} ${K3S.agentToken}; do
  [ ! -f "$file" ] || say changed "$(stat -c %.9Y "$file")"
done
[ ! -x ${K3S.killall} ] || [ ! -x "$6" ] || say complete yes
[ ! -e "/etc/systemd/system/$5" ] || say other yes
[ "$(ls -A ${K3S.datastore} 2>/dev/null)" = '' ] || say datastore "$(du -sb ${K3S.datastore} | cut -f 1)"
for file in ${K3S.images}/*; do [ ! -f "$file" ] || say image "$(basename "$file")"; done
[ ! -d ${LOCAL_STORAGE} ] || say storage yes
[ ! -s ${K3S.agentToken} ] || say agent-token "$(sha256sum < ${K3S.agentToken} | cut -c1-64)"
if [ "$(readlink ${ROOT_KUBECONFIG})" = ${K3S.kubeconfig} ]; then say kubeconfig ours
elif [ -e ${ROOT_KUBECONFIG} ]; then say kubeconfig other
fi
[ ! -e ${DOWNLOADS} ] || say leftovers yes
text tools ${TOOLS_RECORD}
`

/** Asks for the version of one tool: its path, then its arguments. */
const ASK = `
[ -e "$1" ] || exit 0
echo present
timeout 30 "$@" 2>&1 </dev/null || true
`

/** Looks what there is of k3s on a host; changes nothing. */
export async function lookAtHost(ssh: Ssh, role: Role): Promise<K3sFacts> {
  const own = filesOf(role)
  const other = filesOf(role === 'server' ? 'agent' : 'server')
  const args = [role, own.service, own.unit, own.env, other.service, own.uninstall]
  const text = await ssh.sh(LOOK, args, { sudo: true, title: 'looking for k3s' })
  const versions: Partial<Record<Tool, string>> = {}
  if (role === 'server')
    for (const tool of Object.keys(TOOLS) as Tool[]) {
      const asked = await ssh.sh(ASK, [TOOLS[tool], ...VERSION_ARGS[tool]], {
        sudo: true,
        title: `${tool} version`,
      })
      if (asked.startsWith('present')) versions[tool] = asked.slice('present'.length).trim()
    }
  return parseK3sFacts(text, versions)
}

/** What a host said, as facts. Pure; throws an ExpectedError for an architecture without releases. */
export function parseK3sFacts(text: string, versions: Partial<Record<Tool, string>> = {}): K3sFacts {
  const said = new Map<string, string[]>()
  for (const line of text.split('\n')) {
    const [, fact = '', value = ''] = /^(\S+) (.*)$/.exec(line) ?? []
    said.set(fact, [...(said.get(fact) ?? []), value])
  }
  const one = (fact: string) => said.get(fact)?.[0] || undefined
  const decoded = (fact: string) =>
    said.has(fact) ? Buffer.from(said.get(fact)![0]!, 'base64').toString() : undefined
  const datastore = one('datastore')
  const recorded = recordedTools(decoded('tools'))
  return {
    arch: archOf(one('arch') ?? ''),
    hostname: one('hostname') ?? '',
    sha256: one('sha256'),
    version: versionIn(one('version') ?? ''),
    unit: decoded('unit'),
    env: decoded('env'),
    config: decoded('config'),
    dropIns: said.get('drop-in') ?? [],
    enabled: one('enabled') === 'enabled',
    active: one('active') === 'active',
    current: startedLast(one, said.get('changed') ?? []),
    complete: said.has('complete'),
    otherRole: said.has('other'),
    datastore: datastore === undefined ? undefined : Number(datastore),
    images: said.get('image') ?? [],
    storage: said.has('storage'),
    agentToken: one('agent-token'),
    rootKubeconfig: (one('kubeconfig') as 'ours' | 'other' | undefined) ?? 'absent',
    tools: Object.fromEntries(
      Object.entries(versions).map(([tool, words]) => [
        tool,
        { said: words, isOurs: recorded.includes(TOOLS[tool as Tool]) },
      ]),
    ),
    leftovers: said.has('leftovers'),
  }
}

/** The paths in the record of tools; what is damaged records nothing. Pure. */
export function recordedTools(text: string | undefined): string[] {
  try {
    const { paths } = JSON.parse(text ?? '{}') as { paths?: unknown }
    return Array.isArray(paths) ? paths.filter(path => typeof path === 'string') : []
  } catch {
    return []
  }
}

/** Whether the service started after every change; times of systemd count from the boot. */
function startedLast(one: (fact: string) => string | undefined, changed: readonly string[]): boolean {
  const started = Number(one('started') ?? 0) / 1e6
  if (!started) return false
  const boot = Number(one('now')) - Number(one('uptime'))
  return changed.every(time => Number(time) <= boot + started)
}

function archOf(machine: string): Arch {
  const arch = { x86_64: 'amd64', aarch64: 'arm64' }[machine] ?? machine
  const found = ARCHITECTURES.find(each => each === arch)
  if (found) return found
  throw new ExpectedError(
    `the server is a ${machine || 'machine of an unknown kind'}`,
    'take one with x86_64 or aarch64: there are no releases of the programs for others',
  )
}

/** Whether a tool says the version that it should have. Pure. */
export function hasVersion(said: string, version: string): boolean {
  const number = version.replace(/^v/, '').replaceAll('.', '\\.')
  return new RegExp(`(^|[^\\d.])v?${number}($|[^\\d.])`, 'm').test(said)
}
