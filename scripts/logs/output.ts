import type { LogContainer } from '../../lib/logs/containers.ts'
import { type Line, printable } from '../../lib/logs/lines.ts'
import type { Log } from '../../lib/script/log.ts'
import { redact } from '../../lib/script/redact.ts'

/** What lines and containers are called on the screen. */
export function streamNameOf({ namespace, pod, container }: Line | LogContainer): string {
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
    if (this.#json) return write(JSON.stringify({ ...line, text: redact(line.text) }))
    // In one form, in UTC: kubelets write the time zone of their server.
    const time = line.time && `${new Date(line.time).toISOString()} `
    const name = this.#log.colour.dim(`${time}${printable(redact(streamNameOf(line)))}`)
    return write(`${name} ${printable(redact(line.text))}`)
  }

  /** Why a container has no log. */
  silent = (container: LogContainer, why: string): void => {
    this.#log.warn(`${streamNameOf(container)}: ${printable(why)}`)
  }
}

async function write(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`))
    await new Promise<void>(resolve => process.stdout.once('drain', () => resolve()))
}
