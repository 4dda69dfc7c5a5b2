/** Single sign-on's clients on a bed with the real hydra. */
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { sleep } from '../../lib/script/wait.ts'
import { askSignOn } from '../bed/login/ask-sign-on.ts'
import type { Bed } from './harness.ts'

const CLIENT = { apiVersion: 'hydra.ory.sh/v1alpha1', kind: 'OAuth2Client' } as const

/**
 * Stands in for hydra-maester: sends an OAuth2Client to hydra when the object is new or its status was changed, and
 * removes the client when the object is gone (ory/hydra-maester, controllers/oauth2client_controller.go; the body is
 * that of hydra/types.go). kwok writes the status, at once, so that the observed generation does not tell it.
 */
export class Maester {
  readonly #bed: Bed
  /** By uid: the version that was sent, and the client's id. */
  readonly #sent = new Map<string, { version: string; id: string }>()
  #ended = false
  #played: Promise<void> | undefined

  private constructor(bed: Bed) {
    this.#bed = bed
  }

  /** Sends every client that the cluster has, and then what changes. */
  static async start(bed: Bed): Promise<Maester> {
    const maester = new Maester(bed)
    await maester.#look()
    maester.#played = maester.#follow()
    return maester
  }

  /** Ends it. Throws what hydra or the API server has refused. */
  async stop(): Promise<void> {
    this.#ended = true
    await this.#played
  }

  async #follow(): Promise<void> {
    while (!this.#ended) {
      await this.#look()
      await sleep(200)
    }
  }

  async #look(): Promise<void> {
    const objects = await this.#bed.kubectl.list(CLIENT.apiVersion, CLIENT.kind)
    for (const object of objects) {
      const { uid = '', resourceVersion: version = '' } = object.metadata
      if (this.#sent.get(uid)?.version === version) continue
      const id = await sendClient(this.#bed, object)
      if (id) this.#sent.set(uid, { version, id })
    }
    for (const [uid, { id }] of this.#sent)
      if (!objects.some(({ metadata }) => metadata.uid === uid)) {
        await fetch(`${clientsOf(this.#bed)}/${id}`, { method: 'DELETE' })
        this.#sent.delete(uid)
      }
  }
}

const clientsOf = (bed: Bed) => `${bed.login.hydraAdmin}/admin/clients`

/** Sends an OAuth2Client to hydra. Returns the id of the client; undefined while its Secret does not exist. */
async function sendClient(bed: Bed, { metadata, spec }: KubeObject): Promise<string | undefined> {
  const name = { name: spec.secretName, namespace: metadata.namespace }
  const secret = await bed.kubectl.get({ apiVersion: 'v1', kind: 'Secret', ...name })
  if (!secret) return undefined
  const value = (key: string) => Buffer.from(secret.data[key], 'base64').toString()
  const id = value('CLIENT_ID')
  const body = {
    client_id: id,
    client_secret: value('CLIENT_SECRET'),
    client_name: spec.clientName,
    owner: `${metadata.name}/${metadata.namespace}`,
    grant_types: spec.grantTypes,
    response_types: spec.responseTypes,
    redirect_uris: spec.redirectUris,
    post_logout_redirect_uris: spec.postLogoutRedirectUris,
    scope: [...(spec.scopeArray ?? []), spec.scope ?? ''].join(' ').trim(),
    skip_consent: spec.skipConsent,
    token_endpoint_auth_method: spec.tokenEndpointAuthMethod,
    backchannel_logout_uri: spec.backChannelLogoutURI,
  }
  const clients = clientsOf(bed)
  const exists = (await fetch(`${clients}/${id}`)).ok
  await askSignOn(exists ? `${clients}/${id}` : clients, exists ? 'PUT' : 'POST', body)
  return id
}
