import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
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
  const text = readFileSync(join(ROOT, 'flux2/apps', app, 'oauth-client.yaml'), 'utf8')
  const objects = loadAll(substituted(text, variables)) as Manifest[]
  const { spec = {} } = objects.find(({ kind }) => kind === 'OAuth2Client')!
  const { CLIENT_ID, CLIENT_SECRET } = objects.find(({ kind }) => kind === 'Secret')!.stringData!
  return {
    client_id: CLIENT_ID,
    client_secret: CLIENT_SECRET,
    client_name: spec.clientName,
    grant_types: spec.grantTypes,
    response_types: spec.responseTypes,
    redirect_uris: spec.redirectUris,
    post_logout_redirect_uris: spec.postLogoutRedirectUris ?? [],
    scope: (spec.scopeArray as string[]).join(' '),
    token_endpoint_auth_method: spec.tokenEndpointAuthMethod,
    skip_consent: spec.skipConsent ?? false,
    backchannel_logout_uri: spec.backChannelLogoutURI ?? '',
    backchannel_logout_session_required: spec.backChannelLogoutSessionRequired ?? false,
    metadata: spec.metadata ?? {},
  }
}
