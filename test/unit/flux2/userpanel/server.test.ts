/** The panel's server over HTTP. kratos and hydra are stand-ins here that record what reaches them. */
import { createServer, type IncomingMessage, type RequestOptions, request, type Server } from 'node:http'
import * as assert from 'uvu/assert'
import { formToken } from '../../../../flux2/core/single-sign-on/userpanel/panel/http.ts'
import { type Panel, panelOf } from '../../../../flux2/core/single-sign-on/userpanel/panel/panel.ts'
import { fieldsOf, flowPath } from '../../../../flux2/core/single-sign-on/userpanel/panel/self-service.ts'
import { serve, serveHooks } from '../../../../flux2/core/single-sign-on/userpanel/panel/server.ts'
import { Throttle } from '../../../../flux2/core/single-sign-on/userpanel/panel/throttle.ts'
import { type Identity, versionOf } from '../../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { suite } from '../../../suite.ts'

const FLOW = '6a9f1f6a-0000-4000-8000-00000000000f'
const ANNA = '6a9f1f6a-0000-4000-8000-000000000001'
const BERT = ANNA.replace(/1$/, '2')
const PASSWORD = 'the right password'
const test = suite('panel server')

interface Seen {
  method?: string
  url: string
  headers: IncomingMessage['headers']
  body: string
}
/** What reached kratos' forms. */
let seen: Seen[] = []
/** What hydra was told. */
let told: string[] = []
let identity: Identity
/** Who can be found by id, `identity` among them. */
let people: Identity[]
/** Which of them were replaced. */
let replaced: string[] = []
let logout: object
let consent: object
let open: Server[] = []
let port = 0
let hooks = 0
let panel: Panel

const bodyOf = async (message: IncomingMessage) => {
  const pieces: Buffer[] = []
  for await (const piece of message) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}
const listen = (server: Server) =>
  new Promise<number>(resolve => {
    open.push(server)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })

/** Knows `anna`, however she is written, with one session, `ory_kratos_session=anna`; logs in with PASSWORD. */
const standIn = () =>
  createServer(async (message, answer) => {
    const url = message.url ?? ''
    const json = (value: unknown, status = 200) =>
      answer.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    const body = await bodyOf(message)
    if (url.startsWith('/sessions/whoami')) {
      const name = /ory_kratos_session=([a-z]+)/.exec(message.headers.cookie ?? '')?.[1]
      const owner = people.find(({ traits, state }) => traits.username === name && state === 'active')
      return owner
        ? json({ id: name, identity: owner, authenticator_assurance_level: 'aal1', authenticated_at: '' })
        : json({ error: 'none' }, 401)
    }
    if (url.startsWith('/admin/identities?')) {
      const name = new URLSearchParams(url.split('?')[1]).get('credentials_identifier') ?? ''
      return json(/^\s*(anna|anna@example\.org)\s*$/i.test(name) ? [identity] : [])
    }
    if (url.startsWith('/admin/identities/')) {
      if (message.method === 'PUT') {
        replaced.push(url)
        const of = people.find(({ id }) => url.endsWith(id))!
        Object.assign(of, JSON.parse(body))
      }
      return json(people.find(({ id }) => url.includes(id)) ?? identity)
    }
    if (url.startsWith('/self-service/')) {
      seen.push({ method: message.method, url, headers: message.headers, body })
      const right = new URLSearchParams(body).get('password') === PASSWORD
      return answer
        .writeHead(303, {
          location: '/login?flow=x',
          'set-cookie': [right ? 'ory_kratos_session=new; Path=/' : 'csrf_token_x=y; Path=/'],
        })
        .end('{"for":"programs"}')
    }
    told.push(`${message.method} ${url}`)
    if (url.startsWith('/admin/oauth2/auth/requests/logout?')) return json(logout)
    if (url.startsWith('/admin/oauth2/auth/requests/consent?')) return json(consent)
    if (message.method === 'PUT') return json({ redirect_to: 'https://sso.example.org/on' })
    return json([])
  })

