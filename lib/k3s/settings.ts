import { posix } from 'node:path'
import { EXIT, ExpectedError } from '../script/errors.ts'
import { K3S } from './k3s.ts'
import { lastCommand, type NamedText, serviceVariables } from './unit.ts'

/**
 * Flags that take no value on the command line, of `k3s server` and `k3s agent`
 * (github.com/k3s-io/k3s pkg/cli/cmds/server.go, pkg/cli/cmds/agent.go, pkg/cli/cmds/log.go).
 */
const SWITCHES = new Set(
  `debug alsologtostderr tls-san-security flannel-ipv6-masq flannel-external-ip cluster-init cluster-reset
  etcd-expose-metrics etcd-disable-snapshots etcd-snapshot-compress etcd-s3 etcd-s3-skip-ssl-verify etcd-s3-insecure
  disable-scheduler disable-cloud-controller disable-kube-proxy disable-network-policy disable-helm-controller
  disable-apiserver disable-controller-manager disable-etcd embedded-registry supervisor-metrics with-node-id docker
  protect-kernel-defaults secrets-encryption enable-pprof rootless prefer-bundled-bin selinux disable-agent
  disable-apiserver-lb disable-default-registry-endpoint nonroot-devices kine-tls`.split(/\s+/),
)

/** Flags that may be repeated, of which file and command line add up (same files: `StringSliceFlag`). */
const LISTS = new Set(
  `tls-san cluster-cidr service-cidr cluster-dns disable kube-apiserver-arg etcd-arg kube-controller-manager-arg
  kube-scheduler-arg kube-cloud-controller-manager-arg kubelet-arg kube-proxy-arg node-label node-taint node-ip
  node-external-ip node-internal-dns node-external-dns airgap-extra-registry`.split(/\s+/),
)

/** Short names of flags (same files). */
const ALIASES: Record<string, string> = {
  c: 'config',
  d: 'data-dir',
  o: 'write-kubeconfig',
  t: 'token',
  s: 'server',
  i: 'node-ip',
}

/** The variables that stand for flags, by the end of their names (same files: `EnvVars`). */
const VARIABLES: Record<string, string> = {
  ...Object.fromEntries(
    `token token-file agent-token agent-token-file cluster-init cluster-reset node-name data-dir datastore-endpoint
    datastore-cafile datastore-certfile datastore-keyfile resolv-conf selinux lb-server-port vpn-auth vpn-auth-file debug`
      .split(/\s+/)
      .map(flag => [`K3S_${flag.toUpperCase().replaceAll('-', '_')}`, flag]),
  ),
  K3S_URL: 'server',
  K3S_CONFIG_FILE: 'config',
  K3S_KUBECONFIG_OUTPUT: 'write-kubeconfig',
  K3S_KUBECONFIG_MODE: 'write-kubeconfig-mode',
  K3S_KUBECONFIG_GROUP: 'write-kubeconfig-group',
}

/** All that k3s reads its settings from. */
export interface SettingsSources {
  /** config.yaml and its drop-ins, in the order in which k3s reads them. */
  configs: readonly NamedText[]
  /** The unit of systemd and its drop-ins, in the order in which systemd reads them. */
  units: readonly NamedText[]
  /** Its environment files, in that order. */
  environments: readonly NamedText[]
}

/** One setting: its values, and the file that sets it. */
export interface K3sSetting {
  values: string[]
  from: string
}

/** The settings with which k3s starts, by the long names of its flags. */
export type K3sSettings = ReadonlyMap<string, K3sSetting>

/**
 * The settings with which k3s starts. Values of the files become arguments that stand before those of the unit
 * (github.com/k3s-io/k3s pkg/configfilearg/parser.go, Parse): so the unit wins over the files, both add up for flags
 * that may be repeated, and both win over the environment, which only gives defaults (pkg/cli/cmds/server.go, EnvVars).
 * Of a key in several files the last one counts, unless it ends with `+` (parser.go, readConfigFile). Pure; throws an
 * ExpectedError (exit code 4) for a file that k3s could not read either.
 */
export async function effectiveSettings(sources: SettingsSources): Promise<K3sSettings> {
  const settings = new Map<string, K3sSetting>()
  for (const [flag, setting] of environmentSettings(sources)) settings.set(flag, setting)
  for (const [flag, setting] of await fileSettings(sources.configs)) settings.set(flag, setting)
  const { path, words } = lastCommand(sources.units)
  for (const { flag, values } of flagsIn(words)) {
    // No variable stands for a flag that may be repeated.
    const before = LISTS.has(flag) ? (settings.get(flag)?.values ?? []) : []
    settings.set(flag, { values: [...before, ...values], from: path })
  }
  return settings
}

