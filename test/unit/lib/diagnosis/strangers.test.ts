/** Faults that nobody here wrote: the right cause first, with its remedy, and nothing else is broken. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { factOf } from '../../../../lib/diagnosis/allowed/object.ts'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { RULES } from '../../../../lib/diagnosis/rules/index.ts'
import { refText } from '../../../../lib/kubectl/kubectl.ts'
import { CALM, factsOf, STRANGERS } from '../../../fixtures/strangers.ts'
import { diagnosed, PAGE, withStrangers } from '../../../strangers-table.ts'

/** Suites with faults of what belongs to the platform. */
const PLATFORM = new Set(['reports', 'reports-platform', 'flux-messages', 'velero', 'nodes', 'cert-manager'])

for (const stranger of STRANGERS)
  test(`${stranger.suite} ${stranger.name}: the right cause first`, () => {
    const { expect, suite } = stranger
    const { causes, gaps } = diagnosed(stranger)
    assert.equal(gaps, [])
    const [first, ...others] = causes
    assert.ok(first, 'nothing is broken')
    assert.is(first.rule, expect.rule)
    assert.match(refText(first.subject), new RegExp(expect.subject))
    assert.match(`${first.remedy.text} ${first.remedy.command ?? ''}`, new RegExp(expect.remedy))
    assert.equal(
      others.map(({ rule }) => rule),
      expect.others ?? [],
    )
    // What belongs to a stranger is told, and never touched.
    if (!PLATFORM.has(suite)) assert.is(first.remedy.action, undefined)
  })

for (const calm of CALM)
  test(`${calm.name}: nothing is broken`, () => {
    const { causes, gaps } = diagnosed(calm)
    assert.equal(gaps, [])
    assert.equal(
      causes.map(({ rule, subject }) => `${rule} ${refText(subject)}`),
      [],
    )
  })

for (const name of ['sandbox', 'server'] as const)
  test(`the healthy platform ${name} is silent`, () => {
    const stranger = STRANGERS.find(
      ({ platform, expect }) => platform === name && !/^node|^k3s/.test(expect.rule),
    )!
    // What nodes differ in from case to case is told by their cases.
    const nodes = stranger.objects.filter(({ kind }) => kind === 'Node')
    assert.equal(
      diagnose(
        factsOf({ ...stranger, objects: nodes, secrets: [], lastLines: undefined, logs: undefined }),
        RULES,
      ).causes,
      [],
    )
  })

test('a stranger’s fault and one of the platform are both named', () => {
  const own = STRANGERS.find(({ name }) => name === 'helm-no-rollback-target')!
  const others = STRANGERS.filter(({ suite }) => !PLATFORM.has(suite) && suite !== 'pod-states')
  for (const [i, stranger] of others.entries()) {
    if (/^(applications|kubernetes|network)$/.test(stranger.suite) && i % 5 > 0) continue // more of the same
    const objects = stranger.objects.map(factOf)
    const facts = factsOf({ ...stranger, objects, takenAt: '2026-11-28T17:00:00Z' }, own.objects)
    const rules = diagnose(facts, RULES).causes.map(({ rule }) => rule)
    assert.ok(rules.includes(own.expect.rule), `${stranger.name}: ${rules}`)
    assert.ok(rules.includes(stranger.expect.rule), `${stranger.name}: ${rules}`)
  }
})

test('the page has the table of the strangers’ suites', () => {
  const page = readFileSync(PAGE, 'utf8')
  assert.ok(page === withStrangers(page), 'run: npx tsx test/strangers-table.ts')
})

test.run()
