import type { KubeObject, Ref } from '../kubectl/kubectl.ts'
import { ExpectedError } from '../script/errors.ts'
import { FACTS, hostFact, secretFact } from './allowed/facts.ts'
import { kindOf } from './allowed/kinds.ts'
import { factOf } from './allowed/object.ts'
import { allowedPart } from './allowed/pick.ts'
import type { HostFacts } from './certificates/host-facts.ts'
import type { SignOnFacts } from './sign-on.ts'
import type { SignOnSetting } from './sign-on-settings.ts'

/** What a Secret has: names and sizes, and never a value. */
export interface SecretShape {
  namespace: string
  name: string
  uid?: string
  /** ISO 8601. */
  created?: string
  /** When its values, or what else its manager set, were changed last: ISO 8601. */
  changed?: string
  type: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  /** Bytes of each key's value. */
  keys: Record<string, number>
  /** Keys whose value ends with a newline, as `echo VALUE | base64` leaves one. */
  newline?: string[]
  /** Keys whose value anybody knows. */
  published?: string[]
  /** The public part of a TLS secret, or why it cannot be read. */
  certificate?: CertificateFacts | { error: string }
}

/** What a stored or a served certificate says of itself. */
export interface CertificateFacts {
  subject: string
  issuer: string
  dnsNames: string[]
  /** ISO 8601. */
  notBefore: string
  notAfter: string
  /** SHA-256 of the certificate, in hexadecimal digits. */
  fingerprint: string
}

/** A Secret that the toolkit generates: what should be in it, and for whom. */
export interface GeneratedSecret {
  namespace: string
  name: string
  /** `core`, or an application. */
  app: string
  keys: string[]
}

/** Something that could not be read. */
export interface Gap {
  what: string
  why: string
}

/** A gap as an error: what was asked for cannot be told without it. */
export function gapError({ what, why }: Gap): ExpectedError {
  return new ExpectedError(
    `${what} could not be read: ${why}`,
    'use the kubeconfig of the cluster administrator, then run it again',
  )
}

/** An override, of whose values nothing is kept. */
export interface OverrideFact {
  kind: 'ConfigMap' | 'Secret'
  namespace: string
  name: string
  /** The HelmRelease that reads it; absent when none does. */
  release?: string
  chart?: string
  /** Keys that its chart does not know, and those that were probably meant. */
  unknown: { key: string; meant?: string }[]
  /** Whether it differs from the file to which it was exported. */
  changed: boolean
}

/** What is kept of a container's log. */
export interface Said {
  namespace: string
  pod: string
  container: string
  text: string
}

/** Everything that a diagnosis knows: read once, then judged by rules alone. Holds no secret. */
export interface Snapshot {
  version: 1
  /** ISO 8601, by the clock of the cluster. */
  takenAt: string
  /** The address of the API server. */
  server: string
  kubernetes?: string
  /** Seconds that the cluster's clock is ahead of this machine's. */
  clockOffset: number
  /** The group versions that are served, e.g. `cert-manager.io/v1`. */
  groups: string[]
  objects: KubeObject[]
  secrets: SecretShape[]
  gaps: Gap[]
  /** The kinds that were not asked for: a wait reads only what it needs. */
  unread?: readonly string[]
  /** The Secrets that the toolkit generates, with their keys. */
  catalogue?: GeneratedSecret[]
  /** What `.flux.env` says of the repository, where there is such a file. */
  config?: { git_url?: string; git_branch?: string }
  /** The last lines of crashing containers, of the run before; known secrets are blacked out. */
  lastLines?: Said[]
  /** What ready containers have kept saying in the last minutes: that something fails. */
  complaints?: Said[]
  /** What hydra and kratos say of themselves, where they were reached. */
  signOn?: SignOnFacts
  /** The addresses that they were given. */
  signOnSettings?: SignOnSetting[]
  /** The overrides of administrators. */
  overrides?: OverrideFact[]
  /** What DNS, the ports and TLS say of hosts, where that was asked. */
  hosts?: HostFacts[]
}

