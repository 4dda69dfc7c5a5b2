import type { KubeObject } from '../../kubectl/kubectl.ts'
import { KUBERNETES_KINDS } from './kubernetes.ts'
import { CONDITIONS, METADATA } from './parts.ts'
import { allowedPart } from './pick.ts'
import { PLATFORM_KINDS } from './platform.ts'

/**
 * The part of an object that facts hold: the fields that are allowed for its kind, of the types that they have to be.
 * Everything else may be a secret, or harm whoever reads it: values of releases and substitutions, variables, command
 * lines, what probes send, annotations of others. Pure.
 */
export function factOf(object: KubeObject): KubeObject {
  const { apiVersion, kind } = object
  const fields = KUBERNETES_KINDS[kind] ??
    PLATFORM_KINDS[kind] ?? { status: { phase: 'text', conditions: CONDITIONS } }
  return {
    apiVersion: String(apiVersion),
    kind: String(kind),
    ...(allowedPart(object, { metadata: METADATA, ...fields }) as Pick<KubeObject, 'metadata'>),
  }
}
