import { ExpectedError, TransientError } from '../script/errors.ts'
import { notKubernetes } from './answer.ts'
import { ApiError, isNotFound } from './api-error.ts'
import { Discovery } from './discovery.ts'
import type { KubeClient } from './kube-client.ts'
import { Room } from './memory.ts'

/** Any Kubernetes object. Only what every object has is typed; the rest is the kind's own matter. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: {
    name: string
    namespace?: string
    uid?: string
    resourceVersion?: string
    generation?: number
    creationTimestamp?: string
    deletionTimestamp?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[]
    managedFields?: unknown
  }
  // biome-ignore lint/suspicious/noExplicitAny: the fields of a kind are known to whoever asked for it
  [field: string]: any
}

/** Kinds without a date in their status: when it has changed, managedFields alone says. */
const UNDATED = new Set(['DaemonSet', 'StatefulSet'])

/** When the status of an object was written, from its managedFields. */
function statusTimes({ metadata }: KubeObject): { subresource: string; time?: string }[] {
  const fields = Array.isArray(metadata.managedFields) ? metadata.managedFields : []
  return fields
    .filter(field => field?.subresource === 'status')
    .map(({ time }) => ({ subresource: 'status', time }))
}

/** Which fields of its data an object has, without their values, from its managedFields. */
function dataFields({ metadata }: KubeObject): { fieldsV1: Record<string, unknown> }[] {
  const fields = Array.isArray(metadata.managedFields) ? metadata.managedFields : []
  return fields.map(field => ({
    fieldsV1: Object.fromEntries(
      ['f:data', 'f:binaryData'].flatMap(name =>
        field?.fieldsV1?.[name] ? [[name, field.fieldsV1[name]]] : [],
      ),
    ),
  }))
}

/** What identifies an object. `namespace` is left out for kinds without one. */
export interface Ref {
  apiVersion: string
  kind: string
  name: string
  namespace?: string
}

/** Which objects of a kind are listed. */
export interface ListOptions {
  namespace?: string
  labelSelector?: string
  fieldSelector?: string
  /** Only the metadata of each object: of Secrets and ConfigMaps the names and labels, but no value. */
  metadataOnly?: boolean
  /** The objects as they were at this revision (see `revision`), and not as they are now. */
  resourceVersion?: string
}

/** The media type by which the API server leaves everything but the metadata away. */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

/** Which part of a container's log is read: the fields of PodLogOptions. */
export interface LogOptions {
  follow?: boolean
  previous?: boolean
  timestamps?: boolean
  tailLines?: number
  sinceSeconds?: number
  sinceTime?: string
  signal?: AbortSignal
}

/** The manager of the fields that our server-side applies set. */
export const FIELD_MANAGER = 'openappstack-runbooks'

/** Objects of a page, and pages of a list: an answer beyond that is not one. */
const PAGE = 500
const MOST_PAGES = 2000
/** Objects that are kept at most: memory has no room for more, and no platform of ours has as many. */
export const MOST_OBJECTS = 120_000

/** `kind namespace/name`, as messages name an object. */
export function refText(ref: Ref): string {
  return `${ref.kind} ${ref.namespace ? `${ref.namespace}/` : ''}${ref.name}`
}

/** The Ref of an object. */
export function refOf(object: KubeObject): Ref {
  const { apiVersion, kind, metadata } = object
  return { apiVersion, kind, name: metadata.name, namespace: metadata.namespace }
}

/** An ApiError in two lines, with the right that is missing or the way on; anything else unchanged. */
export function explainApiError(error: unknown, doing: string): unknown {
  if (!(error instanceof ApiError)) return error
  const options = { cause: error }
  if (error.code === 401)
    return new ExpectedError(
      `${doing}: the API server does not accept the credentials of the kubeconfig (Unauthorized)`,
      'fetch the kubeconfig from the cluster again, or renew its client certificate or token',
      options,
    )
  if (error.code === 403)
    return new ExpectedError(
      `${doing}: ${error.message}`,
      'use the kubeconfig of the cluster administrator, or grant this user the right',
      options,
    )
  if (error.code === 429 || error.code >= 500)
    return new TransientError(
      `${doing}: the API server answers ${error.code} (${error.message})`,
      'it is starting or overloaded: wait a minute, then run the same command again',
      options,
    )
  return new ExpectedError(
    `${doing}: ${error.message}`,
    'correct what the API server refuses, then run it again',
    options,
  )
}

