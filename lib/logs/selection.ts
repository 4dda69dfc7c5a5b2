import type { KubeObject } from '../kubectl/kubectl.ts'

/** The labels of a stream, as Loki has them. */
export type Labels = Readonly<Record<string, string>>

/** Which streams are wanted: those whose label has one of these values, or one that the pattern matches whole. */
export type Matcher = { label: string; values: readonly string[] } | { label: string; pattern: string }

/**
 * Which lines are wanted, as LogQL has it: with a text (`|=`), without it (`!=`), that a pattern matches (`|~`)
 * or does not (`!~`).
 */
export interface LineFilter {
  operator: '|=' | '!=' | '|~' | '!~'
  /** Patterns keep to what Loki's regular expressions (RE2) and JavaScript's have in common. */
  text: string
  ignoreCase?: true
}

/** Streams, and lines of them. It is asked of Loki, or applied to what pods say. */
export interface LogSelection {
  matchers: readonly Matcher[]
  filters: readonly LineFilter[]
}

/**
 * A string of LogQL. JSON's escapes are all known to it, and what JSON leaves as it is may stand in it; half of
 * a surrogate pair, which UTF-8 cannot carry, becomes the replacement character. Pure.
 */
export function quotedLabel(text: string): string {
  return JSON.stringify(text.toWellFormed())
}

/** A pattern that matches this text alone, in RE2 and in JavaScript. Pure. */
export function literally(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** The selection as LogQL. Pure. */
export function logQl({ matchers, filters }: LogSelection): string {
  const streams = matchers.map(matcher => {
    if ('pattern' in matcher) return `${matcher.label}=~${quotedLabel(matcher.pattern)}`
    const [only, ...more] = matcher.values
    if (only !== undefined && more.length === 0) return `${matcher.label}=${quotedLabel(only)}`
    return `${matcher.label}=~${quotedLabel(matcher.values.map(literally).join('|'))}`
  })
  const lines = filters.map(
    ({ operator, text, ignoreCase }) => ` ${operator} ${quotedLabel(`${ignoreCase ? '(?i)' : ''}${text}`)}`,
  )
  return `{${streams.join(', ')}}${lines.join('')}`
}

/** The labels that flux2/core/alloy gives the log of a container. Pure. */
export function labelsOf(pod: KubeObject, container: string): Labels {
  const { namespace = '', name, labels = {} } = pod.metadata
  const app = labels['app.kubernetes.io/name'] || labels.app || name
  return { namespace, pod: name, container_name: container, app, job: `${namespace}/${app}` }
}
