import { APPS } from '../../lib/platform/apps.ts'
import type { Config } from '../../lib/platform/config.ts'
import type { PreflightFinding } from '../../lib/preflight/findings.ts'
import { coreHosts } from '../../lib/preflight/hosts.ts'
import { type ExpectedError, ExpectedErrors, toExpected, UsageError } from '../../lib/script/errors.ts'
import type { ServerRun } from '../../lib/server/server.ts'

/** What there is to check before an installation, with what it is called on the screen. */
export const SECTIONS = {
  server: 'the server',
  dns: 'DNS',
  ports: 'ports from here',
  mail: 'mail account',
  backup: 'storage for backups',
} as const
/** The name of a section. */
export type SectionName = keyof typeof SECTIONS

/** What a section has to tell. */
export interface Section {
  name: SectionName
  state: 'checked' | 'skipped' | 'failed'
  /** In a few words: what was seen, or why it was not looked at. */
  note?: string
  findings: PreflightFinding[]
  facts?: unknown
}
type Seen = Pick<Section, 'note' | 'findings' | 'facts'>

/**
 * Looks at all of these sections. What could not be looked at does not keep the others from being: it is among
 * the `problems`.
 */
export async function lookAround(
  run: ServerRun,
  wanted: readonly SectionName[],
  resolvers: readonly string[],
): Promise<{ sections: Section[]; problems: ExpectedError[] }> {
  const { completeConfig, readConfig } = await import('../../lib/platform/config.ts')
  const config = completeConfig(readConfig(run.cluster.env))
  const problems: ExpectedError[] = []
  const look = async (name: SectionName, work: () => Promise<Seen | undefined>): Promise<Section[]> => {
    if (!wanted.includes(name)) return []
    try {
      const seen = await work()
      return [
        seen
          ? { name, state: 'checked', ...seen }
          : { name, state: 'skipped', note: 'not configured', findings: [] },
      ]
    } catch (failure) {
      run.signal.throwIfAborted()
      const error = toExpected(failure)
      problems.push(...(error instanceof ExpectedErrors ? error.problems : [error]))
      return [{ name, state: 'failed', note: error.message, findings: [] }]
    }
  }
  const need = (...keys: string[]) => {
    const missing = keys.filter(key => !config[key])
    if (missing.length === 0) return
    throw new UsageError(
      `${run.cluster.env} lacks ${missing.join(', ')}`,
      'write it there; install/.flux.env.example explains it',
    )
  }

  // First and alone: it may ask for a host key or a password, and tells the other addresses of the server.
  let itsAddresses: string[] = []
  const server = await look('server', async () => {
    const { addresses, ...seen } = await serverSection(run)
    itsAddresses = addresses
    return seen
  })
  const others = await Promise.all([
    look('dns', async () => {
      need('ip_address', 'domain')
      return dns(config, resolvers, itsAddresses, run.signal)
    }),
    look('ports', async () => {
      need('ip_address')
      return ports(config, run.signal)
    }),
    look('mail', async () => {
      if (config.outgoing_mail_enabled !== 'true') return undefined
      need(...['host', 'user', 'password'].map(key => `outgoing_mail_smtp_${key}`))
      const { checkMail } = await import('../../lib/preflight/smtp.ts')
      return {
        note: `${config.outgoing_mail_smtp_host}:${config.outgoing_mail_smtp_port}`,
        findings: await checkMail(config, run.signal),
      }
    }),
    look('backup', async () => {
      if (config.backup_s3_enabled !== 'true') return undefined
      const keys = ['url', 'region', 'bucket', 'aws_access_key_id', 'aws_secret_access_key']
      need(...keys.map(key => `backup_s3_${key}`))
      const { checkBackup } = await import('../../lib/preflight/s3.ts')
      return {
        note: `${config.backup_s3_bucket} at ${config.backup_s3_url}`,
        findings: await checkBackup(config, run.signal),
      }
    }),
  ])
  return { sections: [server, ...others].flat(), problems }
}

async function serverSection(run: ServerRun): Promise<Seen & { addresses: string[] }> {
  const { connectServer } = await import('../../lib/server/server.ts')
  const { lookAtServer } = await import('../../lib/server/server-checks.ts')
  const ssh = await connectServer(run)
  const { facts, identity, findings } = await lookAtServer(ssh, run.cluster)
  const size = facts.memory === undefined ? '' : `, ${(facts.memory / 1e9).toFixed(1)} GB of memory`
  return {
    note: `${ssh.name}: ${facts.os.name}, ${facts.cpus} cores${size}`,
    findings,
    facts,
    addresses: identity.addresses,
  }
}

async function dns(
  config: Config,
  given: readonly string[],
  alsoIts: readonly string[],
  signal: AbortSignal,
): Promise<Seen> {
  const { checkDns, defaultResolvers } = await import('../../lib/preflight/dns.ts')
  const { ip_address: address = '', domain = '' } = config
  const hosts = platformHosts(config)
  const resolvers = given.length > 0 ? given : defaultResolvers(address)
  const { answers, findings } = await checkDns({ hosts, domain, address, alsoIts, resolvers }, signal)
  return {
    note: `${hosts.length} hosts and *.${domain}, asked ${resolvers.join(', ')}`,
    findings,
    facts: answers,
  }
}

async function ports({ ip_address: address = '' }: Config, signal: AbortSignal): Promise<Seen> {
  const { checkPorts } = await import('../../lib/preflight/net.ts')
  const { states, findings } = await checkPorts(address, [80, 443, 6443], signal)
  const note = Object.entries(states).map(([port, state]) => `${port} ${state}`)
  return { note: note.join(', '), findings, facts: states }
}

/** Every host name of the platform, whether its application is installed or not, its domain being the first. */
export function platformHosts(config: Config): string[] {
  const apps = APPS.flatMap(app => app.hosts(config))
  return [...new Set([config.domain ?? '', ...coreHosts(config), ...apps].filter(Boolean))]
}
