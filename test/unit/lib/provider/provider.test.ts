import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { oneLine, ProviderClient } from '../../../../lib/provider/provider-client.ts'
import { checkProviderUrl, PROVIDERS, providerToken } from '../../../../lib/provider/providers.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { recordState, wantedRecords } from '../../../../scripts/create-cluster/dns-records.ts'
import {
  checkOrder,
  choicesOf,
  type DropletOrder,
  dropletBody,
  publicAddressOf,
  tagOf,
  tooSmall,
} from '../../../../scripts/create-cluster/droplet.ts'
import { Provider } from '../../../../scripts/create-cluster/provider.ts'
import { expectedFrom } from '../../helpers.ts'
import { type Fault, type StandIn, standIn, TOKEN } from '../../provider-server.ts'
import { nobody } from '../../transport.ts'

const spec = PROVIDERS.digitalocean!
const order: DropletOrder = {
  name: 'oas.example.org',
  size: 's-8vcpu-16gb',
  region: 'ams3',
  image: 'debian-13-x64',
  sshKeyId: 112,
  tag: tagOf('oas.example.org'),
}
const connect = (url: string, options: { token?: string; timeout?: number; signal?: AbortSignal } = {}) =>
  new Provider(
    new ProviderClient(spec, url, options.token ?? TOKEN, { backoff: 5, timeout: 2000, ...options }),
    {
      every: 10,
      signal: options.signal,
    },
  )

/** Runs `work` against a stand-in of its own. */
async function withStandIn<T>(work: (server: StandIn, provider: Provider) => Promise<T>): Promise<T> {
  const server = await standIn()
  try {
    return await work(server, connect(server.url))
  } finally {
    server.close()
  }
}
const posts = (server: StandIn) => server.requests.filter(({ method }) => method === 'POST').length

test('a server is ordered once, and found again by its name and tag', () =>
  withStandIn(async (server, provider) => {
    const first = await provider.order(order)
    const second = await provider.order(order)
    assert.equal([first.created, second.created, second.droplet.id], [true, false, first.droplet.id])
    assert.equal(server.requests.find(({ method }) => method === 'POST')?.body, {
      name: 'oas.example.org',
      region: 'ams3',
      size: 's-8vcpu-16gb',
      image: 'debian-13-x64',
      ssh_keys: [112],
      tags: ['openappstack:oas_example_org'],
    })
  }))

test('a server of that name which is not ours, or a second one, is refused and nothing is created', () =>
  withStandIn(async (server, provider) => {
    const stranger = {
      id: 7,
      name: order.name,
      status: 'active',
      tags: ['x'],
      networks: { v4: [], v6: [] },
      looks: 0,
    }
    server.droplets.push(stranger)
    const error = await expectedFrom(() => provider.order(order))
    assert.equal([error.exitCode, posts(server)], [4, 0])
    assert.match(error.message, '(id 7)')
    server.droplets.push({ ...stranger, id: 8 })
    assert.match(
      (await expectedFrom(() => provider.order({ ...order, tag: undefined }))).message,
      '(id 7, 8)',
    )
  }))

test('without tags the name alone decides', () =>
  withStandIn(async (server, provider) => {
    server.droplets.push({
      id: 7,
      name: order.name,
      status: 'active',
      tags: [],
      networks: { v4: [], v6: [] },
      looks: 0,
    })
    assert.is((await provider.order({ ...order, tag: undefined })).droplet.id, 7)
    assert.not.ok('tags' in dropletBody({ ...order, tag: undefined }))
    assert.is(dropletBody({ ...order, image: '19' }).image, 19)
  }))

test('waiting ends with the public address, and tells the states between', () =>
  withStandIn(async (server, provider) => {
    server.looks = 3
    const { droplet } = await provider.order(order)
    const states: string[] = []
    const ready = await provider.ready(droplet.id, 5000, state => states.push(state))
    assert.is(ready.address, '203.0.113.1'.replace(/1$/, String(droplet.id % 250)))
    assert.equal(states, Array(2).fill(`server ${droplet.id} is new, without an address`))
  }))

