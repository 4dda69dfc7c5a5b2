import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { issueServing } from '../../bed/cluster/pki.ts'
import { RelyingParty } from '../../bed/login/relying-party.ts'
import type { Application } from '../../bed/login/stand-ins.ts'
import { nextcloudStandIn } from './nextcloud.ts'
import { grafanaStandIn, rocketchatStandIn, wekanStandIn, wordpressStandIn } from './others.ts'
import { BEGIN, bodyOf, type StandIn, send, wholePage } from './pages.ts'

/** Every stand-in. */
export const STAND_INS: readonly StandIn[] = [
  nextcloudStandIn,
  rocketchatStandIn,
  wekanStandIn,
  wordpressStandIn,
  grafanaStandIn,
]

const asApplication = ({ client, host, redirect }: StandIn): Application => ({
  host,
  clientId: client,
  redirect,
  auth: 'client_secret_post',
  pkce: false,
  nonce: true,
  claims: 'GET',
  button: '',
  account: ({ preferred_username }) => String(preferred_username),
  // The application's own rule: Rocket.Chat and WordPress make nobody an administrator.
  role: ({ groups }) =>
    ['nextcloud', 'wekan', 'grafana'].includes(client) && Array.isArray(groups) && groups.includes('admin')
      ? 'administrator'
      : 'user',
})

/** The stand-ins at a port of their own, as clients of a real single sign-on. */
export class StandInServer {
  readonly #server: Server
  /** By the host: a stand-in that breaks something on purpose. */
  readonly broken = new Map<string, StandIn['page']>()

  private constructor(server: Server) {
    this.#server = server
  }

  /** Registers each at hydra in the place of its client, and serves it at https://HOST.BASE:PORT. */
  static async start(sso: { domain: string; ca: string; hydraAdmin: string }): Promise<StandInServer> {
    const base = sso.domain.split(':')[0]!
    const { certificate, key } = await issueServing([base, `*.${base}`])
    const parties = new Map<string, { standIn: StandIn; party: RelyingParty }>()
    const server = createServer({ cert: certificate, key })
    const started = new StandInServer(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    for (const standIn of STAND_INS) {
      const origin = `https://${standIn.host}.${base}:${port}`
      const secret = randomBytes(16).toString('hex')
      await register(sso.hydraAdmin, {
        client_id: standIn.client,
        client_secret: secret,
        client_name:
          { wordpress: 'WordPress', rocketchat: 'Rocket.Chat' }[standIn.client] ?? titled(standIn.client),
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        redirect_uris: [`${origin}${standIn.redirect}`],
        scope: 'openid email profile',
        token_endpoint_auth_method: 'client_secret_post',
        skip_consent: true,
      })
      const party = await RelyingParty.of(asApplication(standIn), sso.domain, secret, sso.ca, origin)
      parties.set(`${standIn.host}.${base}`, { standIn, party })
    }
    server.on('request', (request, response) => {
      const host = (request.headers.host ?? '').split(':')[0]!
      const found = parties.get(host)
      if (!found) return void response.writeHead(404).end()
      started.#answer(request, response, found).catch(error => response.writeHead(500).end(String(error)))
    })
    return started
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    { standIn, party }: { standIn: StandIn; party: RelyingParty },
  ): Promise<void> {
    const here = new URL(request.url ?? '/', `https://${request.headers.host}`)
    if (here.pathname === BEGIN) request.url = '/login'
    if (here.pathname === BEGIN || here.pathname === standIn.redirect) return party.handle(request, response)
    const account = party.who(request)
    const html = (text: string) => send(response, { type: 'text/html; charset=utf-8', body: text })
    if (!account) return html(wholePage(standIn.client, standIn.login))
    const answer = standIn.answer?.(here, account, await bodyOf(request))
    if (answer) return send(response, answer)
    html((this.broken.get(standIn.client) ?? standIn.page)(here, account) ?? '')
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

const titled = (name: string) => name[0]!.toUpperCase() + name.slice(1)

async function register(hydraAdmin: string, client: Record<string, unknown>): Promise<void> {
  const clients = `${hydraAdmin}/admin/clients`
  await fetch(`${clients}/${client.client_id}`, { method: 'DELETE' })
  const answer = await fetch(clients, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(client),
  })
  if (!answer.ok) throw new Error(`hydra refuses ${client.client_id}: ${await answer.text()}`)
}
