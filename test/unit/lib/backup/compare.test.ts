/** What is lost, by what was counted around a backup. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { countedAround, losses, notEmpty } from '../../../../lib/backup/compare.ts'
import { contentsText } from '../../../../lib/backup/contents.ts'

test('rows: fewer are a loss, more are not, and a table that is not there is named', () => {
  const rows = (tables: Record<string, number>) => ({ claim: 'a/b', database: 'MariaDB', tables })
  const [known] = countedAround(
    [rows({ 'x.a': 3, 'x.b': 2, 'x.gone': 1 })],
    [rows({ 'x.a': 5, 'x.b': 2, 'x.new': 1 })],
  )
  assert.equal(known!.tables, { 'x.a': [3, 5], 'x.b': [2, 2] })
  assert.equal(losses(known!, rows({ 'x.a': 4, 'x.b': 7 })), [])
  assert.equal(losses(known!, rows({ 'x.a': 2 })), [
    'a/b: table x.a has 2 rows, and had 3',
    'a/b: table x.b is missing',
  ])
  assert.is(contentsText(rows({ 'x.a': 2, 'x.b': 1 })), 'MariaDB: 2 tables, 3 rows')
})

test('a backup says empty, and something was counted: named', () => {
  const claim = (name: string, empty: boolean) =>
    ({ claim: name, state: 'captured', volume: 'local', pods: [] as string[], bytes: 0, empty }) as const
  const known = [
    { claim: 'a/full', files: [3, 3] as [number, number] },
    { claim: 'a/empty', files: [0, 0] as [number, number] },
    { claim: 'a/rows', tables: { x: [0, 0] as [number, number] } },
  ]
  const claims = [claim('a/full', true), claim('a/empty', true), claim('a/rows', true), claim('a/new', true)]
  assert.equal(notEmpty(claims, known), ['a/full', 'a/rows'])
  assert.equal(notEmpty([claim('a/full', false)], known), [])
})

test.run()
