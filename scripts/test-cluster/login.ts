import { exchangeHttp, type HttpAnswer } from '../../lib/diagnosis/certificates/http-probe.ts'
import { probeFailureOf } from '../../lib/diagnosis/certificates/probe-failure.ts'
import { checkOf, failedCheck, passedCheck, skippedCheck, type TestCheck } from './checks.ts'
import type { LoginClient } from './clients.ts'

/** Redirects of a login page that are followed: a browser gives up at 20. */
const MOST_REDIRECTS = 8
/** Bytes of a page that are read. */
const MOST_BYTES = 200_000

/** Where hosts are reached, and what is known of them. */
export interface LoginOptions {
  /** The domain of the platform, with a port where it is not 443. */
  domain: string
  /** Where connections go, by the host of a URL. */
  target(url: URL): { address: string; port: number }
  clients: readonly LoginClient[]
  /** The secret of a client; undefined where there is no cluster to read it from. */
  secretOf?(client: LoginClient): Promise<string | undefined>
  signal: AbortSignal
}

const debug = 'run npx tsx scripts/app-debug.ts single-sign-on'

/** Everything about logging in that can be seen from outside, without a password. Throws only the signal's reason. */
export async function loginChecks(options: LoginOptions): Promise<TestCheck[]> {
  const [discovery, page, ...clients] = await Promise.all([
    discoveryCheck(options),
    pageCheck(options),
    ...options.clients.map(client => clientChecks(client, options)),
  ])
  return [discovery, page, ...clients.flat()]
}

async function ask(
  url: URL,
  { target, signal }: LoginOptions,
  more: { method?: 'POST'; headers?: Record<string, string>; body?: string } = {},
): Promise<HttpAnswer> {
  return exchangeHttp(url, { ...target(url), ...more, most: MOST_BYTES }, signal)
}

/** Does something that talks to a host; what fails becomes a check that failed. */
async function trying(name: string, signal: AbortSignal, work: () => Promise<TestCheck>): Promise<TestCheck> {
  try {
    return await work()
  } catch (error) {
    signal.throwIfAborted()
    return failedCheck('login', name, `does not answer: ${probeFailureOf(error).message}`, debug)
  }
}

const discoveryCheck = (options: LoginOptions) =>
  trying('discovery document', options.signal, async () => {
    const base = `https://sso.${options.domain}`
    const { status, body } = await ask(new URL(`${base}/.well-known/openid-configuration`), options)
    return checkOf('login', 'discovery document', discoveryProblem(base, status, body), base)
  })

/** What is wrong with a discovery document (OpenID Connect Discovery 1.0, 3). Pure. */
export function discoveryProblem(
  base: string,
  status: number,
  body: string,
): [what: string, fix: string] | undefined {
  const path = `${base}/.well-known/openid-configuration`
  if (status !== 200) return [`${path} answers ${status}`, debug]
  let document: Record<string, unknown>
  try {
    document = JSON.parse(body) ?? {}
  } catch {
    return [`${path} is not JSON`, debug]
  }
  const issuer = String(document.issuer ?? '').replace(/\/$/, '')
  if (issuer !== base)
    return [
      `${path} names the issuer ${JSON.stringify(issuer.slice(0, 100))}: applications expect ${base}`,
      'correct domain in .flux.env, then run npx tsx scripts/install-core.ts',
    ]
  const missing = ['authorization_endpoint', 'token_endpoint', 'jwks_uri'].filter(key => !document[key])
  return missing.length > 0 ? [`${path} lacks ${missing.join(', ')}`, debug] : undefined
}

const pageCheck = (options: LoginOptions) =>
  trying('login page', options.signal, async () => {
    let url = new URL(`https://admin.${options.domain}/login`)
    const cookies = new Map<string, string>()
    for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
      const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
      const { status, headers: got, body } = await ask(url, options, { headers })
      for (const cookie of got['set-cookie'] ?? []) {
        const [pair = ''] = cookie.split(';')
        const at = pair.indexOf('=')
        if (at > 0 && cookies.size < 20) cookies.set(pair.slice(0, at), pair.slice(at + 1))
      }
      const next = status >= 300 && status < 400 ? got.location : undefined
      if (next === undefined)
        return checkOf(
          'login',
          'login page',
          status === 200 && /type="?password/.test(body)
            ? undefined
            : [`${url.origin}${url.pathname} answers ${status} without a field for a password`, debug],
        )
      if (!URL.canParse(next, url.href)) break
      url = new URL(next, url)
    }
    return failedCheck(
      'login',
      'login page',
      `https://admin.${options.domain}/login redirects in a circle`,
      'check the addresses of kratos: run npx tsx scripts/logs.ts logins --since 1h',
    )
  })

