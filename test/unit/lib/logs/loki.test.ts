import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kubectl, type KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { type AskLoki, type Entry, entriesOf, LokiAway, lineOf, lokiOf } from '../../../../lib/logs/loki.ts'
import { backward, followLoki, forward } from '../../../../lib/logs/loki-pages.ts'
import { PRESETS } from '../../../../lib/logs/presets.ts'
import type { LogReadOptions } from '../../../../lib/logs/read.ts'
import { type ExpectedError, TransientError, UsageError } from '../../../../lib/script/errors.ts'
import { eventLine, wantedEvents } from '../../../../scripts/logs/events.ts'
import { keeps } from '../../../../scripts/logs/filter.ts'
import { checkLogFlags, type LogFlags, tailLines } from '../../../../scripts/logs/flags.ts'
import { rangeOf } from '../../../../scripts/logs/range.ts'
import { lokiAnswers } from '../../../../scripts/logs/source.ts'
import { expectedFrom } from '../../helpers.ts'
import { kubeconfigFile, nobody, serve } from '../../transport.ts'

const presetNamed = (name: string) => PRESETS.find(preset => preset.name === name)

/**
 * A stand-in for Loki’s query_range: the first or last entries between start and end. That the real one answers
 * so is tested in test/cluster/loki.test.ts.
 */
function standIn(entries: Entry[]): AskLoki & { asked: number } {
  const ask = async ({ start, end, limit, direction }: Parameters<AskLoki>[0]) => {
    ask.asked++
    const all = entries
      .filter(({ time }) => time >= start && time < end)
      .sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.text.localeCompare(b.text)))
    return direction === 'forward' ? all.slice(0, limit) : all.slice(Math.max(0, all.length - limit))
  }
  ask.asked = 0
  return ask
}
const entry = (time: number, text: string): Entry => ({ time: BigInt(time), labels: { pod: 'p' }, text })
const texts = (entries: readonly Entry[]) => entries.map(({ text }) => text)
async function collect<T>(pages: AsyncIterable<T[]>): Promise<T[]> {
  const all: T[] = []
  for await (const page of pages) all.push(...page)
  return all
}

/** Times of entries, at most 3 of them at one nanosecond. */
const times = fc
  .array(fc.nat(40), { maxLength: 60 })
  .map(all => all.filter((time, i) => all.slice(0, i).filter(each => each === time).length < 3))

test('fuzz: in pages, no line is lost or comes twice, and they are in order', () =>
  fc.assert(
    fc.asyncProperty(
      times,
      fc.integer({ min: 4, max: 9 }),
      fc.nat(40),
      fc.nat(40),
      async (all, limit, a, b) => {
        const entries = all.map((time, i) => entry(time, `${String(i).padStart(3, '0')}`))
        const search = { query: 'q', start: BigInt(Math.min(a, b)), end: BigInt(Math.max(a, b)) }
        const expected = await standIn(entries)({ ...search, limit: 1000, direction: 'forward' })
        const options = {
          limit,
          warn: (text: string) => assert.unreachable(text),
        }
        assert.equal(await collect(forward(standIn(entries), search, options)), expected)
        for (const count of [0, 1, limit, limit + 1, 1000])
          assert.equal(
            await backward(standIn(entries), search, count, options),
            count === 0 ? [] : expected.slice(-count),
          )
      },
    ),
  ))

test('more lines at one nanosecond than fit into an answer are told, and what comes after them is not lost', async () => {
  const entries = [entry(1, 'a'), ...[...'bcdefg'].map(text => entry(2, text)), entry(3, 'h')]
  const warned: string[] = []
  const options = { limit: 4, warn: (text: string) => warned.push(text) }
  const search = { query: 'q', start: 0n, end: 10n }
  const found = texts(await collect(forward(standIn(entries), search, options)))
  assert.equal([found[0], found.at(-1), new Set(found).size], ['a', 'h', found.length])
  assert.is(warned.length, 1)
  assert.match(warned[0]!, '4 lines or more at one nanosecond')
  const back = texts(await backward(standIn(entries), search, 100, options))
  assert.equal([back[0], back.at(-1), new Set(back).size], ['a', 'h', back.length])
  assert.is(warned.length, 2)
})

