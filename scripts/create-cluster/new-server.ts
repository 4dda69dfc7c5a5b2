import { ProviderClient } from '../../lib/provider/provider-client.ts'
import { PROVIDERS, providerToken } from '../../lib/provider/providers.ts'
import { throwAll, UsageError } from '../../lib/script/errors.ts'
import { askSelect, askText, inTurn, interactive } from '../../lib/script/prompt.ts'
import { type CreateRun, checkHostName } from './create-flags.ts'
import { type DomainRecord, recordBody, recordConflict, recordState, wantedRecords } from './dns-records.ts'
import {
  checkOrder,
  choicesOf,
  type Droplet,
  type DropletOrder,
  dropletBody,
  tagOf,
  tooSmall,
} from './droplet.ts'
import { Provider } from './provider.ts'

/** The provider of --provider. Throws a UsageError without its token. */
export function providerFor(run: CreateRun): Provider | undefined {
  const spec = Object.hasOwn(PROVIDERS, run.flags.provider ?? '') ? PROVIDERS[run.flags.provider!] : undefined
  if (!spec) return undefined
  const options = { signal: run.signal }
  const url = run.flags['provider-url'] ?? spec.url
  return new Provider(new ProviderClient(spec, url, providerToken(spec), options), options)
}

/** The name of a server at the provider, if it is a valid host name: some are free text. */
export function hostNameOf(droplet: Droplet | undefined): string | undefined {
  return droplet && !checkHostName(droplet.name) ? droplet.name : undefined
}

/** The server that the flags describe; `completeOrder` fills in the rest. */
export function orderFor(run: CreateRun, domain: string, provider: Provider | undefined): DropletOrder {
  const { flags: given, cluster } = run
  return {
    name: given['create-hostname'] ?? domain,
    size: given.size ?? '',
    region: given.region ?? '',
    image: given.image ?? '',
    sshKeyId: Number(given['ssh-key-id'] ?? 0),
    tag: provider?.client.spec.tags ? tagOf(cluster.name) : undefined,
  }
}

/** Completes an order from the provider's offer, and checks it against that. */
export async function completeOrder(run: CreateRun, provider: Provider, order: DropletOrder): Promise<void> {
  const offer = await provider.offer()
  const parts = [
    ['size', 'size', 'Size of the server?'],
    ['region', 'region', 'Where?'],
    ['image', 'image', 'Which operating system?'],
    ['sshKey', 'ssh-key-id', 'Which SSH key (id) may log in?'],
  ] as const
  const missing = parts.filter(([, flag]) => !run.flags[flag])
  const choices = (what: (typeof parts)[number][0]) => choicesOf(offer, what) ?? []
  if (!interactive())
    throwAll(
      missing.map(
        ([what, flag]) =>
          new UsageError(
            `--create-droplet needs --${flag}`,
            `give --${flag}; choose from: ${choices(what).slice(0, 40).join(', ') || 'see the control panel of the provider'}`,
          ),
      ),
    )
  const answered = await inTurn(missing, ([what, flag, message]) =>
    choices(what).length > 0
      ? askSelect({ message, flag: `--${flag}`, choices: choices(what) })
      : askText({
          message,
          flag: `--${flag}`,
          check: text => (text === '' ? 'a value is required' : undefined),
        }),
  )
  missing.forEach(([what], i) => {
    if (what === 'sshKey') order.sshKeyId = Number(answered[i])
    else order[what] = answered[i]!
  })
  throwAll(checkOrder(order, offer))
  const small = tooSmall(order.size, offer)
  if (small) run.log.warn(small)
}

/** The missing records. Throws all conflicts at once. */
export async function missingRecords(
  provider: Provider,
  zone: string,
  subdomain: string | undefined,
  address: string,
): Promise<DomainRecord[]> {
  const existing = await provider.records(zone)
  const states = wantedRecords(zone, subdomain, address).map(record => ({
    record,
    found: recordState(record, existing, zone),
  }))
  throwAll(
    states.flatMap(({ record, found }) =>
      found.state === 'conflict' ? [recordConflict(zone, record, found.with)] : [],
    ),
  )
  return states.filter(({ found }) => found.state === 'missing').map(({ record }) => record)
}

/** A request that creates something: where it goes, and what it says. */
export interface Call {
  path: string
  body: Record<string, unknown>
}

/** The request that orders a server. Pure. */
export const orderCall = (order: DropletOrder): Call => ({ path: '/droplets', body: dropletBody(order) })

/** The request that creates a record of a domain. Pure. */
export const recordCall = (zone: string, record: DomainRecord): Call => ({
  path: `/domains/${zone}/records`,
  body: recordBody(record),
})

/** A request as a line of a plan. Pure. */
export function callText({ client }: Provider, { path, body }: Call): string {
  return `POST ${client.url}${path} ${JSON.stringify(body)}`
}

/** A request as a command. The header comes from stdin: arguments are visible to everybody on the machine. Pure. */
function curlText({ client: { url, spec } }: Provider, { path, body }: Call): string {
  return `curl -H @- -H 'Content-Type: application/json' -d '${JSON.stringify(body)}' ${url}${path} <<<"Authorization: Bearer $${spec.tokenVariable}"`
}

/** The step that orders the server, unless it exists, and waits until it is active. */
export async function createServer(
  run: CreateRun,
  provider: Provider,
  wanted: { order?: DropletOrder; droplet?: Droplet },
  deadline: number,
): Promise<{ id: number; address: string }> {
  const { order, droplet } = wanted
  const isNew = order && !droplet
  let server: { id: number; address: string } | undefined
  await run.step(
    `Server ${order?.name ?? droplet?.id}`,
    isNew ? curlText(provider, orderCall(order)) : undefined,
    async () => {
      const ordered = isNew ? await provider.order(order) : undefined
      const { id } = (ordered?.droplet ?? droplet)!
      const { address } = await provider.ready(id, deadline, state => run.log.progress(state))
      server = { id, address }
      return `${ordered?.created ? 'created' : 'found'}, id ${id}, ${address}`
    },
  )
  return server!
}

/** The steps that create the missing records of the platform. */
export async function createRecords(
  run: CreateRun,
  provider: Provider,
  zone: string,
  address: string,
): Promise<void> {
  for (const record of wantedRecords(zone, run.flags.subdomain, address))
    await run.step(
      `Record ${record.type} ${record.name}`,
      curlText(provider, recordCall(zone, record)),
      async () => ((await provider.ensureRecord(zone, record)) ? `created in ${zone}` : 'unchanged'),
    )
}