const tooMany = (kind: string, what: string) =>
  new ExpectedError(
    `listing ${kind}: the API server sends ${what}`,
    'check that the address in the kubeconfig is that of a Kubernetes API server',
  )

/**
 * kubectl's verbs over the API, so that the administrator's machine needs no kubectl. Every method throws an
 * ExpectedError that says what was being done; a missing object is `undefined` from `get` and false from
 * `delete`, never an error.
 */
export class Kubectl {
  readonly client: KubeClient
  readonly #signal: AbortSignal | undefined
  readonly #discovery: Discovery
  readonly #room = new Room()

  constructor(client: KubeClient, signal?: AbortSignal) {
    this.client = client
    this.#signal = signal
    this.#discovery = new Discovery(client.server, request => this.call(request))
  }

  /** Connects with a kubeconfig. Nothing is sent before the first verb. */
  static async connect(kubeconfig: string, signal?: AbortSignal): Promise<Kubectl> {
    // Loaded here, so that `--help` need not wait for it.
    const { connect } = await import('./kube-client.ts')
    return new Kubectl(await connect(kubeconfig), signal)
  }

  async #try<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw explainApiError(error, doing)
    }
  }

  /** Calls the API server with the run's signal. Throws ApiError: for callers that tell codes apart. */
  call: KubeClient['request'] = request => this.client.request({ signal: this.#signal, ...request })

  /** The server's version, e.g. `v1.36.4`. */
  async serverVersion(): Promise<string> {
    return this.#try('asking for the version', () => this.#discovery.version())
  }

  /** The kinds that the server serves of one apiVersion; none when it does not serve it. Remembered. */
  async kinds(apiVersion: string): Promise<ReadonlySet<string>> {
    return this.#try(`asking for ${apiVersion}`, async () => {
      return new Set((await this.#discovery.resources(apiVersion)).keys())
    })
  }

  /** Forgets what the server serves: after CRDs were installed. */
  rediscover(): void {
    this.#discovery.forget()
  }

  /** Whether an error says that an object or its kind is absent. Throws when no Kubernetes API server says so. */
  async #absent(error: unknown): Promise<boolean> {
    if (!isNotFound(error)) return false
    if ((error as ApiError).reason === '') await this.#discovery.confirm()
    return true
  }

  async #path(ref: { apiVersion: string; kind: string; name?: string; namespace?: string }): Promise<string> {
    const resource = (await this.#discovery.resources(ref.apiVersion)).get(ref.kind)
    if (!resource) {
      this.#discovery.forget(ref.apiVersion) // a CRD may be installed meanwhile
      throw new ApiError(404, {
        reason: 'NoSuchKind',
        message: `the server does not serve ${ref.kind} of ${ref.apiVersion}`,
      })
    }
    const namespace =
      resource.namespaced && ref.namespace !== undefined
        ? `namespaces/${encodeURIComponent(ref.namespace)}/`
        : ''
    const path = resource.path.replace('%ns', namespace)
    return ref.name === undefined ? path : `${path}/${encodeURIComponent(ref.name)}`
  }

  /** The object, or undefined when it or its kind does not exist. */
  async get<T extends KubeObject = KubeObject>(ref: Ref): Promise<T | undefined> {
    return this.#try(`reading ${refText(ref)}`, async () => {
      try {
        return await this.call<T>({ path: await this.#path(ref) })
      } catch (error) {
        if (await this.#absent(error)) return undefined
        throw error
      }
    })
  }

  /**
   * All objects of a kind, in one namespace or in all; an empty list when the kind is not served. Those that `keep` does
   * not take go with their page: memory has no room for thousands of pods that have ended.
   */
  async list<T extends KubeObject = KubeObject>(
    apiVersion: string,
    kind: string,
    options: ListOptions = {},
    keep: (object: T) => boolean = () => true,
  ): Promise<T[]> {
    const items: T[] = []
    for await (const page of this.pages<T>(apiVersion, kind, options))
      for (const item of page) {
        if (!keep(item)) continue
        if (items.length === MOST_OBJECTS) throw tooMany(kind, `more than ${MOST_OBJECTS} objects`)
        items.push(item)
      }
    return items
  }

  /**
   * The same in pages, for lists that are too long to be kept. Items of a list carry no apiVersion and
   * kind of their own: they are filled in.
   */
  async *pages<T extends KubeObject = KubeObject>(
    apiVersion: string,
    kind: string,
    options: ListOptions = {},
  ): AsyncGenerator<T[], void> {
    const { namespace, metadataOnly, resourceVersion, ...query } = options
    // Further pages are of the revision of the first: their token says which.
    const first = resourceVersion ? { resourceVersion, resourceVersionMatch: 'Exact' } : {}
    const tokens = new Set<string>()
    let token: string | undefined
    do {
      const page = await this.#try(`listing ${kind}`, async () => {
        try {
          return await this.call<{ items?: T[] | null; metadata?: { continue?: string } }>({
            path: await this.#path({ apiVersion, kind, namespace }),
            query: { ...query, limit: PAGE, ...(token ? { continue: token } : first) },
            accept: metadataOnly ? METADATA_ONLY : undefined,
          })
        } catch (error) {
          if (await this.#absent(error)) return {}
          throw error
        }
      })
      // An empty list of metadata has null in place of items.
      const items = page.items ?? []
      if (!Array.isArray(items) || !items.every(item => typeof item?.metadata?.name === 'string'))
        throw notKubernetes(this.client.server, `no list of ${kind}`)
      yield items.map(item => {
        // Who set which field is half of an object, and asked of Secrets alone.
        if (UNDATED.has(kind)) item.metadata.managedFields = statusTimes(item)
        // The keys of its data are listed there, where the data itself is not asked for.
        else if (kind === 'ConfigMap' && metadataOnly) item.metadata.managedFields = dataFields(item)
        else if (kind !== 'Secret') delete item.metadata.managedFields
        return { ...item, apiVersion, kind }
      })
      token = page.metadata?.continue || undefined
      // What one page holds may lie in memory beside anything else.
      if ((token !== undefined || items.length > PAGE) && !this.#room.isLeft())
        throw new ExpectedError(
          `listing ${kind}: the objects of this cluster do not fit into memory`,
          'delete what is not needed, e.g. finished Jobs and evicted pods: npx tsx scripts/delete-evicted-pods.ts',
        )
      if (token === undefined) return
      if (tokens.has(token) || tokens.size === MOST_PAGES)
        throw tooMany(kind, tokens.has(token) ? 'the same page repeatedly' : `more than ${MOST_PAGES} pages`)
      tokens.add(token)
    } while (token)
  }

  /**
   * The revision that the storage of the cluster has reached: kinds that are listed at it are of one moment. All of
   * them are kept in one etcd (Events perhaps in another: --etcd-servers-overrides of kube-apiserver). Undefined where
   * the API server does not say.
   */
  async revision(): Promise<string | undefined> {
    return this.#try('asking for the revision of the cluster', async () => {
      const list = await this.call<{ metadata?: { resourceVersion?: unknown } }>({
        path: '/api/v1/namespaces',
        query: { limit: 1 },
      })
      const revision = list.metadata?.resourceVersion
      return typeof revision === 'string' && /^[1-9]\d{0,19}$/.test(revision) ? revision : undefined
    })
  }

  /** The log of a container, in pieces as they come. Ends with the log, or with the container when it follows. */
  async *logs(
    pod: { namespace: string; name: string },
    container: string,
    options: LogOptions = {},
  ): AsyncGenerator<string, void> {
    const { signal, ...query } = options
    const signals = [this.#signal, signal].filter(each => each !== undefined)
    const [namespace, name] = [pod.namespace, pod.name].map(encodeURIComponent)
    try {
      yield* this.client.stream({
        path: `/api/v1/namespaces/${namespace}/pods/${name}/log`,
        query: { container, ...query },
        signal: AbortSignal.any(signals),
      })
    } catch (error) {
      throw explainApiError(error, `reading the log of ${pod.namespace}/${pod.name} ${container}`)
    }
  }

  /**
   * Server-side apply. Returns the object as it is afterwards, or as it would be with `dryRun`. `force` takes
   * over fields that somebody else's manager owns; without it a conflict is an error that names the manager.
   */
  async apply(object: KubeObject, options: { dryRun?: boolean; force?: boolean } = {}): Promise<KubeObject> {
    return this.#try(`applying ${refText(refOf(object))}`, async () =>
      this.call<KubeObject>({
        method: 'PATCH',
        path: await this.#path(refOf(object)),
        contentType: 'application/apply-patch+yaml',
        query: {
          fieldManager: FIELD_MANAGER,
          force: options.force ?? true,
          dryRun: options.dryRun ? 'All' : undefined,
          fieldValidation: 'Strict',
        },
        body: object,
        timeout: 30_000,
      }),
    )
  }

  /** Creates an object. Undefined when it exists already: nothing is overwritten. */
  async create(object: KubeObject, options: { dryRun?: boolean } = {}): Promise<KubeObject | undefined> {
    return this.#try(`creating ${refText(refOf(object))}`, async () => {
      const { name: _name, ...place } = refOf(object)
      try {
        return await this.call<KubeObject>({
          method: 'POST',
          path: await this.#path(place),
          query: { fieldManager: FIELD_MANAGER, dryRun: options.dryRun ? 'All' : undefined },
          body: object,
        })
      } catch (error) {
        if (error instanceof ApiError && error.reason === 'AlreadyExists') return undefined
        throw error
      }
    })
  }

  /**
   * A JSON merge patch. A `resourceVersion` in it makes the server refuse when somebody else was faster. With `dryRun`
   * nothing is changed, and a field that the kind does not have is an error.
   */
  async patch(
    ref: Ref,
    patch: unknown,
    options: { subresource?: string; dryRun?: boolean } = {},
  ): Promise<KubeObject> {
    return this.#try(`patching ${refText(ref)}`, async () =>
      this.call<KubeObject>({
        method: 'PATCH',
        path: `${await this.#path(ref)}${options.subresource ? `/${options.subresource}` : ''}`,
        contentType: 'application/merge-patch+json',
        query: {
          fieldManager: FIELD_MANAGER,
          ...(options.dryRun ? { dryRun: 'All', fieldValidation: 'Strict' } : {}),
        },
        body: patch,
      }),
    )
  }

  /** Deletes an object; false when there was none. The server refuses when it is not, or no longer, the one meant. */
  async delete(
    ref: Ref,
    meant?: { uid?: string; resourceVersion?: string },
    propagationPolicy: 'Background' | 'Orphan' = 'Background',
  ): Promise<boolean> {
    return this.#try(`deleting ${refText(ref)}`, async () => {
      try {
        await this.call({
          method: 'DELETE',
          path: await this.#path(ref),
          body: {
            apiVersion: 'v1',
            kind: 'DeleteOptions',
            propagationPolicy,
            ...(meant ? { preconditions: meant } : {}),
          },
        })
        return true
      } catch (error) {
        if (await this.#absent(error)) return false
        throw error
      }
    })
  }

  /** Whether the current user may do something, by a SelfSubjectAccessReview. */
  async may(verb: string, group: string, resource: string, namespace?: string): Promise<boolean> {
    return this.#try('asking for rights', async () => {
      const review = await this.call<KubeObject>({
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes: { verb, group, resource, namespace } },
        },
      })
      return review.status?.allowed === true
    })
  }
}
