import { Index, type SecretShape, type Snapshot } from '../../../../lib/diagnosis/snapshot.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'

/** The moment at which the snapshots of the tests were taken. */
export const NOW = '2026-03-01T12:00:00.000Z'

/** A snapshot of these objects, complete and otherwise empty. */
export function snapshotOf(objects: readonly KubeObject[], more: Partial<Snapshot> = {}): Snapshot {
  return {
    version: 1,
    takenAt: NOW,
    server: 'https://192.0.2.1:6443',
    kubernetes: 'v1.36.4',
    clockOffset: 0,
    groups: [],
    objects: [...objects],
    secrets: [],
    gaps: [],
    ...more,
  }
}

/** The lookups over a snapshot of these objects. */
export function indexOf(objects: readonly KubeObject[], more: Partial<Snapshot> = {}): Index {
  return new Index(snapshotOf(objects, more))
}

/** A Secret as a snapshot knows it. */
export function shapeOf(namespace: string, name: string, keys: Record<string, number>): SecretShape {
  return { namespace, name, type: 'Opaque', keys }
}

/** An object of a kind, with an owner if one is given. */
export function objectOf(
  kind: string,
  namespace: string | undefined,
  name: string,
  fields: Record<string, unknown> = {},
  owner?: KubeObject,
): KubeObject {
  const { metadata, ...rest } = fields
  return {
    apiVersion: 'v1',
    kind,
    metadata: {
      name,
      namespace,
      uid: `${kind}-${namespace}-${name}`,
      ...(owner
        ? {
            ownerReferences: [
              {
                apiVersion: owner.apiVersion,
                kind: owner.kind,
                name: owner.metadata.name,
                uid: owner.metadata.uid ?? '',
                controller: true,
              },
            ],
          }
        : {}),
      ...(metadata as object | undefined),
    },
    ...rest,
  }
}
