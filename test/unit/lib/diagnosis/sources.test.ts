import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rules } from '../../../../lib/diagnosis/rules/sources.ts'
import type { Index } from '../../../../lib/diagnosis/snapshot.ts'
import { fluxObject, ready } from '../../flux-objects.ts'
import { indexOf } from './snapshots.ts'

// Messages are those of source-controller 1.9.5 and the libraries below it; which of them means what, and what
// is told about each, is the matter of the other files of this folder, too.

const judge = (index: Index) => rules.flatMap(rule => rule(index))
const url = 'https://git.example.org/openappstack.git'
const git = (message: string, spec: object = {}) =>
  fluxObject('GitRepository', 'openappstack', [`Ready=False GitOperationFailed: ${message}`], {
    spec: { url, ref: { branch: 'main' }, ...spec },
  })

for (const [message, rule, remedy] of [
  [
    `unable to clone '${url}': couldn't find remote ref "refs/heads/mian"`,
    'source-branch-missing',
    /git_branch/,
  ],
  [
    `unable to clone '${url}': authentication required: Unauthorized`,
    'source-unauthorized',
    /requires credentials/,
  ],
  [`unable to clone: repository not found`, 'source-not-found', /nothing is served/],
  [
    `unable to clone '${url}': tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    'source-certificate',
    /not trusted/,
  ],
  [`unable to clone '${url}': dial tcp: lookup git.example.org: no such host`, 'source-unreachable', /DNS/],
  ['something new', 'source-failed', /correct the source/],
] as const)
  test(`${rule}: ${message.slice(-30)}`, () => {
    const [finding, ...more] = judge(indexOf([git(message)]))
    assert.equal(more, [])
    assert.is(finding?.rule, rule)
    assert.is(finding!.cause, message)
    assert.match(finding!.remedy.text, remedy)
    assert.is(finding!.symptom, undefined)
    assert.equal(finding!.remedy.action?.do, 'reconcile')
  })

test('credentials that are refused are named, and that their Secret is gone', () => {
  const object = git('authentication required', { secretRef: { name: 'token' } })
  const [finding] = judge(indexOf([object]))
  assert.match(finding!.remedy.text, /refuses the credentials in Secret flux-system\/token/)
  assert.ok(finding!.evidence.some(line => /token.* does not exist/.test(line)))
  const blind = indexOf([object], { gaps: [{ what: 'Secret', why: 'Forbidden' }] })
  assert.not.ok(judge(blind)[0]!.evidence.some(line => /does not exist/.test(line)))
})

test('what somebody has changed by hand is led back to .flux.env', () => {
  const config = { git_url: url, git_branch: 'stable' }
  const failed = judge(indexOf([git("couldn't find remote ref")], { config }))
  assert.equal(failed[0]!.remedy.action, {
    do: 'patch',
    ref: {
      apiVersion: 'source.toolkit.fluxcd.io/v1',
      kind: 'GitRepository',
      name: 'openappstack',
      namespace: 'flux-system',
    },
    patch: { spec: { ref: { branch: 'stable' } } },
    why: 'follow the branch stable of .flux.env again',
  })
  assert.match(
    failed[0]!.remedy.text,
    /"main" is not in .*; it is not what .flux.env says: follow the branch stable/,
  )

  const works = fluxObject('GitRepository', 'openappstack', [ready], {
    spec: { url, ref: { branch: 'main' } },
  })
  const [drift, ...more] = judge(indexOf([works], { config }))
  assert.equal(more, [])
  assert.is(drift!.rule, 'source-drift')
  assert.is(drift!.verdict, 'warning')
  assert.equal(judge(indexOf([works], { config: { git_url: url, git_branch: 'main' } })), [])
  assert.equal(judge(indexOf([works])), [], 'nothing is known of .flux.env')
})

const repository = fluxObject('HelmRepository', 'wekan', [ready], {
  spec: { url: 'https://charts.example.org' },
})
const chart = (message: string) =>
  fluxObject('HelmChart', 'oas-apps-wekan', [`Ready=False ChartPullError: ${message}`], {
    spec: { chart: 'wekan', version: '99.0.0', sourceRef: { kind: 'HelmRepository', name: 'wekan' } },
  })

test('a chart is looked for again from its repository on', () => {
  const [finding] = judge(
    indexOf([chart("no 'wekan' chart with version matching '99.0.0' found"), repository]),
  )
  assert.is(finding!.rule, 'chart-not-found')
  const action = finding!.remedy.action
  assert.is(action?.do === 'reconcile' && action.source?.kind, 'HelmRepository')
})

test('a chart that only waits for its repository is a symptom', () => {
  const [finding] = judge(indexOf([chart("no artifact available for HelmRepository source 'wekan'")]))
  assert.is(finding!.symptom, true)
})

test('a repository of charts is put back by the Kustomization that owns it', () => {
  const labels = {
    'kustomize.toolkit.fluxcd.io/name': 'infrastructure',
    'kustomize.toolkit.fluxcd.io/namespace': 'flux-system',
  }
  const failing = fluxObject('HelmRepository', 'ory', [
    'Ready=False Failed: failed to fetch: connection refused',
  ])
  failing.metadata.labels = labels
  const owner = fluxObject('Kustomization', 'infrastructure', [ready])
  const action = judge(indexOf([failing, owner]))[0]!.remedy.action
  assert.is(action?.do === 'reconcile' && `${action.ref.name} ${action.source?.name}`, 'infrastructure ory')
})

test('what is fetched, is being fetched or is suspended is no finding here', () => {
  const objects = [
    repository,
    fluxObject('HelmRepository', 'new', []),
    fluxObject('HelmChart', 'x', ['Ready=Unknown Progressing: x']),
    git('authentication required', { suspend: true }),
  ]
  assert.equal(judge(indexOf(objects)), [])
})

test.run()
