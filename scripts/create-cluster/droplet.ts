import { isIP } from 'node:net'
import { UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'

/** A server as the API describes it; only the fields used here. */
export interface Droplet {
  id: number
  name: string
  status?: string
  tags?: string[]
  networks?: Partial<Record<'v4' | 'v6', { ip_address: string; type?: string }[]>>
}

/** The server to create. */
export interface DropletOrder {
  name: string
  region: string
  size: string
  image: string
  sshKeyId: number
  /** Distinguishes our server from others of its name; absent if the provider has no tags. */
  tag?: string
}

/** The provider's offer for a new server, against which an order is checked. */
export interface Offer {
  size?: { slug: string; memory?: number; vcpus?: number; available?: boolean; regions?: string[] }[]
  region?: { slug: string; available?: boolean }[]
  image?: { id: number; slug?: string | null }[]
  sshKey?: { id: number; name?: string }[]
}

/** The address at which a server is reached from outside; IPv4 before IPv6. */
export function publicAddressOf(droplet: Droplet): string | undefined {
  for (const family of ['v4', 'v6'] as const)
    for (const { ip_address: address, type } of droplet.networks?.[family] ?? [])
      if ((type ?? 'public') === 'public' && isIP(address)) return address
  return undefined
}

/** The tag of the servers of a cluster: letters, digits, `:`, `-` and `_` are allowed in one. */
export function tagOf(clusterName: string): string {
  return `openappstack:${clusterName.replaceAll('.', '_')}`
}

/** The body of the request that creates a server. Pure. */
export function dropletBody(order: DropletOrder): Record<string, unknown> {
  const { name, region, size, image, sshKeyId, tag } = order
  return {
    name,
    region,
    size,
    image: /^\d+$/.test(image) ? Number(image) : image,
    ssh_keys: [sshKeyId],
    ...(tag === undefined ? {} : { tags: [tag] }),
  }
}

/** All that is wrong with an order: values that are not offered, alone or together. Pure. */
export function checkOrder(order: DropletOrder, offer: Offer): UsageError[] {
  const problems: UsageError[] = []
  const expect = (flag: string, value: string, known: readonly string[] | undefined) => {
    if (known && !known.includes(value))
      problems.push(
        new UsageError(
          `${flag} ${value} is not offered`,
          known.length > 0 ? suggestion(value, known.slice(0, 40)) : 'nothing is offered to this account',
        ),
      )
  }
  expect('--size', order.size, choicesOf(offer, 'size'))
  expect('--region', order.region, choicesOf(offer, 'region'))
  expect('--image', order.image, choicesOf(offer, 'image'))
  expect('--ssh-key-id', String(order.sshKeyId), choicesOf(offer, 'sshKey'))
  const regions = offer.size?.find(({ slug }) => slug === order.size)?.regions
  if (problems.length === 0 && regions && !regions.includes(order.region))
    problems.push(
      new UsageError(
        `--size ${order.size} is not offered in --region ${order.region}`,
        `choose one of: ${regions.join(', ') || 'none'}`,
      ),
    )
  return problems
}

/** The values for a flag of an order; undefined when the API's answer does not show them. Pure. */
export function choicesOf(offer: Offer, what: keyof Offer): string[] | undefined {
  if (what === 'image') return offer.image?.flatMap(({ id, slug }) => [...(slug ? [slug] : []), String(id)])
  if (what === 'sshKey') return offer.sshKey?.map(({ id }) => String(id))
  const slugs = offer[what]?.filter(({ available, slug }) => slug && available !== false)
  return slugs?.length === 0 && offer[what]?.some(({ slug }) => !slug)
    ? undefined
    : slugs?.map(({ slug }) => slug)
}

/** The ways in which a size is smaller than what the docs ask for: 6 cores and 12 GB. Pure. */
export function tooSmall(size: string, offer: Offer): string | undefined {
  const found = offer.size?.find(({ slug }) => slug === size)
  if (!found || ((found.vcpus ?? 6) >= 6 && (found.memory ?? 12_288) >= 12_000)) return undefined
  return `size ${size} has ${found.vcpus} cores and ${found.memory} MB of memory; all applications together need 6 cores and 12 GB`
}