/** Follows a log of the stand-in until the signal or `count` entries; `write` is called before each look. */
async function follow(
  entries: Entry[],
  options: { tail?: number; start?: number },
  write: (look: number) => void,
  looks: number,
): Promise<{ found: string[]; warned: string[] }> {
  const abort = new AbortController()
  const warned: string[] = []
  const found: string[] = []
  let look = 0
  const real = standIn(entries)
  const ask: AskLoki = question => {
    if (question.direction === 'forward' && question.end > 1000n) {
      look++
      if (look > looks) abort.abort(new Error('enough'))
      else write(look)
    }
    return real(question)
  }
  const following = followLoki(ask, {
    query: 'q',
    start: BigInt(options.start ?? 0),
    tail: options.tail,
    now: () => 100n,
    warn: text => warned.push(text),
    signal: abort.signal,
    every: 1,
    limit: 50,
  })
  try {
    for await (const { text } of following) found.push(text)
  } catch (error) {
    if (!abort.signal.aborted) throw error
  }
  return { found, warned }
}

test('following: what comes is shown once, also late and at a nanosecond that was shown already', async () => {
  const entries = [entry(1, 'a'), entry(5, 'b'), entry(9, 'c')]
  const comes: Record<number, Entry[]> = {
    2: [entry(9, 'at the same time'), entry(12, 'd')],
    3: [entry(10, 'late'), entry(12, 'e'), entry(12, 'f'), entry(13, 'g'), entry(14, 'h')],
  }
  const { found, warned } = await follow(entries, {}, look => entries.push(...(comes[look] ?? [])), 6)
  assert.equal(found, ['a', 'b', 'c', 'at the same time', 'd', 'late', 'e', 'f', 'g', 'h'])
  assert.equal(warned, [])
})

test('following: with a tail, no line from before it', async () => {
  for (const [tail, expected] of [
    [0, ['new']],
    [1, ['d', 'new']],
    [2, ['c', 'd', 'new']],
    [9, ['a', 'b', 'c', 'd', 'new']],
  ] as const) {
    const entries = [entry(1, 'a'), entry(5, 'b'), entry(5, 'c'), entry(9, 'd')]
    // The look that finds out what is there comes first when nothing of it is wanted.
    const { found } = await follow(entries, { tail }, look => look === 3 && entries.push(entry(9, 'new')), 6)
    assert.equal(found, expected, `tail ${tail}`)
  }
})

test('following: Loki that is away for a while is waited for, and nothing is lost', async () => {
  const entries = [entry(1, 'a')]
  const { found, warned } = await follow(
    entries,
    {},
    look => {
      if (look === 2) entries.push(entry(2, 'b'))
      if (look === 2 || look === 3) throw new LokiAway('Loki is away', 'wait')
      if (look === 4) entries.push(entry(3, 'c'))
    },
    6,
  )
  assert.equal(found, ['a', 'b', 'c'])
  assert.equal(warned, ['Loki is away; trying again', 'Loki answers again'])
})

test('an answer becomes entries by time; those of one nanosecond keep their order', () => {
  const values = (...all: [string, string][]) => ({ stream: { pod: 'p' }, values: all })
  const answer = (...result: ReturnType<typeof values>[]) => ({ data: { resultType: 'streams', result } })
  const streams = [values(['1', 'a'], ['3', 'c'], ['3', 'd']), values(['2', 'b'])]
  assert.equal(texts(entriesOf(answer(...streams), 'q', 'forward')), ['a', 'b', 'c', 'd'])
  const reversed = [values(['3', 'd'], ['3', 'c'], ['1', 'a']), values(['2', 'b'])]
  assert.equal(texts(entriesOf(answer(...reversed), 'q', 'backward')), ['a', 'b', 'c', 'd'])
  const numbers = { data: { resultType: 'matrix', result: [] } }
  assert.throws(() => entriesOf(numbers, 'sum(x)', 'forward'), /not give lines but numbers: sum/)
})

test('an entry becomes a line with its time to the nanosecond', () => {
  const labels = { namespace: 'oas', pod: 'p', container_name: 'c', app: 'a' }
  assert.equal(lineOf({ time: 1780315201000000002n, labels, text: 't' }), {
    time: '2026-06-01T12:00:01.000000002Z',
    namespace: 'oas',
    pod: 'p',
    container: 'c',
    text: 't',
  })
  assert.equal(lineOf({ time: 0n, labels: { job: 'j' }, text: '' }).container, 'j')
})

