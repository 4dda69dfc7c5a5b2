import type { Document } from 'yaml'
import { isMap, isSeq, parseDocument } from 'yaml'
import { HELM_RELEASE } from '../../lib/flux/flux.ts'
import type { KubeObject } from '../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../lib/script/errors.ts'

/** The values of Helm that the ingress is installed with, the strongest last: the platform's, and two overrides. */
export const LAYERS = [
  { kind: 'ConfigMap', name: 'oas-ingress-values' },
  { kind: 'ConfigMap', name: 'oas-nginx-override' },
  { kind: 'Secret', name: 'oas-nginx-override' },
] as const

/** The release that these values are for. */
export const INGRESS_RELEASE = { ...HELM_RELEASE, name: 'ingress', namespace: 'oas' } as const

/** The Middleware with the ranges for everything, by the name that install/overrides/ has had for it. */
const MIDDLEWARE = 'source-ranges'
/** How an entry point names it: NAMESPACE-NAME@PROVIDER. */
const REFERENCE = `oas-${MIDDLEWARE}@kubernetescrd`
const MIDDLEWARES = ['ports', 'websecure', 'http', 'middlewares']
const TRUSTED = (port: string) => ['ports', port, 'forwardedHeaders', 'trustedIPs']
/** Where the docs of 0.7 put the ranges: values of the chart of ingress-nginx. */
const OLD_RANGES = ['controller', 'config', 'whitelist-source-range']

/** What restricts the access to everything. */
export interface Restriction {
  ranges: readonly string[]
  /** The proxies whose word on the address of a client counts. */
  proxies: readonly string[]
}

/** Values of Helm, for reading and editing. Throws an ExpectedError for what is not a map in YAML. */
function parse(text: string, what: string): Document {
  // Aliases are limited by the library itself: a bomb of them is an error.
  const document = parseDocument(text, { uniqueKeys: true })
  const [problem] = document.errors
  if (problem || (document.contents !== null && !isMap(document.contents)))
    throw new ExpectedError(
      `${what}: values.yaml is not a map in YAML${problem ? ` (${problem.message.split('\n')[0]})` : ''}`,
      `correct it: kubectl -n oas edit ${what}`,
    )
  return document
}

const list = (document: Document, path: readonly string[]): unknown[] | undefined => {
  const node = document.getIn(path)
  return isSeq(node) ? (node.toJSON() as unknown[]) : undefined
}

const isOurs = (item: unknown): item is KubeObject =>
  typeof item === 'object' &&
  (item as KubeObject | null)?.kind === 'Middleware' &&
  (item as KubeObject).metadata?.name === MIDDLEWARE

const strings = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter(each => typeof each === 'string') : []

/** The strongest layer that has a list at this path: Helm replaces lists, it does not merge them. */
const strongest = (documents: readonly Document[], path: readonly string[]): unknown[] | undefined =>
  documents.map(document => list(document, path)).findLast(found => found !== undefined)

/** What restricts everything now; undefined where nothing does. `texts` are those of LAYERS. Pure. */
export function restrictionIn(texts: readonly string[]): Restriction | undefined {
  const documents = texts.map((text, i) => parse(text, layerName(i)))
  if (!strings(strongest(documents, MIDDLEWARES)).includes(REFERENCE)) return undefined
  const middleware = strongest(documents, ['extraObjects'])?.find(isOurs)
  const allow = middleware?.spec?.ipAllowList
  return { ranges: strings(allow?.sourceRange), proxies: strings(allow?.ipStrategy?.excludedIPs) }
}

/** The ranges that an override has in the form of ingress-nginx, which Traefik does not read; empty without. Pure. */
export function oldRanges(texts: readonly string[]): string[] {
  return texts.flatMap((text, i) => {
    const value = parse(text, layerName(i)).getIn(OLD_RANGES)
    return typeof value === 'string' ? value.split(',').map(range => range.trim()) : []
  })
}

const layerName = (i: number) => `${LAYERS[i]?.kind.toLowerCase()}/${LAYERS[i]?.name}`

/**
 * The text of the strongest override with a restriction, or without one: everything else that it says stays, with
 * its comments. Empty when nothing is left in it. Throws an ExpectedError where it cannot be edited. Pure.
 */
export function withRestriction(texts: readonly string[], wanted: Restriction | undefined): string {
  const documents = texts.map((text, i) => parse(text, layerName(i)))
  const below = documents.slice(0, -1)
  const top = documents.at(-1)!
  if (top.contents === null) top.contents = top.createNode({}) as never
  remove(top, OLD_RANGES)
  const set = (path: readonly string[], ours: unknown[], isMine: (item: unknown) => boolean) => {
    const now = top.getIn(path)
    if (now !== undefined && !isSeq(now)) throw notEditable(path, 'is not a list')
    const beneath = strongest(below, path) ?? []
    const others = (list(top, path) ?? beneath).filter(item => !isMine(item))
    const next = [...others, ...ours]
    // What the layers below say anyway is not said again.
    if (JSON.stringify(next) === JSON.stringify(beneath)) {
      remove(top, path)
    } else if (JSON.stringify(next) !== JSON.stringify(list(top, path))) {
      try {
        top.setIn(path, top.createNode(next))
      } catch (error) {
        throw notEditable(path, 'is below a value that is not a map', error)
      }
    }
  }
  const before = restrictionIn(texts)
  const isProxy = (item: unknown) => before?.proxies.includes(item as string) ?? false
  set(MIDDLEWARES, wanted ? [REFERENCE] : [], item => item === REFERENCE)
  set(['extraObjects'], wanted ? [middlewareOf(MIDDLEWARE, wanted)] : [], isOurs)
  for (const port of ['web', 'websecure']) set(TRUSTED(port), [...(wanted?.proxies ?? [])], isProxy)
  const isEmpty = top.contents === null || (isMap(top.contents) && top.contents.items.length === 0)
  return isEmpty ? '' : top.toString({ lineWidth: 0 })
}

const notEditable = (path: readonly string[], why: string, cause?: unknown) =>
  new ExpectedError(
    `${layerName(2)}: ${path.join('.')} ${why}`,
    `correct it: kubectl -n oas edit ${layerName(2)}`,
    { cause },
  )

/** Removes a value, and the maps around it that have become empty, from the inside out. */
function remove(document: Document, path: readonly string[]): void {
  if (!document.hasIn(path)) return
  document.deleteIn(path)
  for (let depth = path.length - 1; depth > 0; depth--) {
    const node = document.getIn(path.slice(0, depth))
    if (!isMap(node) || node.items.length > 0) return
    document.deleteIn(path.slice(0, depth))
  }
}

/**
 * The Middleware that refuses who is not in the ranges. Behind a proxy the address of a client is the last one in
 * X-Forwarded-For that is not a proxy's (https://doc.traefik.io/traefik/v3.7/reference/routing-configuration/http/middlewares/ipallowlist/).
 */
export function middlewareOf(name: string, { ranges, proxies }: Restriction): KubeObject {
  return {
    apiVersion: 'traefik.io/v1alpha1',
    kind: 'Middleware',
    metadata: { name, namespace: 'oas' },
    spec: {
      ipAllowList: {
        sourceRange: [...ranges],
        ...(proxies.length > 0 ? { ipStrategy: { excludedIPs: [...proxies] } } : {}),
      },
    },
  }
}
