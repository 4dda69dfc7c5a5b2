/** What a diagnosis asks single sign-on itself: no object of the cluster says it. */
import type { Client } from '../../flux2/core/single-sign-on/userpanel/panel/hydra.ts'
import { UpstreamError } from '../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'
import { type Identity, isAdmin } from '../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { Kubectl, KubeObject } from '../kubectl/kubectl.ts'
import {
  type AccountServices,
  accountServices,
  askThrough,
  knowsSecret,
  publicStatus,
} from '../platform/sign-on.ts'
import { messageOf } from '../script/errors.ts'
import { registerSecret } from '../script/redact.ts'
import { scrub } from '../script/scrub.ts'

/** Milliseconds for each answer: where single sign-on is not reached, a diagnosis does not wait for it. */
const PATIENCE = 2500
/** Pages of 250 users that are searched for an administrator. */
const PAGES = 8

/** Facts of single sign-on, without a secret and without a user's name. */
export interface SignOnFacts {
  /** Services that answer, and say that they are not ready. */
  unready: { service: string; why: string }[]
  /** Services of Kubernetes from which no answer came, while one came from others. */
  silent?: { service: string; why: string }[]
  /** The clients in hydra that differ from their OAuth2Client or its Secret, and in what. */
  clients: { namespace: string; name: string; differs: string[] }[]
  /** Whether anybody administers the platform; undefined when that is not known. */
  administrator?: boolean
  /** Mails that kratos has given up. */
  refusedMail?: { count: number; why?: string }
  /** Why hydra does not hand out the keys with which it signs. */
  unreadableKeys?: string
}

/** The Services of single sign-on, what is behind each, and where it answers. */
export const SERVICES = [
  { service: 'hydra-admin', workload: 'hydra', port: 4445, path: '/health/ready' },
  { service: 'hydra-public', workload: 'hydra', port: 4444, path: '/health/alive' },
  { service: 'kratos-admin', workload: 'kratos', port: 80, path: '/admin/health/ready' },
  { service: 'kratos-public', workload: 'kratos', port: 80, path: '/health/alive' },
  { service: 'single-sign-on', workload: 'single-sign-on', port: 3000, path: '/health/alive' },
] as const

/** Who answers, and who is ready; undefined when nobody answers, e.g. where pods do not run. */
export async function signOnAnswers(
  kubectl: Kubectl,
): Promise<Pick<SignOnFacts, 'unready' | 'silent'> | undefined> {
  const unready: SignOnFacts['unready'] = []
  const silent: SignOnFacts['unready'] = []
  await Promise.all(
    SERVICES.map(async ({ service, workload, port, path }) => {
      try {
        await askThrough(kubectl, service, port, PATIENCE)(path)
      } catch (error) {
        const why = (reason: string) => scrub(reason).slice(0, 400)
        // All else is what the API server says of a Service, or that there was no answer.
        if (!(error instanceof UpstreamError))
          silent.push({ service, why: why(messageOf((error as Error).cause ?? error)) })
        else if (path.endsWith('/ready')) unready.push({ service: workload, why: why(reasonOf(error.body)) })
      }
    }),
  )
  return silent.length < SERVICES.length ? { unready, silent } : undefined
}

/** The reason in the answer of a health endpoint. That of hydra has none when its database is away. */
function reasonOf(body: unknown): string {
  const text = String((body as { message?: unknown })?.message ?? '')
  return text === '' || /unrecognizable/.test(text) ? 'most likely its database does not answer' : text
}

/** Reads what single sign-on knows. What cannot be read is left out: these facts only add to the others. */
export async function readSignOn(
  kubectl: Kubectl,
  answers: Pick<SignOnFacts, 'unready' | 'silent'> | undefined,
): Promise<SignOnFacts | undefined> {
  if (answers === undefined) return undefined
  if (answers.unready.length > 0) return { ...answers, clients: [] }
  const services = accountServices(kubectl, PATIENCE)
  const [clients, administrator, refusedMail, unreadableKeys] = await Promise.all([
    comparedClients(kubectl, services).catch(() => []),
    hasAdministrator(services).catch(() => undefined),
    refused(services).catch(() => undefined),
    keysProblem(kubectl).catch(() => undefined),
  ])
  return { ...answers, clients, administrator, refusedMail, unreadableKeys }
}

/** The clients that hydra holds otherwise than their OAuth2Client and Secret say; none where it cannot be asked. */
export async function differentClients(kubectl: Kubectl): Promise<SignOnFacts['clients']> {
  const clients = await comparedClients(kubectl, accountServices(kubectl, PATIENCE)).catch(() => [])
  return clients.filter(({ differs }) => differs.length > 0)
}

