import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import { ExpectedError, messageOf } from '../../../lib/script/errors.ts'
import { scrub } from '../../../lib/script/scrub.ts'
import { failedCheck, passedCheck, skippedCheck, type TestCheck } from '../checks.ts'
import { SkippedDeed } from './app-page.ts'

/** Lines of Playwright's log that are told of a failure. */
const MOST_LINES = 4

/** Records what a person does, and keeps a screenshot and a trace of what failed. */
export class Recorder {
  readonly checks: TestCheck[] = []
  readonly #context: BrowserContext
  readonly #page: Page
  readonly #folder: string
  readonly #progress: (text: string) => void
  #tracing = false

  /** `folder` is for screenshots and traces; `progress` is told what is done next. */
  constructor(page: Page, folder: string, progress: (text: string) => void) {
    this.#context = page.context()
    this.#page = page
    this.#folder = folder
    this.#progress = progress
  }

  /**
   * Begins to trace: what was typed before is in no trace. Without snapshots, in which Playwright keeps the requests
   * with their cookies.
   */
  async trace(): Promise<void> {
    await this.#context.tracing.start({ screenshots: true, snapshots: false })
    this.#tracing = true
  }

  /** Does something; what comes of it is a check. Whether it went well. Throws only the reason of the signal. */
  async check(name: string, fix: string, signal: AbortSignal, work: () => Promise<void>): Promise<boolean> {
    signal.throwIfAborted()
    this.#progress(name)
    if (this.#tracing) await this.#context.tracing.startChunk({ title: name })
    try {
      await work()
      if (this.#tracing) await this.#context.tracing.stopChunk()
      this.checks.push(passedCheck('browser', name))
      return true
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof SkippedDeed) {
        if (this.#tracing) await this.#context.tracing.stopChunk()
        this.checks.push(skippedCheck('browser', name, error.message))
        return true
      }
      const { what, seen } = explained(error)
      const kept = await this.#keep(name)
      this.checks.push(failedCheck('browser', name, what, fix, [...seen, ...kept]))
      return false
    }
  }

  /** What a failure looked like, as lines that name the files. A browser that is gone has nothing to keep. */
  async #keep(name: string): Promise<string[]> {
    const file = join(
      this.#folder,
      name
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, '-')
        .slice(0, 80),
    )
    const lines: string[] = []
    try {
      const url = new URL(this.#page.url())
      lines.push(`at ${url.origin}${url.pathname}`)
      const mask = [this.#page.locator('input[type=password]')]
      await this.#page.screenshot({ path: `${file}.png`, mask, timeout: 10_000 })
      chmodSync(`${file}.png`, 0o600)
      lines.push(`screenshot: ${file}.png`)
      if (this.#tracing) {
        await this.#context.tracing.stopChunk({ path: `${file}.zip` })
        chmodSync(`${file}.zip`, 0o600)
        lines.push(`trace: npx playwright-core show-trace ${file}.zip`)
      }
    } catch (error) {
      lines.push(`more could not be kept: ${scrub(messageOf(error)).split('\n')[0]}`)
    }
    return lines
  }
}

/** What went wrong: Playwright's first line, and what it waited for. Pure. */
export function explained(error: unknown): { what: string; seen: string[] } {
  const [first = '', ...more] = scrub(messageOf(error))
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean)
  const waited = more.filter(line => /^- /.test(line)).map(line => line.slice(2, 202))
  const isTimeout = /Timeout \d+ms exceeded/.test(first)
  const what =
    isTimeout && waited[0] ? `does not show what it should: ${waited[0]}` : first.slice(0, 300) || 'failed'
  return {
    what: error instanceof ExpectedError ? error.message : what,
    seen: waited.slice(isTimeout ? 1 : 0, MOST_LINES),
  }
}
