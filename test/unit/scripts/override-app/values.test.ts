/** Values as administrators write them: read like Helm, merged, addressed; and input that means no good. */

import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HelmValues } from '../../../../lib/flux/stored-release.ts'
import { parseValues, pathText } from '../../../../lib/flux/values.ts'
import { UsageError } from '../../../../lib/script/errors.ts'
import {
  mergeValues,
  parsePath,
  valueAt,
  valuesText,
  withoutValue,
  withValue,
} from '../../../../scripts/override-app/values.ts'

const refused = async (text: string, message: RegExp) => {
  try {
    await parseValues(text, 'values.yaml')
  } catch (error) {
    assert.instance(error, UsageError)
    assert.match((error as Error).message, message)
    return
  }
  assert.unreachable(`${text.slice(0, 60)} was accepted`)
}

test('values are read as Helm reads them', async () => {
  assert.equal(
    await parseValues('a: yes\nb: 2001-01-01\nc: 010\nx: &x {k: 1}\nz: {<<: *x, m: 2}\n7: seven\n', 'f'),
    { a: true, b: '2001-01-01', c: 8, x: { k: 1 }, z: { k: 1, m: 2 }, '7': 'seven' },
  )
  assert.equal(await parseValues('# nothing\n', 'f'), {})
})

test('a bomb, a large file, a binary one, duplicate keys and tags: one error each', async () => {
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]']
  for (const [i, name] of [...'bcdefghi'].entries())
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[i]}`).join()}]`)
  await refused(bomb.join('\n'), /too many aliases/)
  await refused(`a: ${'x'.repeat(5_000_000)}`, /larger than 256 KiB/)
  await refused('\u007fELF\0\0', /not a text/)
  await refused('a: \ufffd', /not a text/)
  await refused('a: 1\na: 2\n', /not valid YAML: line 2: Map keys must be unique/)
  await refused('a: !!js/function "x"\n', /not valid YAML: line 1: Unresolved tag/)
  await refused('a: !!binary aGk=\n', /not valid YAML/)
  await refused('a: &a [*a]\n', /too many|aliases|levels/)
  await refused('a: 1\n---\nb: 2\n', /has several documents/)
  await refused('service: {y: 1}\n', /the key y, which YAML reads as true/)
  await refused('- a\n', /not a map/)
  await refused('just words\n', /not a map/)
  await refused(`${'['.repeat(100)}${']'.repeat(100)}`, /levels/)
  await refused('__proto__: {a: 1}\n', /the key __proto__/)
  await refused('a: .inf\n', /number/)
  await refused('password: "hunter2secret\nx: [', /^(?!.*hunter2secret).*not valid YAML/s)
})

test('what is nested too deeply is refused, and does not end Node', async () => {
  const deep = 100_000
  const lines = (depth: number) => Array.from({ length: depth }, (_, i) => `${' '.repeat(i)}a:`).join('\n')
  for (const text of [
    '['.repeat(deep),
    '{a: '.repeat(50_000),
    '- '.repeat(deep),
    '? '.repeat(deep),
    lines(300),
  ])
    await refused(text, /deeper than 64 levels/)
  await refused(`a: ${'['.repeat(65)}${']'.repeat(65)}`, /levels/)
  for (const text of [lines(60), `a: ${'['.repeat(60)}${']'.repeat(60)}`, `a:\n ${'- '.repeat(60)}x`])
    assert.ok((await parseValues(text, 'f')).a !== undefined)
})

test('what is written is read back, by YAML 1.1 and 1.2', async () => {
  const { load } = await import('js-yaml')
  const scalar = fc.oneof(
    fc.string(),
    fc.constantFrom(
      'yes',
      'on',
      'null',
      '~',
      '0x1f',
      '010',
      '1_000',
      '1:30',
      '<<',
      '=',
      '2001-01-01',
      'a\nb\n',
      '.5',
    ),
    fc.boolean(),
    fc.integer(),
    fc.constant(null),
  )
  const key = fc
    .stringMatching(/^[a-zA-Z][\w./-]{0,12}$/)
    .filter(k => !['constructor', 'prototype'].includes(k))
  const printable = (text: string) => !/[^\P{Cc}\t\n]|\ufffd|\p{Cs}/u.test(text)
  const values = fc.dictionary(
    key,
    fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }), fc.dictionary(key, scalar, { maxKeys: 3 })),
    { maxKeys: 4 },
  )
  await fc.assert(
    fc.asyncProperty(values, async raw => {
      const given = JSON.parse(JSON.stringify(raw)) as HelmValues
      if (
        !printable(JSON.stringify(given).replaceAll(/\\[nt]/g, '')) ||
        /\\[u bfr]/.test(JSON.stringify(given))
      )
        return
      const text = await valuesText(given)
      assert.equal(await parseValues(text, 'f'), given, text)
      if (Object.keys(given).length > 0) assert.equal(load(text), given, text)
    }),
    { numRuns: 150 },
  )
})

test('paths', () => {
  assert.equal(parsePath('a.b[0].c'), ['a', 'b', 0, 'c'])
  assert.equal(parsePath('podAnnotations.openappstack\\.net/x'), ['podAnnotations', 'openappstack.net/x'])
  assert.equal(parsePath('a."b.c"'), ['a', 'b.c'])
  for (const wrong of [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    '[0]',
    'a[',
    'a[x]',
    'a[-1]',
    'a b',
    '__proto__.x',
    'a\u0000',
    '../etc/passwd',
    'a."b',
    `a${'.b'.repeat(100)}`,
  ])
    assert.throws(
      () => parsePath(wrong),
      (error: Error) => error instanceof UsageError,
      wrong,
    )
  fc.assert(
    fc.property(fc.string(), text => {
      try {
        assert.equal(parsePath(pathText(parsePath(text))), parsePath(text))
      } catch (error) {
        assert.instance(error, UsageError)
      }
    }),
  )
})

test('setting and removing', () => {
  const inForce = {
    env: [
      { name: 'A', value: '1' },
      { name: 'B', value: '2' },
    ],
    a: { b: 1 },
  }
  assert.equal(withValue({ a: { c: 2 } }, ['a', 'b'], 3, inForce), { a: { b: 3, c: 2 } })
  assert.equal(withValue({}, ['env', 1, 'value'], '9', inForce), {
    env: [
      { name: 'A', value: '1' },
      { name: 'B', value: '9' },
    ],
  })
  assert.equal(withValue({}, ['env', 2], { name: 'C' }, inForce).env, [...inForce.env, { name: 'C' }])
  assert.throws(() => withValue({}, ['env', 7], 1, inForce), /no place 7/)
  assert.equal(withoutValue({ a: { b: 1 }, c: 2 }, ['a', 'b']), { c: 2 })
  assert.equal(mergeValues({ a: { b: 1, c: 1 }, l: [1] }, { a: { b: null }, l: [2] }), {
    a: { b: null, c: 1 },
    l: [2],
  })
  assert.is(valueAt({ a: [{ b: 1 }] }, ['a', 0, 'b']), 1)
  assert.is(valueAt({}, ['constructor', 'name']), undefined)
})

test.run()
