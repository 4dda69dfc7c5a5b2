import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes of the heap from which on it is told not to grow by garbage. */
const SMALL = 64 << 20
/** Bytes that lists may add to what lives. With the program itself and what comes after they make 300 MB. */
const MOST = 64 << 20
/** Bytes by which the heap grows until it is counted again what of it lives. */
const STEP = 16 << 20

const heap = () => v8.getHeapStatistics().used_heap_size
let collect: (() => void) | undefined

/** The memory that one connection's lists may take. */
export class Room {
  #next = SMALL
  #most: number | undefined

  /**
   * Whether there is room for more of a list. V8 lets garbage lie until it is as much as what lives: where the heap has
   * grown it is told to let it grow by a fifth, which costs a small one nothing.
   */
  isLeft(): boolean {
    if (heap() < this.#next) return true
    if (!collect) {
      v8.setFlagsFromString('--heap-growing-percent=20')
      v8.setFlagsFromString('--expose-gc')
      collect = runInNewContext('gc') as () => void
    }
    collect()
    const lives = heap()
    this.#most ??= lives + MOST
    this.#next = Math.max(this.#most, lives) + STEP
    return lives < this.#most
  }
}
