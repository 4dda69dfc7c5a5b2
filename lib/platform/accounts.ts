import { type Config, valuesFor } from './config.ts'
import { VARIABLES } from './variables.ts'

/** A Secret with an account that somebody else gave: where it is, and what it holds. */
export interface AccountSecret {
  namespace: string
  name: string
  values: (config: Config) => Record<string, string>
}

/**
 * The accounts for mail (SMTP) and backups (S3), in the namespaces of those who use them. Passwords of others hold
 * any character, so charts and manifests refer to these Secrets by name: nothing of them is pasted into YAML.
 */
export const ACCOUNT_SECRETS: readonly AccountSecret[] = [
  { namespace: 'oas', name: 'oas-mail', values: mailAccount },
  { namespace: 'oas-apps', name: 'oas-mail', values: mailAccount },
  { namespace: 'velero', name: 'oas-backup', values: config => valuesFor(config, 'reference', 'backup_s3_') },
]

/** Whether a Secret holds settings of `.flux.env`: not all of its values are secret. */
export function holdsSettings({ namespace, name }: { namespace?: string; name: string }): boolean {
  return (
    (namespace === VARIABLES.namespace && name === VARIABLES.name) ||
    ACCOUNT_SECRETS.some(account => account.namespace === namespace && account.name === name)
  )
}

/**
 * The mail account, under the names that manifests refer to. Without mail there is no MAIL_URL and no host, and the
 * other URI leads nowhere: kratos does not start without one.
 */
function mailAccount(config: Config): Record<string, string> {
  const account = valuesFor(config, 'reference', 'outgoing_mail_')
  if (config.outgoing_mail_enabled !== 'true')
    return { ...account, outgoing_mail_smtp_uri: 'smtp://localhost:25/' }
  const uri = smtpUri(config)
  return {
    ...account,
    outgoing_mail_smtp_host: config.outgoing_mail_smtp_host ?? '',
    outgoing_mail_smtp_uri: uri,
    MAIL_URL: uri,
  }
}

/** `smtp://USER:PASSWORD@HOST:PORT/`, percent-encoded; smtps for port 465 (TLS from the start). */
function smtpUri(config: Config): string {
  const { outgoing_mail_smtp_host: host, outgoing_mail_smtp_port: port } = config
  const user = encodeURIComponent(config.outgoing_mail_smtp_user ?? '')
  const password = encodeURIComponent(config.outgoing_mail_smtp_password ?? '')
  return `${port === '465' ? 'smtps' : 'smtp'}://${user}:${password}@${host}:${port}/`
}
