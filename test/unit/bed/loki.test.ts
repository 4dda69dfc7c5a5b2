/**
 * The answers and refusals of the stand-in for Loki, as Loki gives them: its specification. Texts are those of Loki 3
 * (pkg/loghttp, pkg/logql/syntax, pkg/validation in github.com/grafana/loki).
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { logQl } from '../../../lib/logs/selection.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { until } from '../../../lib/script/wait.ts'
import { choosePorts } from '../../bed/cluster/ports.ts'
import { type LokiData, queryRange, streamsIn } from '../../bed/loki/query.ts'
import { Refusal, Store } from '../../bed/loki/store.ts'

const NOW = 1_800_000_000_000_000_000n
const SECOND = 1_000_000_000n
const HOUR = 3600n * SECOND

/** A store with these streams: the seconds before now and the text of each line. */
function filled(...streams: [labels: Record<string, string>, lines: [ago: number, text: string][]][]): Store {
  const store = new Store()
  const pushed = streams.map(([stream, lines]) => ({
    stream,
    values: lines.map(([ago, text]) => [`${NOW - BigInt(ago) * SECOND}`, text]),
  }))
  store.push(pushed, NOW, why => assert.unreachable(why))
  return store
}

function ask(store: Store, query: string, parameters: Record<string, string> = {}): LokiData {
  return queryRange(new URLSearchParams({ query, ...parameters }), store.streams(), NOW)
}

/** The lines of an answer, stream by stream. */
function lines(store: Store, query: string, parameters: Record<string, string> = {}): string[] {
  const answer = ask(store, query, { direction: 'forward', ...parameters })
  if (answer.resultType !== 'streams') throw new Error('numbers')
  return answer.result.flatMap(({ values }) => values.map(([, text]) => text))
}

function refused(work: () => unknown, told: string): void {
  assert.throws(work, (error: unknown) => error instanceof Refusal && error.message.startsWith(told), told)
}

const store = filled(
  [
    { app: 'hydra', namespace: 'oas' },
    [
      [30, 'level=info msg=a'],
      [20, 'level=warning msg="b \\" c" app=x'],
    ],
  ],
  [{ app: 'wekan', namespace: 'oas-apps' }, [[10, 'An Error\nof two lines']]],
)
const ALL = ['level=info msg=a', 'level=warning msg="b \\" c" app=x', 'An Error\nof two lines']

test('selects streams by their labels; a pattern matches the whole value, and an absent label is empty', () => {
  for (const [selector, expected] of [
    ['{app="hydra"}', ALL.slice(0, 2)],
    ['{app=~"hydra|wekan"}', ALL],
    ['{app=~"hyd"}', []],
    ['{app=~"hyd.*", namespace!="x"}', ALL.slice(0, 2)],
    ['{namespace=~".+", app!~"hyd.*"}', ALL.slice(2)],
    ['{app="hydra", pod=""}', ALL.slice(0, 2)],
    ['{app="hydra",}', undefined],
    [' { app = `wekan` } ', ALL.slice(2)],
  ] as const)
    if (expected) assert.equal(lines(store, selector), expected, selector)
    else refused(() => lines(store, selector), 'parse error at line 1, col 14: syntax error: unexpected }')
})

test('keeps the lines that all filters let through', () => {
  const select = '{namespace=~".+"}'
  for (const [filters, expected] of [
    ['|= "level"', ALL.slice(0, 2)],
    ['!= "level"', ALL.slice(2)],
    ['|~ "level\\"?[=:]\\"?(info|debug)"', ALL.slice(0, 1)],
    ['!~ "level\\"?[=:]\\"?(info|debug)"', ALL.slice(1)],
    ['|~ "(?i)error|fail"', ALL.slice(2)],
    ['|= "level" != "info" |= `\\" c`', ALL.slice(1, 2)],
    ['|= "\\u0041n \\x45rror\\nof"', ALL.slice(2)],
    ['| logfmt | level="warning"', ALL.slice(1, 2)],
    ['| logfmt | level=~"info|warning" | msg!="a"', ALL.slice(1, 2)],
    ['| logfmt | app_extracted="x" | app="hydra"', ALL.slice(1, 2)],
    ['| level="warning"', []],
  ] as const)
    assert.equal(lines(store, select + filters), expected, filters)
})

test('understands what the toolkit writes', () => {
  const hostile = '"`\\\n|= "} {{.x}}(?i\u2028😀'
  const found = filled([
    { app: 'x' },
    [
      [1, `<${hostile}>`],
      [1, 'other'],
    ],
  ])
  const matchers = [{ label: 'app', values: ['x', 'y.z'] }]
  assert.equal(lines(found, logQl({ matchers, filters: [{ operator: '|=', text: hostile }] })), [
    `<${hostile}>`,
  ])
})

