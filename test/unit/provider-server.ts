/**
 * A stand-in for the API of a provider, on the loopback. It is not the API of DigitalOcean or Greenhost: it
 * follows what DigitalOcean documents (https://docs.digitalocean.com/reference/api, github.com/digitalocean/openapi)
 * about paths, bodies, codes, pages, tags, rate limits and errors, as far as the toolkit uses them, and refuses
 * whatever it does not know. Like the real one it creates a second server of the same name without a word.
 */
import type http from 'node:http'
import { serve } from './transport.ts'

/** A server of the account. It becomes active after `looks` requests for it. */
export interface StandInDroplet {
  id: number
  name: string
  status: string
  tags: string[]
  networks: { v4: { ip_address: string; type: string }[]; v6: { ip_address: string; type: string }[] }
  looks: number
}

/** What a test does to one request, in place of or beside the answer. */
export type Fault =
  | { status: number; headers?: Record<string, string>; body?: unknown; text?: string }
  /** Cuts the connection before the request was carried out, or after. */
  | 'cut-before'
  | 'cut-after'
  | 'no-answer'

/** One request, as it came. */
export interface StandInRequest {
  number: number
  method: string
  path: string
  query: URLSearchParams
  body: unknown
}

interface StandInRecord {
  id: number
  type: string
  name: string
  data: string
  ttl?: number
}

/** A provider with one account. */
export interface StandIn {
  url: string
  droplets: StandInDroplet[]
  records: Map<string, StandInRecord[]>
  requests: StandInRequest[]
  /** Called for every request before it is carried out. */
  fault: (request: StandInRequest) => Fault | undefined | Promise<Fault | undefined>
  /** Called after it was carried out, before the answer is sent. */
  after: (request: StandInRequest) => void
  /** How often a new server has to be asked for until it is active. */
  looks: number
  /** Objects a page, whatever is asked for. */
  perPage: number
  /** Paths that this API does not have. */
  absent: string[]
  close: () => void
}

export const TOKEN = 'standin-token-0123456789abcdef'
const label = '[a-z0-9]([a-z0-9-]*[a-z0-9])?'

