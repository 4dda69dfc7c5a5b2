import { Hydra } from '../../flux2/core/single-sign-on/userpanel/panel/hydra.ts'
import { Kratos } from '../../flux2/core/single-sign-on/userpanel/panel/kratos.ts'
import { type Ask, UpstreamError } from '../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'
import type { Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { ApiError } from '../kubectl/api-error.ts'
import { explainApiError, type Kubectl } from '../kubectl/kubectl.ts'
import { ExpectedError, TransientError } from '../script/errors.ts'

/** Pages of 250 users: more are not a list of this platform. */
const MOST_PAGES = 400

/**
 * The services in which accounts are kept, reached through the API server's service proxy. `patience`: milliseconds
 * that an answer may take.
 */
export function accountServices(kubectl: Kubectl, patience?: number) {
  const admin = askThrough(kubectl, 'kratos-admin', 80, patience)
  const browser = askThrough(kubectl, 'kratos-public', 80, patience)
  const hydraAdmin = askThrough(kubectl, 'hydra-admin', 4445, patience)
  return { kratos: new Kratos(admin, browser), hydra: new Hydra(hydraAdmin), admin, browser, hydraAdmin }
}

/** What `accountServices` returns. */
export type AccountServices = ReturnType<typeof accountServices>

const through = (service: string, port: number) =>
  `/api/v1/namespaces/oas/services/http:${service}:${port}/proxy`

/** Asks a Service of single sign-on through the API server's service proxy. */
export function askThrough(kubectl: Kubectl, service: string, port: number, timeout?: number): Ask {
  const base = through(service, port)
  return async <T>(
    path: string,
    { method, body }: { method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'; body?: unknown } = {},
  ) => {
    try {
      const { text, link } = await kubectl.client.exchange({ method, path: base + path, body, timeout })
      return { data: (text === '' ? undefined : JSON.parse(text)) as T, link }
    } catch (error) {
      throw explained(error, service)
    }
  }
}

/** An answer with a reason is the API server's own; those of kratos and hydra have none. */
function explained(error: unknown, service: string): unknown {
  if (error instanceof SyntaxError)
    return new ExpectedError(`${service} does not answer with JSON`, 'run `npx tsx scripts/diagnose.ts`')
  if (!(error instanceof ApiError)) return error
  if (error.reason === '') return new UpstreamError(service, error.code, { message: error.message })
  if (error.code === 404 && error.details.kind === 'services')
    return new ExpectedError(
      `Service oas/${service} not found: single sign-on is not installed`,
      'run `npx tsx scripts/install-core.ts`',
      { cause: error },
    )
  if (error.code >= 500)
    return new TransientError(
      `Service oas/${service} is not ready: ${error.message}`,
      'run `npx tsx scripts/diagnose.ts`',
      { cause: error },
    )
  return explainApiError(error, `asking Service oas/${service}`)
}

/** Every user, deleted ones included, by name. Throws an ExpectedError for a list without an end. */
export async function everybody(kratos: Kratos): Promise<Identity[]> {
  const people: Identity[] = []
  let token: string | undefined
  for (let page = 0; page < MOST_PAGES; page++) {
    const { identities, next } = await pageOf(kratos, token)
    people.push(...identities)
    if (!next) return people.sort((a, b) => (a.traits.username < b.traits.username ? -1 : 1))
    token = next
  }
  throw new ExpectedError(
    `kratos lists more than ${MOST_PAGES * 250} users`,
    'run `npx tsx scripts/app-debug.ts kratos`',
  )
}

/** One page of users. Throws an ExpectedError for any other answer: another service may be there in its place. */
async function pageOf(kratos: Kratos, token: string | undefined): ReturnType<Kratos['list']> {
  const wrong = (what: string, cause?: unknown) =>
    new ExpectedError(`the users cannot be listed: ${what}`, 'run `npx tsx scripts/diagnose.ts`', { cause })
  try {
    const page = await kratos.list(token, 250)
    const { identities } = page
    if (!Array.isArray(identities) || identities.some(each => typeof each?.traits?.username !== 'string'))
      throw wrong('kratos-admin does not answer with a list of users')
    return page
  } catch (error) {
    throw error instanceof UpstreamError || error instanceof TypeError ? wrong(error.message, error) : error
  }
}

/** Whether a user has no grants at all, not even an empty list: one of before there were grants. Pure. */
export function withoutGrants(person: Identity): boolean {
  const { admin, apps, deleted } = person.metadata_admin ?? {}
  return !admin && !deleted && apps === undefined
}

/** A request to hydra's public side. It speaks only with whoever terminates TLS in front of it. */
const atHydra = (path: string) => ({
  path: through('hydra-public', 4444) + path,
  headers: { 'x-forwarded-proto': 'https' },
})

/** The status that hydra's public side answers to a path; undefined when it does not answer. */
export async function publicStatus(
  kubectl: Kubectl,
  path: string,
  timeout?: number,
): Promise<number | undefined> {
  try {
    await kubectl.client.exchange({ ...atHydra(path), timeout })
    return 200
  } catch (error) {
    return error instanceof ApiError && error.reason === '' ? error.code : undefined
  }
}

/**
 * Whether hydra knows a client by this secret: it is asked for a token with a code that nobody has, which it refuses
 * as `invalid_grant` only after it has accepted the client (RFC 6749, 5.2). Undefined when it answers neither.
 */
export async function knowsSecret(
  kubectl: Kubectl,
  { id, secret }: { id: string; secret: string },
  timeout?: number,
): Promise<boolean | undefined> {
  const form = { grant_type: 'authorization_code', code: 'none', client_id: id, client_secret: secret }
  try {
    await kubectl.client.exchange({ method: 'POST', ...atHydra('/oauth2/token'), form, timeout })
    return undefined
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== '') return undefined
    if (/\binvalid_grant\b/.test(error.message)) return true
    return /\binvalid_client\b/.test(error.message) ? false : undefined
  }
}
