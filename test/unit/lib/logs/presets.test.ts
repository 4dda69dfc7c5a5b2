import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { load, loadAll } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { narrowed, PRESETS } from '../../../../lib/logs/presets.ts'
import { type Labels, labelsOf, literally, logQl, quotedLabel } from '../../../../lib/logs/selection.ts'
import { APP_NAMES, CORE_KUSTOMIZATIONS } from '../../../../lib/platform/apps.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { keeps, selects } from '../../../../scripts/logs/filter.ts'

const presetNamed = (name: string) => PRESETS.find(preset => preset.name === name)

/**
 * What a string of LogQL says, by the rules of Go, which Loki reads it with: written apart from the code that
 * quotes. Throws for what Go refuses: a raw newline, an unknown escape, no end.
 */
function unquoted(literal: string): string {
  const simple: Record<string, string> = {
    a: '\x07',
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
    v: '\v',
    '\\': '\\',
    '"': '"',
  }
  if (!(literal.startsWith('"') && literal.endsWith('"'))) throw new Error('no string')
  let text = ''
  for (let at = 1; at < literal.length - 1; at++) {
    const character = literal[at]!
    if (character === '\n' || character === '"') throw new Error(`${character} in a string`)
    if (character !== '\\') {
      text += character
      continue
    }
    const escaped = literal[++at]!
    if (escaped === 'u') {
      text += String.fromCharCode(Number.parseInt(literal.slice(at + 1, at + 5), 16))
      at += 4
    } else if (escaped in simple && at < literal.length - 1) text += simple[escaped]
    else throw new Error(`unknown escape ${escaped}`)
  }
  return text
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom('"', '`', '\\', '\n', '\r', '\0', '|', '=', '{', '}', '#', 'ü', '\u2028', 'x'),
  }),
)

test('fuzz: a text that is quoted for LogQL is the same when Loki has read it', () =>
  fc.assert(fc.property(anyText, text => assert.is(unquoted(quotedLabel(text)), text.toWellFormed()))))

test('fuzz: what is searched for cannot get out of its string', () =>
  fc.assert(
    fc.property(anyText, text => {
      const query = logQl(narrowed({ matchers: [], filters: [] }, { grep: [text] }))
      assert.match(query, /^\{\} \|= /)
      assert.is(unquoted(query.slice('{} |= '.length)), text.toWellFormed())
    }),
  ))

test('fuzz: a literal pattern matches its text alone', () =>
  fc.assert(
    fc.property(anyText, anyText, (text, other) => {
      const pattern = new RegExp(`^(?:${literally(text)})$`, 's')
      assert.ok(pattern.test(text))
      assert.is(pattern.test(other), other === text)
    }),
  ))

test('fuzz: lines are kept as LogQL says', () =>
  fc.assert(
    fc.property(anyText, anyText, (text, line) => {
      assert.is(keeps([{ operator: '|=', text }])(line), line.includes(text))
      assert.is(keeps([{ operator: '!=', text }])(line), !line.includes(text))
      const pattern = literally(text)
      assert.is(keeps([{ operator: '|~', text: pattern }])(line), line.includes(text))
      assert.is(keeps([{ operator: '!~', text: pattern }])(line), !line.includes(text))
    }),
  ))

test('LogQL of one value, of several, of a pattern and of filters', () => {
  const selection = {
    matchers: [
      { label: 'a', values: ['x'] },
      { label: 'b', values: ['x.y', 'z'] },
      { label: 'c', pattern: '.+' },
    ],
    filters: [
      { operator: '|~', text: 'e|f', ignoreCase: true },
      { operator: '!=', text: '"' },
    ],
  } as const
  assert.is(logQl(selection), '{a="x", b=~"x\\\\.y|z", c=~".+"} |~ "(?i)e|f" != "\\""')
  assert.ok(selects(selection.matchers, { a: 'x', b: 'x.y', c: 'q' }))
  const others: Labels[] = [
    { a: 'x', b: 'xxy', c: 'q' },
    { a: 'x', b: 'z' },
    { b: 'z', c: 'q' },
  ]
  for (const labels of others) assert.not(selects(selection.matchers, labels))
})

