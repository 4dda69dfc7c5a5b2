import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import type { Api } from './api.ts'
import { LOOPBACK, type Ports } from './spec.ts'
import { KNOWN_PORTS, type KnownPorts } from './state.ts'

/** The objects of the platform that hold an address of the sandbox: in their spec, or in their data. */
const HOLDERS = [
  '/apis/source.toolkit.fluxcd.io/v1/gitrepositories',
  '/apis/source.toolkit.fluxcd.io/v1/helmrepositories',
  '/apis/cert-manager.io/v1/clusterissuers',
  '/api/v1/namespaces/flux-system/secrets',
]

/**
 * Tells what is installed in the cluster the addresses of now, where the sandbox had other ports when it was
 * installed: another program has taken them, or the state is a copy of another sandbox's. It is done before the
 * controllers of Flux start, so that they never ask the old ones.
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
    if (status === 404) continue // nothing of this kind was installed
    for (const { metadata, spec, data } of JSON.parse(body).items as KubeObject[]) {
      const before = { spec, data }
      const after = readdressed(before, update)
      if (JSON.stringify(after) === JSON.stringify(before)) continue
      const all = metadata.namespace && !path.includes('/namespaces/')
      const folder = all ? path.replace(/[^/]+$/, kind => `namespaces/${metadata.namespace}/${kind}`) : path
      await api.request(`${server}${folder}/${metadata.name}`, {
        method: 'PATCH',
        contentType: 'application/merge-patch+json',
        body: JSON.stringify(after),
      })
    }
  }
}

/** The spec and the data of an object with every address updated. Pure. */
function readdressed(
  { spec, data }: Pick<KubeObject, 'spec' | 'data'>,
  update: (text: string) => string,
): Pick<KubeObject, 'spec' | 'data'> {
  const plain = (encoded: string) => Buffer.from(encoded, 'base64').toString('latin1')
  const values = Object.entries((data ?? {}) as Record<string, string>)
  return {
    spec: spec && JSON.parse(update(JSON.stringify(spec))),
    data:
      data &&
      Object.fromEntries(
        values.map(([name, value]) => [name, Buffer.from(update(plain(value)), 'latin1').toString('base64')]),
      ),
  }
}
