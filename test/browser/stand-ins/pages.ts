/**
 * Stand-ins for the pages of the applications, which cannot be had on this bed: each shows the roles and texts of
 * upstream, read from the files that scripts/test-cluster/browser names, and keeps what people do in memory. They show
 * that a page object finds its way; that upstream's pages are still like this, they do not.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { htmlText } from '../../../lib/script/html.ts'

/** Who is logged in at an application. */
export interface Account {
  name: string
  isAdmin: boolean
}

/** The pages of one application. `here` is the path, with its query. */
export interface StandIn {
  client: string
  host: string
  /** The path of its redirect URI. */
  redirect: string
  /** The page on which somebody begins to log in, with upstream's button that leads to BEGIN. */
  login: string
  /** A page for somebody who is logged in; undefined for one that it does not have. */
  page(here: URL, account: Account): string | undefined
  /** What its scripts ask for; undefined for what it does not have. */
  answer?(here: URL, account: Account, body: Buffer): Answer | undefined
}

/** What a script or a download gets. */
export interface Answer {
  type: string
  body: string | Buffer
  /** It is downloaded under this name. */
  file?: string
}

/** Where a button of single sign-on leads. */
export const BEGIN = '/stand-in/begin'

/** A whole page that names itself a stand-in. */
export const wholePage = (name: string, body: string, script = '') =>
  `<!doctype html><html lang="en"><title>${htmlText(name)} (stand-in)</title><body>${body}<script>${script}</script></body></html>`

/** What is kept of each account. */
export function keeping<T>(fresh: () => T): (account: Account) => T {
  const kept = new Map<string, T>()
  return ({ name }) => {
    const found = kept.get(name) ?? fresh()
    kept.set(name, found)
    return found
  }
}

/** The body of a request. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

/** Sends what a script or a download gets. */
export function send(response: ServerResponse, { type, body, file }: Answer): void {
  response.writeHead(200, {
    'content-type': type,
    ...(file === undefined ? {} : { 'content-disposition': `attachment; filename="${file}"` }),
  })
  response.end(body)
}
