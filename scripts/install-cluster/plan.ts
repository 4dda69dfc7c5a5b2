import { DOWNLOADS, LOCAL_STORAGE, ROOT_KUBECONFIG, type Role, SAVED, TOOLS } from '../../lib/k3s/k3s.ts'
import type { Artifact, ReleaseName } from '../../lib/k3s/releases.ts'
import { refuseElsewhere } from '../../lib/k3s/settings.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { nodeNameFor } from '../../lib/server/node-name.ts'
import { agentConfig, editK3sConfig, serverConfig, unitArgs, unitVariables, withMoved } from './config.ts'
import { diffLines } from './diff.ts'
import { hasVersion, type K3sFacts, type Tool } from './facts.ts'
import { upgradeProblem } from './upgrade.ts'

/** What a host is to become. */
export interface WantedHost {
  role: Role
  artifacts: Record<ReleaseName, Artifact>
  /** For a server: its name and address for others. */
  domain?: string
  address: string
  /** For an agent: the SHA-256 of the token that it joins with; undefined while there is none yet. */
  token?: string
  /** Images come with it, instead of over the network. */
  airgap: boolean
}

/** What has to be done to a host. Everything is a decision over facts. */
export interface HostPlan {
  role: Role
  node: string
  version: string
  /** The binary has to be put in place. */
  binary: boolean
  /** Datastore and token have to be saved before. */
  save: boolean
  /** The new text of config.yaml. */
  config?: string
  token: boolean
  images: boolean
  storage: boolean
  /** The official installer has to run, which (re)starts k3s. */
  install: boolean
  /** Flags and variables of an earlier installation, which the installer has to be given again. */
  args: string[]
  variables: Record<string, string>
  tools: Tool[]
  rootKubeconfig: boolean
  downloads: ReleaseName[]
  /** In words, for the plan. */
  lines: string[]
  /** In words: what stays as it is. */
  notes: string[]
}

/**
 * Compares a host with what it is to become. Pure; throws an ExpectedError (exit code 4) for what must not be
 * done to it.
 */
