import {
  DOWNLOADS,
  filesOf,
  K3S,
  LOCAL_STORAGE,
  ROOT_KUBECONFIG,
  type Role,
  TOOLS,
} from '../../lib/k3s/k3s.ts'
import { ARCHITECTURES, type Arch } from '../../lib/k3s/releases.ts'
import { effectiveSettings, type K3sSettings } from '../../lib/k3s/settings.ts'
import type { NamedText } from '../../lib/k3s/unit.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { existing, fileText, HOSTNAME, K3S_VERSION, MACHINE, RECORDED_TOOLS } from '../../lib/server/facts.ts'
import { k3sFiles, settingsSources } from '../../lib/server/k3s-files.ts'
import { KUBELET_NAME, NODES, type NodeFact } from '../../lib/server/nodes.ts'
import { linesOf, program, readFacts, shell, type ValuesOf, wholeNumber } from '../../lib/server/reader.ts'
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

/** The state of k3s on a host. */
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
  /** Drop-ins of the configuration, in the order in which k3s reads them after it. */
  dropIns: NamedText[]
  /** The settings with which k3s starts, from everywhere. */
  settings: K3sSettings
  /** The nodes that the API server on this host tells; undefined where none answers. */
  nodes?: NodeFact[]
  /** The name under which the kubelet of this host registered; undefined where it never did. */
  kubeletName?: string
  enabled: boolean
  active: boolean
  /**
   * The service was started after the last change of its binary, unit and configuration with drop-ins. The installer itself looks at
   * the first two (github.com/k3s-io/k3s install.sh, get_installed_hashes).
   */
  current: boolean
  /** The scripts of the installer exist (install.sh, create_killall, create_uninstall). */
  complete: boolean
  /** k3s runs in the other role here. */
  otherRole: boolean
  /** Bytes of the datastore; undefined where there is none. */
  datastore?: number
  /** Archives of images that k3s loads when it starts (pkg/agent/containerd/containerd.go, preloadImages). */
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

/** What a tool says of its version; undefined where it is not installed. */
const saidVersion = (tool: Tool) =>
  shell(
    '[ -e "$1" ] || exit 9; timeout 30 "$@" 2>&1',
    [TOOLS[tool], ...VERSION_ARGS[tool]],
    ({ text, code }) => (code === 9 ? undefined : text.trim()),
  )

/** SHA-256 of a file; undefined where it does not exist or is empty. */
const sha256 = (path: string) =>
  shell('[ ! -s "$1" ] || sha256sum < "$1"', [path], ({ text }) => text.slice(0, 64) || undefined)

/** What a host is asked about the k3s of a role. */
export function k3sQuestions(role: Role) {
  const own = filesOf(role)
  const other = filesOf(role === 'server' ? 'agent' : 'server')
  return {
    arch: MACHINE,
    hostname: HOSTNAME,
    sha256: sha256(K3S.binary),
    version: K3S_VERSION,
    unit: fileText(own.unit),
    env: fileText(own.env),
    config: fileText(K3S.config),
    files: k3sFiles(role),
    nodes: NODES,
    kubeletName: KUBELET_NAME,
    enabled: program(['systemctl', 'is-enabled', own.service], ({ text }) => text.trim() === 'enabled'),
    active: program(['systemctl', 'is-active', own.service], ({ text }) => text.trim() === 'active'),
    /** Seconds since the boot; 0 for a service that does not run. */
    started: program(
      ['systemctl', 'show', '--property=ExecMainStartTimestampMonotonic', '--value', own.service],
      ({ text }) => Number(text) / 1e6,
    ),
    clock: shell('date +%s.%N; cut -d " " -f 1 /proc/uptime', [], answer => linesOf(answer).map(Number)),
    changed: shell(
      `for file in "$@" ${K3S.config}.d/*; do [ ! -f "$file" ] || stat -c %.9Y "$file"; done`,
      [K3S.binary, own.unit, own.env, K3S.config, K3S.agentToken],
      answer => linesOf(answer).map(Number),
    ),
    scripts: existing([K3S.killall, own.uninstall]),
    others: existing([`/etc/systemd/system/${other.service}`, LOCAL_STORAGE, DOWNLOADS]),
    datastore: shell(`[ "$(ls -A "$1")" = '' ] || du -sb -- "$1"`, [K3S.datastore], ({ text }) =>
      wholeNumber(text.split('\t')[0] || undefined),
    ),
    images: program(['find', K3S.images, '-maxdepth', '1', '-type', 'f', '-printf', '%f\\n'], linesOf),
    agentToken: sha256(K3S.agentToken),
    rootKubeconfig: shell(
      'if [ -L "$1" ] || [ -e "$1" ]; then readlink "$1" || echo file; fi',
      [ROOT_KUBECONFIG],
      ({ text }) => (text === '' ? 'absent' : text.trim() === K3S.kubeconfig ? 'ours' : 'other'),
    ),
    recorded: RECORDED_TOOLS,
    ...(Object.fromEntries(Object.keys(TOOLS).map(tool => [tool, saidVersion(tool as Tool)])) as Record<
      Tool,
      ReturnType<typeof saidVersion>
    >),
  }
}

/** Reads the facts about k3s on a host. Changes nothing there. */
export async function readK3sFacts(ssh: Ssh, role: Role): Promise<K3sFacts> {
  const options = { sudo: true, timeout: 4 * 60_000, title: 'reading the facts about k3s' }
  return k3sFactsOf(role, await readFacts(ssh, k3sQuestions(role), options))
}

/** What a host answered, as facts. Pure; throws an ExpectedError for an architecture without releases. */
export async function k3sFactsOf(
  role: Role,
  said: ValuesOf<ReturnType<typeof k3sQuestions>>,
): Promise<K3sFacts> {
  const { arch, started, clock, changed, scripts, others, recorded, files, ...other } = said
  const { flux, helm, velero, krew, ...rest } = other
  const sources = settingsSources(files)
  const [now = 0, uptime = 0] = clock
  const versions = Object.entries(role === 'server' ? { flux, helm, velero, krew } : {})
  return {
    ...rest,
    arch: archOf(arch),
    dropIns: sources.configs.filter(({ path }) => path !== K3S.config),
    settings: await effectiveSettings(sources),
    // Times of systemd count from the boot.
    current: started > 0 && changed.every(time => time <= now - uptime + started),
    complete: scripts.length === 2,
    otherRole: others.some(path => path.endsWith('.service')),
    storage: others.includes(LOCAL_STORAGE),
    leftovers: others.includes(DOWNLOADS),
    tools: Object.fromEntries(
      versions.flatMap(([tool, words]) =>
        words === undefined ? [] : [[tool, { said: words, isOurs: recorded.includes(TOOLS[tool as Tool]) }]],
      ),
    ),
  }
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