test('waiting gives up with the last state, and ends at once for a server that is gone', () =>
  withStandIn(async (server, provider) => {
    server.looks = 1e9
    const { droplet } = await provider.order(order)
    const error = await expectedFrom(() => provider.ready(droplet.id, 60, () => undefined))
    assert.match(error.message, `last seen: server ${droplet.id} is new, without an address`)
    server.droplets.length = 0
    assert.match(
      (await expectedFrom(() => provider.ready(droplet.id, 5000, () => undefined))).message,
      'does not exist',
    )
  }))

test('an interruption ends the wait', () =>
  withStandIn(async server => {
    server.looks = 1e9
    const abort = new AbortController()
    const provider = connect(server.url, { signal: abort.signal })
    const { droplet } = await provider.order(order)
    setTimeout(() => abort.abort(new Error('stop')), 50)
    try {
      await provider.ready(droplet.id, 60_000, () => undefined)
      assert.unreachable()
    } catch (error) {
      assert.is((error as Error).message, 'stop')
    }
  }))

test('lists are read to the last page, and only from our own address', () =>
  withStandIn(async (server, provider) => {
    server.perPage = 3
    for (let id = 1; id <= 8; id++)
      server.droplets.push({
        id,
        name: `n${id}`,
        status: 'active',
        tags: [],
        networks: { v4: [], v6: [] },
        looks: 0,
      })
    // The links of the stand-in name another host, which is never asked: it does not exist.
    assert.is((await provider.ordered({ name: 'n8' }))?.id, 8)
    assert.equal(
      server.requests.map(({ query }) => query.get('page')),
      [null, '2', '3'],
    )
  }))

test('a list whose pages never end is given up', () =>
  withStandIn(async (server, provider) => {
    server.fault = () => ({
      status: 200,
      body: { droplets: [], links: { pages: { next: 'https://x/?page=2' } } },
    })
    assert.match((await expectedFrom(() => provider.ordered(order))).message, 'more than 100 pages')
    assert.is(server.requests.length, 100)
  }))

test('records are created once, whatever form the API gives them back in', () =>
  withStandIn(async (server, provider) => {
    const wanted = wantedRecords('example.org', 'oas', '203.0.113.7')
    for (const created of [true, false])
      for (const record of wanted) assert.is(await provider.ensureRecord('example.org', record), created)
    assert.equal(
      server.records
        .get('example.org')!
        .slice(1)
        .map(({ type, name, data }) => [type, name, data]),
      [
        ['A', 'oas', '203.0.113.7'],
        ['CNAME', '*.oas', 'oas.example.org'],
      ],
    )
  }))

test('the records of a root domain and of an IPv6 address', () => {
  assert.equal(wantedRecords('example.org', undefined, '2001:db8::1'), [
    { type: 'AAAA', name: '@', data: '2001:db8::1' },
    { type: 'CNAME', name: '*', data: 'example.org.' },
  ])
})

test('a record that contradicts is reported, never overwritten', () =>
  withStandIn(async (server, provider) => {
    const zone = server.records.get('example.org')!
    zone.push({ id: 2, type: 'A', name: 'oas', data: '192.0.2.1' })
    const error = await expectedFrom(() =>
      provider.ensureRecord('example.org', wantedRecords('example.org', 'oas', '203.0.113.7')[0]!),
    )
    assert.is(error.exitCode, 4)
    assert.match(error.message, 'A oas → 192.0.2.1, which conflicts with A oas → 203.0.113.7')
    assert.equal([posts(server), zone.length], [0, 2])
    assert.match(
      (await expectedFrom(() => provider.records('example.com'))).message,
      'domain example.com does not exist',
    )
  }))