function environmentSettings({ units, environments }: SettingsSources): [string, K3sSetting][] {
  return Object.entries(serviceVariables(units, environments)).flatMap(
    ([name, value]): [string, K3sSetting][] => {
      const flag = VARIABLES[name]
      return flag && value !== '' ? [[flag, { values: [value], from: `$${name}` }]] : []
    },
  )
}

/** What the files set, merged as k3s merges them. */
export async function fileSettings(configs: readonly NamedText[]): Promise<Map<string, K3sSetting>> {
  const { parse } = await import('yaml')
  const settings = new Map<string, K3sSetting>()
  for (const { path, text } of configs) {
    const refuse = (why: string) =>
      new ExpectedError(
        `${path} on the server is not a configuration of k3s: ${why}`,
        'correct it there: k3s could not read it either',
        {
          exitCode: EXIT.refused,
        },
      )
    let content: unknown
    try {
      content = parse(text, { logLevel: 'error' }) ?? {}
    } catch {
      throw refuse('it is not valid YAML')
    }
    if (typeof content !== 'object' || Array.isArray(content))
      throw refuse('it is not a map of flags and values')
    for (const [key, value] of Object.entries(content as object)) {
      const name = key.replace(/\+$/, '')
      const flag = ALIASES[name] ?? name
      const values = [value].flat().map(each => (each === null || each === undefined ? '' : String(each)))
      const before = key.endsWith('+') ? (settings.get(flag)?.values ?? []) : []
      settings.set(flag, { values: [...before, ...values].filter(each => each !== ''), from: path })
    }
  }
  return settings
}

/** The flags in the words of a command line, each as it stands there. */
export function flagsIn(words: readonly string[]): { flag: string; values: string[]; words: string[] }[] {
  const flags = []
  for (let i = 0; i < words.length; i++) {
    const [, name, inline] = /^--?([A-Za-z][\w-]*)(?:=([\s\S]*))?$/.exec(words[i]!) ?? []
    if (name === undefined) continue
    const flag = ALIASES[name] ?? name
    if (inline !== undefined) flags.push({ flag, values: [inline], words: [words[i]!] })
    else if (SWITCHES.has(flag)) flags.push({ flag, values: ['true'], words: [words[i]!] })
    else {
      const value = words[i + 1]
      flags.push({ flag, values: value === undefined ? [] : [value], words: words.slice(i, i + 2) })
      i++
    }
  }
  return flags
}

/** The values of a setting that names several things: a list, or one text with commas, as k3s takes both. */
export function namesIn(settings: K3sSettings, flag: string): string[] {
  return (settings.get(flag)?.values ?? [])
    .flatMap(value => value.split(','))
    .map(value => value.trim())
    .filter(Boolean)
}

/** The value of a setting that has one; undefined where nothing sets it. */
export function valueIn(settings: K3sSettings, flag: string): string | undefined {
  return settings.get(flag)?.values.at(-1)
}

/**
 * Why k3s keeps its data where this toolkit does not look for them, or undefined: in another folder, in an external
 * datastore, or after settings in another file (pkg/cli/cmds/server.go: `data-dir`, `datastore-endpoint`; pkg/configfilearg/parser.go:
 * `config`). Pure.
 */
export function elsewhereProblem(settings: K3sSettings): string | undefined {
  const folder = posix.normalize(`${valueIn(settings, 'data-dir') ?? K3S.data}/`).slice(0, -1)
  const from = (flag: string) => settings.get(flag)!.from
  if (folder !== K3S.data) return `k3s keeps its data in ${folder} (data-dir in ${from('data-dir')})`
  if (valueIn(settings, 'datastore-endpoint') !== undefined)
    return `k3s keeps its data in an external datastore (datastore-endpoint in ${from('datastore-endpoint')})`
  const config = valueIn(settings, 'config')
  if (config !== undefined && config !== K3S.config)
    return `k3s reads its settings from ${config} (config in ${from('config')})`
  return undefined
}

/** Throws an ExpectedError (exit code 4) where k3s keeps its data elsewhere; `fix` says how to do the work by hand. */
export function refuseElsewhere(server: string, settings: K3sSettings, fix: string): void {
  const problem = elsewhereProblem(settings)
  if (problem) throw new ExpectedError(`${server}: ${problem}`, fix, { exitCode: EXIT.refused })
}

/**
 * The name that a node has by these settings: `node-name`, else the host name, in lower case
 * (github.com/k3s-io/k3s pkg/util/net.go, GetHostnameAndIPs). `with-node-id` adds an id to it, which only the node
 * itself knows. Pure.
 */
export function nodeNameBy(settings: K3sSettings, hostname: string): string {
  return (valueIn(settings, 'node-name') || hostname).toLowerCase()
}
