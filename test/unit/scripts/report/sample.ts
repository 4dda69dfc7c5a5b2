import type { Report } from '../../../../scripts/report/facts.ts'

/** Texts that strangers may have written into a cluster. */
export const HOSTILE = '<script>alert(1)</script>"\'><img src=x onerror=alert(1)>\x1b]0;x\x07\u202egnp'

/** A report with something of everything, and with hostile names. */
export const SAMPLE: Report = {
  version: 1,
  cluster: 'oas.example.org',
  madeAt: '2026-06-01T06:00:00.000Z',
  kubernetes: 'v1.36.4+k3s1',
  ready: [
    { title: 'Nodes', ready: 1, all: 1 },
    { title: 'HelmReleases', ready: 17, all: 19, ignored: 1 },
  ],
  causes: [
    {
      subject: 'Secret flux-system/oas-oauth-variables',
      verdict: 'broken',
      cause: 'lacks wekan_oauth_client_secret',
      seen: ['Kustomization flux-system/wekan: variable substitution failed'],
      fix: 'run install-app: it restores the value from the copy in clusters/',
      command: 'npx tsx scripts/install-app.ts wekan',
    },
    {
      subject: `Pod oas-apps/${HOSTILE}`,
      verdict: 'warning',
      cause: HOSTILE,
      seen: [HOSTILE, 'password=hunter2hunter2'],
      fix: HOSTILE,
      command: HOSTILE,
    },
  ],
  ignored: [{ subject: 'HelmRelease oas-apps/wekan', cause: HOSTILE, until: '2027-01-31', reason: HOSTILE }],
  certificates: [
    { name: 'oas/sso-tls', hosts: ['sso.oas.example.org'], issuer: 'letsencrypt-production', ready: false },
    {
      name: 'oas/wekan-tls',
      hosts: ['wekan.oas.example.org'],
      issuer: 'letsencrypt-production',
      notAfter: '2026-06-08T00:00:00Z',
      ready: true,
      verdict: 'warning',
    },
    {
      name: 'oas-apps/files-tls',
      hosts: ['files.oas.example.org', 'office.oas.example.org'],
      issuer: 'letsencrypt-production',
      notAfter: '2026-08-20T00:00:00Z',
      ready: true,
    },
  ],
  volumes: [
    { name: 'oas-apps/nextcloud', size: '50Gi', used: 46e9, capacity: 50e9, growth: 1.2e9 },
    { name: 'oas/prometheus', size: '10Gi', used: 2e9, capacity: 10e9, growth: -3e7 },
    { name: `oas/${HOSTILE}`, size: HOSTILE },
  ],
  releases: [
    { name: 'oas/loki', chart: 'loki', wanted: '7.0.0', installed: '7.0.0' },
    { name: 'oas-apps/wekan', chart: 'wekan', wanted: '11.11.0', installed: '11.7.0' },
  ],
  backups: {
    schedules: 1,
    newest: '2026-06-01T02:12:00Z',
    complete: 14,
    failed: 1,
    proved: '2026-05-31T03:00:00Z',
    drilled: '2026-05-20T10:00:00Z',
  },
  drills: [
    {
      at: '2026-05-20T10:00:00Z',
      backup: 'velero-nightly-20260520023000',
      rto: 5_400_000,
      rpo: 27_000_000,
      apps: ['nextcloud', 'wekan'],
    },
    { at: '2026-05-01T10:00:00Z', backup: HOSTILE, rto: 60_000, rpo: 60_000, apps: [HOSTILE] },
  ],
  users: { all: 12, active: 11, admins: 2, grants: { nextcloud: 10, wekan: 3 } },
  runs: [
    { script: 'install-app', startedAt: '2026-05-30T10:00:00Z', outcome: 'done', good: true },
    {
      script: 'change-ip',
      startedAt: '2026-05-29T10:00:00Z',
      outcome: `exit code 1: ${HOSTILE}`,
      good: false,
    },
  ],
  unread: 0,
  gaps: [{ what: 'the use of volumes', why: HOSTILE }],
}
