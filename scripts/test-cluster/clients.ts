import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import type { Config } from '../../lib/platform/config.ts'
import { ROOT, readIfExists } from '../../lib/script/files.ts'

/** A client of single sign-on: what an application sends to log somebody in. */
export interface LoginClient {
  app: string
  clientId: string
  redirectUri: string
  /** The Secret with CLIENT_SECRET. */
  secret: { namespace: string; name: string }
  /** How it proves itself: in the body of the request, else by basic authentication. */
  inBody: boolean
}

interface Manifest {
  kind?: string
  metadata?: { name?: string; namespace?: string }
  spec?: { redirectUris?: string[]; secretName?: string; tokenEndpointAuthMethod?: string }
  stringData?: Record<string, string>
}

/** The clients of flux2, with the addresses of this configuration. Those whose address needs a value that lacks are left out. */
export function loginClients(config: Config): LoginClient[] {
  const apps = readdirSync(join(ROOT, 'flux2/apps')).flatMap(app => {
    const text = readIfExists(join(ROOT, 'flux2/apps', app, 'oauth-client.yaml'))
    return text === undefined ? [] : [{ app, text, namespace: 'oas-apps' }]
  })
  const values = readIfExists(join(ROOT, 'flux2/core/kube-prometheus-stack/values.yaml')) ?? ''
  const manifests = values.slice(values.indexOf('    extraManifests:\n') + '    extraManifests:\n'.length)
  const grafana = { app: 'grafana', text: manifests, namespace: 'oas' }
  return [...apps, grafana].flatMap(each => clientIn(each, config))
}

/** The client in a manifest: an OAuth2Client and its Secret. */
function clientIn(
  { app, text, namespace }: { app: string; text: string; namespace: string },
  config: Config,
): LoginClient[] {
  const values: Record<string, string | undefined> = { ...config }
  // Only what stands alone is put in: a value that lacks leaves its client out.
  const filled = text.replaceAll(
    /\$\{(\w{1,60})(?::=([^}\n]{0,200}))?\}/g,
    (_, name: string, other?: string) => (/secret/.test(name) ? 'x' : (values[name] ?? other ?? '?')),
  )
  const objects = (loadAll(filled) as (Manifest | Manifest[] | null)[]).flat()
  const client = objects.find(object => object?.kind === 'OAuth2Client')
  const secret = objects.find(object => object?.kind === 'Secret')
  const [redirectUri] = client?.spec?.redirectUris ?? []
  if (!client || !redirectUri || redirectUri.includes('?')) return []
  return [
    {
      app,
      clientId: secret?.stringData?.CLIENT_ID ?? client.metadata?.name ?? app,
      redirectUri,
      secret: { namespace, name: client.spec?.secretName ?? '' },
      inBody: client.spec?.tokenEndpointAuthMethod === 'client_secret_post',
    },
  ]
}
