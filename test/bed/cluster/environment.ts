import { existsSync } from 'node:fs'
import { editConfig } from '../../../lib/platform/config.ts'
import { BRANCH } from '../build/git.ts'
import { LOOPBACK } from './spec.ts'

/** A new sandbox's `.flux.env`. Names under example.org belong to nobody (RFC 2606). */
const TEMPLATE = `# Written by \`sandbox.ts up\`. Change what you like: only addresses of the sandbox itself are kept up to date.
ip_address=${LOOPBACK}
domain=oas.example.org
admin_email=admin@example.org
outgoing_mail_enabled=false
# No such bucket exists; it is here so that Velero can be installed.
backup_s3_enabled=true
backup_s3_url=https://s3.example.org
backup_s3_region=sandbox
backup_s3_bucket=oas-backups
backup_s3_prefix=sandbox
backup_s3_aws_access_key_id=sandbox-access-key
backup_s3_aws_secret_access_key=sandbox-secret-key
cluster_issuer=letsencrypt-staging
git_branch=${BRANCH}
`

/** What the sandbox knows better than an older `.flux.env`. */
export interface Addresses {
  gitUrl: string
  chartsMirror: string
  fluxManifest: string
  /** The directory of the sandbox's ACME server, when it has one. */
  acmeServer?: string
  /** The manifest that an earlier `up` wrote there. */
  fluxManifestBefore?: string
}

/**
 * The text of the sandbox's `.flux.env`: a new one, or the existing one with the sandbox's
 * own addresses brought up to date. Any other value is the user's choice and stays.
 */
export function environment(before: string, addresses: Addresses): string {
  const own = (path: string) => new RegExp(`^https?://${LOOPBACK.replaceAll('.', '[.]')}:\\d+/${path}$`)
  const text = before === '' ? TEMPLATE : before
  const current = (name: string) => new RegExp(`^\\s*${name}\\s*=(.*)$`, 'm').exec(text)?.[1]?.trim()
  const edits: Record<string, string> = {}
  const gitUrl = current('git_url')
  if (!gitUrl || own('openappstack.git').test(gitUrl)) edits.git_url = addresses.gitUrl
  const mirror = current('charts_mirror')
  if (!mirror || own('charts').test(mirror) || !own('charts').test(addresses.chartsMirror))
    edits.charts_mirror = addresses.chartsMirror
  const manifest = current('flux_manifest')
  if (!manifest || manifest === addresses.fluxManifestBefore || !existsSync(manifest))
    edits.flux_manifest = addresses.fluxManifest
  const acme = current('acme_server')
  if (addresses.acmeServer && (!acme || own('dir').test(acme))) edits.acme_server = addresses.acmeServer
  return editConfig(text, edits)
}
