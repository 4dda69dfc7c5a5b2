import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kubectl } from '../../../../lib/kubectl/kubectl.ts'
import { clientsText, outdatedClients, sendClients } from '../../../../lib/rollout/clients.ts'
import { kubeconfigFile, serve } from '../../transport.ts'

test('the plan says what hydra lacks, or has otherwise', () => {
  const client = (...differs: string[]) => ({ namespace: 'oas-apps', name: 'wekan', differs })
  assert.equal(clientsText([client('registration'), client('client secret', 'scopes')]), [
    'register OAuth2Client oas-apps/wekan at hydra, which does not have it',
    'send OAuth2Client oas-apps/wekan to hydra again, which has another client secret, scopes',
  ])
  assert.equal(clientsText([]), [])
})

const GROUP = '/apis/hydra.ory.sh/v1alpha1'
const object = (namespace: string, name: string) => ({
  apiVersion: 'hydra.ory.sh/v1alpha1',
  kind: 'OAuth2Client',
  metadata: { namespace, name },
  spec: {
    secretName: name,
    redirectUris: ['https://x.example.org'],
    tokenEndpointAuthMethod: 'client_secret_post',
  },
})
const base64 = (text: string) => Buffer.from(text).toString('base64')

/** What answers as an API server with hydra behind it; a patch of a status lets hydra have that client. */
async function platform(answers: { hydra?: boolean; obeys?: boolean } = {}) {
  const { hydra = true, obeys = true } = answers
  const registered = new Set<string>()
  const patched: string[] = []
  const objects = [object('oas-apps', 'wekan'), object('oas', 'grafana'), object('elsewhere', 'shop')]
  const { url, close } = await serve((request, response) => {
    const path = (request.url ?? '').split('?')[0]!
    const say = (value: unknown, status = 200) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    const resources = (name: string, kind: string) => [
      { name, kind, namespaced: true, verbs: ['get', 'list'] },
    ]
    const secret = /^\/api\/v1\/namespaces\/[\w-]+\/secrets\/([\w-]+)$/.exec(path)?.[1]
    const status = /\/oauth2clients\/([\w-]+)\/status$/.exec(path)?.[1]
    if (path === '/api/v1') return say({ kind: 'APIResourceList', resources: resources('secrets', 'Secret') })
    if (path === GROUP)
      return say({ kind: 'APIResourceList', resources: resources('oauth2clients', 'OAuth2Client') })
    if (path === `${GROUP}/oauth2clients`)
      return say({ kind: 'OAuth2ClientList', metadata: {}, items: objects })
    if (secret) return say({ data: { CLIENT_ID: base64(secret), CLIENT_SECRET: base64('a-client-secret') } })
    if (status) {
      patched.push(status)
      if (obeys) registered.add(status)
      return say(objects[0])
    }
    if (!hydra) return say({ kind: 'Status', reason: 'ServiceUnavailable', message: 'no endpoints' }, 503)
    if (path.endsWith('/admin/clients'))
      return say(
        [...registered].map(client_id => ({
          client_id,
          redirect_uris: ['https://x.example.org'],
          token_endpoint_auth_method: 'client_secret_post',
        })),
      )
    say({ error: 'invalid_grant' }, 400)
  })
  const kubectl = await Kubectl.connect(kubeconfigFile({ server: url }))
  return { kubectl, patched, registered, close }
}

test('clients of the platform that hydra does not have are sent once each, and others are left alone', async () => {
  const { kubectl, patched, registered, close } = await platform()
  const names = async (...apps: string[]) => (await outdatedClients(kubectl, apps)).map(({ name }) => name)
  assert.equal(await names('core'), ['wekan', 'grafana'])
  assert.equal(await names('wekan'), ['wekan'])
  await sendClients(kubectl, ['core'], new AbortController().signal)
  assert.equal(patched, ['wekan', 'grafana'])
  assert.equal([...registered], ['wekan', 'grafana'])
  assert.equal(await names('core'), [])
  await sendClients(kubectl, ['core'], new AbortController().signal)
  assert.is(patched.length, 2)
  close()
})

test('where hydra cannot be asked nothing is sent, and nobody waits', async () => {
  const { kubectl, patched, close } = await platform({ hydra: false })
  assert.equal(await outdatedClients(kubectl, ['core']), [])
  await sendClients(kubectl, ['core'], new AbortController().signal)
  assert.equal(patched, [])
  close()
})

test('an interruption ends the wait for a hydra-maester that does nothing', async () => {
  const { kubectl, patched, close } = await platform({ obeys: false })
  const stop = new AbortController()
  setTimeout(() => stop.abort(new Error('interrupted')), 100)
  try {
    await sendClients(kubectl, ['wekan'], stop.signal)
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), 'interrupted')
  }
  assert.equal(patched, ['wekan'])
  close()
})

test.run()
