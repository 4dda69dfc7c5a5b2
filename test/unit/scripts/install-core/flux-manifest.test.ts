import { writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FEATURE_GATES, fluxRelease } from '../../../../lib/flux/flux-install.ts'
import { loadFluxManifest } from '../../../../scripts/install-core/flux-manifest.ts'
import { expectedFrom, temporaryFolder } from '../../helpers.ts'
import { nobody, serve } from '../../transport.ts'

const object = (kind: string, name: string) => `apiVersion: v1\nkind: ${kind}\nmetadata:\n  name: ${name}\n`
const controllers = ['source', 'kustomize', 'helm'].map(
  name =>
    `${object('Deployment', `${name}-controller`)}spec:\n  template:\n    spec:\n      containers:\n      - name: manager\n        args: [--log-level=info]\n`,
)
const manifest = (...objects: string[]) => {
  const file = join(temporaryFolder(), 'install.yaml')
  writeFileSync(file, objects.join('---\n'))
  return file
}

test('namespaces and definitions come before what needs them, all else in its order', async () => {
  const objects = await loadFluxManifest(
    manifest(
      ...controllers,
      object('CustomResourceDefinition', 'b'),
      '# a comment alone\n',
      object('Namespace', 'flux-system'),
      object('CustomResourceDefinition', 'a'),
    ),
  )
  assert.equal(
    objects.map(({ metadata }) => metadata.name),
    ['flux-system', 'b', 'a', 'source-controller', 'kustomize-controller', 'helm-controller'],
  )
})

test('the controllers that check health are told to stop when there is a newer revision', async () => {
  const objects = await loadFluxManifest(manifest(...controllers))
  const args = objects.map(({ spec }) => spec.template.spec.containers[0].args)
  const gated = ['--log-level=info', FEATURE_GATES]
  assert.equal(args, [['--log-level=info'], gated, gated])
  const chosen = controllers.map(text => text.replace('--log-level=info', '--feature-gates=X=true'))
  for (const { spec } of await loadFluxManifest(manifest(...chosen)))
    assert.equal(spec.template.spec.containers[0].args, ['--feature-gates=X=true'])
})

for (const [what, text, message] of [
  ['an HTML page', '<!doctype html>\n<title>Login</title>', 'is not an install manifest'],
  ['broken YAML', 'a: [\n', 'is not an install manifest'],
  ['an empty file', '', 'it has no Deployment source-controller'],
  ['a list', '- a\n- b\n', 'not a Kubernetes object'],
  ['an object without a name', 'apiVersion: v1\nkind: X\nmetadata: {}\n', 'not a Kubernetes object'],
  [
    'a manifest without helm-controller',
    controllers.slice(0, 2).join('---\n'),
    'it has no Deployment helm-controller',
  ],
] as const)
  test(`${what} is refused as a manifest`, async () => {
    const file = manifest(text)
    const error = await expectedFrom(() => loadFluxManifest(file))
    assert.ok(error.message.startsWith(file), error.message)
    assert.match(error.message, message)
    assert.not.match(error.message, '\n')
  })

test('a manifest that cannot be read is named with the flag', async () => {
  const error = await expectedFrom(() => loadFluxManifest('/none/install.yaml'))
  assert.match(error.message, '/none/install.yaml cannot be read')
  assert.match(error.fix, '--flux-manifest')
})

/** Downloads the release from `url` in place of the internet. */
async function downloadFrom(url: string) {
  const real = globalThis.fetch
  globalThis.fetch = (_release, options) => real(url, options)
  try {
    return await expectedFrom(() => loadFluxManifest(undefined))
  } finally {
    globalThis.fetch = real
  }
}
async function downloadAnswered(answer: RequestListener) {
  const { url, close } = await serve(answer)
  try {
    return await downloadFrom(url)
  } finally {
    close()
  }
}

test('transport: a download with another checksum is refused, be it a good manifest', async () => {
  const error = await downloadAnswered((_request, response) => response.end(controllers.join('---\n')))
  assert.match(error.message, `but ${(await fluxRelease()).sha256}`)
})

test('transport: a download that fails says why, and names the way without internet', async () => {
  const missing = await downloadAnswered((_request, response) => response.writeHead(404).end())
  assert.match(missing.message, /cannot be downloaded from https:.*: HTTP 404$/)
  const refused = await downloadFrom(await nobody())
  assert.match(refused.message, /: ECONNREFUSED$/)
  assert.match(refused.fix, '--flux-manifest FILE')
})

test.run()
