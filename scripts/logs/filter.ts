import type { Labels, LineFilter, Matcher } from '../../lib/logs/selection.ts'

/** Whether a stream with these labels is wanted. A label that is absent is empty, as in Loki. Pure. */
export function selects(matchers: readonly Matcher[], labels: Labels): boolean {
  return matchers.every(matcher => {
    const value = labels[matcher.label] ?? ''
    return 'pattern' in matcher
      ? new RegExp(`^(?:${matcher.pattern})$`, 's').test(value)
      : matcher.values.includes(value)
  })
}

/** Tells of a line whether it is wanted. Pure. */
export function keeps(filters: readonly LineFilter[]): (text: string) => boolean {
  const tests = filters.map(({ operator, text, ignoreCase }) => {
    const wanted = operator.startsWith('|')
    if (operator.endsWith('=')) return (line: string) => line.includes(text) === wanted
    const pattern = new RegExp(text, ignoreCase ? 'is' : 's')
    return (line: string) => pattern.test(line) === wanted
  })
  return line => tests.every(test => test(line))
}
