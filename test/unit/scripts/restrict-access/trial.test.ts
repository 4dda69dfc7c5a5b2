import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Kubectl } from '../../../../lib/kubectl/kubectl.ts'
import { hostObjects, trialObjects, trialPaths } from '../../../../scripts/restrict-access/routes.ts'
import { Trial } from '../../../../scripts/restrict-access/trial.ts'
import { certificate } from '../../certificates.ts'
import { serve } from '../../transport.ts'

const HOST = 'shop.example.org'
const RESTRICTED = 'files.example.org'

test('the open path of a trial is below the route of a restricted host, and above its application', () => {
  const ranges = { given: ['::1/128'], all: ['::1/128'] }
  const routes = trialObjects('x', { ...ranges, hosts: [HOST] }).flatMap(({ spec }) => spec.routes ?? [])
  const open = routes.find(({ match }) => match.includes(trialPaths('x').open))
  const [, restricting] = hostObjects(HOST, ranges.given)
  assert.ok(open.priority < restricting!.spec.routes[0].priority)
  assert.ok(open.priority > 100_000) // that of an Ingress is the length of its rule
})

test('a host whose application answers 403 to strangers is not taken for a refusal of the ingress', async () => {
  const { url, close } = await serve(
    (request, response) => {
      const isTrial = request.url!.endsWith('/open')
      const refuses = isTrial ? request.headers.host === RESTRICTED : true
      response.writeHead(refuses ? 403 : 418).end()
    },
    await certificate(-1, 1),
  )
  const client = { server: 'https://x' }
  const kubectl = { client, list: async () => [], apply: async () => undefined } as unknown as Kubectl
  const target = { address: '127.0.0.1', http: 1, https: Number(new URL(url).port) }
  // The run gives up long before verify does.
  const run = { signal: AbortSignal.timeout(60_000), onEnd: () => undefined }
  const started = { given: ['127.0.0.1/32'], all: ['127.0.0.1/32'], hosts: [HOST], targets: [target] }
  try {
    const trial = await Trial.start(kubectl, started, run)
    await Promise.all([trial.verify([], [HOST]), trial.verify([target.address], [RESTRICTED])])
  } finally {
    close()
  }
})

test.run()
