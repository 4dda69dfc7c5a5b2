/**
 * The lines that the stand-in for Loki was given. What it takes and what it refuses are Loki's defaults
 * (pkg/validation/limits.go and validate.go in github.com/grafana/loki).
 */

/** The labels of a stream. */
export type StreamLabels = Readonly<Record<string, string>>

/** What Loki answers with 400, in plain text. */
export class Refusal extends Error {}

/** A line at its time, nanoseconds since the epoch. */
export interface StoredLine {
  time: bigint
  text: string
}

/** Lines with the same labels, by time; those of one nanosecond in the order in which they came. */
export interface Stream {
  labels: StreamLabels
  entries: StoredLine[]
}

/** A stream in the JSON of a push. */
export interface Pushed {
  stream: StreamLabels
  values: [time: string, text: string][]
}

const SECOND = 1_000_000_000n
const HOUR = 3600n * SECOND
/** How far ahead of now a line may be (`creation_grace_period`), and how old (`reject_old_samples_max_age`). */
const AHEAD = HOUR / 6n
const OLDEST = 168n * HOUR
/** How far a line may be behind the newest of its stream: half of `max_chunk_age`. */
const BEHIND = HOUR
/** The longest line, in bytes (`max_line_size`). */
const LONGEST = 256 * 1024

/** The streams. */
export class Store {
  readonly #streams = new Map<string, Stream & { known: Set<string> }>()

  /** Every stream. */
  streams(): Stream[] {
    return [...this.#streams.values()]
  }

  /**
   * Takes the lines of a push that are acceptable at the time `now`, and returns them; `refused` is called for each
   * of the others. Throws a Refusal when the push cannot be read: then nothing of it is taken.
   */
  push(pushed: unknown, now: bigint, refused: (why: string) => void): Pushed[] {
    if (!Array.isArray(pushed) || pushed.length === 0)
      throw new Refusal('error at least one valid stream is required for ingestion')
    return pushed.map(readStream).map(({ labels, entries }) => {
      const taken = entries.filter(entry => {
        const why = this.#refusalOf(nameOf(labels), entry, now)
        if (why === undefined) this.#add(labels, entry)
        else refused(why)
        return why === undefined
      })
      return { stream: labels, values: taken.map(({ time, text }): [string, string] => [`${time}`, text]) }
    })
  }

  /** Takes back what an earlier process has taken. */
  restore(pushed: readonly Pushed[]): void {
    for (const { stream, values } of pushed)
      for (const [time, text] of values) this.#add(stream, { time: BigInt(time), text })
  }

  #refusalOf(stream: string, { time, text }: StoredLine, now: bigint): string | undefined {
    if (Buffer.byteLength(text) > LONGEST)
      return `Max entry size '${LONGEST}' bytes exceeded for stream '${stream}' while adding an entry with length '${Buffer.byteLength(text)}' bytes`
    if (time > now + AHEAD) return `entry for stream '${stream}' has timestamp too new: ${timeOf(time)}`
    if (time < now - OLDEST)
      return `entry for stream '${stream}' has timestamp too old: ${timeOf(time)}, oldest acceptable timestamp is: ${timeOf(now - OLDEST)}`
    const newest = this.#streams.get(stream)?.entries.at(-1)?.time ?? 0n
    if (time < newest - BEHIND)
      return `entry too far behind, entry timestamp is: ${timeOf(time)}, oldest acceptable timestamp is: ${timeOf(newest - BEHIND)}`
    return undefined
  }

  #add(labels: StreamLabels, entry: StoredLine): void {
    const name = nameOf(labels)
    const stream = this.#streams.get(name) ?? { labels, entries: [], known: new Set() }
    this.#streams.set(name, stream)
    // The same line of the same nanosecond is kept once.
    const id = `${entry.time} ${entry.text}`
    if (stream.known.has(id)) return
    stream.known.add(id)
    let at = stream.entries.length
    while (at > 0 && stream.entries[at - 1]!.time > entry.time) at--
    stream.entries.splice(at, 0, entry)
  }
}

/** A stream out of the JSON of a push. Throws a Refusal for what is not one. */
function readStream(pushed: { stream?: unknown; values?: unknown } | null): Stream {
  const labels = Object.entries(pushed?.stream ?? {}).filter(([, value]) => value !== '')
  if (labels.length === 0) throw new Refusal('error at least one label pair is required per stream')
  for (const [name, value] of labels)
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || typeof value !== 'string')
      throw new Refusal(`error parsing labels: ${JSON.stringify(name)} is not a label with a string`)
  if (!Array.isArray(pushed?.values)) throw new Refusal('a stream needs a list of values')
  return {
    labels: Object.fromEntries(labels.sort(([a], [b]) => (a < b ? -1 : 1))),
    entries: pushed.values.map(value => {
      const [time, text] = Array.isArray(value) ? value : []
      if (typeof time !== 'string' || !/^\d{1,19}$/.test(time) || typeof text !== 'string')
        throw new Refusal('a value is a list of two strings: the time in nanoseconds, and the line')
      return { time: BigInt(time), text }
    }),
  }
}

/** Labels as Loki writes them: `{app="x", pod="y"}`. Pure. */
export function nameOf(labels: StreamLabels): string {
  return `{${Object.entries(labels)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(', ')}}`
}

/** A time of nanoseconds in RFC 3339, to the second. Pure. */
function timeOf(time: bigint): string {
  return new Date(Number(time / 1_000_000n)).toISOString().replace(/\.\d+Z$/, 'Z')
}
