import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { HostFacts } from '../../../../lib/diagnosis/certificates/host-facts.ts'
import { allowance } from '../../../../lib/diagnosis/certificates/rate-limits.ts'
import { renewal } from '../../../../lib/diagnosis/certificates/renew.ts'
import { chosenHosts, concernsHost } from '../../../../lib/diagnosis/certificates/scope.ts'
import { diagnose } from '../../../../lib/diagnosis/diagnose.ts'
import { rules as certificates } from '../../../../lib/diagnosis/rules/certificates.ts'
import { rules as challenges } from '../../../../lib/diagnosis/rules/challenges.ts'
import { rules as hosts } from '../../../../lib/diagnosis/rules/hosts.ts'
import { rules as ingresses } from '../../../../lib/diagnosis/rules/ingresses.ts'
import { rules as issuers } from '../../../../lib/diagnosis/rules/issuers.ts'
import type { SecretShape, Snapshot } from '../../../../lib/diagnosis/snapshot.ts'
import { type KubeObject, refText } from '../../../../lib/kubectl/kubectl.ts'
import { UsageError } from '../../../../lib/script/errors.ts'
import { indexOf, NOW, objectOf, snapshotOf } from './snapshots.ts'

const RULES = [...issuers, ...certificates, ...challenges, ...ingresses, ...hosts]
const now = Date.parse(NOW)
const ago = (minutes: number) => new Date(now - minutes * 60_000).toISOString()
const HOST = 'chat.oas.example.org'
const issuerRef = { kind: 'ClusterIssuer', name: 'letsencrypt-production' }
const created = (minutes = 60) => ({ creationTimestamp: ago(minutes) })
const ready = (status: string, message = '', minutes = 60) => ({
  type: 'Ready',
  status,
  message,
  lastTransitionTime: ago(minutes),
})

const issuer = objectOf('ClusterIssuer', undefined, 'letsencrypt-production', {
  metadata: created(),
  spec: { acme: { server: 'https://acme-v02.api.letsencrypt.org/directory' } },
  status: { conditions: [ready('True')], acme: { uri: 'https://acme-v02.api.letsencrypt.org/acme/acct/1' } },
})
const deployments = ['cert-manager', 'cert-manager-webhook', 'cert-manager-cainjector'].map(name =>
  objectOf('Deployment', 'cert-manager', name, { spec: { replicas: 1 }, status: { readyReplicas: 1 } }),
)
const platform = [issuer, ...deployments]

function certificate(
  more: { status?: object; spec?: object; name?: string; minutes?: number } = {},
): KubeObject {
  const { name = 'chat', minutes = 60 } = more
  return objectOf('Certificate', 'oas-apps', name, {
    metadata: { ...created(minutes), resourceVersion: '7', generation: 1 },
    spec: { secretName: `${name}-tls`, dnsNames: [HOST], issuerRef, ...more.spec },
    status: { conditions: [ready('True')], revision: 1, ...more.status },
  })
}

function stored(more: Partial<Extract<SecretShape['certificate'], { issuer: string }>> = {}): SecretShape {
  return {
    namespace: 'oas-apps',
    name: 'chat-tls',
    type: 'kubernetes.io/tls',
    keys: { 'tls.crt': 1, 'tls.key': 1 },
    certificate: {
      subject: '',
      issuer: 'CN=R10',
      dnsNames: [HOST],
      notBefore: ago(60 * 24),
      notAfter: ago(-60 * 24 * 60),
      fingerprint: 'f1',
      ...more,
    },
  }
}

/** A certificate that is not issued, with what was made for it. */
function chain(challengeStatus: object, orderStatus: object = { state: 'pending' }): KubeObject[] {
  const wanted = certificate({
    status: {
      revision: undefined,
      conditions: [
        ready('False', 'Issuing certificate as Secret does not exist'),
        { type: 'Issuing', status: 'True', lastTransitionTime: ago(60) },
      ],
    },
  })
  const request = objectOf(
    'CertificateRequest',
    'oas-apps',
    'chat-1',
    {
      metadata: { ...created(), annotations: { 'cert-manager.io/certificate-revision': '1' } },
      spec: { issuerRef },
      status: {
        conditions: [
          ready('False', 'Waiting on certificate issuance from order'),
          { type: 'Approved', status: 'True' },
        ],
      },
    },
    wanted,
  )
  const order = objectOf(
    'Order',
    'oas-apps',
    'chat-1-1',
    { metadata: created(), spec: { dnsNames: [HOST], issuerRef }, status: orderStatus },
    request,
  )
  const challenge = objectOf(
    'Challenge',
    'oas-apps',
    'chat-1-1-1',
    {
      metadata: created(),
      spec: { dnsName: HOST, type: 'HTTP-01', token: 'token', key: 'key', issuerRef },
      status: challengeStatus,
    },
    order,
  )
  return [wanted, request, order, challenge]
}
const waiting = {
  state: 'pending',
  processing: true,
  presented: true,
  reason: "Waiting for HTTP-01 challenge propagation: wrong status code '503', expected '200'",
}

