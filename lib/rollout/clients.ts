/** The clients of single sign-on: hydra has to hold what their objects and Secrets say. */
import { differentClients, type SignOnFacts } from '../diagnosis/sign-on.ts'
import type { Kubectl } from '../kubectl/kubectl.ts'
import { until } from '../script/wait.ts'

/** Milliseconds that hydra-maester may take to send a client; it does so within a second. */
const SENDING = 60_000

type Client = SignOnFacts['clients'][number]

/**
 * The clients of the platform, or of these applications, that hydra holds otherwise; none where it cannot be asked.
 * Those of somebody else's namespaces are theirs.
 */
export async function outdatedClients(kubectl: Kubectl, apps: readonly string[]): Promise<Client[]> {
  const isOurs = ({ namespace, name }: Client) =>
    apps.includes('core') ? /^oas(-apps)?$/.test(namespace) : namespace === 'oas-apps' && apps.includes(name)
  return (await differentClients(kubectl)).filter(isOurs)
}

/** What hydra-maester has to send, in words. Pure. */
export function clientsText(clients: readonly Client[]): string[] {
  return clients.map(({ namespace, name, differs }) =>
    differs.includes('registration')
      ? `register OAuth2Client ${namespace}/${name} at hydra, which does not have it`
      : `send OAuth2Client ${namespace}/${name} to hydra again, which has another ${differs.join(', ')}`,
  )
}

/**
 * Has hydra-maester send the clients again that hydra holds otherwise, and waits until it has: it reports Ready also
 * when it failed, and never sends a changed secret by itself. Nothing where hydra cannot be asked. Throws an
 * ExpectedError with the clients that still differ.
 */
export async function sendClients(
  kubectl: Kubectl,
  apps: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const sent = new Set<string>()
  await until(
    async () => {
      const clients = await outdatedClients(kubectl, apps)
      if (clients.length === 0) return { done: undefined }
      for (const { namespace, name } of clients)
        if (!sent.has(`${namespace}/${name}`)) {
          sent.add(`${namespace}/${name}`)
          const ref = { apiVersion: 'hydra.ory.sh/v1alpha1', kind: 'OAuth2Client', namespace, name }
          await kubectl.patch(ref, { status: { observedGeneration: 0 } }, { subresource: 'status' })
        }
      return { last: clients }
    },
    {
      deadline: SENDING,
      every: 1000,
      describe: last => clientsText(last ?? []).join('; '),
      fix: 'read the log of hydra-maester: npx tsx scripts/logs.ts hydra --grep maester',
      signal,
    },
  )
}
