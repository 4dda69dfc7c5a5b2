import type { LogContainer } from '../../lib/logs/containers.ts'
import type { Line } from '../../lib/logs/lines.ts'
import type { Log } from '../../lib/script/log.ts'
import { asOneLine, printableJson } from '../../lib/script/printable.ts'
import { scrub } from '../../lib/script/scrub.ts'

/** What lines and containers are called on the screen. */
function streamNameOf({ namespace, pod, container }: Line | LogContainer): string {
  return `${pod || namespace}/${container}`
}

/** Writes lines to stdout, and waits while its reader is slow. */
export class Output {
  readonly #log: Log
  readonly #json: boolean

  constructor(log: Log, json: boolean) {
    this.#log = log
    this.#json = json
  }

  /** A line: as JSON when that is wanted, else for people. */
  line = (line: Line): Promise<void> => {
    if (this.#json)
      process.stdout.write(`${printableJson(JSON.stringify({ ...line, text: scrub(line.text) }))}\n`)
    else {
      // In one form, in UTC: kubelets write the time zone of their server.
      const at = new Date(line.time)
      const time = line.time && `${Number.isNaN(at.getTime()) ? line.time : at.toISOString()} `
      // Further lines of an entry stand back, so that none of them passes for an entry.
      const text = scrub(line.text).replaceAll('\n', '\n    ')
      this.#log.print(`${this.#log.colour.dim(`${time}${asOneLine(streamNameOf(line))}`)} ${text}`)
    }
    return drained()
  }

  /** Why a container has no log. */
  silent = (container: LogContainer, why: string): void => {
    this.#log.warn(`${streamNameOf(container)}: ${why}`)
  }
}

/** Resolves when stdout takes more. */
async function drained(): Promise<void> {
  if (process.stdout.writableNeedDrain)
    await new Promise<void>(resolve => process.stdout.once('drain', () => resolve()))
}