export async function planHost(facts: K3sFacts, wanted: WantedHost): Promise<HostPlan> {
  const { role, artifacts } = wanted
  const { version, sha256 } = artifacts.k3s
  if (facts.otherRole)
    throw new ExpectedError(
      `k3s is installed on ${facts.hostname} as ${role === 'server' ? 'an agent of another server' : 'a server of its own'}`,
      'check inventory.yml; to reuse a host, purge it first',
      { exitCode: EXIT.refused },
    )
  refuseElsewhere(
    facts.hostname,
    facts.settings,
    'this script could neither save its data nor find them: upgrade it by hand (https://docs.k3s.io/upgrades/manual)',
  )
  checkVersion(facts, role, version)
  const flags = unitArgs(facts.unit ?? '', role)
  const variables = unitVariables(facts.env ?? '')
  const before = facts.config ?? ''
  const node = nodeNameFor(facts)
  const base =
    role === 'server'
      ? serverConfig({ name: node, domain: wanted.domain ?? wanted.address, address: wanted.address })
      : agentConfig({ name: node, server: wanted.address })
  const config = await editK3sConfig(before, withMoved(base, flags), facts.dropIns)

  const isMoved = Object.keys(flags.move).length > 0
  const binary = facts.sha256 === undefined || facts.version !== version || facts.sha256 !== sha256
  const token = role === 'agent' && (wanted.token === undefined || facts.agentToken !== wanted.token)
  const isRunning = facts.unit !== undefined && facts.enabled && facts.active && facts.current
  const install = binary || token || config !== before || isMoved || !facts.complete || !isRunning
  const save = binary && role === 'server' && facts.datastore !== undefined
  const images = wanted.airgap && (binary || (install && !facts.images.includes(artifacts.images.file)))
  const storage = role === 'server' && !facts.storage
  const toolNames = role === 'server' ? (Object.keys(TOOLS) as Tool[]) : []
  const foreign = toolNames.filter(tool => facts.tools[tool] && !facts.tools[tool].isOurs)
  const tools = toolNames.filter(
    tool => !foreign.includes(tool) && !hasVersion(facts.tools[tool]?.said ?? '', artifacts[tool].version),
  )
  const rootKubeconfig = role === 'server' && facts.rootKubeconfig === 'absent'

  const lines = [
    ...(save
      ? [`save datastore (${megabytes(facts.datastore!)}) and token of k3s to ${SAVED}, while k3s is stopped`]
      : []),
    ...(binary ? [describeBinary(facts, version)] : []),
    ...(images ? [`load the images of k3s from ${artifacts.images.file}`] : []),
    ...(storage ? [`create ${LOCAL_STORAGE}`] : []),
    ...(config === before ? [] : ['write /etc/rancher/k3s/config.yaml:']),
    ...diffLines(before, config).map(line => `  ${line}`),
    ...(isMoved
      ? [
          `move ${Object.keys(flags.move)
            .map(flag => `--${flag}`)
            .join(', ')} from the service unit to config.yaml`,
        ]
      : []),
    ...(token ? ['write the token that it joins with'] : []),
    ...(install
      ? [`run the official installer, which ${facts.active ? 'restarts' : 'starts'} k3s${whyInstall()}`]
      : []),
    ...tools.map(tool => `install ${tool} ${artifacts[tool].version} as ${TOOLS[tool]}`),
    ...(rootKubeconfig ? [`link ${ROOT_KUBECONFIG} to k3s' own kubeconfig`] : []),
  ]
  // Of a run that was killed near its end.
  if (lines.length === 0 && facts.leftovers) lines.push(`remove the downloads in ${DOWNLOADS}`)
  const notes = [
    ...foreign.map(
      tool =>
        `${TOOLS[tool]} was installed by somebody else and stays; remove it to get ${artifacts[tool].version}`,
    ),
    ...facts.dropIns.map(({ path }) => `${path} wins over config.yaml, and stays`),
    ...(role === 'server' && facts.rootKubeconfig === 'other'
      ? [`${ROOT_KUBECONFIG} is somebody else's and stays: flux, helm and velero of root follow it`]
      : []),
  ]
  const downloads: ReleaseName[] = [
    ...(binary ? (['k3s'] as const) : []),
    ...(install ? (['installer'] as const) : []),
    ...(images ? (['images'] as const) : []),
    ...tools,
  ]
  return {
    role,
    node,
    version,
    binary,
    save,
    config: config === before ? undefined : config,
    token,
    images,
    storage,
    install,
    args: flags.keep,
    variables,
    tools,
    rootKubeconfig,
    downloads,
    lines,
    notes,
  }

  function whyInstall(): string {
    if (binary || token || config !== before || isMoved || facts.unit === undefined) return ''
    if (!facts.active) return ' (it does not run)'
    if (!facts.enabled) return ' (it would not start with the server)'
    return facts.current ? ' (its scripts are not complete)' : ' (it was changed after its start)'
  }
}

/** Refuses to go from the version of a host to another one, where that cannot be. Pure. */
export function checkVersion(facts: K3sFacts, role: Role, version: string): void {
  // Without a datastore there is nothing that an older version could not read.
  if (!facts.version || facts.version === version || (role === 'server' && !facts.datastore)) return
  const problem = upgradeProblem(facts.version, version)
  if (problem) throw problem
}

function describeBinary(facts: K3sFacts, version: string): string {
  if (facts.version === undefined) return `install k3s ${version}`
  if (facts.version !== version) return `upgrade k3s from ${facts.version} to ${version}`
  return `replace the binary of k3s ${version}, which is not that of the release`
}

const megabytes = (bytes: number) => `${Math.max(1, Math.round(bytes / 1e6))} MB`