test('what is the same record, and what contradicts', () => {
  const [a, wildcard] = wantedRecords('example.org', 'oas', '203.0.113.7') as [
    { type: string; name: string; data: string },
    { type: string; name: string; data: string },
  ]
  const state = (wanted: typeof a, ...existing: [string, string, string][]) =>
    recordState(
      wanted,
      existing.map(([type, name, data]) => ({ type, name, data })),
      'example.org',
    ).state
  assert.is(state(a), 'missing')
  assert.is(state(a, ['A', 'OAS.example.org.', '203.0.113.7']), 'there')
  assert.is(
    state(a, ['A', 'www', '192.0.2.1'], ['AAAA', 'oas', '2001:db8::1'], ['TXT', 'oas', 'x']),
    'missing',
  )
  assert.is(state(a, ['CNAME', 'oas', 'example.net.']), 'conflict')
  assert.is(state(a, ['A', 'oas', '203.0.113.7'], ['A', 'oas', '192.0.2.1']), 'conflict')
  for (const target of ['oas.example.org', 'oas.example.org.', 'oas'])
    assert.is(state(wildcard, ['CNAME', '*.oas', target]), 'there', target)
  assert.is(state(wildcard, ['CNAME', '*.oas', 'example.net']), 'conflict')
  assert.is(state(wildcard, ['A', '*.oas', '203.0.113.7']), 'conflict')
  assert.is(state(wildcard, ['CNAME', '*', 'example.org']), 'missing')
  const root = wantedRecords('example.org', undefined, '203.0.113.7')[1]!
  assert.is(state(root, ['CNAME', '*', '@']), 'there')
})

const html = '<html><body>Please log in</body></html>'
const faults: [name: string, fault: Fault, message: RegExp, fix: RegExp, requests: number][] = [
  [
    '401',
    { status: 401, body: { id: 'Unauthorized', message: 'Unable to authenticate you' } },
    /answers 401 .* Unable to authenticate you$/,
    /DIGITALOCEAN_TOKEN/,
    1,
  ],
  [
    '403',
    { status: 403, body: { id: 'forbidden', message: 'You do not have access' } },
    /answers 403/,
    /right/,
    1,
  ],
  [
    '422',
    { status: 422, body: { id: 'unprocessable_entity', message: 'bad\nworse', request_id: 'abc-1' } },
    /answers 422 to GET \/droplets: bad \(request abc-1\)$/,
    /correct/,
    1,
  ],
  ['429 without end', { status: 429, headers: { 'retry-after': '0' } }, /rate limit/, /again in 1 min/, 4],
  ['429 for long', { status: 429, headers: { 'retry-after': '3000' } }, /rate limit/, /again in 50 min/, 1],
  [
    '500',
    { status: 500, body: { message: 'Server was unable to give you a response.' } },
    /answers 500/,
    /wait until DigitalOcean works/,
    4,
  ],
  [
    '503 of a proxy',
    { status: 503, text: html, headers: { 'x-request-id': 'r-9' } },
    /answers 503 .*\(request r-9\)/,
    /wait/,
    4,
  ],
  ['a cut connection', 'cut-before', /cannot be reached/, /network/, 4],
  [
    'HTML',
    { status: 200, text: html },
    /does not answer like the API of DigitalOcean: <html>/,
    /login page/,
    4,
  ],
  ['an empty answer', { status: 200, text: '' }, /does not answer like .*: nothing/, /proxy/, 4],
  [
    'JSON of something else',
    { status: 200, body: { pods: [] } },
    /its answer has no droplets/,
    /check the address/,
    1,
  ],
  ['JSON that is no object', { status: 200, text: 'null' }, /does not answer like/, /check the address/, 4],
  [
    'no list',
    { status: 200, body: { droplets: { a: 1 } } },
    /droplets is not a list/,
    /check the address/,
    1,
  ],
  [
    'a redirect',
    { status: 302, headers: { location: 'http://192.0.2.1/steal' } },
    /a redirect to http:\/\/192/,
    /check the address/,
    4,
  ],
]
for (const [name, fault, message, fix, requests] of faults)
  test(`reading: ${name} is told in two lines after ${requests} requests`, () =>
    withStandIn(async (server, provider) => {
      server.fault = () => fault
      const error = await expectedFrom(() => provider.ordered(order))
      assert.match(error.message, message)
      assert.match(error.fix, fix)
      assert.is(server.requests.length, requests)
      assert.not.match(`${error.message}${error.fix}`, '\n')
    }))

