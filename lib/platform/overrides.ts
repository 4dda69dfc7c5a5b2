/** The overrides of an administrator: which objects they are, and how an exported one is recognised. */
import type { KubeObject } from '../kubectl/kubectl.ts'
import { APP_NAMES } from './apps.ts'

/** One entry of a HelmRelease's `valuesFrom`. */
export interface ValuesSource {
  kind: 'ConfigMap' | 'Secret'
  name: string
  valuesKey?: string
  targetPath?: string
  optional?: boolean
}

/** The entries of `valuesFrom` of a release. */
export function sourcesOf(release: KubeObject): ValuesSource[] {
  return (release.spec?.valuesFrom ?? []) as ValuesSource[]
}

/** Whether an entry is an administrator's override: it may be absent, and its name says it. */
export function isOverride({ name, optional, targetPath }: ValuesSource): boolean {
  return optional === true && !targetPath && name.endsWith('-override')
}

/** Whether a ConfigMap or Secret of this name is meant as an override. */
export function isOverrideName(name: string): boolean {
  return /^oas-.*-override$/.test(name)
}

/** The text of values in a ConfigMap or Secret; undefined where it has none. Pure. */
export function overrideText(object: KubeObject | undefined, key = 'values.yaml'): string | undefined {
  const text = object?.data?.[key]
  if (typeof text !== 'string') return undefined
  return object?.kind === 'Secret' ? Buffer.from(text, 'base64').toString('utf8') : text
}

/** The application that an override of this name is for, installed or not; undefined where none is called so. */
export function appOfOverride(name: string): string | undefined {
  return APP_NAMES.find(app => name === `oas-${app}-override` || name.startsWith(`oas-${app}-`))
}

/** What `--export` leaves on an override: the SHA-256 of what it has written to a file. */
export const EXPORTED = 'openappstack.net/exported'

/** The label of everything that a check of values creates: it is gone a minute later, unless its run was killed. */
export const CHECK_LABEL = 'openappstack.net/override-check'
