import { existsSync } from 'node:fs'
import { readConfig } from '../../lib/platform/config.ts'
import { CONFIG_KEYS } from '../../lib/platform/config-keys.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, throwAll, UsageError } from '../../lib/script/errors.ts'
import { askText, inTurn, interactive } from '../../lib/script/prompt.ts'
import { table } from '../../lib/script/table.ts'
import { type CreateRun, checkKey } from './create-flags.ts'
import { wantedRecords } from './dns-records.ts'

/** Asks for settings that neither the files nor the command line give; without a terminal names them all at once. */
export async function askSettings({ args, flags: given, cluster }: CreateRun) {
  const config = readConfig(cluster.env)
  const fqdn = args[1] && given.subdomain ? `${given.subdomain}.${args[1]}` : args[1]
  const byProvider = given['create-droplet'] || given['droplet-id'] !== undefined
  const wanted = [
    { key: 'domain', flag: 'DOMAIN after NAME', value: fqdn ?? config.domain },
    { key: 'admin_email', flag: '--admin-email MAIL', value: given['admin-email'] ?? config.admin_email },
    ...(byProvider
      ? []
      : [{ key: 'ip_address', flag: '--ip-address IP', value: given['ip-address'] ?? config.ip_address }]),
  ]
  const question = (key: string) => CONFIG_KEYS.find(({ name }) => name === key)!.ask
  if (!interactive())
    throwAll(
      wanted
        .filter(({ value }) => !value)
        .map(({ key, flag }) => new UsageError(`no answer to "${question(key)}"`, `give ${flag}`)),
    )
  const [domain = '', adminEmail = '', ipAddress] = await inTurn(
    wanted,
    async ({ key, flag, value }) =>
      value ||
      (await askText({
        message: `${question(key)}:`,
        flag,
        default: key === 'domain' && !checkKey(key, cluster.name) ? cluster.name : undefined,
        check: text => (text === '' ? 'a value is required' : checkKey(key, text)),
      })),
  )
  return { domain, adminEmail, ipAddress }
}

/**
 * On a whole domain WordPress takes its root (docs, "Configure DNS"). A domain that was configured before
 * keeps its WordPress where it is; with another domain it moves along.
 */
export function wordpressDomain(run: CreateRun, domain: string): Record<string, string> {
  const before = readConfig(run.cluster.env)
  const isNew = before.domain !== domain
  if (run.flags['root-domain'] || (isNew && domain.split('.').length === 2))
    return { wordpress_domain: domain }
  return isNew && before.wordpress_domain ? { wordpress_domain: `www.${domain}` } : {}
}

/** Replacing a value is refused for an installed cluster, and needs --yes otherwise. */
export function refuseReplacing(run: CreateRun, differences: readonly string[]): void {
  if (differences.length === 0) return
  const cluster: Cluster = run.cluster
  const refuse = (fix: string) => {
    throw new ExpectedError(`${cluster.folder} has other values: ${differences.join('; ')}`, fix, {
      exitCode: EXIT.refused,
    })
  }
  if (existsSync(cluster.kubeconfig))
    refuse(
      'give another NAME for a new cluster (this one is installed); to change this one, edit its files and run install-core',
    )
  if (!run.flags.yes && !run.flags['dry-run'] && !interactive())
    refuse('give another NAME for another cluster; to replace these values, add --yes')
}

/** Prints the next steps: the DNS records unless the provider created them, then Kubernetes and the core. */
export function tellNext(run: CreateRun, domain: string, address: string, recordsMade: boolean): void {
  const records = wantedRecords(domain, undefined, address)
  run.next([
    ...(recordsMade
      ? []
      : [
          'Create these DNS records where your domain is managed:',
          ...table([
            [`  ${records[0]!.type}`, domain, address],
            ['  CNAME', `*.${domain}`, domain],
          ]).split('\n'),
        ]),
    `ping files.${domain}   # shows ${address} as soon as DNS has the records`,
    `npx tsx scripts/preflight.ts --cluster ${run.cluster.name}         # everything that is wrong, at once`,
    `npx tsx scripts/install-cluster.ts --cluster ${run.cluster.name}   # Kubernetes (k3s) on the server`,
    `npx tsx scripts/install-core.ts --cluster ${run.cluster.name}      # on a Kubernetes of your own: add --kubeconfig FILE`,
  ])
}
