import { UsageError } from '../script/errors.ts'
import { registerSecret } from '../script/redact.ts'

/** A provider of servers and DNS whose API has the shape of DigitalOcean's version 2. */
export interface ProviderSpec {
  title: string
  /** The URL of its API, without a slash at the end. */
  url: string
  /** The environment variable that holds the token: never a flag, since command lines are visible to all. */
  tokenVariable: string
  /** Whether servers carry tags, which distinguish a server of this cluster from another of the same name. */
  tags: boolean
}

/**
 * The supported providers.
 * Sources: docs 0.7.0, "Cluster creation with the Greenhost API"; https://docs.digitalocean.com/reference/api.
 */
export const PROVIDERS: Readonly<Record<string, ProviderSpec>> = {
  cosmos: {
    title: 'Greenhost Cosmos',
    url: 'https://service.greenhost.net/api/v2',
    tokenVariable: 'COSMOS_API_TOKEN',
    tags: false,
  },
  digitalocean: {
    title: 'DigitalOcean',
    url: 'https://api.digitalocean.com/v2',
    tokenVariable: 'DIGITALOCEAN_TOKEN',
    tags: true,
  },
}

/** What is wrong with the URL of an API, or undefined. Plain HTTP would show the token to the network. */
export function checkProviderUrl(value: string): string | undefined {
  const url = URL.parse(value)
  if (!url || !/^https?:\/\/\S+$/.test(value) || url.search || url.hash || url.username || url.password)
    return 'must be an https URL without user, query and fragment'
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  return url.protocol === 'https:' || local ? undefined : 'must be https: your token is sent to it'
}

/** The token of a provider, from its environment variable, registered so that it is never shown. */
export function providerToken(spec: ProviderSpec): string {
  const token = process.env[spec.tokenVariable] ?? ''
  registerSecret(token)
  if (/^[\x21-\x7e]{8,}$/.test(token)) return token
  throw new UsageError(
    `${spec.tokenVariable} ${token === '' ? 'is not set' : 'does not hold a token'}`,
    `put your API token of ${spec.title} into it: read -rs ${spec.tokenVariable}; export ${spec.tokenVariable}`,
  )
}