const now = Date.parse('2026-06-01T12:00:00Z')
test('a range is of ages or times', async () => {
  assert.equal(rangeOf({}, now), { since: undefined, until: undefined })
  assert.equal(rangeOf({ since: '1h30m', until: '30m' }, now), {
    since: now - 5_400_000,
    until: now - 1_800_000,
  })
  assert.is(rangeOf({ since: '30' }, now).since, now - 1_800_000, 'minutes')
  const times = { since: '2026-06-01T11:00Z', until: '2026-06-01T14:00:00.5+02:00' }
  assert.equal(rangeOf(times, now), { since: now - 3_600_000, until: now + 500 })
  for (const since of [
    'yesterday',
    '',
    '-1h',
    '0',
    '1h30',
    '2026-06-01',
    '2026-06-01T12:00:00',
    '2026-13-01T00:00Z',
    '0s',
  ]) {
    const error = await expectedFrom(() => rangeOf({ since }, now))
    assert.instance(error, UsageError, since)
    assert.match(error.message, '--since')
  }
  assert.instance(await expectedFrom(() => rangeOf({ since: '1h', until: '2h' }, now)), UsageError)
})

/** Asks a server of the test’s own, which stands for the API server and what is behind its proxy. */
async function askServer(code: number, body: string | object): Promise<ExpectedError> {
  const paths: string[] = []
  const { url, close } = await serve((request, response) => {
    paths.push(request.url!)
    response.writeHead(code).end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const ask = lokiOf(kubectl, new AbortController().signal)
  const question = {
    query: '{a="b"} |= "x y&z"',
    start: 1n,
    end: 2n,
    limit: 3,
    direction: 'forward',
  } as const
  try {
    return await expectedFrom(() => ask(question))
  } finally {
    kubectl.client.close()
    close()
    const { pathname, searchParams } = new URL(paths[0]!, url)
    assert.is(pathname, '/api/v1/namespaces/oas/services/http:loki:3100/proxy/loki/api/v1/query_range')
    assert.equal(Object.fromEntries(searchParams), {
      query: question.query,
      start: '1',
      end: '2',
      limit: '3',
      direction: 'forward',
    })
  }
}
const status = (code: number, reason: string, message: string, details = {}) => ({
  kind: 'Status',
  code,
  reason,
  message,
  details,
})

test('transport: what Loki refuses is told with the query', async () => {
  const error = await askServer(400, 'parse error at line 1, col 2: syntax error\n')
  assert.instance(error, UsageError)
  assert.is(
    error.message,
    'Loki does not accept the query {a="b"} |= "x y&z": parse error at line 1, col 2: syntax error',
  )
})

for (const [what, code, body, expected] of [
  [
    'is not installed',
    404,
    status(404, 'NotFound', 'services "loki" not found', { name: 'loki', kind: 'services' }),
    'Loki is not installed',
  ],
  [
    'has no pod',
    503,
    status(503, 'ServiceUnavailable', 'no endpoints available for service "loki"'),
    'Loki cannot be reached: no endpoints available for service "loki"',
  ],
  [
    'may not be asked',
    403,
    status(403, 'Forbidden', 'services "http:loki:3100" is forbidden: User "u" cannot get'),
    'Loki may not be asked: services "http:loki:3100" is forbidden',
  ],
  [
    'is overloaded',
    429,
    'too many outstanding requests',
    'Loki has too much to do (429): too many outstanding',
  ],
  ['fails', 500, 'context canceled', 'Loki answers 500: context canceled'],
] as const)
  test(`transport: Loki that ${what} is away, and this is told`, async () => {
    const error = await askServer(code, body)
    assert.instance(error, LokiAway)
    assert.ok(error.message.startsWith(expected), error.message)
  })

test('transport: an API server that is away is no Loki that is away: pods could not be read either', async () => {
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: await nobody() }))
  const ask = lokiOf(kubectl, new AbortController().signal)
  const question = { query: 'q', start: 1n, end: 2n, limit: 3, direction: 'forward' } as const
  const error = await expectedFrom(() => ask(question))
  assert.instance(error, TransientError)
  assert.not.instance(error, LokiAway)
  kubectl.client.close()
})