/** Lookups over a snapshot. */
export class Index {
  readonly snapshot: Snapshot
  /** Milliseconds since the epoch at which the snapshot was taken: rules have no other clock. */
  readonly now: number
  readonly #kinds = new Map<string, KubeObject[]>()
  readonly #places = new Map<string, KubeObject[]>()
  readonly #objects = new Map<string, KubeObject>()
  readonly #secrets = new Map<string, SecretShape>()
  readonly #events = new Map<string, KubeObject[]>()
  readonly #reasons = new Map<string, KubeObject[]>()
  readonly #owned = new Map<string, KubeObject[]>()

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot
    this.now = Date.parse(snapshot.takenAt)
    for (const object of snapshot.objects) {
      const { metadata } = object
      const kind = kindOf(object)
      if (kind === 'Event') {
        const { kind: of = '', namespace, name = '' } = object.involvedObject ?? {}
        append(this.#events, key(of, namespace, name), object)
        append(this.#reasons, object.reason ?? '', object)
        continue
      }
      append(this.#kinds, kind, object)
      append(this.#places, key(kind, metadata.namespace, ''), object)
      this.#objects.set(key(kind, metadata.namespace, metadata.name), object)
      for (const owner of metadata.ownerReferences ?? []) append(this.#owned, owner.uid, object)
    }
    for (const secret of snapshot.secrets)
      this.#secrets.set(key('Secret', secret.namespace, secret.name), secret)
  }

  /** All objects of a kind. */
  all(kind: string): readonly KubeObject[] {
    return this.#kinds.get(kind) ?? []
  }

  /** The kinds of which there are objects. */
  kinds(): readonly string[] {
    return [...this.#kinds.keys()]
  }

  /** All objects of a kind in a namespace. */
  within(kind: string, namespace: string | undefined): readonly KubeObject[] {
    return this.#places.get(key(kind, namespace, '')) ?? []
  }

  /** One object; leave the namespace out for kinds without one. */
  get(kind: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#objects.get(key(kind, namespace, name))
  }

  /** The object that a Ref means. */
  find(ref: Ref): KubeObject | undefined {
    return this.get(ref.kind, ref.namespace, ref.name)
  }

  /** What a Secret has; undefined when it does not exist, or could not be read (see `blind`). */
  secret(namespace: string, name: string): SecretShape | undefined {
    return this.#secrets.get(key('Secret', namespace, name))
  }

  /** The objects that an object owns. */
  ownedBy(owner: KubeObject): readonly KubeObject[] {
    return this.#owned.get(owner.metadata.uid ?? '') ?? []
  }

  /** The events about an object, the newest first. */
  events(object: Ref | KubeObject): readonly KubeObject[] {
    const { kind, namespace, name } =
      'metadata' in object ? { kind: object.kind, ...object.metadata } : object
    const found = this.#events.get(key(kind, namespace, name)) ?? []
    return [...found].sort((a, b) => eventTime(b) - eventTime(a))
  }

  /** The events of a reason, about whatever object; that may be gone. */
  eventsOfReason(reason: string): readonly KubeObject[] {
    return this.#reasons.get(reason) ?? []
  }

  /** Whether objects of a kind were not read: then their absence proves nothing. */
  blind(kind: string): boolean {
    const { gaps, unread = [] } = this.snapshot
    return gaps.some(gap => gap.what === kind) || unread.includes(kind)
  }
}

const key = (kind: string, namespace: string | undefined, name: string) =>
  `${kind} ${namespace ?? ''}/${name}`

function append<T>(map: Map<string, T[]>, name: string, item: T): void {
  const list = map.get(name)
  if (list) list.push(item)
  else map.set(name, [item])
}

/** When an event was last seen, in milliseconds. Pure. */
export function eventTime(event: KubeObject): number {
  const time =
    event.series?.lastObservedTime ??
    event.lastTimestamp ??
    event.eventTime ??
    event.metadata.creationTimestamp
  return Date.parse(time ?? '') || 0
}

/**
 * A snapshot from the text of a file. Only what facts have is taken from it, each field of the type that it has to
 * have: a file may come from anybody. Throws an ExpectedError when it is not a snapshot, or of another version.
 */
export function parseSnapshot(text: string, file: string): Snapshot {
  const fix = 'give a file that `diagnose --output FILE` has written'
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new ExpectedError(`${file} is not a snapshot: it is not JSON`, fix, { cause: error })
  }
  const snapshot = value as Snapshot
  if (typeof value !== 'object' || value === null || snapshot.version === undefined)
    throw new ExpectedError(`${file} is not a snapshot`, fix)
  if (snapshot.version !== 1)
    throw new ExpectedError(
      `${file} is a snapshot of version ${JSON.stringify(snapshot.version)}, and 1 is known here`,
      'use the toolkit that made it',
    )
  const named = (object: unknown) =>
    typeof (object as KubeObject)?.kind === 'string' &&
    typeof (object as KubeObject).metadata?.name === 'string'
  const sound =
    !Number.isNaN(Date.parse(snapshot.takenAt)) &&
    isArrayOf(snapshot.objects, named) &&
    isArrayOf(snapshot.secrets, secret => typeof (secret as SecretShape)?.name === 'string') &&
    isArrayOf(snapshot.gaps, gap => typeof (gap as Gap)?.what === 'string') &&
    isArrayOf(snapshot.groups, group => typeof group === 'string') &&
    (snapshot.hosts === undefined ||
      isArrayOf(snapshot.hosts, host => typeof (host as HostFacts)?.host === 'string'))
  if (!sound) throw new ExpectedError(`${file} is a damaged snapshot`, fix)
  return {
    ...(allowedPart(snapshot, FACTS) as Snapshot),
    objects: snapshot.objects.map(factOf),
    secrets: snapshot.secrets.map(secretFact),
    ...(snapshot.hosts ? { hosts: snapshot.hosts.map(hostFact) } : {}),
  }
}

const isArrayOf = (value: unknown, is: (item: unknown) => boolean) => Array.isArray(value) && value.every(is)
