import type { Config } from '../platform/config.ts'
import { messageOf } from '../script/errors.ts'
import { error, type PreflightFinding, quotedAnswer, warning } from './findings.ts'
import { connectionProblem } from './net.ts'

/** Milliseconds for each step of the way: some servers keep strangers waiting before they greet them. */
const PATIENCE = 15_000

/** What nodemailer adds to an Error. */
interface MailError extends Error {
  code?: string
  originalCode?: string
  response?: string
  responseCode?: number
}

/**
 * Connects to the configured SMTP server, encrypts, and logs in as the applications will; nothing is sent. The
 * password goes only through an encrypted connection whose certificate is valid.
 */
export async function checkMail(config: Config, signal?: AbortSignal): Promise<PreflightFinding[]> {
  const { outgoing_mail_smtp_host: host = '', outgoing_mail_smtp_port: port = '' } = config
  const { default: nodemailer } = await import('nodemailer')
  const transport = nodemailer.createTransport({
    host,
    port: Number(port),
    secure: port === '465', // TLS from the first byte (RFC 8314); everywhere else STARTTLS
    requireTLS: true,
    auth: { user: config.outgoing_mail_smtp_user ?? '', pass: config.outgoing_mail_smtp_password ?? '' },
    authMethod: config.outgoing_mail_smtp_authtype,
    forceAuth: true, // else a server that offers no login would pass without one
    connectionTimeout: PATIENCE,
    greetingTimeout: PATIENCE,
    socketTimeout: PATIENCE,
    dnsTimeout: PATIENCE,
  })
  let stop: (() => void) | undefined
  const interrupted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason)
    signal?.addEventListener('abort', stop, { once: true })
  })
  try {
    await Promise.race([transport.verify(), interrupted])
    return portAdvice(port)
  } catch (failure) {
    signal?.throwIfAborted()
    return [error(...mailProblem(failure as MailError, config)), ...portAdvice(port)]
  } finally {
    if (stop) signal?.removeEventListener('abort', stop)
    transport.close()
  }
}

/** Nextcloud, WordPress and Grafana know STARTTLS only; see their values in flux2/. */
function portAdvice(port: string): PreflightFinding[] {
  if (port !== '465') return []
  return [
    warning(
      'outgoing_mail_smtp_port is 465, TLS from the first byte, and Nextcloud, WordPress and Grafana use STARTTLS',
      'take the port for STARTTLS, usually 587',
    ),
  ]
}

/** A failure of the SMTP server, in words: what and fix. Pure. */
export function mailProblem(failure: MailError, config: Config): [what: string, fix: string] {
  const { outgoing_mail_smtp_host: host, outgoing_mail_smtp_port: port } = config
  const to = `the SMTP server ${host}:${port}`
  const said = quotedAnswer(failure.response ?? messageOf(failure))
  if (failure.code === 'EAUTH') {
    const { responseCode: code = 0 } = failure
    if (code === 535 || code === 530 || code === 534)
      return [
        `${to} refuses the login of ${config.outgoing_mail_smtp_user}: ${said}`,
        'correct outgoing_mail_smtp_user and _password in .flux.env; with two factors the provider needs an app password',
      ]
    if (code === 503 || code === 504 || code === 500 || code === 502)
      return [
        `${to} does not let anybody log in by ${config.outgoing_mail_smtp_authtype}: ${said}`,
        'set outgoing_mail_smtp_authtype to PLAIN or LOGIN, and take the port for submission (587)',
      ]
    return [`${to} did not complete the login: ${said}`, 'wait, and try again; then ask its operator']
  }
  // Before the login there are only TCP, TLS and the greeting. A reply to STARTTLS is the server's own word.
  if (failure.code === 'ETLS' && failure.responseCode)
    return [
      `${to} does not encrypt (STARTTLS): ${said}`,
      'take the port for STARTTLS, usually 587: without it the password could be read on the way',
    ]
  const plain = Object.assign(new Error(failure.message), { code: failure.originalCode ?? failure.code })
  const problem = connectionProblem(plain, to)
  if (problem) return [problem.what, problem.fix]
  return [
    `${to} does not answer like one: ${said}`,
    'correct outgoing_mail_smtp_host and _port; 587 is for STARTTLS, 465 for TLS from the first byte',
  ]
}
