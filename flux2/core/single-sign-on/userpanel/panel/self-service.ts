/**
 * The only way from a browser to kratos: the ingress leads nothing to it. What passes is written here, from what was
 * checked: the path, the fields of the form and the headers are built again, so that kratos cannot read anything else
 * than what was counted. Attempts to guess a password or a code are slowed down, since kratos has no throttle.
 */
import { createHash } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { type Answer, addressOf, formOf, networkOf, PageError, redirect } from './http.ts'
import { knownBrowser, knownCookie } from './known.ts'
import type { FlowKind } from './kratos.ts'
import type { Panel, Visit } from './panel.ts'
import { TEXTS } from './texts.ts'
import type { Attempt } from './throttle.ts'
import { UpstreamError } from './upstream.ts'

const DEADLINE = 15_000
const KINDS: readonly string[] = ['login', 'settings', 'recovery', 'verification'] satisfies FlowKind[]
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** What a new flow may be asked for with. */
const QUESTIONS = ['return_to', 'aal', 'refresh']

/** The fields of kratos' forms, by the method that reads them (selfservice/strategy/STRATEGY/.schema of its source). */
const METHODS: Record<FlowKind, Record<string, readonly string[]>> = {
  login: {
    password: ['identifier', 'password'],
    totp: ['totp_code'],
    lookup_secret: ['lookup_secret'],
  },
  settings: {
    profile: ['traits.email', 'traits.username', 'traits.name'],
    password: ['password'],
    totp: ['totp_code', 'totp_unlink'],
    lookup_secret: [
      'lookup_secret_regenerate',
      'lookup_secret_reveal',
      'lookup_secret_confirm',
      'lookup_secret_disable',
    ],
  },
  recovery: { code: ['email', 'code'] },
  verification: { code: ['email', 'code'] },
}

/** The flow that a path begins or goes on with; undefined for every other path. */
export function flowPath(path: string): { kind: FlowKind; begins: boolean } | undefined {
  const [empty, prefix, kind = '', begin, ...more] = path.split('/')
  if (empty !== '' || prefix !== 'self-service' || !KINDS.includes(kind) || more.length > 0) return undefined
  if (begin !== undefined && begin !== 'browser') return undefined
  return { kind: kind as FlowKind, begins: begin === 'browser' }
}

/** Begins a flow of kratos. */
export function begin(panel: Panel, visit: Visit, kind: FlowKind): Promise<Answer> {
  const query = new URLSearchParams()
  for (const name of QUESTIONS) {
    const value = visit.url.searchParams.get(name)
    if (value !== null) query.set(name, value)
  }
  return passed(panel, visit, `/self-service/${kind}/browser?${query}`)
}

/** Follows the link of a mail that confirms an address. */
export function follow(panel: Panel, visit: Visit): Promise<Answer> {
  const query = new URLSearchParams({
    flow: flowId(visit),
    code: visit.url.searchParams.get('code') ?? '',
  })
  return passed(panel, visit, `/self-service/verification?${query}`)
}

/** Hands a form to kratos, unless its account or network has tried too often. */
export async function submit(panel: Panel, visit: Visit, kind: FlowKind): Promise<Answer> {
  const flow = flowId(visit)
  const fields = fieldsOf(kind, await formOf(visit.request))
  const { attempt, account } = await attemptOf(panel, visit, kind, fields)
  if (attempt) {
    const wait = panel.throttle.enter(attempt)
    if (wait > 0) {
      panel.log({ event: 'throttled', flow: kind, address: addressOf(visit.request), wait })
      return refusal(visit, kind, flow, wait)
    }
  }
  const answer = await passed(panel, visit, `/self-service/${kind}?${new URLSearchParams({ flow })}`, fields)
  if (attempt) {
    if (hasLoggedIn(answer)) {
      panel.throttle.worked(attempt)
      if (account) answer.cookies?.push(knownCookie(panel.config.secret, account))
    } else if (kind === 'login') panel.log({ event: 'login failed', address: addressOf(visit.request) })
  }
  return answer
}

function flowId({ url }: Visit): string {
  const flow = url.searchParams.get('flow') ?? ''
  if (!UUID.test(flow)) throw new PageError(400, TEXTS.error.expired)
  return flow
}

/**
 * The fields that the method of a form reads; those of the flow's other methods are left out. Throws a PageError for
 * any other field, and for a method that the flow does not have. Pure.
 */
