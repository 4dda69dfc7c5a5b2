import { innermost } from '../../preflight/net.ts'
import { codeOf } from '../../script/errors.ts'
import type { ProbeFailure } from './host-facts.ts'

/** Milliseconds for a connection and its answer: an authority waits about as long (10 s). */
export const PROBE_TIMEOUT = 8000

/** The error code of a connection that was not accepted in time. */
export const TIMEOUT = 'ETIMEDOUT'

/** The error code of a connection that was accepted but not answered. */
export const SILENCE = 'ESILENT'

/** The kind of a failed connection, by its error code. Pure. */
export function probeFailureOf(error: unknown): ProbeFailure {
  return { kind: kindOf(codeOf(error) ?? ''), message: innermost(error).slice(0, 200) }
}

function kindOf(code: string): ProbeFailure['kind'] {
  if (code === 'ECONNREFUSED') return 'refused'
  if (code === TIMEOUT) return 'timeout'
  if (code === SILENCE) return 'silent'
  if (['EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'].includes(code)) return 'unreachable'
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'reset'
  if (/^(EPROTO$|ERR_SSL_|ERR_TLS_)/.test(code)) return 'tls'
  return 'other'
}
