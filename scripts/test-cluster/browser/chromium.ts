import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Browser } from 'playwright-core'
import type { ConnectTo } from '../../../lib/preflight/host-name.ts'
import { ExpectedError, messageOf } from '../../../lib/script/errors.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']
const FIX = 'install it on this machine: apt-get install chromium'

/** The browser of this machine. Throws an ExpectedError without one. */
export function findChromium(path = process.env.PATH ?? ''): string {
  const found = path
    .split(delimiter)
    .filter(Boolean)
    .flatMap(folder => NAMES.map(name => join(folder, name)))
    .find(file => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
  if (!found) throw new ExpectedError('no Chromium was found on this machine', FIX)
  return found
}

/**
 * Starts the browser. `connectTo` leads ports 80 and 443 of every host to one address, as for the other parts. Throws an ExpectedError when
 * it does not start.
 */
export async function startChromium(connectTo: ConnectTo | undefined): Promise<Browser> {
  const executablePath = findChromium()
  const { chromium } = await import('playwright-core')
  const address = connectTo?.address.includes(':') ? `[${connectTo.address}]` : connectTo?.address
  try {
    return await chromium.launch({
      executablePath,
      args: [
        // Chromium refuses to start for root without this.
        ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
        '--disable-gpu',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        ...(connectTo
          ? [
              `--host-resolver-rules=MAP *:443 ${address}:${connectTo.https}, MAP *:80 ${address}:${connectTo.http}`,
            ]
          : []),
      ],
      // The run itself ends it: people have to be removed first.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
      timeout: 60_000,
    })
  } catch (error) {
    const [first = ''] = messageOf(error).split('\n')
    throw new ExpectedError(`${executablePath} does not start: ${first.slice(0, 200)}`, FIX, { cause: error })
  }
}