const well: HostFacts = {
  host: HOST,
  expected: ['203.0.113.7'],
  dns: [{ name: HOST, resolver: '9.9.9.9', a: ['203.0.113.7'], aaaa: [] }],
  caa: [],
  http: [
    {
      at: '203.0.113.7:80',
      path: '/.well-known/acme-challenge/token',
      challenge: 'chat-1-1-1',
      hops: [{ url: `http://${HOST}/`, status: 200 }],
      matches: true,
    },
  ],
  tls: [],
}

/** What is told, as `rule subject`. */
function told(objects: readonly KubeObject[], more: Partial<Snapshot> = {}) {
  const { causes, gaps } = diagnose(snapshotOf([...platform, ...objects], more), RULES)
  assert.equal(gaps, [])
  return causes
}
const names = (objects: readonly KubeObject[], more: Partial<Snapshot> = {}) =>
  told(objects, more).map(({ rule, subject }) => `${rule} ${refText(subject)}`)

test('nothing is said of a certificate that is in order, nor of one that was just asked for', () => {
  assert.equal(names([certificate()], { secrets: [stored()] }), [])
  const fresh = certificate({
    minutes: 0.1,
    status: { revision: undefined, conditions: [ready('False', '', 0.1)] },
  })
  assert.equal(names([fresh]), [])
})

test('the challenge is the cause, and what is above it only repeats that', () => {
  const [cause, ...others] = told(chain(waiting))
  assert.equal(others, [])
  assert.is(cause?.rule, 'challenge-no-backend')
  assert.equal(cause?.explains.map(({ subject }) => subject.kind).sort(), [
    'Certificate',
    'CertificateRequest',
  ])
  assert.is(cause?.remedy.action, undefined, 'nothing was asked of the host')
})

test('a waiting challenge is deleted when its cause is seen to be gone, and not before', () => {
  const [gone] = told(chain(waiting), { hosts: [well] })
  assert.equal(gone?.remedy.action, {
    do: 'delete',
    ref: { apiVersion: 'v1', kind: 'Challenge', namespace: 'oas-apps', name: 'chat-1-1-1' },
    uid: 'Challenge-oas-apps-chat-1-1-1',
  })
  for (const http of [
    [{ ...well.http[0]!, matches: false, hops: [{ url: '', status: 503 }] }],
    [{ ...well.http[0]!, matches: undefined, hops: [], failed: { kind: 'refused' as const, message: '' } }],
    [],
  ]) {
    const causes = told(chain(waiting), { hosts: [{ ...well, http }] })
    assert.ok(
      causes.every(({ remedy }) => remedy.action === undefined),
      JSON.stringify(http),
    )
  }
})

test('after a failed validation the certificate is issued anew, when the cause is gone', () => {
  const failed = {
    state: 'invalid',
    reason:
      'Error accepting authorization: acme: authorization error for chat: 403 urn:ietf:params:acme:error:unauthorized: Invalid response from http://chat/: 404',
  }
  const objects = chain(failed, { state: 'invalid', failureTime: ago(30) })
  const [cause] = told(objects, {
    hosts: [{ ...well, http: [{ ...well.http[0]!, challenge: undefined, matches: undefined }] }],
  })
  assert.is(cause?.rule, 'challenge-not-found')
  assert.is(cause?.remedy.action?.do, 'patch')
  assert.ok(cause?.explains.some(({ subject }) => subject.kind === 'Order'))
})

/** Events of failed validations, so many minutes ago. */
const failures = (...minutes: number[]) =>
  minutes.map((at, i) =>
    objectOf('Event', 'oas-apps', `event-${i}`, {
      type: 'Warning',
      reason: 'Failed',
      lastTimestamp: ago(at),
      involvedObject: { kind: 'Challenge', namespace: 'oas-apps', name: `chat-${i}` },
      message: `Accepting challenge authorization failed: acme: authorization error for ${HOST}: 403 …`,
    }),
  )

test('five failed validations in the hour keep everything from being retried', () => {
  const wanted = certificate()
  const four = allowance(wanted, indexOf([...platform, wanted, ...failures(5, 10, 20, 30, 70)]))
  assert.equal(four, { allowed: true, failures: 4, duplicates: 0 })
  const five = allowance(wanted, indexOf([...platform, wanted, ...failures(5, 10, 20, 30, 50)]))
  assert.is(five.allowed, false)
  assert.is(five.until, new Date(now + 10 * 60_000).toISOString())

  const [cause] = told([...chain(waiting), ...failures(5, 10, 20, 30, 50)], { hosts: [well] })
  assert.is(cause?.remedy.action, undefined)
  assert.match(cause!.remedy.text, /Do not retry before 2026-03-01T12:10/)
})

