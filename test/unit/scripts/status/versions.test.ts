import { dump } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { newestOf, versionsIn } from '../../../../scripts/status/versions.ts'

const entry = (version: string) => ({
  annotations: { changes: 'version: 9.9.9\n- version: 8.8.8\n' },
  dependencies: [{ name: 'common', version: '7.7.7' }],
  version,
})
const entries = {
  alloy: [entry('1.11.1'), entry('1.2.0')],
  'alloy-operator': [entry('5.0.0')],
  wekan: [entry('11.07.0')],
}

test('the versions of a chart are read from an index as Helm writes it, and as others do', () => {
  const index = { apiVersion: 'v1', entries, generated: '2026-01-01' }
  for (const options of [
    {},
    { noArrayIndent: true },
    { sortKeys: true },
    { quotingType: '"', forceQuotes: true },
  ] as const) {
    const text = dump(index, options)
    assert.equal(versionsIn(text, 'alloy'), ['1.11.1', '1.2.0'], text)
    assert.equal(versionsIn(text, 'alloy-operator'), ['5.0.0'])
    assert.equal(versionsIn(text, 'wekan'), ['11.07.0'])
    assert.equal(versionsIn(text, 'common'), [])
  }
  // As `helm repo index` writes it: lists are not indented.
  const helm =
    'apiVersion: v1\nentries:\n  a:\n  - apiVersion: v2\n    version: v1.0.0\n  - version: 2.0.0\n    name: a\n  b:\n  - version: 3.0.0\n'
  assert.equal(versionsIn(helm, 'a'), ['v1.0.0', '2.0.0'])
})

test('the newest version is the highest that is released', () => {
  assert.is(newestOf(['1.9.0', '1.10.0', '2.0.0-rc.1', 'v1.2.0']), '1.10.0')
  assert.is(newestOf(['11.07.0', '11.11.0', '9.99.0']), '11.11.0')
  assert.is(newestOf(['nonsense', '1.0.0-beta.1']), undefined)
  assert.is(newestOf([]), undefined)
})

test.run()
