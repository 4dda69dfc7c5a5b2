/** Label selectors: which labels they fit, and how they read. */

/** A label selector. */
export interface Selector {
  matchLabels?: Record<string, string>
  matchExpressions?: { key: string; operator: string; values?: string[] }[]
}

/** Whether labels fit a selector; an empty one fits all. Pure. */
export function fits(selector: Selector | undefined, labels: Record<string, string> = {}): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {}
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key]
      if (operator === 'Exists') return value !== undefined
      if (operator === 'DoesNotExist') return value === undefined
      const within = value !== undefined && values.includes(value)
      return operator === 'In' ? within : !within
    })
  )
}

/** Whether a selector names nothing. */
export const selectsAll = (selector: Selector | undefined) =>
  Object.keys(selector?.matchLabels ?? {}).length + (selector?.matchExpressions ?? []).length === 0

/** A selector in words. */
export const selectorText = ({ matchLabels = {}, matchExpressions = [] }: Selector) =>
  [
    ...Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`),
    ...matchExpressions.map(({ key, operator, values = [] }) =>
      `${key} ${operator} ${values.join(',')}`.trim(),
    ),
  ].join(', ')