test('five certificates for the same names in a week do so, too, and those of other names do not', () => {
  const wanted = certificate()
  const order = (i: number, dnsNames: string[]) =>
    objectOf('Order', 'oas-apps', `order-${i}`, {
      metadata: created(60 * 24 * i),
      spec: { dnsNames },
      status: { state: 'valid' },
    })
  const same = [0, 1, 2, 3, 4].map(i => order(i, [HOST]))
  assert.is(allowance(wanted, indexOf([...platform, ...same])).allowed, false)
  const other = [0, 1, 2, 3, 4].map(i => order(i, [HOST, 'www.example.org']))
  assert.is(allowance(wanted, indexOf([...platform, ...other])).allowed, true)
})

test('until an authority says otherwise, its refusal holds; one for trials is not counted', () => {
  const wanted = certificate()
  const refused = objectOf('Order', 'oas-apps', 'refused', {
    metadata: created(),
    spec: { dnsNames: [HOST] },
    status: {
      state: 'errored',
      reason:
        '429 urn:ietf:params:acme:error:rateLimited: too many certificates already issued, retry after 2026-03-01 15:00:00 UTC',
    },
  })
  assert.is(allowance(wanted, indexOf([...platform, refused])).until, '2026-03-01T15:00:00.000Z')
  const trials = {
    ...issuer,
    spec: { acme: { server: 'https://acme-staging-v02.api.letsencrypt.org/directory' } },
  }
  assert.is(allowance(wanted, indexOf([trials, refused, ...failures(1, 2, 3, 4, 5)])).allowed, true)
})

test('issuing anew is a condition, as cmctl sets it, and leaves the others as they are', () => {
  const wanted = certificate({
    status: { conditions: [ready('True'), { type: 'Issuing', status: 'False' }] },
  })
  const action = renewal(wanted, indexOf([wanted])) as {
    patch: { metadata: object; status: { conditions: object[] } }
  }
  assert.equal(action.patch.metadata, { resourceVersion: '7' })
  assert.equal(action.patch.status.conditions, [
    ready('True'),
    {
      type: 'Issuing',
      status: 'True',
      reason: 'ManuallyTriggered',
      message: 'Certificate re-issuance manually triggered',
      observedGeneration: 1,
      lastTransitionTime: '2026-03-01T12:00:00Z',
    },
  ])
})

test('what is stored, and is not what it should be', () => {
  const rule = (secret: SecretShape | undefined, more = {}) =>
    names([certificate(more)], { secrets: secret ? [secret] : [] })[0]?.split(' ')[0]
  assert.is(rule(undefined), 'certificate-secret-unusable')
  assert.is(
    rule({ ...stored(), certificate: { error: 'is not a certificate' } }),
    'certificate-secret-unusable',
  )
  assert.is(rule(stored({ notAfter: ago(60) })), 'certificate-expired')
  assert.is(rule(stored({ notBefore: ago(-60) })), 'certificate-not-yet-valid')
  assert.is(rule(stored({ dnsNames: ['other.example.org'] })), 'certificate-wrong-names')
  assert.is(rule(stored({ dnsNames: ['*.oas.example.org'] })), undefined)
  assert.is(rule(stored({ issuer: 'CN=(STAGING) Counterfeit Cashew R10' })), 'certificate-staging-leftover')
  assert.is(rule(stored({ issuer: 'CN=Fake LE Intermediate X1' })), 'certificate-staging-leftover')
  const overdue = { renewalTime: ago(60 * 24), lastFailureTime: ago(60), failedIssuanceAttempts: 3 }
  assert.is(rule(stored(), { status: overdue }), 'certificate-renewal-overdue')
  assert.is(
    rule(stored(), { status: { renewalTime: ago(60 * 24) } }),
    'cert-manager-hangs',
    'nobody has even tried',
  )
})

test('a Secret that could not be read is not missing', () => {
  const gaps = [{ what: 'Secret', why: 'Forbidden' }]
  const { causes } = diagnose(snapshotOf([...platform, certificate()], { gaps }), RULES)
  assert.equal(causes, [])
})

test('of two certificates with one Secret, the one that has it stays', () => {
  const second = certificate({ name: 'second', spec: { secretName: 'chat-tls' } })
  const secret = { ...stored(), annotations: { 'cert-manager.io/certificate-name': 'second' } }
  assert.equal(names([certificate(), second], { secrets: [secret] }), [
    'certificate-secret-shared Certificate oas-apps/chat',
  ])
})

