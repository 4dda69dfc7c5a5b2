/** What the faults of workloads and of logging in share: how a fault is brought about, and how it is taken away. */
import { reconcile } from '../../../lib/flux/flux.ts'
import type { KubeObject, Ref } from '../../../lib/kubectl/kubectl.ts'
import type { Fault } from '../fault-suite.ts'
import { override, release } from '../faults.ts'

export type Course = Pick<Fault, 'seed' | 'heal'>
/** A course that is nothing but objects. */
export type Added = Course & { objects: readonly KubeObject[] }

/** The Ref of an object. */
export const ref = (apiVersion: string, kind: string, name: string, namespace?: string): Ref => ({
  apiVersion,
  kind,
  name,
  ...(namespace ? { namespace } : {}),
})

/** Objects that are there for as long as the fault is. */
export function added(...objects: KubeObject[]): Added {
  return {
    objects,
    async seed(bed) {
      for (const object of objects) await bed.kubectl.apply(object)
    },
    async heal(bed) {
      for (const { apiVersion, kind, metadata } of [...objects].reverse())
        await bed.kubectl.delete(ref(apiVersion, kind, metadata.name, metadata.namespace))
    },
  }
}

/** An object of the platform that somebody edits by hand; `back` is how it was. */
export function edited(target: Ref, change: unknown, back: unknown): Course {
  return {
    async seed(bed) {
      await bed.kubectl.patch(target, change)
    },
    async heal(bed) {
      await bed.kubectl.patch(target, back)
    },
  }
}

interface Backend {
  name: string
  port: { name?: string; number?: number }
}

/** An Ingress that leads elsewhere, and back. */
export function misled(ingress: Ref, change: (backend: Backend) => Backend): Course {
  let before: object
  return {
    async seed(bed) {
      before = (await bed.kubectl.get(ingress))!.spec.rules
      const rules = structuredClone(before) as { http: { paths: { backend: { service: Backend } }[] } }[]
      for (const { backend } of rules.flatMap(({ http }) => http.paths))
        backend.service = change(backend.service)
      await bed.kubectl.patch(ingress, { spec: { rules } })
    },
    async heal(bed) {
      await bed.kubectl.patch(ingress, { spec: { rules: before } })
    },
  }
}

/** An override of a release's values: it reaches the objects by Flux and Helm. */
export function overriding(name: string, values: string, namespace = 'oas-apps'): Course {
  const object = override(name, values, namespace)
  return {
    async seed(bed) {
      await bed.kubectl.apply(object)
    },
    async heal(bed) {
      await bed.kubectl.delete(ref(object.apiVersion, object.kind, object.metadata.name, namespace))
      await reconcile(bed.kubectl, release(name, namespace), { reset: true })
    },
  }
}

/** One after the other; healed in the opposite order. */
export function both(...courses: Course[]): Course {
  return {
    async seed(bed) {
      for (const course of courses) await course.seed(bed)
    },
    async heal(bed) {
      for (const course of [...courses].reverse()) await course.heal(bed)
    },
  }
}