test.before.each(async () => {
  seen = []
  told = []
  identity = {
    id: ANNA,
    schema_id: 'default',
    state: 'active',
    traits: { username: 'anna', email: 'anna@example.org' },
    metadata_admin: { subject: 'subject of anna', apps: { wekan: 'user' } },
    credentials: { password: {} },
  }
  people = [identity]
  replaced = []
  const url = `http://127.0.0.1:${await listen(standIn())}`
  panel = panelOf(
    {
      port: 0,
      hooksPort: 0,
      panelUrl: 'https://admin.example.org',
      ssoUrl: 'https://sso.example.org',
      kratosPublicUrl: url,
      kratosAdminUrl: url,
      hydraAdminUrl: url,
      secret: 'secret',
      legacyAccess: false,
      mail: true,
    },
    () => {},
  )
  panel.throttle = new Throttle(() => 1e12) // no time passes: on a busy machine an attempt would become free
  port = await listen(serve(panel))
  hooks = await listen(serveHooks(panel))
})
test.after.each(async () => {
  for (const server of open) {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  open = []
})

interface Got {
  status: number
  headers: IncomingMessage['headers']
  text: string
}
/** Sends a request as it is: `fetch` would tidy its path. */
const ask = (path: string, options: RequestOptions & { body?: string | Buffer; to?: number } = {}) =>
  new Promise<Got>((resolve, reject) => {
    const { body, to, ...rest } = options
    const sent = request({ host: '127.0.0.1', port: to ?? port, path, ...rest }, async answer =>
      resolve({ status: answer.statusCode!, headers: answer.headers, text: await bodyOf(answer) }),
    )
    sent.on('error', reject)
    sent.end(body)
  })
const FORM = 'application/x-www-form-urlencoded'
const post = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  ask(path, { method: 'POST', body, headers: { 'content-type': FORM, ...headers } })
/** Sends a login, from another address each time unless told. */
let address = 0
const login = (body: string, headers: Record<string, string> = {}) =>
  post(`/self-service/login?flow=${FLOW}`, body, {
    'x-forwarded-for': `192.0.2.${++address % 256}`,
    ...headers,
  })
const guess = (fields: Record<string, string>) =>
  new URLSearchParams({ method: 'password', identifier: 'anna', password: 'wrong', ...fields }).toString()

test('only paths that browsers need lead to kratos, and only as they are written', async () => {
  for (const path of [
    '/self-service//login',
    '/self-service/./login/api',
    '/self-service/login/',
    '/self-service/login/api',
    '/self-service/login/flows?id=1',
    '/self-service/registration/browser',
    '/self-service/logout?token=x',
    '/self-service/logout/browser',
    '/self-service/methods/oidc/callback/x',
    '/self-service/fed-cm/parameters',
    '/self-service/errors?id=x',
    '/sessions/whoami',
    '/sessions',
    '/schemas/default',
    '/.well-known/ory/webauthn.js',
    '/admin/identities',
    '/hooks/settings',
    '/hooks/password',
    '/SELF-SERVICE/login',
  ])
    for (const method of ['GET', 'POST']) {
      const { status, text } = await ask(path, { method, headers: { 'content-type': FORM } })
      assert.is(status, 404, `${method} ${path}`)
      assert.match(text, 'does not exist')
    }
  assert.equal(seen, [])
  assert.equal(flowPath('/self-service/login'), { kind: 'login', begins: false })
  assert.equal(flowPath('/self-service/recovery/browser'), { kind: 'recovery', begins: true })
})

test('an encoded path is no way past the throttle', async () => {
  for (const path of ['/self-service/%6cogin', '/self-service%2flogin', '/x/%2e%2e/self-service/login/api'])
    assert.is((await post(`${path}?flow=${FLOW}`, guess({}))).status, 404, path)
  assert.equal(seen, [])
})

test('a new flow is asked for with what the panel knows, and nothing else', async () => {
  await ask('/self-service/login/browser?aal=aal2&return_to=%2Fx&organization=o&via=v&aal=aal1', {
    headers: { 'x-session-token': 't', authorization: 'Bearer t', accept: 'application/json' },
  })
  const [{ url = '', headers = {} } = {}] = seen
  assert.is(url, '/self-service/login/browser?return_to=%2Fx&aal=aal2')
  assert.is(headers.accept, 'text/html')
  assert.is(headers['x-session-token'] ?? headers.authorization, undefined)
})

test('what kratos says for programs reaches no browser', async () => {
  const { status, text, headers } = await login(guess({}))
  assert.is(status, 303)
  assert.is(text, '')
  assert.is(headers.location, '/login?flow=x')
  assert.equal(headers['set-cookie'], ['csrf_token_x=y; Path=/'])
})

test('a login is a plain form with one value a field: anything else is refused and reaches nobody', async () => {
  const json = JSON.stringify({ method: 'password', identifier: 'anna', password: 'x' })
  const multipart = '--b\r\ncontent-disposition: form-data; name="identifier"\r\n\r\nanna\r\n--b--\r\n'
  const cases: [string, number, string, Record<string, string>?][] = [
    ['JSON', 415, json, { 'content-type': 'application/json' }],
    ['JSON with a parameter', 415, json, { 'content-type': 'application/json; x=x-www-form-urlencoded' }],
    ['multipart', 415, multipart, { 'content-type': 'multipart/form-data; boundary=b' }],
    ['no type', 415, guess({}), { 'content-type': '' }],
    ['compressed', 415, guess({}), { 'content-encoding': 'gzip' }],
    ['a field twice', 400, `${guess({})}&identifier=bert`],
    ['a field twice, once empty', 400, `${guess({})}&identifier=`],
    ['an older name of the field', 400, `method=password&password_identifier=anna&password=x`],
    ['both names', 400, `${guess({})}&password_identifier=bert`],
    ['no method', 400, 'identifier=anna&password=x'],
    ['another method', 400, guess({ method: 'code' })],
    ['two methods', 400, `${guess({})}&method=totp`],
    ['an unknown field', 400, `${guess({})}&transient_payload=x`],
    ['too large', 413, guess({ password: 'x'.repeat(70_000) })],
  ]
  for (const [name, status, body, headers] of cases) {
    const got = await login(body, headers)
    assert.is(got.status, status, name)
    assert.match(got.text, 'role="alert"')
  }
  for (const flow of ['', 'x', `${FLOW}&flow=y`.slice(0, 8)])
    assert.is((await post(`/self-service/login?flow=${flow}`, guess({}))).status, 400)
  assert.equal(seen, [])
})

test('however a name is written, its attempts are those of one account', async () => {
  const names = ['anna', ' anna ', 'ANNA', 'anna@example.org', 'Anna@Example.org']
  for (const identifier of names) assert.is((await login(guess({ identifier }))).status, 303)
  assert.is(seen.length, 5)
  for (const identifier of names) {
    const { status, headers } = await login(guess({ identifier, password: PASSWORD }))
    assert.is(status, 429)
    assert.is(headers['retry-after'], '2')
  }
  assert.is(seen.length, 5)
  assert.is((await login(guess({ identifier: 'bert' }))).status, 303)
})

test('cookies, flows and addresses that somebody invents change nothing', async () => {
  for (let i = 0; i < 8; i++) {
    const path = `/self-service/login?flow=${FLOW.slice(0, -1)}${i}`
    const { status } = await post(path, guess({}), {
      cookie: `ory_kratos_session=invented-${i}; csrf_token=${i}`,
      'x-forwarded-for': `198.51.100.${i}, 192.0.2.1`,
      'x-real-ip': `198.51.100.${i}`,
      'true-client-ip': `198.51.100.${i}`,
    })
    assert.is(status, i < 5 ? 303 : 429, String(i))
  }
  assert.is(seen[0]!.headers['x-forwarded-for'], '192.0.2.1')
  assert.is(seen[0]!.headers['true-client-ip'], undefined)
  for (let i = 0; i < 30; i++)
    await post(`/self-service/login?flow=${FLOW}`, guess({ identifier: `user-${i}` }), {
      'x-forwarded-for': `198.51.100.${i}, 192.0.2.77`,
    })
  assert.is(seen.filter(({ body }) => body.includes('identifier=user-')).length, 20)
})

test('of many attempts at once only the free ones reach kratos', async () => {
  const answers = await Promise.all(Array.from({ length: 40 }, () => login(guess({}))))
  assert.is(answers.filter(({ status }) => status === 303).length, 5)
  assert.is(seen.length, 5)
})

test('a right password clears the account; browsers are told on their form how long to wait', async () => {
  for (let i = 0; i < 4; i++) await login(guess({}))
  assert.match(
    String((await login(guess({ password: PASSWORD }))).headers['set-cookie']),
    'ory_kratos_session',
  )
  for (let i = 0; i < 5; i++) assert.is((await login(guess({}))).status, 303)
  const { status, headers } = await login(guess({}), { accept: 'text/html' })
  assert.is(status, 303)
  assert.is(headers.location, `/login?flow=${FLOW}&wait=2`)
})

test('whoever guesses from elsewhere does not keep the owner waiting in a browser that is known', async () => {
  const cookies = (await login(guess({ password: PASSWORD }))).headers['set-cookie']!
  const known = cookies.find(cookie => cookie.startsWith('oas_known='))!
  assert.match(known, /; Secure; HttpOnly; SameSite=Lax$/)
  const cookie = known.split(';')[0]!
  for (let i = 0; i < 5; i++) await login(guess({}))
  const forged = ['oas_known=a.b', 'oas_known=', `${cookie}x`, cookie.replace(/=..../, '=AAAA')]
  for (const each of forged) assert.is((await login(guess({}), { cookie: each })).status, 429, each)
  identity.id = BERT // of another account it says nothing
  for (let i = 0; i < 5; i++) await login(guess({}))
  assert.is((await login(guess({}), { cookie })).status, 429)
  identity.id = ANNA
  assert.is((await login(guess({ password: PASSWORD }), { cookie: `x=y; ${cookie}` })).status, 303)
  for (let i = 0; i < 5; i++) assert.is((await login(guess({}), { cookie })).status, 303)
  assert.is((await login(guess({}), { cookie })).status, 429)
})

test('codes of a second factor count by account, through other sessions, flows and right passwords', async () => {
  identity.credentials = { password: {}, totp: {} }
  const code = (i: number, method: string) =>
    post(
      `/self-service/login?flow=${FLOW.slice(0, -1)}${i}`,
      new URLSearchParams({ method, [method === 'totp' ? 'totp_code' : method]: `00000${i}` }).toString(),
      { cookie: `x=${i}; ory_kratos_session=anna`, 'x-forwarded-for': `192.0.2.${i}` },
    )
  assert.is((await post(`/self-service/login?flow=${FLOW}`, 'method=totp&totp_code=1')).status, 400)
  for (let i = 0; i < 5; i++) {
    assert.is((await code(i, i % 2 ? 'totp' : 'lookup_secret')).status, 303)
    await login(guess({ password: PASSWORD }))
  }
  assert.is((await code(6, 'totp')).status, 429)
  assert.is((await code(7, 'lookup_secret')).status, 429)
})

test('a code is sent without the fields of other methods', () => {
  const sent = new URLSearchParams({
    csrf_token: 't',
    method: 'totp',
    totp_code: '1',
    identifier: 'anna',
    password: 'p',
  })
  assert.is(fieldsOf('login', sent).toString(), 'csrf_token=t&method=totp&totp_code=1')
  const again = new URLSearchParams({ method: 'code', code: '123456', email: 'anna@example.org' })
  assert.is(fieldsOf('recovery', again).get('code'), null)
  assert.is(fieldsOf('settings', new URLSearchParams({ totp_unlink: 'true' })).get('totp_unlink'), 'true')
  assert.throws(() => fieldsOf('settings', new URLSearchParams({ constructor: 'x' })))
  assert.throws(() => fieldsOf('login', new URLSearchParams({ method: 'constructor' })))
})

test('codes and mails of a recovery are counted', async () => {
  const send = (i: number, fields: Record<string, string>) =>
    post(
      `/self-service/recovery?flow=${FLOW}`,
      new URLSearchParams({ method: 'code', ...fields }).toString(),
      {
        'x-forwarded-for': `192.0.2.${i}`,
      },
    )
  for (let i = 0; i < 3; i++) assert.is((await send(i, { email: 'anna@example.org' })).status, 303)
  assert.is((await send(4, { email: ' ANNA@example.org' })).status, 429)
  for (let i = 0; i < 20; i++) assert.is((await send(5, { code: `00000${i}` })).status, 303)
  assert.is((await send(5, { code: '000099' })).status, 429)
})

test('HEAD is answered like GET where that only shows something; other methods are refused in words', async () => {
  for (const path of ['/recovery?flow=', '/style.css', '/health/ready', '/users']) {
    const [head, get] = [await ask(path, { method: 'HEAD' }), await ask(path)]
    assert.is(head.status, get.status, path)
    assert.is(head.text, '')
  }
  const cases = [
    ['HEAD', '/consent?consent_challenge=x', 'GET'],
    ['HEAD', '/login?login_challenge=x', 'GET'],
    ['HEAD', '/logout?logout_challenge=x', 'GET, POST'],
    ['HEAD', '/self-service/login/browser', 'GET'],
    ['PUT', '/', 'GET, HEAD'],
    ['DELETE', '/users/new', 'GET, HEAD, POST'],
    ['OPTIONS', '/login', 'GET, HEAD'],
    ['POST', '/settings', 'GET, HEAD'],
    ['PATCH', '/self-service/login', 'POST'],
    ['TRACE', '/logout', 'GET, POST'],
    ['GET', '/self-service/settings', 'POST'],
  ] as const
  for (const [method, path, allow] of cases) {
    const { status, headers, text } = await ask(path, { method })
    assert.is(status, 405, `${method} ${path}`)
    assert.is(headers.allow, allow, `${method} ${path}`)
    if (method !== 'HEAD') assert.match(text, 'does not take such a request')
  }
  assert.equal([seen, told], [[], []])
})

test('kratos asks on a port of its own, and what is not its question is refused', async () => {
  const send = (path: string, body: string) => ask(path, { to: hooks, method: 'POST', body })
  const settings = (traits: object) => send('/hooks/settings', JSON.stringify({ id: ANNA, traits }))
  const { traits } = identity
  assert.is((await settings(traits)).status, 204)
  assert.match((await settings({ ...traits, username: 'admin' })).text, '#/traits/username')
  assert.match((await settings({ ...traits, name: 'Anna \u202enimda' })).text, '#/traits/name')
  for (const body of ['', '{', 'null', '[]', '{"id":1}'])
    assert.is((await send('/hooks/settings', body)).status, 400, body)
  assert.is((await ask('/', { to: hooks })).status, 404)
  assert.is((await send('/hooks/password', JSON.stringify({ id: ANNA }))).status, 204)
  assert.equal(told, [
    'DELETE /admin/oauth2/auth/sessions/login?subject=subject+of+anna',
    'DELETE /admin/oauth2/auth/sessions/consent?subject=subject+of+anna&all=true',
  ])
})

const asAnna = { cookie: 'ory_kratos_session=anna' }

test("a logout that names somebody else ends that login, and not the visitor's", async () => {
  logout = { subject: 'subject of mallory', rp_initiated: true }
  let ended = false
  panel.kratos.endSession = async () => {
    ended = true
  }
  assert.is((await ask('/logout?logout_challenge=x', { headers: asAnna })).status, 303)
  assert.not(ended)
  assert.match(told.join(), 'requests/logout/accept')
  logout = { subject: 'subject of anna', rp_initiated: true }
  await ask('/logout?logout_challenge=x', { headers: asAnna })
  assert.ok(ended)
})

test("a consent is given for the visitor's own login alone", async () => {
  consent = { client: { client_id: 'wekan' }, subject: 'subject of anna', requested_scope: [] }
  const asked = '/consent?consent_challenge=x'
  assert.match((await ask(asked)).headers.location ?? '', /^\/self-service\/login\/browser\?return_to=/)
  assert.is((await ask(asked, { headers: asAnna })).headers.location, 'https://sso.example.org/on')
  told = []
  consent = { client: { client_id: 'wekan' }, subject: 'subject of mallory', requested_scope: [] }
  assert.is((await ask(asked, { headers: asAnna })).status, 410)
  assert.equal(
    told.filter(line => line.startsWith('PUT')),
    [],
  )
})

test('a session without its second factor opens nothing', async () => {
  identity.credentials = { password: {}, totp: {} }
  for (const path of ['/', '/users', '/settings', '/consent?consent_challenge=x']) {
    consent = { client: { client_id: 'wekan' }, subject: 'subject of anna', requested_scope: [] }
    const { headers } = await ask(path, { headers: asAnna })
    assert.match(headers.location ?? '', 'aal=aal2', path)
  }
})

/** Two administrators, and the forms that each sends. */
function administrators() {
  const bert: Identity = { ...identity, id: BERT, traits: { username: 'bert', email: 'bert@example.org' } }
  bert.metadata_admin = { subject: 'subject of bert', admin: true, apps: {} }
  identity.metadata_admin = { ...identity.metadata_admin, admin: true }
  people.push(bert)
  return (by: string, id: string, fields: Record<string, string>) =>
    post(`/users/${id}`, new URLSearchParams({ token: formToken('secret', by), ...fields }).toString(), {
      cookie: `ory_kratos_session=${by}`,
    })
}

test('of two administrators who change a user at once the second is told, and sees what the first made', async () => {
  const send = administrators()
  const carla: Identity = { ...people[1]!, id: ANNA.replace(/1$/, '3'), metadata_admin: { apps: {} } }
  carla.traits = { username: 'carla', email: 'carla@example.org' }
  people.push(carla)
  const version = versionOf(carla)
  const save = (by: string, email: string) => send(by, carla.id, { action: 'save', version, email, name: '' })
  const answers = await Promise.all([save('anna', 'one@example.org'), save('bert', 'two@example.org')])
  assert.equal(answers.map(({ status }) => status).sort(), [303, 409])
  const refused = answers.find(({ status }) => status === 409)!
  assert.match(refused.text, 'Somebody else has changed this user')
  assert.match(refused.text, carla.traits.email)
  assert.is(replaced.length, 1)
  assert.is((await send('anna', carla.id, { action: 'save', email: 'x@example.org' })).status, 409)
})

test('a change from elsewhere while a change is under way is not overwritten', async () => {
  const send = administrators()
  const bert = people[1]!
  const version = versionOf(bert)
  const { identity: read } = panel.kratos
  let reads = 0
  panel.kratos.identity = async id => {
    const found = await read.call(panel.kratos, id)
    if (id === BERT && ++reads === 1) bert.traits = { ...bert.traits, name: 'changed by a script' }
    return found
  }
  const { status, text } = await send('anna', BERT, { action: 'save', version, email: 'new@example.org' })
  assert.is(status, 409)
  assert.match(text, 'Somebody else has changed this user')
  assert.is(bert.traits.name, 'changed by a script')
  assert.is(bert.traits.email, 'bert@example.org')
})

test('administrators who disable each other at once: one is left', async () => {
  const send = administrators()
  const answers = await Promise.all([
    send('anna', BERT, { action: 'disable' }),
    send('bert', ANNA, { action: 'disable' }),
  ])
  assert.equal(people.map(({ state }) => state).sort(), ['active', 'inactive'])
  assert.equal(answers.map(({ headers }) => /^\/users\//.test(headers.location ?? '')).sort(), [false, true])
})

test('what a deletion that failed has left open is ended: by its button, and before the name is freed', async () => {
  const send = administrators()
  people[1]!.metadata_admin = { subject: 'subject of bert', deleted: '2026-01-02' }
  const { text } = await ask(`/users/${BERT}`, { headers: { cookie: 'ory_kratos_session=anna' } })
  assert.match(text, /<button name="action" value="end">/)
  for (const action of ['end', 'free']) {
    told = []
    assert.is((await send('anna', BERT, { action })).status, 303)
    assert.ok(
      told.some(request => request.includes('/auth/sessions/consent?subject=subject+of+bert')),
      action,
    )
  }
  assert.is((await send('anna', BERT, { action: 'enable' })).status, 409)
})

test('no administrator disables, deletes or demotes himself, and reserved names are given to nobody', async () => {
  const send = administrators()
  const version = versionOf(identity)
  const forms: Record<string, string>[] = [
    { action: 'disable' },
    { action: 'delete', confirm: 'anna' },
    { action: 'save', version, email: 'anna@example.org' },
  ]
  for (const fields of forms)
    assert.match((await send('anna', ANNA, fields)).text, 'your own account', fields.action)
  const create = (username: string, admin = {}) =>
    post(
      '/users/new',
      new URLSearchParams({
        token: formToken('secret', 'anna'),
        username,
        email: 'x@example.org',
        ...admin,
      }).toString(),
      asAnna,
    )
  for (const name of ['root', 'grafana-admin', 'admin'])
    assert.match((await create(name)).text, 'is reserved')
  assert.equal(replaced, [])
})

test('a request that is no request ends nothing', async () => {
  for (const path of ['//', '/%', '/\\', '/?%ff', '*', 'http://evil.example/'])
    assert.ok((await ask(path)).status < 500, path)
  assert.is((await ask('/health/ready')).status, 200)
})

test.run()
