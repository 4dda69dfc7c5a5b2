/** Does one piece of work after the other, in the order in which they come. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Does the work when all before it has ended, however that ended. Returns or throws what the work does. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}
