import type { HostFacts } from '../certificates/host-facts.ts'
import type { SecretShape } from '../snapshot.ts'
import { LABELS, METADATA } from './parts.ts'
import { allowedPart, type Shape } from './pick.ts'

const CERTIFICATE: Shape = {
  error: 'message',
  subject: 'text',
  issuer: 'text',
  dnsNames: ['text'],
  notBefore: 'text',
  notAfter: 'text',
  fingerprint: 'text',
}
const FAILURE: Shape = { kind: 'text', message: 'message' }
const HOST: Shape = {
  host: 'text',
  expected: ['text'],
  directed: 'flag',
  dns: [{ name: 'text', resolver: 'text', a: ['text'], aaaa: ['text'], ttl: 'number', failed: 'text' }],
  http: [
    {
      at: 'text',
      path: 'text',
      challenge: 'text',
      hops: [{ url: 'url', status: 'number', server: 'text', location: 'url' }],
      matches: 'flag',
      failed: FAILURE,
    },
  ],
  tls: [{ at: 'text', chain: [CERTIFICATE], failed: FAILURE }],
  inside: { service: 'text', status: 'number', failed: 'message' },
}

/** The fields of saved facts besides the objects, the Secrets and the hosts. */
export const FACTS: Shape = {
  version: 'number',
  takenAt: 'text',
  server: 'url',
  kubernetes: 'text',
  clockOffset: 'number',
  groups: ['text'],
  gaps: [{ what: 'text', why: 'message' }],
  catalogue: [{ namespace: 'text', name: 'text', app: 'text', keys: ['text'] }],
  config: { git_url: 'url', git_branch: 'text' },
  unread: ['text'],
  signOn: {
    unready: [{ service: 'text', why: 'message' }],
    silent: [{ service: 'text', why: 'message' }],
    clients: [{ namespace: 'text', name: 'text', differs: ['text'] }],
    administrator: 'flag',
    refusedMail: { count: 'number', why: 'message' },
    unreadableKeys: 'message',
  },
  signOnSettings: [{ service: 'text', setting: 'text', value: 'text' }],
  overrides: [
    {
      kind: 'text',
      namespace: 'text',
      name: 'text',
      release: 'text',
      chart: 'text',
      unknown: [{ key: 'text', meant: 'text' }],
      changed: 'flag',
    },
  ],
  lastLines: [{ namespace: 'text', pod: 'text', container: 'text', text: 'message' }],
  complaints: [{ namespace: 'text', pod: 'text', container: 'text', text: 'message' }],
}

const SECRET: Shape = {
  namespace: 'text',
  name: 'text',
  uid: 'text',
  created: 'text',
  changed: 'text',
  type: 'text',
  labels: LABELS,
  annotations: METADATA.annotations!,
  keys: { '*': 'number' },
  newline: ['text'],
  published: ['text'],
  certificate: CERTIFICATE,
}

/** What facts hold of a Secret: names and sizes. Pure. */
export function secretFact(secret: SecretShape): SecretShape {
  const {
    namespace = '',
    name = '',
    type = '',
    keys = {},
    ...rest
  } = allowedPart(secret, SECRET) as SecretShape
  return { namespace, name, type, keys, ...rest }
}

/** What facts hold of a host. Pure. */
export function hostFact(host: HostFacts): HostFacts {
  const picked = allowedPart(host, HOST) as Partial<HostFacts>
  const caa = Array.isArray(host.caa) ? host.caa : []
  return {
    host: '',
    expected: [],
    dns: [],
    http: [],
    tls: [],
    ...picked,
    caa: caa.flatMap(each => {
      const name = allowedPart(each?.name, 'text') as string | undefined
      const records =
        allowedPart(each?.records, [{ '*': 'scalar' }]) ?? allowedPart(each?.records, { failed: 'text' })
      return name === undefined || records === undefined
        ? []
        : [{ name, records: records as HostFacts['caa'][number]['records'] }]
    }),
  }
}