/** What an authorisation request leads to; undefined when it is the login page. Pure. */
export function authorisationProblem(
  domain: string,
  client: LoginClient,
  status: number,
  location: string,
): [what: string, fix: string] | undefined {
  const to = URL.canParse(location) ? new URL(location) : undefined
  if (to?.host === `admin.${domain}` && to.searchParams.has('login_challenge')) return undefined
  const error = to?.searchParams.get('error')
  if (error) {
    const hint = to!.searchParams.get('error_description') ?? ''
    return [
      `hydra refuses ${client.app} with ${client.redirectUri}: ${error}${hint ? `: ${hint.slice(0, 200)}` : ''}`,
      `run npx tsx scripts/install-app.ts ${client.app}: it registers the client again`,
    ]
  }
  return [
    `hydra answers ${status}${location ? ` to ${location.slice(0, 100)}` : ''} in place of the login page`,
    debug,
  ]
}

async function clientChecks(client: LoginClient, options: LoginOptions): Promise<TestCheck[]> {
  const names = [`${client.app}: authorisation request`, `${client.app}: client secret`] as const
  const request = await trying(names[0], options.signal, async () => {
    const url = new URL(`https://sso.${options.domain}/oauth2/auth`)
    url.search = new URLSearchParams({
      client_id: client.clientId,
      response_type: 'code',
      scope: 'openid',
      redirect_uri: client.redirectUri,
      state: 'a-state-of-test-cluster',
      nonce: 'a-nonce-of-test-cluster',
    }).toString()
    const { status, headers } = await ask(url, options)
    return checkOf(
      'login',
      names[0],
      authorisationProblem(options.domain, client, status, headers.location ?? ''),
    )
  })
  const { secretOf } = options
  if (!secretOf) return [request]
  if (request.state === 'failed') return [request, skippedCheck('login', names[1], 'the client is refused')]
  return [
    request,
    await trying(names[1], options.signal, () => secretCheck(names[1], client, secretOf, options)),
  ]
}

/**
 * Whether hydra accepts the secret that the application has. A code that was never given out is exchanged: RFC 6749, 5.2,
 * has `invalid_client` for a wrong secret, and `invalid_grant` for the wrong code.
 */
async function secretCheck(
  name: string,
  client: LoginClient,
  secretOf: NonNullable<LoginOptions['secretOf']>,
  options: LoginOptions,
): Promise<TestCheck> {
  const secret = await secretOf(client)
  const { namespace, name: secretName } = client.secret
  if (!secret)
    return failedCheck(
      'login',
      name,
      `Secret ${namespace}/${secretName} has no CLIENT_SECRET`,
      `run npx tsx scripts/install-app.ts ${client.app}`,
    )
  const form = new URLSearchParams({
    grant_type: 'authorization_code',
    code: 'never-given-out',
    redirect_uri: client.redirectUri,
    ...(client.inBody ? { client_id: client.clientId, client_secret: secret } : {}),
  })
  const basic = Buffer.from(`${encodeURIComponent(client.clientId)}:${encodeURIComponent(secret)}`)
  const { status, body } = await ask(new URL(`https://sso.${options.domain}/oauth2/token`), options, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(client.inBody ? {} : { authorization: `Basic ${basic.toString('base64')}` }),
    },
    body: form.toString(),
  })
  if (/"invalid_grant"/.test(body)) return passedCheck('login', name)
  const isWrong = /"invalid_client"/.test(body)
  return failedCheck(
    'login',
    name,
    isWrong ? `hydra does not accept the secret of ${client.app}` : `hydra answers ${status} to a code`,
    isWrong
      ? `run npx tsx scripts/install-app.ts ${client.app}: it registers the secret of the Secret again`
      : debug,
  )
}
