import { type CatalogueEntry, generatedKeysOf, isPublished } from '../../lib/platform/secrets.ts'

/** Something that is wrong with a key of a generated secret, and what to do about it. */
export interface SecretFinding {
  secret: string
  key: string
  problem: string
  fix: string
}

/** What is wrong with the values of a Secret. Pure. */
export function auditSecrets(entry: CatalogueEntry, values: Record<string, string>): SecretFinding[] {
  const secret = `${entry.namespace}/${entry.name}`
  const rerun = `run \`npx tsx scripts/install-${entry.app === 'core' ? 'core.ts' : `app.ts ${entry.app}`}\`: it adds what is missing`
  const findings: SecretFinding[] = []
  for (const key of generatedKeysOf(entry)) {
    const value = values[key]
    if (value === undefined) findings.push({ secret, key, problem: 'is missing', fix: rerun })
    else if (value === '') findings.push({ secret, key, problem: 'is empty', fix: rerun })
    else if (isPublished(entry, key, value))
      findings.push({
        secret,
        key,
        problem: 'is the default that Velero publishes: whoever has the bucket can read all backups',
        fix: 'start a new prefix with a password of its own: see "A password of its own" in runbooks/backup.md',
      })
  }
  // `echo password | base64`, as the docs of 0.7.0 had it, encodes the newline too.
  for (const [key, value] of Object.entries(values))
    if (/[\r\n]$/.test(value))
      findings.push({
        secret,
        key,
        problem: 'ends with a newline',
        fix: 'leave it if the application works with it; otherwise set it without the newline: printf %s VALUE | base64',
      })
  return findings
}
