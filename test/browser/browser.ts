import { type Browser, type BrowserContext, chromium } from 'playwright-core'

/** Debian's Chromium. It finds nothing but loopback: what the background of a browser asks for stays unanswered. */
export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * 127.0.0.1',
    ],
  })
}

/** A person's own browser profile, at the width of a desktop unless told. The bed's certificate is its own CA's. */
export function person(
  browser: Browser,
  options: { width?: number; dark?: boolean } = {},
): Promise<BrowserContext> {
  return browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: options.width ?? 1200, height: 900 },
    colorScheme: options.dark ? 'dark' : 'light',
  })
}