test('reading: a failure that passes is not told at all', () =>
  withStandIn(async (server, provider) => {
    const passing: (Fault | undefined)[] = [
      'cut-before',
      { status: 502, text: html },
      { status: 429, headers: { 'retry-after': '0' } },
    ]
    server.fault = () => passing.shift()
    assert.is(await provider.ordered(order), undefined)
    assert.is(server.requests.length, 4)
  }))

test('a server that is slow is given up after the timeout', () =>
  withStandIn(async server => {
    server.fault = () => 'no-answer'
    const error = await expectedFrom(() => connect(server.url, { timeout: 40 }).ordered(order))
    assert.match(error.message, 'does not answer in time')
  }))

test('nobody at that address', async () => {
  const error = await expectedFrom(async () => connect(`${await nobody()}/v2`).ordered(order))
  assert.match(error.message, 'cannot be reached (ECONNREFUSED)')
})

const creating: [name: string, fault: Fault][] = [
  ['cut after it was done', 'cut-after'],
  ['500 after it was done', { status: 500, body: { message: 'oh' } }],
  ['HTML after it was done', { status: 200, text: html }],
]
for (const [name, fault] of creating)
  test(`creating: ${name} creates nothing twice`, () =>
    withStandIn(async (server, provider) => {
      let done = false
      server.fault = ({ method }) => {
        if (method !== 'POST' || done) return undefined
        done = true
        if (fault !== 'cut-after')
          server.droplets.push({
            id: 5,
            name: order.name,
            status: 'new',
            tags: [order.tag!],
            networks: { v4: [], v6: [] },
            looks: 1,
          })
        return fault
      }
      const { created } = await provider.order(order)
      assert.equal([created, posts(server), server.droplets.length], [true, 1, 1])
    }))

test('creating: a lost request is not repeated, but told as not known', () =>
  withStandIn(async (server, provider) => {
    server.fault = ({ method }) => (method === 'POST' ? 'cut-before' : undefined)
    const error = await expectedFrom(() => provider.order(order))
    assert.match(error.message, 'the server oas.example.org may have been created or not')
    assert.equal([posts(server), server.droplets.length], [1, 0])
  }))

test('creating: a refusal by the rate limit did nothing, and is waited for', () =>
  withStandIn(async (server, provider) => {
    let refusals = 2
    server.fault = ({ method }) =>
      method === 'POST' && refusals-- > 0 ? { status: 429, headers: { 'retry-after': '0' } } : undefined
    assert.ok((await provider.order(order)).created)
    assert.equal([posts(server), server.droplets.length], [3, 1])
  }))

test('creating: what the API refuses is told with its request id', () =>
  withStandIn(async (server, provider) => {
    const error = await expectedFrom(() => provider.order({ ...order, region: 'mars1' }))
    assert.match(
      error.message,
      /answers 422 to POST \/droplets: You specified an invalid region\. \(request standin-request-1\)/,
    )
    assert.is(posts(server), 1)
  }))

