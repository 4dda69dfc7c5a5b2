import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import type { Api } from './api.ts'
import { LOOPBACK, type Ports } from './spec.ts'
import { KNOWN_PORTS, type KnownPorts } from './state.ts'

const SOURCES = '/apis/source.toolkit.fluxcd.io/v1'
/** The objects of the platform that hold an address of the sandbox: in their spec, their data or their status. */
const HOLDERS = [
  ...['gitrepositories', 'helmrepositories', 'helmcharts'].map(kind => `${SOURCES}/${kind}`),
  '/apis/cert-manager.io/v1/clusterissuers',
  '/api/v1/namespaces/flux-system/secrets',
]

/**
 * Updates the addresses of the sandbox in the cluster, where it had other ports when they were written: another
 * program has taken them, or the state is a copy of another sandbox's. It is done before the controllers of Flux
 * start. One that fails to fetch an artifact from an old address would try again after minutes only.
 */
export async function readdress(api: Api, server: string, known: KnownPorts, ports: Ports): Promise<void> {
  const moved = KNOWN_PORTS.filter(name => known[name] !== undefined && known[name] !== ports[name])
  if (moved.length === 0) return
  const update = (text: string) =>
    // All at once: a new port may be an old one of another listener.
    text.replaceAll(new RegExp(`(?<=${LOOPBACK.replaceAll('.', '[.]')}:)\\d+\\b`, 'g'), port => {
      const name = moved.find(name => `${known[name]}` === port)
      return name ? `${ports[name]}` : port
    })
  for (const path of HOLDERS) {
    const { status, body } = await api.request(`${server}${path}`)
    if (status === 404) continue // nothing of this kind is installed
    for (const object of JSON.parse(body).items as KubeObject[]) {
      const { namespace, name } = object.metadata
      const all = namespace && !path.includes('/namespaces/')
      const folder = all ? path.replace(/[^/]+$/, kind => `namespaces/${namespace}/${kind}`) : path
      const patch = async (at: string, before: object, after: object) => {
        if (JSON.stringify(after) === JSON.stringify(before)) return
        await api.merge(server, `${folder}/${name}${at}`, after)
      }
      const { spec, data } = object
      await patch('', { spec, data }, { spec: updated(spec, update), data: updatedData(data, update) })
      if (path.startsWith(SOURCES) && object.status)
        await patch('/status', { status: object.status }, { status: updated(object.status, update) })
    }
  }
}

function updated<T>(value: T, update: (text: string) => string): T {
  return value && JSON.parse(update(JSON.stringify(value)))
}

/** The data of a Secret; a value need not be text. */
function updatedData(data: KubeObject['data'], update: (text: string) => string): KubeObject['data'] {
  const plain = (encoded: string) => Buffer.from(encoded, 'base64').toString('latin1')
  return (
    data &&
    Object.fromEntries(
      Object.entries(data as Record<string, string>).map(([name, value]) => [
        name,
        Buffer.from(update(plain(value)), 'latin1').toString('base64'),
      ]),
    )
  )
}
