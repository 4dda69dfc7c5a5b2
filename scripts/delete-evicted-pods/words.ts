/** What is said of nodes and of evicted pods. Pure. */
import { durationText } from '../../lib/script/duration.ts'
import { countsText, type Pressure, type Survey } from './eviction.ts'

/** One line on the pressure of a node. */
export function pressureText({ node, type, state, since, message }: Pressure, now: number): string {
  const ago = since ? ` for ${durationText(now - Date.parse(since))}` : ''
  if (state === 'over') return `node ${node}: no ${type}${ago}`
  if (state === 'on') return `node ${node}: ${type}${ago}: ${message}`
  return `node ${node}: ${type} is unknown: its kubelet does not report`
}

/** A number of pods. */
export function podsText(number: number, which = ''): string {
  return `${number} ${which}pod${number === 1 ? '' : 's'}`
}

/** The pods that are left alone, in words. */
export function leftAlone({ others, younger }: Survey): string[] {
  const number = [...others.values()].reduce((a, b) => a + b, 0)
  return [
    ...(number > 0
      ? [`left alone: ${podsText(number)} that failed for other reasons (${countsText(others)})`]
      : []),
    ...(younger > 0 ? [`left alone: ${podsText(younger, 'younger evicted ')}`] : []),
  ]
}

/** A survey for --json. */
export function summary({ namespaces, causes, others, ...numbers }: Survey) {
  return {
    ...numbers,
    namespaces: Object.fromEntries(
      [...namespaces].map(([name, { ages }]) => [name, ages.reduce((a, b) => a + b, 0)]),
    ),
    causes: Object.fromEntries(causes),
    others: Object.fromEntries(others),
  }
}
