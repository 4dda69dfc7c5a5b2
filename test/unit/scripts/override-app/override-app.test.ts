/** What an override is judged by, where values come from, and what a change of them does to objects. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { unknownKeys } from '../../../../lib/flux/chart-keys.ts'
import { type HelmValues, storedRelease } from '../../../../lib/flux/stored-release.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { redact } from '../../../../lib/script/redact.ts'
import {
  changeDiff,
  changeLines,
  changesBetween,
  mergePatch,
} from '../../../../scripts/override-app/changes.ts'
import { refusalText } from '../../../../scripts/override-app/check.ts'
import { Draft } from '../../../../scripts/override-app/editor.ts'
import { origins, releaseNamed, type ValuesLayer } from '../../../../scripts/override-app/layers.ts'
import { listedOverrides, overrideLines } from '../../../../scripts/override-app/show.ts'
import { wanted } from '../../../../scripts/override-app/wanted.ts'
import { suite } from '../../../suite.ts'

const test = suite('override-app')
const folder = mkdtempSync(join(tmpdir(), 'oas-unit-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const source = (kind: 'ConfigMap' | 'Secret', name: string, optional: boolean) => ({ kind, name, optional })
const layer = (kind: 'ConfigMap' | 'Secret', name: string, values: HelmValues): ValuesLayer => ({
  source: source(kind, name, name.endsWith('override')),
  origin: `${kind} oas-apps/${name}`,
  secret: kind === 'Secret',
  override: name.endsWith('override'),
  values,
})
const layersWith = (configMap: HelmValues = {}, secret: HelmValues = {}) => [
  layer('ConfigMap', 'oas-wekan-values', { replicaCount: 1, env: [{ name: 'A' }] }),
  layer('Secret', 'oas-wekan-hidden', { smtp: { password: 'correct-horse-battery' } }),
  layer('ConfigMap', 'oas-wekan-override', configMap),
  layer('Secret', 'oas-wekan-override', secret),
]
const nothing = { set: [], unset: [], file: undefined, secret: false, reset: false, edit: false }
const target = { release: 'wekan', draft: new Draft({ onEnd: () => {}, log: { info: () => {} } }) }

const release = (name: string): KubeObject => ({
  apiVersion: 'helm.toolkit.fluxcd.io/v2',
  kind: 'HelmRelease',
  metadata: { name, namespace: 'oas-apps' },
  spec: { valuesFrom: [source('ConfigMap', `oas-${name}-override`, true)] },
})

const chart = {
  name: 'wekan',
  version: 1,
  chart: {
    metadata: { name: 'wekan', dependencies: [{ name: 'mongodb' }] },
    values: {
      replicaCount: 1,
      resources: { limits: { memory: '1Gi' } },
      podLabels: {},
      service: { port: 80 },
    },
    templates: [
      { data: Buffer.from('{{ .Values.hidden }} {{ .Values.service.nodePort }}').toString('base64') },
    ],
  },
}

test('keys that the chart does not know, with the one that was meant', () => {
  const unknown = (override: HelmValues) => unknownKeys(override, chart, { extra: { a: 1 } })
  assert.equal(unknown({ replicaCout: 2 }), [{ path: ['replicaCout'], meant: 'replicaCount' }])
  assert.equal(unknown({ resources: { limit: {} } }), [{ path: ['resources', 'limit'], meant: 'limits' }])
  // Free maps, keys that only templates or the platform have, charts within the chart.
  assert.equal(unknown({ podLabels: { any: 'x' }, hidden: 1, service: { nodePort: 1 } }), [])
  assert.equal(unknown({ mongodb: { what: 1 }, global: { x: 1 }, extra: { b: 1 } }), [])
  assert.equal(unknown({ resources: null }), [])
  // What a template writes out as a whole is the business of whoever reads it.
  for (const text of [
    '{{ toYaml .Values.resources }}',
    '{{- with .Values.resources }}',
    '{{ .Values.resources | toJson }}',
  ]) {
    const templates = [{ data: Buffer.from(text).toString('base64') }]
    assert.equal(
      unknownKeys({ resources: { limit: 1 } }, { ...chart, chart: { ...chart.chart, templates } }, {}),
      [],
    )
  }
  assert.equal(unknownKeys({ x: 1 }, { name: 'n', version: 1 }, {}), [])
})

test('the topmost layer that sets a value is where it comes from', () => {
  const found = origins(layersWith({ replicaCount: 3 }, { token: 'shown-never-ever' }), {
    replicaCount: 0,
    dbname: 'd',
  })
  const of = (path: string) => found.find(each => each.path.join('.') === path)
  assert.is(of('replicaCount')?.origin, 'ConfigMap oas-apps/oas-wekan-override')
  assert.is(of('dbname')?.origin, 'the chart')
  assert.is(of('smtp.password')?.secret, true)
  assert.is(of('token')?.secret, true)
})

test('flags become the values of the override', async () => {
  const of = async (flags: object, layers = layersWith({ a: 1 })) =>
    wanted({ ...nothing, ...flags }, layers, target)
  assert.equal(await of({ set: ['b.c=2', 'd=[x]', 'e=yes', 'f="1"'] }), {
    ConfigMap: { a: 1, b: { c: 2 }, d: ['x'], e: true, f: '1' },
    Secret: {},
  })
  assert.equal((await of({ unset: ['a'] })).ConfigMap, {})
  assert.equal((await of({ reset: true })).ConfigMap, {})
  assert.equal((await of({ reset: true, set: ['b=1'] })).ConfigMap, { b: 1 })
  const rejects = async (flags: object, message: RegExp, layers?: ValuesLayer[]) => {
    try {
      await of(flags, layers)
    } catch (error) {
      assert.match((error as Error).message, message)
      return
    }
    assert.unreachable(JSON.stringify(flags))
  }
  await rejects({ set: ['b'] }, /has no =/)
  await rejects({ set: ['../x=1'] }, /not a path/)
  await rejects({ unset: ['zz'] }, /no override sets zz/)
  await rejects({ secret: true, set: ['token=geheim-und-lang'] }, /on the command line/)
  assert.not.match(redact('it is geheim-und-lang'), /geheim/)
  await rejects({ set: ['smtp.password=other'] }, /comes from a Secret/)
  await rejects({ set: ['t=1'] }, /sets t already/, layersWith({}, { t: 2 }))
  await rejects({ file: folder }, /is a folder/)
  await rejects({ file: join(folder, 'none') }, /does not exist/)
  const broken = layersWith().map(each => (each.override ? { ...each, problem: 'not YAML' } : each))
  await rejects({ set: ['b=1'] }, /not YAML/, broken)
  assert.equal((await of({ reset: true, set: ['b=1'] }, broken)).ConfigMap, { b: 1 })
})

test("files: values, a ConfigMap, and the docs' Secret that kubectl refuses", async () => {
  const from = async (text: string, flags: object = {}) => {
    const file = join(folder, 'values.yaml')
    writeFileSync(file, text)
    return wanted({ ...nothing, ...flags, file }, layersWith({ a: 1 }, {}), target)
  }
  assert.equal((await from('b: 2\n')).ConfigMap, { a: 1, b: 2 })
  const configMap = 'apiVersion: v1\nkind: ConfigMap\ndata:\n  values.yaml: |\n    b: 2\n'
  assert.equal((await from(configMap)).ConfigMap, { a: 1, b: 2 })
  const docs =
    '---\napiVersion: v1\nkind: secret\nmetadata: {name: x}\ndata:\n  values.yaml: |\n    controller: {config: 1}\n'
  assert.equal((await from(docs, { secret: true })).Secret, { controller: { config: 1 } })
  const encoded = `apiVersion: v1\nkind: Secret\ndata:\n  values.yaml: ${Buffer.from('a: 5\n').toString('base64')}\n`
  // What moves to the Secret does not stay readable beside it.
  assert.equal(await from(encoded, { secret: true }), { ConfigMap: {}, Secret: { a: 5 } })
})

test('a name is answered with the nearest one', () => {
  const releases = [release('wekan'), release('nextcloud')]
  assert.is(releaseNamed('wekan', releases), releases[0])
  assert.throws(() => releaseNamed('weken', releases), /not an installed release/)
  for (const hostile of ['../wekan', 'wekan\u001b[2J', '', '__proto__', 'a/b/c'])
    assert.throws(() => releaseNamed(hostile, releases), /not an installed release/)
})

test('what changes between two manifests, without values of Secrets', () => {
  const deployment = (image: string, type = 'Recreate') =>
    `---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: w, labels: {helm.toolkit.fluxcd.io/name: ${image}}}\nspec: {strategy: {type: ${type}}, template: {image: ${image}}}\n`
  const secret = (value: string) =>
    `---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: ${value}}\n`
  const claim = '---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\n'
  const changes = changesBetween(
    deployment('a') + secret('old-hidden') + claim,
    deployment('b') + secret('new-hidden'),
    'oas-apps',
  )
  assert.equal(changeLines(changes), [
    'change Deployment oas-apps/w: its pod restarts, and no pod answers meanwhile',
    'delete PersistentVolumeClaim oas-apps/c',
    'change Secret oas-apps/s',
  ])
  const diff = changes.flatMap(changeDiff).join('\n')
  assert.match(diff, /-.*image: a\n.*\+.*image: b/)
  assert.not.match(diff, /hidden/)
  const same = deployment('a').replaceAll('name: a,', 'name: oas-check,')
  assert.equal(
    changesBetween(
      deployment('a'),
      same.replace('helm.toolkit.fluxcd.io/name: a', 'helm.toolkit.fluxcd.io/name: oas-check-1'),
      'x',
    ),
    [],
  )
  assert.equal(mergePatch({ a: 1, b: { c: 1, d: [1] } }, { b: { c: 2, d: [1] } }), { a: null, b: { c: 2 } })
})

test('a plan names values, and not those of Secrets', () => {
  assert.equal(overrideLines('ConfigMap o', { a: 1, b: 1 }, { a: 2, c: 'x' }, false), [
    'change a = 2 in ConfigMap o',
    'remove b from ConfigMap o',
    'set c = "x" in ConfigMap o',
  ])
  assert.equal(overrideLines('Secret o', {}, { c: 'x' }, true), ['set c = *** in Secret o'])
})

test('an override that no release reads is listed as one', () => {
  const object = (name: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'oas-apps' },
  })
  const list = listedOverrides(
    [release('wekan')],
    [
      { object: object('oas-wekan-override'), keys: 1 },
      { object: object('oas-wekna-override'), keys: 1 },
      { object: object('oas-nextcloud-override'), keys: 1 },
    ],
  )
  assert.equal(
    list.map(each => each.release),
    ['wekan', '', ''],
  )
  assert.equal(
    list.slice(1).map(each => each.state),
    ['no release reads it', 'not installed'],
  )
})

test("Helm's message without what is about the check; a Secret that is no release", () => {
  assert.is(
    refusalText(
      'Helm install failed for release oas-apps/wekan with chart wekan@1: at oas-check-1: bad\n- x',
      'oas-check-1',
    ),
    'wekan@1: at the check: bad - x',
  )
  const secret = (data: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's', namespace: 'n' },
    data: { release: data },
  })
  const packed = gzipSync(JSON.stringify({ name: 'wekan', version: 2 })).toString('base64')
  assert.is(storedRelease(secret(Buffer.from(packed).toString('base64'))).version, 2)
  assert.throws(() => storedRelease(secret('AAAA')), /does not hold a release/)
})

test.run()