test('refuses a query as Loki does', () => {
  for (const [query, told] of [
    ['{foo!="bar"}', 'parse error : queries require at least one regexp or equality matcher'],
    ['{foo=~".*"}', 'parse error : queries require at least one regexp or equality matcher'],
    ['{}', 'parse error : queries require at least one regexp or equality matcher'],
    ['{foo="bar"', 'parse error at line 1, col 11: syntax error: unexpected $end'],
    ['{foo="bar', 'parse error at line 1, col 6: literal not terminated'],
    ['{foo="\\q"}', 'parse error at line 1, col 6: invalid syntax'],
    ['', 'parse error at line 1, col 1: syntax error: unexpected $end'],
    ['{foo="bar"}\n|= text', 'parse error at line 2, col 4: syntax error: unexpected text'],
    ['{foo=~"("}', 'parse error : error parsing regexp'],
    ['{foo="bar"} |~ "a(?=b)"', 'parse error : error parsing regexp: invalid or unsupported Perl syntax'],
    ['{foo="bar"} | unknown', 'parse error at line 1, col 22: syntax error: unexpected $end'],
    ['sum(rate({foo="bar"}[5m]))', 'parse error at line 1, col 1: syntax error: unexpected sum'],
  ] as const)
    refused(() => lines(store, query), told)
})

test('has the time from start on and before end, an hour back by default', () => {
  const found = filled([
    { app: 'x' },
    [
      [3700, 'old'],
      [3600, 'a'],
      [60, 'b'],
      [0, 'now'],
    ],
  ])
  const at = (ago: number) => NOW - BigInt(ago) * SECOND
  const range = (start: string, end: string) => lines(found, '{app="x"}', { start, end })
  assert.equal(lines(found, '{app="x"}'), ['a', 'b'])
  assert.equal(lines(found, '{app="x"}', { since: '2h' }), ['old', 'a', 'b'])
  assert.equal(range(`${at(60)}`, `${NOW + 1n}`), ['b', 'now'])
  assert.equal(range(`${at(60) + 1n}`, `${NOW}`), [])
  assert.equal(range(`${at(60) / SECOND}`, `${NOW / SECOND}`), ['b'])
  assert.equal(range(`${at(60) / SECOND}.5`, `${NOW / SECOND}.5`), ['now'])
  assert.equal(range('2027-01-15T07:59:00Z', '2027-01-15T08:00:00.000000001Z'), ['b', 'now'])
  refused(() => range(`${NOW}`, `${at(1)}`), 'end timestamp must not be before or equal to start time')
  refused(() => range('yesterday', `${NOW}`), 'could not parse "yesterday"')
  refused(() => range(`${NOW - 722n * HOUR}`, `${NOW}`), 'the query time range exceeds the limit')
})

test('gives the first or the last lines, the newest first by default, 100 at most unless more are asked for', () => {
  const many = Array.from({ length: 120 }, (_, i): [number, string] => [1000 - i, `${i}`])
  const found = filled([{ app: 'x' }, many])
  const first = lines(found, '{app="x"}')
  assert.equal([first.length, first[0]], [100, '0'])
  const last = lines(found, '{app="x"}', { direction: '' })
  assert.equal([last.length, last[0]], [100, '119'])
  assert.equal(lines(found, '{app="x"}', { direction: 'BACKWARD', limit: '2' }), ['119', '118'])
  assert.equal(lines(found, '{app="x"}', { limit: '5000' }).length, 120)
  refused(
    () => lines(found, '{app="x"}', { limit: '5001' }),
    'max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)',
  )
  refused(() => lines(found, '{app="x"}', { limit: '0' }), 'limit must be a positive value')
  refused(() => lines(found, '{app="x"}', { direction: 'up' }), "invalid direction 'up'")
})

test('keeps the order of lines of one nanosecond in both directions, and the same line once', () => {
  const found = filled([
    { app: 'x' },
    [
      [5, 'b'],
      [5, 'a'],
      [5, 'b'],
      [6, 'late'],
    ],
  ])
  assert.equal(lines(found, '{app="x"}'), ['late', 'b', 'a'])
  assert.equal(lines(found, '{app="x"}', { direction: 'backward' }), ['a', 'b', 'late'])
})

test('counts lines: numbers, not lines', () => {
  const answer = ask(store, 'count_over_time({namespace=~".+"} |= "level" [1m])', {
    start: `${NOW - 60n * SECOND}`,
    end: `${NOW}`,
    step: '30',
  })
  const seconds = Number(NOW / SECOND)
  assert.equal(answer, {
    resultType: 'matrix',
    result: [
      {
        metric: { app: 'hydra', namespace: 'oas' },
        values: [
          [seconds - 30, '1'],
          [seconds, '2'],
        ],
      },
    ],
  })
  refused(() => ask(store, 'count_over_time({app="x"}[5m]', {}), 'parse error at line 1, col 30')
  refused(() => ask(store, 'count_over_time({app="x"})', {}), 'parse error at line 1, col 26')
  refused(
    () => ask(store, 'count_over_time({app="x"}[5m])', { start: '1', end: '20000', step: '1' }),
    'exceeded maximum resolution',
  )
})

