/** What is guessed, each counted by itself, and how many attempts are free in an hour. */
const FREE = {
  /** Passwords of an account. */
  password: 5,
  /** Passwords of a name that nobody has: kept apart, so that many of them push no account out. */
  unknown: 5,
  /** Passwords from a browser in which the account's owner has logged in before (known.ts). */
  known: 5,
  /** Codes of an account's second factor: a right password does not clear them. */
  second: 5,
  /** Mails with a code: each is a new chance to guess one, and a nuisance. */
  mail: 3,
  /** Attempts of any kind from a network. */
  network: 20,
} as const
/** The most that anybody waits, in seconds: nobody is locked out for good. A mail can wait longer. */
const LONGEST = { password: 300, unknown: 300, known: 300, second: 300, mail: 3600, network: 300 } as const
/** Seconds after the last attempt until everything is forgotten. */
const FORGET = 3600
const LARGEST = 50_000

/** What an attempt counts for: `password` the account's id, `network` the network's address … */
export type Attempt = Partial<Record<keyof typeof FREE, string>>

interface Attempts {
  count: number
  /** Milliseconds of the last one. */
  last: number
}

/**
 * Slows down who guesses passwords and codes, by account and by network. It only ever makes people wait: 2, 4, 8 …
 * seconds after the free attempts.
 */
export class Throttle {
  readonly #kinds = new Map<string, Map<string, Attempts>>()
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /**
   * Counts an attempt before it is made: of many at once only the free ones pass. Returns the seconds to wait; when
   * that is more than 0, the attempt must not be made and is not counted.
   */
  enter(attempt: Attempt): number {
    const entries = Object.entries(attempt) as [keyof typeof FREE, string][]
    const wait = Math.max(0, ...entries.map(([kind, key]) => this.#waitOf(kind, key)))
    if (wait === 0) for (const [kind, key] of entries) this.#count(kind, key)
    return wait
  }

  /**
   * An attempt that was right: it clears its account. The network only gets its attempt back: the account may be the
   * attacker's own.
   */
  worked({ network, ...account }: Attempt): void {
    for (const [kind, key] of Object.entries(account)) this.#kinds.get(kind)?.delete(key)
    const found = network === undefined ? undefined : this.#current('network', network)
    if (found) found.count = Math.max(0, found.count - 1)
  }

  #count(kind: string, key: string): void {
    const attempts = this.#kinds.get(kind) ?? new Map<string, Attempts>()
    this.#kinds.set(kind, attempts)
    const count = (this.#current(kind, key)?.count ?? 0) + 1
    attempts.delete(key) // to the end: the oldest are dropped first
    attempts.set(key, { count, last: this.#now() })
    for (const oldest of attempts.keys()) {
      if (attempts.size <= LARGEST) break
      attempts.delete(oldest)
    }
  }

  #current(kind: string, key: string): Attempts | undefined {
    const found = this.#kinds.get(kind)?.get(key)
    return found && this.#now() - found.last < FORGET * 1000 ? found : undefined
  }

  #waitOf(kind: keyof typeof FREE, key: string): number {
    const found = this.#current(kind, key)
    if (!found || found.count < FREE[kind]) return 0
    const wait = Math.min(2 ** (found.count - FREE[kind] + 1), LONGEST[kind])
    return Math.max(0, Math.ceil(wait - (this.#now() - found.last) / 1000))
  }
}
