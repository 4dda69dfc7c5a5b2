import type { RequestListener } from 'node:http'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ApiError, isNotFound } from '../../../../lib/kubectl/api-error.ts'
import { explainApiError, Kubectl, refOf, refText } from '../../../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { expectedFrom } from '../../helpers.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

const ref = { apiVersion: 'v1', kind: 'Secret', name: 's', namespace: 'oas' }

test('an object is named by kind, namespace and name', () => {
  assert.is(refText(ref), 'Secret oas/s')
  assert.is(refText({ apiVersion: 'v1', kind: 'Node', name: 'n' }), 'Node n')
  const object = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's', namespace: 'oas', uid: 'u' },
    data: {},
  }
  assert.equal(refOf(object), ref)
})

for (const [code, message, fix] of [
  [401, /credentials of the kubeconfig \(Unauthorized\)/, /renew its client certificate/],
  [403, /^reading x: User "ann" cannot get/, /cluster administrator/],
  [409, /^reading x: User "ann" cannot get/, /correct what the API server refuses/],
  [422, /^reading x: User "ann" cannot get/, /correct what the API server refuses/],
  [429, /answers 429/, /wait a minute/],
  [503, /answers 503/, /wait a minute/],
] as const)
  test(`${code} is told with what to do`, () => {
    const error = explainApiError(new ApiError(code, { message: 'User "ann" cannot get' }), 'reading x')
    assert.instance(error, ExpectedError)
    assert.match((error as ExpectedError).message, message)
    assert.match((error as ExpectedError).fix, fix)
  })

test('any other error stays what it is', () => {
  const error = new TypeError('x')
  assert.is(explainApiError(error, 'reading x'), error)
  assert.ok(isNotFound(new ApiError(404, {})))
  assert.not.ok(isNotFound(new ApiError(410, {})))
})

const resources = {
  resources: [
    { name: 'secrets', kind: 'Secret', namespaced: true },
    { name: 'secrets/status', kind: 'Secret', namespaced: true },
  ],
}

/** A Kubectl against canned answers by `METHOD path`: what is tested is the client side of the wire. */
async function against(
  answers: Record<string, (url: URL) => { code?: number; body: unknown }>,
  work: (kubectl: Kubectl, asked: string[]) => Promise<void>,
) {
  const asked: string[] = []
  const answer: RequestListener = (request, response) => {
    const url = new URL(request.url!, 'http://x')
    asked.push(`${request.method} ${url.pathname}`)
    const { code = 200, body } = answers[asked.at(-1)!]?.(url) ?? { code: 404, body: { reason: 'NotFound' } }
    response.writeHead(code).end(JSON.stringify(body))
  }
  const { url, close } = await serve(answer)
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  try {
    await work(kubectl, asked)
  } finally {
    kubectl.client.close()
    close()
  }
}
const served = {
  'GET /version': () => ({ body: { gitVersion: 'v1.36.4' } }),
  'GET /api/v1': () => ({ body: resources }),
}

test('transport: what or whose kind does not exist is absent, not an error', () =>
  against(served, async kubectl => {
    assert.is(await kubectl.get(ref), undefined)
    assert.is(await kubectl.get({ ...ref, apiVersion: 'velero.io/v1', kind: 'Backup' }), undefined)
    assert.equal(await kubectl.list('velero.io/v1', 'Backup'), [])
    assert.is(await kubectl.delete(ref), false)
  }))

test('transport: what is served is asked once, and anew after rediscover', () =>
  against(served, async (kubectl, asked) => {
    await Promise.all([kubectl.get(ref), kubectl.get(ref)])
    await kubectl.get(ref)
    const count = () => asked.filter(each => each === 'GET /api/v1').length
    assert.is(count(), 1)
    kubectl.rediscover()
    await kubectl.get(ref)
    assert.is(count(), 2)
  }))

test('transport: a list is read to its last page, and its items know their kind', () =>
  against(
    {
      ...served,
      'GET /api/v1/namespaces/oas/secrets': url => {
        const page = Number(url.searchParams.get('continue') ?? 0)
        const items = [{ metadata: { name: `s${page}` } }]
        return { body: { items, metadata: { continue: page < 2 ? String(page + 1) : '' } } }
      },
    },
    async kubectl => {
      const items = await kubectl.list('v1', 'Secret', { namespace: 'oas' })
      assert.equal(
        items.map(item => `${item.apiVersion} ${item.kind} ${item.metadata.name}`),
        ['v1 Secret s0', 'v1 Secret s1', 'v1 Secret s2'],
      )
    },
  ))