/** Starts a stand-in with the domain example.org, a few sizes, regions and images, and two SSH keys. */
export async function standIn(): Promise<StandIn> {
  const lists: Record<string, [key: string, items: unknown[]]> = {
    '/sizes': [
      'sizes',
      [
        { slug: 's-1vcpu-1gb', memory: 1024, vcpus: 1, disk: 25, available: true, regions: ['ams3', 'fra1'] },
        { slug: 's-8vcpu-16gb', memory: 16384, vcpus: 8, disk: 320, available: true, regions: ['ams3'] },
        { slug: 's-sold-out', memory: 16384, vcpus: 8, disk: 320, available: false, regions: [] },
      ],
    ],
    '/regions': [
      'regions',
      ['ams3', 'fra1'].map(slug => ({ slug, name: slug, available: true, sizes: [], features: [] })),
    ],
    '/images': [
      'images',
      [
        { id: 19, slug: 'debian-13-x64', name: '13 x64', distribution: 'Debian', public: true },
        { id: 77, slug: null, name: 'my image', distribution: 'Debian', public: false },
      ],
    ],
    '/account/keys': [
      'ssh_keys',
      [112, 113].map(id => ({ id, name: `key ${id}`, fingerprint: '3b:16', public_key: 'ssh-ed25519 AAAA' })),
    ],
  }
  let lastId = 1000
  const state: StandIn = {
    url: '',
    droplets: [],
    records: new Map([['example.org', [{ id: 1, type: 'NS', name: '@', data: 'ns1.example.net' }]]]),
    requests: [],
    fault: () => undefined,
    after: () => undefined,
    looks: 1,
    perPage: 200,
    absent: [],
    close: () => undefined,
  }

  const error = (status: number, id: string, message: string): [number, unknown] => [
    status,
    { id, message, request_id: 'standin-request-1' },
  ]
  const notFound = () => error(404, 'not_found', 'The resource you were accessing could not be found.')

  function page(request: StandInRequest, key: string, items: readonly unknown[]): [number, unknown] {
    const perPage = Math.min(Number(request.query.get('per_page') ?? 20), 200, state.perPage)
    const number = Number(request.query.get('page') ?? 1)
    const isLast = number * perPage >= items.length
    const link = (to: number) => `https://api.example.net/v2${request.path}?page=${to}&per_page=${perPage}`
    return [
      200,
      {
        [key]: items.slice((number - 1) * perPage, number * perPage),
        links: isLast
          ? {}
          : { pages: { next: link(number + 1), last: link(Math.ceil(items.length / perPage)) } },
        meta: { total: items.length },
      },
    ]
  }

  function createDroplet(body: Record<string, unknown>): [number, unknown] {
    const { name, region, size, image, ssh_keys: keys, tags = [], ...rest } = body
    const unprocessable = (message: string) => error(422, 'unprocessable_entity', message)
    if (typeof name !== 'string' || !new RegExp(`^${label}(\\.${label})*$`, 'i').test(name))
      return unprocessable('Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)')
    if (Object.keys(rest).length > 0) return unprocessable(`unknown ${Object.keys(rest).join()}`)
    if (region !== 'ams3' && region !== 'fra1') return unprocessable('You specified an invalid region.')
    if (typeof size !== 'string' || !size.startsWith('s-'))
      return unprocessable('You specified an invalid size.')
    if (image !== 'debian-13-x64' && image !== 19 && image !== 77)
      return unprocessable('You specified an invalid image for Droplet creation.')
    if (!Array.isArray(keys) || keys.some(key => key !== 112 && key !== 113))
      return unprocessable(`${keys} are invalid key identifiers for Droplet creation.`)
    if (!Array.isArray(tags) || tags.some(tag => !/^[\w:-]{1,255}$/.test(tag)))
      return unprocessable('invalid tag')
    const droplet: StandInDroplet = {
      id: ++lastId,
      name,
      status: 'new',
      tags,
      networks: { v4: [], v6: [] },
      looks: state.looks,
    }
    state.droplets.push(droplet)
    return [202, { droplet, links: { actions: [{ id: 1, rel: 'create', href: '' }] } }]
  }

  function lookAt(droplet: StandInDroplet): [number, unknown] {
    if (droplet.status === 'new' && --droplet.looks <= 0) {
      droplet.status = 'active'
      droplet.networks.v4.push({ ip_address: '10.133.0.2', type: 'private' })
      droplet.networks.v4.push({ ip_address: `203.0.113.${droplet.id % 250}`, type: 'public' })
    }
    return [200, { droplet }]
  }

  function createRecord(zone: StandInRecord[], body: Record<string, unknown>): [number, unknown] {
    const { type, name, data, ttl } = body as unknown as StandInRecord
    if (type === 'CNAME' && !data.endsWith('.'))
      return error(422, 'unprocessable_entity', 'Data needs to end with a dot (.)')
    if (zone.some(record => record.name === name && (record.type === 'CNAME' || type === 'CNAME')))
      return error(422, 'unprocessable_entity', 'CNAME records cannot share a name with other records')
    // As the real one does, the target of a CNAME comes back without its dot.
    const record = { id: ++lastId, type, name, data: type === 'CNAME' ? data.slice(0, -1) : data, ttl }
    zone.push(record)
    return [201, { domain_record: record }]
  }

  function changeRecord(zone: StandInRecord[], id: number, body: Record<string, unknown>): [number, unknown] {
    const record = zone.find(each => each.id === id)
    if (!record) return notFound()
    const { type, data, ...rest } = body
    if (type !== record.type || typeof data !== 'string' || Object.keys(rest).length > 0)
      return error(422, 'unprocessable_entity', 'type and data are expected')
    record.data = data
    return [200, { domain_record: record }]
  }

  function answer(request: StandInRequest): [number, unknown] {
    const { method, path } = request
    if (state.absent.includes(path)) return notFound()
    const list = lists[path]
    if (method === 'GET' && list) return page(request, ...list)
    if (path === '/droplets' && method === 'GET') return page(request, 'droplets', state.droplets)
    if (path === '/droplets' && method === 'POST')
      return createDroplet(request.body as Record<string, unknown>)
    const droplet = /^\/droplets\/(\d+)$/.exec(path)
    if (droplet && method === 'GET') {
      const found = state.droplets.find(({ id }) => id === Number(droplet[1]))
      return found ? lookAt(found) : notFound()
    }
    const zone = state.records.get(/^\/domains\/([^/]+)\/records$/.exec(path)?.[1] ?? '')
    if (zone && method === 'GET') return page(request, 'domain_records', zone)
    if (zone && method === 'POST') return createRecord(zone, request.body as Record<string, unknown>)
    const [, name = '', id] = /^\/domains\/([^/]+)\/records\/(\d+)$/.exec(path) ?? []
    const holding = state.records.get(name)
    if (holding && method === 'PUT')
      return changeRecord(holding, Number(id), request.body as Record<string, unknown>)
    return notFound()
  }

  const { url, close } = await serve(
    async (incoming: http.IncomingMessage, response: http.ServerResponse) => {
      let text = ''
      for await (const chunk of incoming) text += chunk
      const target = new URL(incoming.url ?? '', 'http://standin')
      const request: StandInRequest = {
        number: state.requests.length + 1,
        method: incoming.method ?? '',
        path: target.pathname.replace(/^\/v2/, ''),
        query: target.searchParams,
        body: text ? JSON.parse(text) : undefined,
      }
      state.requests.push(request)
      const send = (status: number, body: unknown, headers: Record<string, string> = {}) => {
        response.writeHead(status, {
          'content-type': 'application/json',
          'ratelimit-limit': '5000',
          'ratelimit-remaining': '4999',
          ...headers,
        })
        response.end(typeof body === 'string' ? body : JSON.stringify(body))
      }
      const fault = await state.fault(request)
      if (fault === 'no-answer') return
      if (fault === 'cut-before') return void incoming.socket.destroy()
      if (typeof fault === 'object') return send(fault.status, fault.text ?? fault.body ?? {}, fault.headers)
      if (incoming.headers.authorization !== `Bearer ${TOKEN}`) {
        const [status, body] = error(401, 'Unauthorized', 'Unable to authenticate you')
        return send(status, body)
      }
      const [status, body] = answer(request)
      state.after(request)
      if (fault === 'cut-after') return void incoming.socket.destroy()
      send(status, body)
    },
  )
  state.url = `${url}/v2`
  state.close = close
  return state
}