test('refuses what Loki does not take, and takes the rest of a push', () => {
  const push = (stream: unknown, ...values: unknown[]) => {
    const found = filled([{ app: 'x' }, [[0, 'now']]])
    const why: string[] = []
    found.push([{ stream, values }], NOW, text => why.push(text))
    return [why, lines(found, '{app="x"}', { since: '24h', end: `${NOW + HOUR}` })]
  }
  const at = (time: bigint) => [`${time}`, 'new']
  const x = { app: 'x' }
  assert.equal(push(x, at(NOW - HOUR)), [[], ['new', 'now']])
  for (const [time, told] of [
    [NOW - HOUR - 1n, /^entry too far behind, entry timestamp is: 2027-01-15T06:59:59Z, oldest acceptable/],
    [NOW - 169n * HOUR, /^entry for stream '\{app="x"\}' has timestamp too old/],
    [NOW + HOUR, /^entry for stream '\{app="x"\}' has timestamp too new/],
  ] as const) {
    const [why, left] = push(x, at(time), at(NOW - 1n))
    assert.match(why![0]!, told)
    assert.equal([why!.length, left], [1, ['new', 'now']])
  }
  assert.match(push(x, [`${NOW}`, 'é'.repeat(140_000)])[0]![0]!, /^Max entry size '262144' bytes exceeded/)
  refused(() => push({}, at(NOW)), 'error at least one label pair is required per stream')
  refused(() => push({ 'a-b': 'x' }, at(NOW)), 'error parsing labels')
  refused(() => push(x, [1, 'a number']), 'a value is a list of two strings')
  refused(() => new Store().push([], NOW, () => {}), 'error at least one valid stream')
})

test('names streams that have lines in the time', () => {
  const found = filled([{ app: 'x', pod: 'a' }, [[10, 'x']]], [{ app: 'y' }, [[7200, 'y']]])
  const named = (queries: string[], since = '1h') =>
    streamsIn(new URLSearchParams({ since }), found.streams(), NOW, queries).map(({ labels }) => labels)
  assert.equal(named([]), [{ app: 'x', pod: 'a' }])
  assert.equal(named(['{app=~"x|y"}'], '3h'), [{ app: 'x', pod: 'a' }, { app: 'y' }])
  assert.equal(named(['{app="y"}', '{pod="a"}'], '3h').length, 2)
  refused(() => named(['{app!="y"}']), 'parse error : queries require')
})

test('serves that over HTTP, says that it is a stand-in, and keeps its lines when it is killed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'oas-loki-unit-'))
  const { loki: port } = await choosePorts({})
  const url = `http://127.0.0.1:${port}`
  const start = async () => {
    const args = ['--import', 'tsx', 'test/bed/loki/server.ts', `--port=${port}`, `--file=${folder}/lines`]
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' })
    const ready = async () => (await fetch(`${url}/ready`).catch(() => undefined))?.ok === true
    await until(async () => ((await ready()) ? { done: true } : { last: 'no answer' }), {
      deadline: 60_000,
      every: 50,
      describe: String,
    })
    return child
  }
  const push = (body: string) => fetch(`${url}/loki/api/v1/push`, { method: 'POST', body })
  const time = `${Date.now()}000000`
  const get = async (path: string) => {
    const answer = await fetch(`${url}${path}`)
    const text = await answer.text()
    return [answer.status, answer.ok && path.startsWith('/loki') ? JSON.parse(text).data : text]
  }
  let child = await start()
  try {
    const body = JSON.stringify({ streams: [{ stream: { app: 'x' }, values: [[time, 'kept']] }] })
    assert.is((await push(body)).status, 204)
    assert.is((await push('protobuf')).status, 400)
    child.kill('SIGKILL')
    child = await start()
    const query = `query=${encodeURIComponent('{app="x"}')}`
    assert.equal(await get(`/loki/api/v1/query_range?${query}&start=${time}&end=${time}`), [
      200,
      { resultType: 'streams', result: [] },
    ])
    assert.equal(await get(`/loki/api/v1/query_range?${query}`), [
      200,
      { resultType: 'streams', result: [{ stream: { app: 'x' }, values: [[time, 'kept']] }] },
    ])
    assert.equal(await get('/loki/api/v1/labels'), [200, ['app']])
    assert.equal(await get('/loki/api/v1/label/app/values'), [200, ['x']])
    assert.equal(await get(`/loki/api/v1/series?match[]=${encodeURIComponent('{app="x"}')}`), [
      200,
      [{ app: 'x' }],
    ])
    assert.equal(await get('/loki/api/v1/series'), [400, '0 matcher groups supplied\n'])
    assert.equal(await get('/loki/api/v1/query_range?query=x'), [
      400,
      'parse error at line 1, col 1: syntax error: unexpected x\n',
    ])
    assert.is((await get('/loki/api/v1/rules'))[0], 404)
    assert.match((await get('/'))[1], 'A stand-in for Loki')
  } finally {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
})

test.run()
