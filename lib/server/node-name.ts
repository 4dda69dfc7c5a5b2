import { type K3sSettings, nodeNameBy, valueIn } from '../k3s/settings.ts'
import { EXIT, ExpectedError } from '../script/errors.ts'
import type { NodeFact } from './nodes.ts'

/** What decides the name of a node. */
interface NamingFacts {
  hostname: string
  settings: K3sSettings
  nodes?: readonly NodeFact[] | undefined
  kubeletName?: string | undefined
  /** Bytes of the datastore on this host; undefined where there is none. */
  datastore?: number | undefined
}

/**
 * The name that the node of a host has in its cluster already: volumes are bound to it, whatever the settings say now.
 * Undefined where there is no cluster yet. Pure. Throws an ExpectedError (exit code 4) where it cannot be told.
 */
export function registeredName(facts: NamingFacts): string | undefined {
  const { nodes, kubeletName, datastore, settings, hostname } = facts
  if (nodes === undefined || nodes.length === 0) return kubeletName
  if (datastore === undefined) return kubeletName
  const names = nodes.map(({ name }) => name)
  const known = [kubeletName, nodeNameBy(settings, hostname)].find(name => name && names.includes(name))
  const servers = nodes.filter(({ isServer }) => isServer)
  if (known !== undefined) return known
  if (servers.length === 1) return servers[0]!.name
  throw new ExpectedError(
    `which of the nodes ${names.join(', ')} is ${hostname} cannot be told`,
    'set node-name in /etc/rancher/k3s/config.yaml on the server to the name of its node',
    { exitCode: EXIT.refused },
  )
}

/**
 * The name that the node of a host keeps, or gets when it has none. Pure. Throws an ExpectedError (exit code 4) for
 * settings that would rename it: its volumes would stay bound to the node with the old name.
 */
export function nodeNameFor(facts: NamingFacts): string {
  const { settings, hostname } = facts
  const registered = registeredName(facts)
  const configured = valueIn(settings, 'node-name')
  if (valueIn(settings, 'with-node-id') === 'true') {
    if (registered) return registered
    throw new ExpectedError(
      `with-node-id is set on ${hostname}: the name of its node cannot be known before its first start`,
      'set node-name to a unique name instead, and remove with-node-id',
      { exitCode: EXIT.refused },
    )
  }
  if (registered && configured && configured.toLowerCase() !== registered)
    throw new ExpectedError(
      `k3s would rename the node ${registered} of ${hostname} to ${configured} (node-name in ${settings.get('node-name')!.from}): its volumes stay bound to ${registered}`,
      `set node-name to ${registered} there`,
      { exitCode: EXIT.refused },
    )
  return registered ?? nodeNameBy(settings, hostname)
}
