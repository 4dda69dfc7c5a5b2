import { Hydra } from '../../flux2/core/single-sign-on/userpanel/panel/hydra.ts'
import { Kratos } from '../../flux2/core/single-sign-on/userpanel/panel/kratos.ts'
import { type Ask, UpstreamError } from '../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'
import type { Identity } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import { ApiError } from '../../lib/kubectl/api-error.ts'
import { explainApiError, type Kubectl } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError, TransientError } from '../../lib/script/errors.ts'

/** Pages of 250 users: more are not a list of this platform. */
const MOST_PAGES = 400

/** The services in which accounts are kept, reached through the API server's service proxy. */
export function accountServices(kubectl: Kubectl) {
  const admin = askThrough(kubectl, 'kratos-admin', 80)
  const browser = askThrough(kubectl, 'kratos-public', 80)
  return {
    kratos: new Kratos(admin, browser),
    hydra: new Hydra(askThrough(kubectl, 'hydra-admin', 4445)),
    admin,
    browser,
  }
}

/** What `accountServices` returns. */
export type AccountServices = ReturnType<typeof accountServices>

function askThrough(kubectl: Kubectl, service: string, port: number): Ask {
  const base = `/api/v1/namespaces/oas/services/http:${service}:${port}/proxy`
  return async <T>(
    path: string,
    { method, body }: { method?: 'GET' | 'POST' | 'PUT' | 'DELETE'; body?: unknown } = {},
  ) => {
    try {
      const { text, link } = await kubectl.client.exchange({ method, path: base + path, body })
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
    const { identities, next } = await kratos.list(token, 250)
    people.push(...identities)
    if (!next) return people.sort((a, b) => (a.traits.username < b.traits.username ? -1 : 1))
    token = next
  }
  throw new ExpectedError(
    `kratos lists more than ${MOST_PAGES * 250} users`,
    'run `npx tsx scripts/app-debug.ts kratos`',
  )
}