test('issuers: missing, of another kind, without an account', () => {
  const wrong = certificate({ spec: { issuerRef: { kind: 'Issuer', name: 'letsencrypt-production' } } })
  const [cause] = told([wrong], { secrets: [stored()] })
  assert.is(cause?.rule, 'issuer-missing')
  assert.match(cause!.remedy.text, 'cert-manager.io/cluster-issuer')
  const failing = (reason: string, message: string) => {
    const broken = { ...issuer, status: { conditions: [{ ...ready('False', message), reason }] } }
    return diagnose(snapshotOf([broken, ...deployments]), RULES).causes.map(
      ({ rule, verdict }) => `${verdict} ${rule}`,
    )
  }
  const register = 'Failed to register ACME account: '
  assert.equal(
    failing(
      'ErrRegisterACMEAccount',
      `${register}Get "https://x/directory": dial tcp: lookup x: no such host`,
    ),
    ['warning issuer-unreachable'],
  )
  assert.equal(
    failing(
      'ErrRegisterACMEAccount',
      `${register}Get "https://x/directory": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    ),
    ['warning issuer-untrusted'],
  )
  assert.equal(
    failing('ErrRegisterACMEAccount', `${register}400 urn:ietf:params:acme:error:invalidContact: no`),
    ['warning issuer-account-refused'],
  )
})

test('issuers of a CA: what cert-manager says of their Secret, which no snapshot needs to have', () => {
  const cause = (reason: string, message: string) => {
    const broken = objectOf('ClusterIssuer', undefined, 'own-ca', {
      metadata: created(),
      spec: { ca: { secretName: 'ca-key-pair' } },
      status: {
        conditions: [{ ...ready('False', `Error getting keypair for CA issuer: ${message}`), reason }],
      },
    })
    return diagnose(snapshotOf([broken, ...deployments]), RULES).causes[0]?.cause
  }
  const told = (what: string) => `the Secret ca-key-pair with its key ${what}`
  assert.is(cause('ErrGetKeyPair', 'secrets "ca-key-pair" not found'), told('does not exist'))
  assert.is(cause('ErrGetKeyPair', 'error decoding certificate PEM block'), told('is not usable'))
  assert.is(cause('ErrInvalidKeyPair', 'certificate is not a CA'), told('is not that of a CA'))
})

test('cert-manager itself: absent, scaled to 0, or without work done', () => {
  const without = snapshotOf([issuer])
  const absent = diagnose(without, RULES).causes.map(({ rule }) => rule)
  assert.equal(absent, ['cert-manager-absent', 'cert-manager-absent', 'cert-manager-absent'])
  const stopped = { ...deployments[0]!, spec: { replicas: 0 } }
  const { causes } = diagnose(
    snapshotOf([issuer, stopped, ...deployments.slice(1), ...chain(waiting)]),
    RULES,
  )
  assert.ok(causes.some(({ rule, remedy }) => rule === 'cert-manager-stopped' && remedy.action))
  const ignored = certificate({ status: { conditions: [], revision: undefined } })
  assert.equal(names([ignored]), ['cert-manager-hangs Deployment cert-manager/cert-manager'])
})

test('hosts with the same fault are one cause', () => {
  const second: KubeObject = {
    ...chain(waiting)[0]!,
    metadata: { ...certificate().metadata, name: 'b', uid: 'b' },
  }
  const closed = (host: string): HostFacts => ({
    ...well,
    host,
    http: [{ at: '203.0.113.7:80', path: '/', hops: [], failed: { kind: 'refused', message: 'refused' } }],
  })
  const other = 'files.oas.example.org'
  const objects = [
    ...chain(waiting),
    { ...second, spec: { ...second.spec, secretName: 'b', dnsNames: [other] } },
  ]
  const causes = told(objects, { hosts: [closed(HOST), closed(other)] })
  const found = causes.filter(({ rule }) => rule === 'host-port-80-refused')
  assert.is(found.length, 1)
  assert.match(found[0]!.cause, `${HOST}, ${other}`)
  assert.ok(found[0]!.explains.some(({ subject }) => subject.kind === 'Challenge'))
})

test('a host that was asked for is one of those that are here', () => {
  const objects = [certificate()]
  assert.equal(chosenHosts(undefined, objects), [HOST])
  assert.equal(chosenHosts(HOST, objects), [HOST])
  assert.throws(
    () => chosenHosts('chta.oas.example.org', objects),
    (error: unknown) => error instanceof UsageError && error.fix === `did you mean ${HOST}?`,
  )
})

test('for one host only what concerns it is told', () => {
  const snapshot = snapshotOf([...platform, ...chain(waiting)])
  const only = (host: string) =>
    diagnose(snapshot, RULES, { only: (cause, index) => concernsHost(cause, host, index) }).causes.length
  assert.is(only(HOST), 1)
  assert.is(only('files.oas.example.org'), 0)
})

test.run()
