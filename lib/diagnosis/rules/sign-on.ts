/** OAuth2Clients: registered at hydra, for a host that is served. */
import { condition } from '../../flux/flux.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import type { Finding, Rule } from '../finding.ts'
import { short } from '../text.ts'
import { hostsOf } from './ingresses.ts'
import { since } from './workload-facts.ts'

/**
 * Clients that hydra-maester could not register.
 * Source: https://github.com/ory/hydra-maester/blob/v0.0.40/api/v1alpha1/oauth2client_types.go
 */
const unregistered: Rule = index =>
  index.all('OAuth2Client').flatMap((client): Finding[] => {
    const { statusCode, description } = client.status?.reconciliationError ?? {}
    const { namespace, name, creationTimestamp } = client.metadata
    if (!statusCode || condition(client, 'Ready')?.status === 'True' || since(index, creationTimestamp) < 120)
      return []
    return [
      {
        rule: 'oauth-client-not-registered',
        verdict: 'broken',
        subject: refOf(client),
        cause: `is not registered at hydra: ${statusCode}${description ? `: ${short(String(description), 200)}` : ''}`,
        evidence: [`nobody can log in to ${name} by single sign-on`],
        remedy: {
          text: `read the log of hydra-maester, and check Secret ${namespace}/${client.spec?.secretName}`,
          command: 'npx tsx scripts/logs.ts hydra --grep maester',
        },
        causedBy: index
          .all('Deployment')
          .filter(({ metadata }) => /^hydra/.test(metadata.name))
          .map(refOf),
      },
    ]
  })

const hostOf = (address: unknown) =>
  URL.canParse(String(address)) ? new URL(String(address)).hostname.toLowerCase() : ''

/** Clients whose redirect addresses lead to no host that an Ingress of their namespace serves. */
const elsewhere: Rule = index =>
  index.all('OAuth2Client').flatMap((client): Finding[] => {
    const uris = (client.spec?.redirectUris ?? []) as string[]
    const hosts = uris.map(hostOf).filter(host => host.includes('.') && !/^\d/.test(host))
    const served = index.all('Ingress').flatMap((ingress: KubeObject) => hostsOf(ingress))
    if (hosts.length === 0 || served.length === 0 || index.blind('Ingress')) return []
    if (hosts.some(host => served.some(name => name === host || isBelow(host, name)))) return []
    const { namespace, name } = client.metadata
    const own = index
      .all('Ingress')
      .filter(({ metadata }) => metadata.namespace === namespace)
      .flatMap(hostsOf)
    return [
      {
        rule: 'oauth-redirect-elsewhere',
        verdict: 'broken',
        subject: refOf(client),
        cause: `redirects to ${[...new Set(hosts)].join(', ')}, which no Ingress serves: logging in fails`,
        evidence: own.length > 0 ? [`served in ${namespace}: ${[...new Set(own)].join(', ')}`] : [],
        remedy: {
          text: 'correct redirectUris: the domain of the platform is in .flux.env; install-core and install-app apply it',
          command: `kubectl -n ${namespace} get oauth2client ${name} -o yaml`,
        },
      },
    ]
  })

const isBelow = (host: string, name: string) => name.startsWith('*.') && host.endsWith(name.slice(1))

export const rules: Rule[] = [unregistered, elsewhere]
