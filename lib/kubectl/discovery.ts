import { notKubernetes } from './answer.ts'
import { ApiError, isNotFound } from './api-error.ts'
import type { KubeClient } from './kube-client.ts'

/** Where the objects of a kind are: its path, with `%ns` in the place of a namespace. */
export interface Resource {
  path: string
  namespaced: boolean
}

/** What an API server serves, asked once for each apiVersion. */
export class Discovery {
  readonly #call: KubeClient['request']
  readonly #server: string
  readonly #found = new Map<string, Promise<Map<string, Resource>>>()
  #confirmed: Promise<void> | undefined

  constructor(server: string, call: KubeClient['request']) {
    this.#server = server
    this.#call = call
  }

  /**
   * The resources of one apiVersion by kind; empty when the server does not serve it. Throws ApiError, and an
   * ExpectedError when it is not a Kubernetes API server that says so.
   */
  resources(apiVersion: string): Promise<Map<string, Resource>> {
    let found = this.#found.get(apiVersion)
    if (!found) {
      found = this.#ask(apiVersion).catch(error => {
        this.#found.delete(apiVersion)
        throw error
      })
      this.#found.set(apiVersion, found)
    }
    return found
  }

  async #ask(apiVersion: string): Promise<Map<string, Resource>> {
    const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
    let resources: unknown
    try {
      ;({ resources } = await this.#call<{ resources: unknown }>({ path: base }))
    } catch (error) {
      if (!isNotFound(error)) throw error
      // Whoever answers 404 to everything serves no group either.
      await this.confirm()
      if (apiVersion === 'v1') throw notKubernetes(this.#server, `HTTP 404 at ${base}`)
      return new Map()
    }
    if (!Array.isArray(resources)) throw notKubernetes(this.#server, `no list of resources at ${base}`)
    return new Map(
      resources
        .filter(each => typeof each?.name === 'string' && !each.name.includes('/'))
        .map(({ kind, name, namespaced }) => [
          String(kind),
          { path: `${base}/%ns${encodeURIComponent(name)}`, namespaced: namespaced === true },
        ]),
    )
  }

  /** Throws an ExpectedError unless the server says which version of Kubernetes it is. Remembered. */
  confirm(): Promise<void> {
    this.#confirmed ??= this.version().then(
      () => undefined,
      error => {
        this.#confirmed = undefined
        // Who may not ask is told so by the server itself, in its own form.
        if (!(error instanceof ApiError && error.reason === 'Forbidden')) throw error
      },
    )
    return this.#confirmed
  }

  /** The server's version, e.g. `v1.36.4`. Throws ApiError, and an ExpectedError when it is not a Kubernetes API server. */
  async version(): Promise<string> {
    try {
      const { gitVersion } = await this.#call<{ gitVersion: unknown }>({ path: '/version' })
      if (typeof gitVersion === 'string') return gitVersion
    } catch (error) {
      if (isNotFound(error)) throw notKubernetes(this.#server, 'HTTP 404 at /version')
      throw error
    }
    throw notKubernetes(this.#server, 'no gitVersion at /version')
  }

  /** Forgets what one apiVersion serves, or everything: a CRD may have been installed. */
  forget(apiVersion?: string): void {
    if (apiVersion === undefined) this.#found.clear()
    else this.#found.delete(apiVersion)
  }
}