test('whether Loki answers: pods are read in its place only when nobody has asked for Loki alone', async () => {
  const bodies: [number, string][] = [
    [200, '{"data":{"resultType":"streams","result":[]}}'],
    [500, 'broken'],
    [500, 'broken'],
    [400, 'parse error'],
  ]
  const { url, close } = await serve((_request, response) => {
    const [code, body] = bodies.shift()!
    response.writeHead(code).end(body)
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const { signal } = new AbortController()
  const warned: string[] = []
  const instead = { what: 'each pod', warn: (text: string) => warned.push(text) }
  assert.is(await lokiAnswers(kubectl, signal, 'q', instead), true)
  assert.is(await lokiAnswers(kubectl, signal, 'q', instead), false)
  assert.equal(warned, ['Loki answers 500: broken; this is what each pod still has'])
  assert.instance(await expectedFrom(() => lokiAnswers(kubectl, signal, 'q', undefined)), LokiAway)
  assert.instance(await expectedFrom(() => lokiAnswers(kubectl, signal, 'q', instead)), UsageError)
  kubectl.client.close()
  close()
})

test('transport: Loki that never answers is given up, and a run that is interrupted at once', async () => {
  const { url, close } = await serve(() => undefined)
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  const question = { query: 'q', start: 1n, end: 2n, limit: 3, direction: 'forward' } as const
  const late = await expectedFrom(() => lokiOf(kubectl, new AbortController().signal, 100)(question))
  assert.instance(late, LokiAway)
  assert.is(late.message, 'Loki does not answer within 0.1 s')
  const abort = new AbortController()
  const asked = lokiOf(kubectl, abort.signal)(question)
  abort.abort(new Error('enough'))
  assert.is(await asked.catch(error => error.message), 'enough')
  kubectl.client.close()
  close()
})

/** Flags as a script has them. */
const flags = (given: Partial<LogFlags>): LogFlags => ({ follow: false, previous: false, grep: [], ...given })

test('flags that do not go together are refused, each with what to do', async () => {
  const refused: [Partial<LogFlags>, string | undefined, RegExp][] = [
    [{ source: 'grafana' }, 'x', /--source "grafana"/],
    [{ follow: true, previous: true }, 'x', /cannot be followed/],
    [{ follow: true, until: '1h' }, 'x', /cannot be followed/],
    [{ previous: true, source: 'loki' }, 'x', /Loki does not tell runs/],
    [{ since: 'yesterday' }, 'x', /--since "yesterday"/],
    [{ query: '{}' }, 'x', /needs no x/],
    [{ query: '{}', grep: ['a'] }, undefined, /takes no further filters/],
    [{ query: '{}', source: 'pods' }, undefined, /is for Loki/],
  ]
  for (const [given, name, what] of refused) {
    const error = await expectedFrom(() => checkLogFlags(flags(given), name))
    assert.instance(error, UsageError)
    assert.match(error.message, what)
  }
  checkLogFlags(flags({ since: '2h', until: '1h', grep: ['a'], source: 'loki' }), 'x')
  checkLogFlags(flags({ query: '{a="b"}', follow: true }), undefined)
})

test('how many lines are shown unless told', async () => {
  assert.equal([tailLines(flags({})), tailLines(flags({ follow: true }))], [100, 10])
  assert.equal([tailLines(flags({ since: '1h' })), tailLines(flags({ tail: 'all' }))], [undefined, undefined])
  assert.is(tailLines(flags({ tail: '007', since: '1h' })), 7)
  for (const tail of ['-1', '', 'many', '1.5', '1e3', '9999999999'])
    assert.instance(await expectedFrom(() => tailLines(flags({ tail }))), UsageError)
})

const event = (uid: string, resourceVersion: string, more: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: uid, namespace: 'default', uid, resourceVersion },
  involvedObject: { kind: 'Pod', namespace: 'oas', name: 'p', apiVersion: 'v1' },
  type: 'Warning',
  reason: 'BackOff',
  message: 'Back-off "x"\nagain',
  lastTimestamp: '2026-06-01T12:00:00Z',
  ...more,
})

test('an event as a line has what the preset looks for', () => {
  const line = eventLine(event('a', '1', { count: 3 }))
  assert.equal([line.time, line.namespace, line.pod], ['2026-06-01T12:00:00.000Z', 'oas', ''])
  assert.is(
    line.text,
    'name=p kind=Pod objectAPIversion=v1 reason=BackOff type=Warning count=3 msg="Back-off \\"x\\"\\nagain"',
  )
  assert.ok(keeps(presetNamed('warnings')!.filters)(line.text))
  assert.not(keeps(presetNamed('warnings')!.filters)(eventLine(event('a', '1', { type: 'Normal' })).text))
})

test('of events those are shown that are wanted, by time', () => {
  const at = (name: string, minute: number) =>
    event(name, '1', { lastTimestamp: `2026-06-01T12:${String(minute).padStart(2, '0')}:00Z` })
  const events = [at('c', 3), at('a', 1), at('d', 4), at('b', 2)]
  const since = Date.parse('2026-06-01T12:02:00Z')
  const names = (wanted: Partial<LogReadOptions>) =>
    wantedEvents(events, { previous: false, ...wanted }).map(({ metadata }) => metadata.name)
  assert.equal(names({}), ['a', 'b', 'c', 'd'])
  assert.equal(names({ since, until: since + 120_000 }), ['b', 'c'])
  assert.equal(names({ tailLines: 1 }), ['d'])
  assert.equal(names({ tailLines: 0 }), [])
  assert.equal(names({ keep: () => false }), [])
})

test.run()