test('transport: the revision of a list is named with its first page, as the API server refuses it with a token', () => {
  const asked: string[] = []
  return against(
    {
      ...served,
      'GET /api/v1/namespaces/oas/secrets': url => {
        asked.push(url.search)
        return { body: { items: [], metadata: { continue: asked.length < 2 ? 'next' : '' } } }
      },
    },
    async kubectl => {
      await kubectl.list('v1', 'Secret', { namespace: 'oas', resourceVersion: '7' })
      assert.equal(asked, [
        '?limit=500&resourceVersion=7&resourceVersionMatch=Exact',
        '?limit=500&continue=next',
      ])
    },
  )
})

test('transport: the revision is a number, or none is told', () => {
  const answers: unknown[] = ['417', '0', '7 or so', 417, undefined]
  return against(
    { 'GET /api/v1/namespaces': () => ({ body: { metadata: { resourceVersion: answers.shift() } } }) },
    async kubectl => {
      const told = []
      while (answers.length > 0) told.push(await kubectl.revision())
      assert.equal(told, ['417', undefined, undefined, undefined, undefined])
    },
  )
})

test('transport: of who has set which field a list keeps what is asked of it', () => {
  const managedFields = [
    { manager: 'helm', time: '2026-03-01T00:00:00Z', fieldsV1: { 'f:spec': {} } },
    { manager: 'k3s', subresource: 'status', time: '2026-03-02T00:00:00Z', fieldsV1: { 'f:status': {} } },
  ]
  const answer = () => ({ body: { items: [{ metadata: { name: 'a', managedFields } }] } })
  const kinds = ['daemonsets DaemonSet', 'deployments Deployment'].map(each => each.split(' '))
  const apps = { resources: kinds.map(([name, kind]) => ({ name, kind, namespaced: true })) }
  const pages = {
    ...served,
    'GET /apis/apps/v1': () => ({ body: apps }),
    'GET /api/v1/secrets': answer,
    'GET /apis/apps/v1/daemonsets': answer,
    'GET /apis/apps/v1/deployments': answer,
  }
  return against(pages, async kubectl => {
    const of = async (apiVersion: string, kind: string) =>
      (await kubectl.list(apiVersion, kind))[0]!.metadata.managedFields
    assert.equal(await of('v1', 'Secret'), managedFields)
    assert.equal(await of('apps/v1', 'DaemonSet'), [{ subresource: 'status', time: '2026-03-02T00:00:00Z' }])
    assert.is(await of('apps/v1', 'Deployment'), undefined)
  })
})

test('transport: of a ConfigMap whose data is not asked for its keys are listed', () => {
  const fieldsV1 = { 'f:data': { 'f:MODE': {} }, 'f:metadata': { 'f:labels': {} } }
  const body = { items: [{ metadata: { name: 'a', managedFields: [{ manager: 'helm', fieldsV1 }] } }] }
  const core = { resources: [{ name: 'configmaps', kind: 'ConfigMap', namespaced: true }] }
  const pages = {
    ...served,
    'GET /api/v1': () => ({ body: core }),
    'GET /api/v1/configmaps': () => ({ body }),
  }
  return against(pages, async kubectl => {
    const of = async (options?: { metadataOnly: boolean }) =>
      (await kubectl.list('v1', 'ConfigMap', options))[0]!.metadata.managedFields
    assert.equal(await of({ metadataOnly: true }), [{ fieldsV1: { 'f:data': { 'f:MODE': {} } } }])
    assert.is(await of(), undefined)
  })
})

test('transport: names cannot leave their place in the path', () =>
  against(served, async (kubectl, asked) => {
    await kubectl.get({ ...ref, name: '../x?y#z', namespace: 'a/b' })
    assert.is(asked.at(-1), 'GET /api/v1/namespaces/a%2Fb/secrets/..%2Fx%3Fy%23z')
  }))

test('transport: an object that exists already is not created', () =>
  against(
    {
      ...served,
      'POST /api/v1/namespaces/oas/secrets': () => ({ code: 409, body: { reason: 'AlreadyExists' } }),
    },
    async kubectl => {
      const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'oas' } }
      assert.is(await kubectl.create(object), undefined)
    },
  ))

