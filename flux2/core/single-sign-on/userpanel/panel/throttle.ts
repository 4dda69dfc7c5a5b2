/** Failed attempts that are free, and how the wait grows after them: 2, 4, 8 … seconds, at most five minutes. */
const FREE_ACCOUNT = 5
const FREE_ADDRESS = 20
const LONGEST = 300
/** Seconds after the last failure until everything is forgotten. */
const FORGET = 3600
const LARGEST = 50_000

interface Failures {
  count: number
  /** Milliseconds of the last one. */
  last: number
}

/**
 * Slows down who guesses passwords, by account and by address. It only ever makes people wait, and never longer than
 * five minutes: an attacker cannot lock an administrator out for good.
 */
export class Throttle {
  readonly #failures = new Map<string, Failures>()
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** Seconds to wait before the next attempt; 0 when it may be made. */
  wait(account: string, address: string): number {
    return Math.max(
      this.#waitOf(`account ${account}`, FREE_ACCOUNT),
      this.#waitOf(`address ${address}`, FREE_ADDRESS),
    )
  }

  failed(account: string, address: string): void {
    for (const key of [`account ${account}`, `address ${address}`]) {
      const count = (this.#current(key)?.count ?? 0) + 1
      this.#failures.delete(key) // to the end: the oldest are dropped first
      this.#failures.set(key, { count, last: this.#now() })
    }
    for (const key of this.#failures.keys()) {
      if (this.#failures.size <= LARGEST) break
      this.#failures.delete(key)
    }
  }

  /** A login that worked clears the account. Not the address: it may be the attacker's own account. */
  worked(account: string): void {
    this.#failures.delete(`account ${account}`)
  }

  #current(key: string): Failures | undefined {
    const found = this.#failures.get(key)
    return found && this.#now() - found.last < FORGET * 1000 ? found : undefined
  }

  #waitOf(key: string, free: number): number {
    const found = this.#current(key)
    if (!found || found.count < free) return 0
    const wait = Math.min(2 ** (found.count - free + 1), LONGEST)
    return Math.max(0, Math.ceil(wait - (this.#now() - found.last) / 1000))
  }
}
