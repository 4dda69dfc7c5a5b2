import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, loadAll } from 'js-yaml'
import { ROOT } from '../../../lib/script/files.ts'
import { substituted } from './values.ts'

interface Manifest {
  kind: string
  metadata: { name: string }
  spec?: Record<string, unknown>
  stringData?: Record<string, string>
}

/**
 * The client of an application as hydra-maester registers it from the manifests of flux2
 * (ory/hydra-maester, hydra/types.go, FromOAuth2Client).
 */
export function clientOf(app: string, variables: Record<string, string>): Record<string, unknown> {
  const objects = app === 'grafana' ? grafanaObjects(variables) : applicationObjects(app, variables)
  const { spec = {} } = objects.find(({ kind }) => kind === 'OAuth2Client')!
  const { CLIENT_ID, CLIENT_SECRET } = objects.find(({ kind }) => kind === 'Secret')!.stringData!
  return {
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    client_name: spec.clientName,
    // hydra-maester takes over a client that is its object's.
    owner: `${app}/${app === 'grafana' ? 'oas' : 'oas-apps'}`,
    grant_types: spec.grantTypes,
    response_types: spec.responseTypes,
    redirect_uris: spec.redirectUris,
    post_logout_redirect_uris: spec.postLogoutRedirectUris ?? [],
    scope: [...((spec.scopeArray as string[]) ?? []), spec.scope ?? ''].join(' ').trim(),
    token_endpoint_auth_method: spec.tokenEndpointAuthMethod,
    skip_consent: spec.skipConsent ?? false,
    backchannel_logout_uri: spec.backChannelLogoutURI ?? '',
    backchannel_logout_session_required: spec.backChannelLogoutSessionRequired ?? false,
    metadata: spec.metadata ?? {},
  }
}

function applicationObjects(app: string, variables: Record<string, string>): Manifest[] {
  const text = readFileSync(join(ROOT, 'flux2/apps', app, 'oauth-client.yaml'), 'utf8')
  return loadAll(substituted(text, variables)) as Manifest[]
}

/** Its chart applies them: `extraManifests` is the last of its values. */
function grafanaObjects(variables: Record<string, string>): Manifest[] {
  const text = readFileSync(join(ROOT, 'flux2/core/kube-prometheus-stack/values.yaml'), 'utf8')
  const own = text.slice(text.indexOf('    extraManifests:'))
  return (load(substituted(own, variables)) as { extraManifests: Manifest[] }).extraManifests
}