test('an order is checked against what is offered, all of it at once', () =>
  withStandIn(async (server, provider) => {
    const offer = await provider.offer()
    assert.equal(checkOrder(order, offer), [])
    assert.equal(checkOrder({ ...order, image: '77' }, offer), [])
    const wrong = checkOrder(
      { ...order, size: 's-sold-out', region: 'ams33', image: 'debian-13', sshKeyId: 1 },
      offer,
    )
    assert.equal(
      wrong.map(problem => problem.message),
      [
        '--size s-sold-out is not offered',
        '--region ams33 is not offered',
        '--image debian-13 is not offered',
        '--ssh-key-id 1 is not offered',
      ],
    )
    assert.is(wrong[1]!.fix, 'did you mean ams3?')
    assert.match(checkOrder({ ...order, region: 'fra1' }, offer)[0]!.message, 'not offered in --region fra1')
    assert.match(tooSmall('s-1vcpu-1gb', offer) ?? '', '1 cores and 1024 MB')
    assert.is(tooSmall('s-8vcpu-16gb', offer), undefined)
    // An API without these lists, or with others than we know, refuses by itself.
    server.absent = ['/sizes', '/regions', '/images', '/account/keys']
    assert.equal(checkOrder({ ...order, size: '4096' }, await provider.offer()), [])
    assert.is(choicesOf({ size: [{ memory: 4096 } as never] }, 'size'), undefined)
  }))

test('the address is the public one, IPv4 first', () => {
  const v6 = [{ ip_address: '2001:db8::1', type: 'public' }]
  const of = (networks?: object) => publicAddressOf({ id: 1, name: 'x', networks })
  assert.is(of({ v4: [{ ip_address: '10.0.0.1', type: 'private' }], v6 }), '2001:db8::1')
  assert.is(of({ v4: [{ ip_address: '192.0.2.1' }], v6 }), '192.0.2.1')
  assert.is(of({ v4: [{ ip_address: '; rm -rf /', type: 'public' }] }), undefined)
  assert.is(of(), undefined)
})

test('the token comes from its variable alone, is never shown and only sent over https', async () => {
  const set = (value?: string) => {
    if (value === undefined) delete process.env.DIGITALOCEAN_TOKEN
    else process.env.DIGITALOCEAN_TOKEN = value
  }
  set()
  assert.match((await expectedFrom(() => providerToken(spec))).message, 'DIGITALOCEAN_TOKEN is not set')
  for (const value of ['short', 'two words of it', 'line\nbreak-in-it', 'ünïcödetoken']) {
    set(value)
    const error = await expectedFrom(() => providerToken(spec))
    assert.not.match(`${error.message} ${error.fix}`, value)
  }
  set('dop_v1_0123456789')
  assert.is(redact(`a ${providerToken(spec)} b`), 'a *** b')
  set()
  assert.is(checkProviderUrl('https://api.example.net/v2'), undefined)
  assert.is(checkProviderUrl('http://127.0.0.1:1/v2'), undefined)
  for (const url of [
    'http://api.example.net/v2',
    'ftp://x',
    'https://u:p@x',
    'https://x/?a',
    'https://x#a',
    'x',
    'https://a b',
  ])
    assert.ok(checkProviderUrl(url), url)
})

test('fuzz: whatever the API answers, it is a result or two lines', () =>
  withStandIn(async server => {
    const body = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc
        .record({
          droplets: fc.oneof(fc.array(fc.record({ id: fc.nat(), name: fc.string() })), fc.jsonValue()),
          links: fc.jsonValue(),
        })
        .map(value => JSON.stringify(value)),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(200, 202, 400, 401, 404, 409, 418), body, async (status, text) => {
        server.fault = () => ({ status, text })
        try {
          await new Provider(new ProviderClient(spec, server.url, TOKEN, { backoff: 0 })).ordered(order)
        } catch (error) {
          const { name, message } = error as Error
          assert.match(name, /^(ProviderError|NoAnswer|ExpectedError)$/, (error as Error).stack)
          // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not get through
          assert.not.match(message, /[\x00-\x1f\x7f-\x9f]/)
          assert.ok(message.length < 400)
        }
      }),
      { numRuns: 200 },
    )
  }))

test('what a stranger says is one line without control characters', () => {
  assert.is(oneLine('\x1b[31mred\u009b2J\nsecond'), ' [31mred 2J')
})

test.run()