test('transport: an error says what was being done', () =>
  against(
    {
      ...served,
      'GET /api/v1/namespaces/oas/secrets/s': () => ({
        code: 403,
        body: { message: 'secrets "s" is forbidden' },
      }),
    },
    async kubectl => {
      const error = await expectedFrom(() => kubectl.get(ref))
      assert.is(error.message, 'reading Secret oas/s: secrets "s" is forbidden')
    },
  ))

for (const [what, answer] of [
  ['404 in plain text', { code: 404, body: 'page not found' }],
  ['404 with a Status', { code: 404, body: { kind: 'Status', reason: 'NotFound', message: 'not found' } }],
  ['an object of another API', { body: { status: 'ok' } }],
] as const)
  test(`transport: a server that answers ${what} to everything is not a Kubernetes API`, async () => {
    const { url, close } = await serve((_request, response) =>
      response.writeHead('code' in answer ? answer.code : 200).end(JSON.stringify(answer.body)),
    )
    const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
    for (const work of [
      () => kubectl.get(ref),
      () => kubectl.list('v1', 'Node'),
      () => kubectl.list('velero.io/v1', 'Backup'),
      () => kubectl.get({ ...ref, apiVersion: 'velero.io/v1', kind: 'Backup' }),
      () => kubectl.kinds('helm.toolkit.fluxcd.io/v2'),
      () => kubectl.delete(ref),
      () => kubectl.serverVersion(),
    ])
      assert.match((await expectedFrom(work)).message, `${url} answers, but it is not a Kubernetes API: `)
    kubectl.client.close()
    close()
  })

test('transport: an object that a proxy misses is not absent', () =>
  against(
    {
      'GET /api/v1': () => ({ body: resources }),
      'GET /api/v1/namespaces/oas/secrets/s': () => ({ code: 404, body: '<html>' }),
    },
    async kubectl => {
      assert.match(
        (await expectedFrom(() => kubectl.get(ref))).message,
        'it is not a Kubernetes API: HTTP 404',
      )
    },
  ))

for (const [what, body, message] of [
  ['repeats its page', { items: [], metadata: { continue: 'x' } }, /sends the same page repeatedly$/],
  ['is none', { items: 5 }, /it is not a Kubernetes API: no list of Secret$/],
  ['has nameless items', { items: [null] }, /it is not a Kubernetes API: no list of Secret$/],
] as const)
  test(`transport: a list that ${what} ends with an error`, () =>
    against({ ...served, 'GET /api/v1/secrets': () => ({ body }) }, async kubectl => {
      assert.match((await expectedFrom(() => kubectl.list('v1', 'Secret'))).message, message)
    }))

test('transport: a list of pages without end is bounded', () => {
  const items = Array.from({ length: 500 }, (_, i) => ({ metadata: { name: `${i}` } }))
  let page = 0
  return against(
    { ...served, 'GET /api/v1/secrets': () => ({ body: { items, metadata: { continue: `${++page}` } } }) },
    async kubectl => {
      const error = await expectedFrom(() => kubectl.list('v1', 'Secret'))
      assert.match(error.message, 'listing Secret: the API server sends more than 120000 objects')
    },
  )
})

test('transport: a list that does not fit into memory ends with an error', () => {
  const text = 'x'.repeat(4 << 20)
  let page = 0
  const answer = () => {
    const items = [0, 1].map(i => ({ metadata: { name: `${page}-${i}` }, data: { text } }))
    return { body: { items, metadata: { continue: `${++page}` } } }
  }
  return against({ ...served, 'GET /api/v1/secrets': answer }, async kubectl => {
    const error = await expectedFrom(() => kubectl.list('v1', 'Secret'))
    assert.is(error.message, 'listing Secret: the objects of this cluster do not fit into memory')
    assert.ok(page < 20, `${page} pages`)
  })
})

test('transport: of a long list only what is wanted is held', () => {
  const text = 'x'.repeat(4 << 20)
  let page = 0
  const answer = () => {
    const items = [0, 1].map(i => ({ metadata: { name: `${page}-${i}` }, data: i === 0 ? { text } : {} }))
    return { body: { items, metadata: ++page < 40 ? { continue: `${page}` } : {} } }
  }
  return against({ ...served, 'GET /api/v1/secrets': answer }, async kubectl => {
    const found = await kubectl.list('v1', 'Secret', {}, ({ data }) => !data.text)
    assert.is(found.length, 40)
  })
})

test.run()
