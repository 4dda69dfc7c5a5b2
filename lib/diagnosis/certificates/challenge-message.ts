/** Why a challenge or an order is stuck. */
export type ChallengeProblem =
  | 'no-backend'
  | 'not-found'
  | 'forbidden'
  | 'wrong-status'
  | 'wrong-answer'
  | 'redirect'
  | 'refused'
  | 'timeout'
  | 'unreachable'
  | 'no-such-host'
  | 'dns-fails'
  | 'caa'
  | 'rate-limited'
  | 'name-rejected'
  | 'not-presented'
  | 'no-solver'
  | 'tls'
  | 'server-error'
  | 'unauthorized'
  | 'queued'
  | 'dns-credentials-missing'
  | 'dns-credentials-refused'
  | 'dns-zone'
  | 'dns-propagating'
  | 'dns-name-servers'
  | 'dns-other-record'
  | 'dns-webhook'
  | 'unknown'

/** What a message of cert-manager or of an ACME server says. */
export interface ChallengeReason {
  problem: ChallengeProblem
  /** The HTTP status that was seen, for problems that are about one. */
  status?: number
  /** When the authority accepts the next request, ISO 8601. */
  retryAfter?: string
}

/**
 * Reads the reason of a Challenge or an Order. The texts are those of cert-manager's self-check
 * (pkg/issuer/acme/http/http.go), of Go's network errors, of the problem documents of RFC 8555, section 6.7, and of
 * Let's Encrypt's validation (https://github.com/letsencrypt/boulder, va/ and bdns/). Pure.
 */
export function parseReason(message: string): ChallengeReason {
  const text = message.toLowerCase()
  const has = (...words: (string | RegExp)[]) =>
    words.some(word => (typeof word === 'string' ? text.includes(word) : word.test(text)))

  // The types of problem documents first: their details repeat words of the others.
  if (
    has('acme:error:ratelimited', 'too many ') &&
    has('ratelimited', 'rate-limits', 'retry after', 'recently', 'already issued')
  )
    return { problem: 'rate-limited', ...retryAfter(message) }
  if (has('acme:error:rejectedidentifier', 'policy forbids issuing', 'acme:error:unsupportedidentifier'))
    return { problem: 'name-rejected' }
  if (has('acme:error:caa', /caa record.*(prevents|forbid)/)) return { problem: 'caa' }
  if (has('acme:error:serverinternal', 'service busy', 'acme:error:service'))
    return { problem: 'server-error' }
  if (has('no configured challenge solvers', 'valid solver configuration')) return { problem: 'no-solver' }
  if (has('incorrect txt record')) return { problem: 'dns-other-record' }

  // An authority follows redirects: its errors about an https address come after a redirect.
  if (
    has(
      'too many redirects',
      'redirect loop',
      'invalid port in redirect',
      'stopped after',
      'invalid host in redirect',
    )
  )
    return { problem: 'redirect' }
  if (has(/(fetching|get) "?https:\/\//)) return { problem: 'redirect' }

  if (has('nxdomain', 'no such host', 'no valid a records', 'no valid ip addresses', 'nodata'))
    return { problem: 'no-such-host' }
  if (
    has(
      'servfail',
      'server misbehaving',
      'dns problem',
      'acme:error:dns',
      /lookup \S+.*(timeout|refused)/,
      'dnssec',
    )
  )
    return { problem: 'dns-fails' }
  if (has('connection refused')) return { problem: 'refused' }
  if (has('x509:', 'tls:', 'certificate signed by')) return { problem: 'tls' }
  if (
    has(
      'i/o timeout',
      'timeout during',
      'deadline exceeded',
      'timed out',
      'timeout exceeded',
      'timeout after',
    )
  )
    return { problem: 'timeout' }
  if (has('no route to host', 'network is unreachable', 'connection reset', 'broken pipe', /\beof\b/))
    return { problem: 'unreachable' }

  const status = statusIn(message)
  if (status !== undefined) return { problem: problemOf(status), status }
  if (
    has(
      'did not get expected response',
      'did not match this challenge',
      'key authorization',
      'invalid response from',
    )
  )
    return { problem: 'wrong-answer' }
  if (
    has(
      'admission webhook',
      'failed calling webhook',
      'exceeded quota',
      'is forbidden',
      'error presenting',
      'ingresses.networking',
    )
  )
    return { problem: 'not-presented' }
  if (has('acme:error:connection')) return { problem: 'unreachable' }
  if (has('acme:error:unauthorized')) return { problem: 'unauthorized' }
  return { problem: 'unknown' }
}

/**
 * Reads the reason of a challenge by DNS: its record is set at a provider, with credentials of its own, and then looked
 * up. Source: https://github.com/cert-manager/cert-manager/tree/v1.18.2/pkg/issuer/acme/dns. Pure.
 */
export function parseRecord(message: string): ChallengeReason {
  if (
    /requested resource \(post |is currently unable to handle the request|\bwebhook\b|User "system:serviceaccount:/i.test(
      message,
    )
  )
    return { problem: 'dns-webhook' }
  if (/\bSERVFAIL\b/.test(message)) return { problem: 'dns-fails' }
  if (/determine (the )?authoritative name ?servers/i.test(message)) return { problem: 'dns-name-servers' }
  if (
    /secrets? "[\w.-]+" not found|error getting .*secret|no data for|not found in secret|NoCredentialProviders|no valid providers|IMDS role/i.test(
      message,
    )
  )
    return { problem: 'dns-credentials-missing' }
  if (
    /zone \S+ not found|no zones|zone not found|SOA record|NOTAUTH|NOTZONE/i.test(message) &&
    !/token|\bauth|denied|403|Zone\.read/i.test(message)
  )
    return { problem: 'dns-zone' }
  if (
    /\b40[13]\b|token|authenti|authoriz|access ?denied|forbidden|credential|signature|replied: REFUSED|Zone\.read|X-Auth-(Key|Email)|\b6003\b/i.test(
      message,
    )
  )
    return { problem: 'dns-credentials-refused' }
  if (/propagat|not yet|NXDOMAIN|no such host/i.test(message)) return { problem: 'dns-propagating' }
  return parseReason(message)
}

/** The HTTP status that the host answered with. The status at the start of a problem document is that of the ACME server: skip it. */
function statusIn(message: string): number | undefined {
  const found =
    /wrong status code '(\d{3})'/.exec(message) ?? // the self-check
    /invalid response from \S+?(?: \[[^\]]*\])?: "?(\d{3})\b/i.exec(message) ?? // Let's Encrypt
    /non-200 status code from http: \S+ returned (\d{3})/i.exec(message) // pebble
  return found ? Number(found[1]) : undefined
}

function problemOf(status: number): ChallengeProblem {
  if (status >= 300 && status < 400) return 'redirect'
  if (status === 404 || status === 410) return 'not-found'
  if (status === 401 || status === 403) return 'forbidden'
  if (status === 502 || status === 503 || status === 504) return 'no-backend'
  return 'wrong-status'
}

/** "… retry after 2026-11-22 18:00:00 UTC: see https://…", as Let's Encrypt writes it. */
function retryAfter(message: string): { retryAfter?: string } {
  const [, day, time] = /retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)/i.exec(message) ?? []
  const at = Date.parse(`${day}T${time}Z`)
  return Number.isNaN(at) ? {} : { retryAfter: new Date(at).toISOString() }
}
