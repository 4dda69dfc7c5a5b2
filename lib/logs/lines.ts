import type { LogContainer } from './containers.ts'

/** One line of a log. */
export interface Line {
  /** As the kubelet has it, to the nanosecond; empty where it put none. */
  time: string
  namespace: string
  pod: string
  container: string
  text: string
}

/** Characters of a line that are kept together: one without an end is told in parts. */
const LONGEST = 1 << 20

/** The pieces of a log as lines, each with its time. */
export async function* lines(
  pieces: AsyncIterable<string>,
  { namespace, pod, container }: Pick<LogContainer, 'namespace' | 'pod' | 'container'>,
): AsyncGenerator<Line, void> {
  let rest: string[] = []
  let length = 0
  const line = (all: string): Line => {
    // A message of the kubelet itself has no time.
    const [, time = '', text = all] = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) ?(.*)$/s.exec(all) ?? []
    return { time, namespace, pod, container, text: text.replace(/\r$/, '') }
  }
  for await (const piece of pieces) {
    const [first = '', ...more] = piece.split('\n')
    rest.push(first) // a line of many pieces is put together once
    length += first.length
    for (const next of more) {
      yield line(rest.join(''))
      rest = [next]
      length = next.length
    }
    if (length > LONGEST) {
      yield line(rest.join(''))
      rest = []
      length = 0
    }
  }
  if (rest.join('') !== '') yield line(rest.join(''))
}

/** Several logs as one, by time; lines without a time stay with the line before. */
export async function* merge(logs: readonly AsyncGenerator<Line, void>[]): AsyncGenerator<Line, void> {
  const heads: { line: Line; at: number; log: AsyncGenerator<Line, void> }[] = []
  const advance = async (log: AsyncGenerator<Line, void>, before: number) => {
    const { value } = await log.next()
    if (!value) return
    const time = Date.parse(value.time)
    heads.push({ line: value, at: Number.isNaN(time) ? before : time, log })
  }
  try {
    await Promise.all(logs.map(log => advance(log, 0)))
    for (;;) {
      // Within a millisecond the digits decide: kubelets of one cluster write the same form.
      heads.sort(
        (a, b) => a.at - b.at || (a.line.time < b.line.time ? -1 : a.line.time > b.line.time ? 1 : 0),
      )
      const head = heads.shift()
      if (!head) return
      yield head.line
      await advance(head.log, head.at)
    }
  } finally {
    await Promise.all(logs.map(log => log.return()))
  }
}