test('no preset can be empty, which Loki refuses, and none is called like an application or a release', () => {
  const releases = readdirSync(join(ROOT, 'flux2'), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.yaml'))
    .flatMap(file => loadAll(readFileSync(join(ROOT, 'flux2', file), 'utf8')) as KubeObject[])
    .filter(object => object?.kind === 'HelmRelease')
    .map(({ metadata }) => metadata.name)
  assert.ok(releases.includes('hydra'))
  const names = new Set([...releases, ...APP_NAMES, ...CORE_KUSTOMIZATIONS])
  for (const preset of PRESETS) {
    assert.not(names.has(preset.name), preset.name)
    assert.ok(preset.matchers.some(matcher => !selects([matcher], {})))
  }
  assert.is(new Set(PRESETS.map(({ name }) => name)).size, PRESETS.length)
  assert.is(presetNamed('nothing'), undefined)
})

test('the labels are those that flux2/core/alloy sets', () => {
  const values = load(readFileSync(join(ROOT, 'flux2/core/alloy/values.yaml'), 'utf8')) as KubeObject
  const alloy = values.data['values.yaml'] as string
  for (const label of ['namespace', 'pod', 'container_name', 'app', 'job'])
    assert.match(alloy, new RegExp(`target_label\\s+= "${label}"`))
  assert.match(alloy, /app\s+= "eventrouter"/)
  assert.match(alloy, 'job_name   = "oas/eventrouter"')
  const pod = (labels?: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'oas', name: 'p-0', labels },
  })
  const app = (labels?: Record<string, string>) => labelsOf(pod(labels), 'c').app
  assert.is(app({ 'app.kubernetes.io/name': 'n', app: 'a' }), 'n')
  assert.is(app({ app: 'a' }), 'a')
  assert.is(app(), 'p-0')
  assert.equal(labelsOf(pod(), 'c'), {
    namespace: 'oas',
    pod: 'p-0',
    container_name: 'c',
    app: 'p-0',
    job: 'oas/p-0',
  })
})

const kept = (name: string, lines: readonly string[]) => lines.filter(keeps(presetNamed(name)!.filters))

test('the presets leave out what is noise, and nothing else', () => {
  const said = [
    '{"level":"info","msg":"running \'install\' action with timeout of 10m0s"}',
    '{"level":"error","msg":"Reconciler error"}',
  ]
  const noise = [
    '{"level":"info","msg":"release in-sync with desired state"}',
    '{"level":"info","msg":"checking 2 dependencies"}',
    '{"level":"info","msg":"all dependencies are ready"}',
    '{"level":"info","msg":"could not resolve optional Secret chart values reference"}',
  ]
  assert.equal(kept('helm-controller', [...noise, ...said]), said)
  const warnings = ['level=warning msg=x', '{"level":"error"}', 'panic: level']
  assert.equal(
    kept('hydra-warnings', ['time=1 level=info msg=x', '{"level":"info"}', 'level=debug', ...warnings]),
    warnings,
  )
  assert.equal(kept('errors', ['An ERROR', 'it failed', 'fine', 'Exception in thread']), [
    'An ERROR',
    'it failed',
    'Exception in thread',
  ])
  const warning = 'name=a kind=Pod reason=BackOff type=Warning count=2 msg="x"'
  assert.equal(kept('warnings', ['name=a type=Normal msg="type=Warning"', warning]), [warning])
})

test('a preset is narrowed to texts and to a container, and stays as it was', () => {
  const preset = presetNamed('flux')!
  const before = logQl(preset)
  const narrow = narrowed(preset, { grep: ['a', 'b'], container: 'manager' })
  assert.is(logQl(narrow), `${before.slice(0, -1)}, container_name="manager"} |= "a" |= "b"`)
  assert.is(logQl(preset), before)
})

test.run()