export function fieldsOf(kind: FlowKind, sent: URLSearchParams): URLSearchParams {
  const methods = METHODS[kind]
  const isFilled = (name: string) => Boolean(sent.get(name))
  // Some buttons (unlink, send the code again) stand for their method. A login always names it.
  const implied = kind === 'login' ? '' : Object.keys(methods).find(method => methods[method]!.some(isFilled))
  const known = new Map(Object.entries(methods)).get(sent.get('method') ?? implied ?? '')
  const all = ['method', 'csrf_token', ...Object.values(methods).flat()]
  if (!known || [...sent.keys()].some(name => !all.includes(name))) throw new PageError(400, TEXTS.error.form)
  const isRead = (name: string) => name === 'method' || name === 'csrf_token' || known.includes(name)
  const fields = new URLSearchParams([...sent].filter(([name]) => isRead(name)))
  // Whoever asks for another code does not send the one that was typed.
  if (fields.get('email')) fields.delete('code')
  return fields
}

/** What a form tries to guess, if it does; and the account whose password that is. */
async function attemptOf(
  { config, kratos }: Panel,
  visit: Visit,
  kind: FlowKind,
  fields: URLSearchParams,
): Promise<{ attempt?: Attempt; account?: string }> {
  const network = networkOf(addressOf(visit.request))
  if (kind === 'settings') return {}
  if (kind !== 'login') {
    const email = fields.get('email')
    // kratos itself lets a flow try five codes: each further flow needs a further mail.
    if (!email) return { attempt: { network } }
    return { attempt: { network, mail: (await kratos.find(email))?.id ?? digest(email) } }
  }
  if (fields.get('method') !== 'password') {
    const session = await kratos.session(visit.cookie)
    if (!session) throw new PageError(400, TEXTS.error.expired)
    return { attempt: { network, second: session.identity.id } }
  }
  // kratos is asked whose name this is: how it reads spaces, letters and addresses is nothing that we repeat.
  const identifier = fields.get('identifier') ?? ''
  const identity = await kratos.find(identifier)
  if (!identity) return { attempt: { network, unknown: digest(identifier) } }
  const account = identity.id
  const known = knownBrowser(config.secret, account, visit.cookie)
  return { attempt: { network, ...(known ? { known } : { password: account }) }, account }
}

/** Whoever types into the wrong field types a password as the name: it is not kept. */
const digest = (text: string) => createHash('sha256').update(text).digest('base64url')

const hasLoggedIn = ({ cookies = [] }: Answer) =>
  cookies.some(cookie => /^ory_kratos_session=[^;]/.test(cookie))

/** Browsers get their form back, which says how long to wait. */
function refusal({ request }: Visit, kind: FlowKind, flow: string, wait: number): Answer {
  const headers = { 'retry-after': String(wait) }
  if ((request.headers.accept ?? '').includes('text/html'))
    return { ...redirect(`/${kind}?${new URLSearchParams({ flow, wait: String(wait) })}`), headers }
  throw new PageError(429, TEXTS.login.throttled(wait), headers)
}

/**
 * Asks kratos as a browser does, and returns where it sends the browser, with its cookies. Throws an UpstreamError for
 * every other answer: those are for programs.
 */
async function passed(panel: Panel, visit: Visit, path: string, form?: URLSearchParams): Promise<Answer> {
  const { statusCode = 0, headers } = await asked(panel.config.kratosPublicUrl + path, visit, form)
  const { location } = headers
  if (statusCode < 300 || statusCode > 399 || !location)
    throw new UpstreamError('kratos', statusCode, undefined)
  return { ...redirect(location), cookies: headers['set-cookie'] }
}

function asked(
  url: string,
  { request, cookie }: Visit,
  form: URLSearchParams | undefined,
): Promise<IncomingMessage> {
  const body = form?.toString()
  const { host, 'user-agent': agent, 'accept-language': language } = request.headers
  const headers = {
    accept: 'text/html',
    'x-forwarded-proto': 'https',
    'x-forwarded-for': addressOf(request),
    ...(cookie && { cookie }),
    ...(host && { host }),
    ...(agent && { 'user-agent': agent }),
    ...(language && { 'accept-language': language }),
    ...(body !== undefined && {
      'content-type': 'application/x-www-form-urlencoded',
      'content-length': Buffer.byteLength(body),
    }),
  }
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(new UpstreamError('kratos', 0, String(error)))
    const sent = httpRequest(url, { method: form ? 'POST' : 'GET', headers, timeout: DEADLINE }, answer => {
      answer.on('error', failed)
      answer.resume() // what it says besides is not for browsers
      resolve(answer)
    })
    sent.on('timeout', () => sent.destroy(new Error('kratos does not answer')))
    sent.on('error', failed)
    sent.end(body)
  })
}