async function comparedClients(
  kubectl: Kubectl,
  { hydra }: AccountServices,
): Promise<SignOnFacts['clients']> {
  const [objects, registered] = await Promise.all([
    kubectl.list('hydra.ory.sh/v1alpha1', 'OAuth2Client'),
    hydra.clients(),
  ])
  return Promise.all(
    objects.map(async object => {
      const { namespace = '', name } = object.metadata
      const ref = { apiVersion: 'v1', kind: 'Secret', namespace, name: String(object.spec?.secretName) }
      const data = (await kubectl.get(ref))?.data ?? {}
      const value = (key: string) => Buffer.from(String(data[key] ?? ''), 'base64').toString('utf8')
      const [id, secret] = [value('CLIENT_ID'), value('CLIENT_SECRET')]
      registerSecret(secret)
      const client = registered.find(({ client_id }) => client_id === id)
      const differs = id === '' ? [] : clientDifferences(object, client)
      // By basic authentication nobody gets through the API server, which takes that header for its own.
      if (client && secret !== '' && object.spec?.tokenEndpointAuthMethod === 'client_secret_post')
        if ((await knowsSecret(kubectl, { id, secret }, PATIENCE)) === false) differs.push('client secret')
      return { namespace, name, differs }
    }),
  )
}

/** Why hydra does not hand out its keys: it keeps them encrypted, and cannot read them with another secret. */
async function keysProblem(kubectl: Kubectl): Promise<string | undefined> {
  const status = await publicStatus(kubectl, '/.well-known/jwks.json', PATIENCE)
  return status === undefined || status < 500 ? undefined : `/.well-known/jwks.json answers ${status}`
}

/** What hydra holds of a client: the fields that hydra-maester sends. */
type Registered = Client & Record<string, unknown>

/**
 * In what a client of hydra differs from its OAuth2Client, as hydra-maester would send it
 * (ory/hydra-maester, hydra/types.go, FromOAuth2Client). Fields that the object leaves out are hydra's own. Pure.
 */
export function clientDifferences(object: KubeObject, client: Client | undefined): string[] {
  if (!client) return ['registration']
  const { spec = {} } = object
  const found = client as Registered
  const words = (value: unknown) =>
    (Array.isArray(value) ? value.map(String) : String(value ?? '').split(' '))
      .filter(Boolean)
      .sort()
      .join(' ')
  const fields: [name: string, wanted: unknown, has: unknown][] = [
    ['redirect addresses', spec.redirectUris, found.redirect_uris],
    ['return addresses after logout', spec.postLogoutRedirectUris, found.post_logout_redirect_uris],
    // Of the older field and the newer one together.
    ['scopes', `${(spec.scopeArray ?? []).join(' ')} ${spec.scope ?? ''}`, found.scope],
    ['grant types', spec.grantTypes, found.grant_types],
    ['response types', spec.responseTypes, found.response_types],
    ['authentication method', spec.tokenEndpointAuthMethod, found.token_endpoint_auth_method],
    ['address for logout', spec.backChannelLogoutURI, found.backchannel_logout_uri],
  ]
  return fields.flatMap(([name, wanted, has]) =>
    wanted === undefined || words(wanted) === words(has) ? [] : [name],
  )
}

async function hasAdministrator({ kratos }: AccountServices): Promise<boolean | undefined> {
  const first = await kratos.find('admin')
  if (first && isAdmin(first)) return true
  let token: string | undefined
  for (let page = 0; page < PAGES; page++) {
    const { identities, next }: { identities: Identity[]; next?: string } = await kratos.list(token, 250)
    if (identities.some(isAdmin)) return true
    if (!next) return false
    token = next
  }
  return undefined
}

/** Mails that kratos' courier has given up (https://www.ory.sh/docs/kratos/self-hosted/mail-courier-templates). */
async function refused({ admin }: AccountServices): Promise<SignOnFacts['refusedMail']> {
  const path = '/admin/courier/messages'
  const { data } = await admin<{ id: string }[]>(`${path}?status=abandoned&page_size=50`)
  if (data.length === 0) return undefined
  const { data: last } = await admin<{ dispatches?: { error?: { message?: string; reason?: string } }[] }>(
    `${path}/${encodeURIComponent(data[0]!.id)}`,
  )
  const { reason, message } = last.dispatches?.at(-1)?.error ?? {}
  const why = message ?? reason
  return { count: data.length, why: why && scrub(why).slice(0, 400) }
}
