/** What facts hold, against objects that have a secret in every field that people or programs write one into. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { factOf } from '../../../../lib/diagnosis/allowed/object.ts'
import { allowedPart } from '../../../../lib/diagnosis/allowed/pick.ts'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { parseSnapshot } from '../../../../lib/diagnosis/snapshot.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { PLANTED, plantedObjects, plantedSoFar, secret } from '../../../fixtures/planted.ts'
import { snapshotOf } from './snapshots.ts'

test('no field of an object takes a secret into the facts, and the rules judge what is left', () => {
  const facts = plantedObjects().map(factOf)
  assert.ok(plantedSoFar() > 200, String(plantedSoFar()))
  const text = JSON.stringify(facts)
  assert.equal(text.match(PLANTED), null)
  assert.match(text, '"secretKeyRef":{"name":"app","key":"password"}')
  assert.match(text, '"periodSeconds":5')
  const { gaps } = diagnose(snapshotOf(facts), RULES)
  assert.equal(gaps, [])
})

test('a file with the same objects is read without them, too', () => {
  const file = JSON.stringify({ ...snapshotOf(plantedObjects()), more: secret() })
  assert.equal(JSON.stringify(parseSnapshot(file, 'file')).match(PLANTED), null)
})

test('a field of another type than its own is not taken', () => {
  assert.is(allowedPart(5, 'text'), undefined)
  assert.is(allowedPart({}, 'message'), undefined)
  assert.is(allowedPart('5', 'number'), undefined)
  assert.is(allowedPart('true', 'flag'), undefined)
  assert.is(allowedPart({ 0: 'a' }, ['text']), undefined)
  assert.equal(allowedPart(['a', 5, null], ['text']), ['a'])
  assert.is(allowedPart([], { a: 'text' }), undefined)
  assert.equal(allowedPart(JSON.parse('{"__proto__": "x", "a": "b"}'), { '*': 'text' }), { a: 'b' })
})

/** Every kind with every field of another type, down to the third level. */
const HOSTILE: readonly unknown[] = [
  null,
  5,
  'x',
  true,
  [],
  [null],
  [[]],
  {},
  { x: null },
  '\x1b[2J',
  '2026-99-99',
]
test('objects whose fields are of any type are judged without a defect', () => {
  const hostile = plantedObjects().flatMap(({ kind, metadata, ...fields }) =>
    HOSTILE.map((value, i) => {
      const wrong = Object.fromEntries(
        Object.entries({ spec: {}, status: {}, webhooks: 1, endpoints: 1, involvedObject: 1, ...fields }).map(
          ([name, part]) => [
            name,
            i % 2 === 0 || typeof part !== 'object' || part === null
              ? value
              : Object.fromEntries(
                  [...Object.keys(part), 'conditions', 'containers', 'volumes', 'rules'].map(each => [
                    each,
                    value,
                  ]),
                ),
          ],
        ),
      )
      return {
        apiVersion: 'v1',
        kind,
        metadata: { ...metadata, name: `${kind}-${i}`, labels: value, annotations: value },
        ...wrong,
      }
    }),
  )
  const snapshot = parseSnapshot(JSON.stringify(snapshotOf(hostile as unknown as KubeObject[])), 'file')
  assert.equal(diagnose(snapshot, RULES).gaps, [])
})

test.run()
