import { randomBytes } from 'node:crypto'
import type { LoginBed } from './bed.ts'
import { clientOf } from './clients.ts'
import { RelyingParty } from './relying-party.ts'
import { APPLICATIONS } from './stand-ins.ts'

/**
 * Registers the stand-in applications at hydra, each with a secret of its own, and serves them below the domain; not
 * those whose client is registered already, by an installed platform.
 */
export async function serveApplications(bed: LoginBed): Promise<void> {
  for (const app of APPLICATIONS) {
    const secret = randomBytes(16).toString('hex')
    const client = clientOf(app.clientId, {
      ...bed.variables,
      [`${app.clientId}_oauth_client_secret`]: secret,
    })
    const response = await fetch(`${bed.hydraAdmin}/clients`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(client),
    })
    if (response.status === 409) continue
    if (!response.ok) throw new Error(`hydra refuses ${app.clientId}: ${await response.text()}`)
    bed.serve(app.host, (await RelyingParty.of(app, bed.domain, secret, bed.ca)).handle)
  }
}
