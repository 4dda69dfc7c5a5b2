/**
 * Backs up the secrets of a cluster into a new folder, plain or encrypted, and compares the files with the
 * cluster byte by byte. It replaces the first script of the docs' "Upgrading to 0.7.0"; with --verify it checks
 * an old backup.
 *
 * Usage: npx tsx scripts/backup-secrets.ts [--all] [--output DIR] [--recipient AGE1… | --passphrase]
 * Needs: a cluster folder with a kubeconfig. Changes nothing in the cluster.
 * Safe to run again: every run creates a new folder, and never overwrites one.
 */
import { dirname, resolve } from 'node:path'
import { ageFlags } from '../lib/age/flags.ts'
import type { KubeObject } from '../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../lib/script/errors.ts'
import { privateFolder } from '../lib/script/files.ts'
import type { FlagSpecs } from '../lib/script/flags.ts'
import { script } from '../lib/script/script.ts'
import {
  absenceText,
  plainSecret,
  secretNameOf,
  secretPlaceOf,
  TEN,
} from '../lib/secret-backup/secret-backup.ts'

const flags = {
  all: { type: 'boolean', help: 'every generated secret, not only the ten that the upgrade to 0.7 needs' },
  output: {
    formerly: 'to',
    type: 'string',
    value: 'DIR',
    help: 'the new folder (default clusters/NAME/secrets-backup/NAME-TIME)',
  },
  verify: {
    type: 'string',
    value: 'DIR',
    help: 'check this backup instead, and compare it with the cluster',
  },
  ...ageFlags,
} satisfies FlagSpecs

await script({
  name: 'backup-secrets',
  group: 'back up',
  summary:
    "Back up the cluster's secrets and verify the backup, or verify an old one (exit code 3: the cluster differs).",
  flags,
  examples: [
    ['npx tsx scripts/backup-secrets.ts', 'The ten secrets, before the upgrade to 0.7'],
    [
      'npx tsx scripts/backup-secrets.ts --all --recipient age1…',
      'All secrets, encrypted to an age recipient',
    ],
    [
      'npx tsx scripts/backup-secrets.ts --verify DIR --identity key.txt',
      'Check that this backup is intact and up to date',
    ],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { generatedAmong, pick, proveBackup, readSecrets } = await import('../lib/secret-backup/cluster.ts')
    const { backupFolder, refuseExisting, writeBackup } = await import('../lib/secret-backup/files.ts')
    const { recipientsIfAny } = await import('../lib/age/keys.ts')
    const { readAgain, verifyBackup } = await import('./backup-secrets/verify.ts')
    if (run.flags.verify !== undefined) return verifyBackup(run, resolve(run.flags.verify))
    const at = new Date()
    const folder = run.flags.output === undefined ? backupFolder(run.cluster, at) : resolve(run.flags.output)
    const to = await recipientsIfAny(run.flags)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    let found: KubeObject[] = []
    await run.preflight([
      () => refuseExisting(folder),
      async () => {
        found = await readSecrets(kubectl, ['flux-system', 'oas', 'velero'])
      },
    ])
    const wanted = run.flags.all ? await generatedAmong(found, TEN) : TEN
    const secrets = pick(found, wanted).map(plainSecret)
    if (secrets.length === 0)
      throw new ExpectedError(
        `none of the ${wanted.length} secrets is in the cluster ${kubectl.client.server}`,
        'check that clusters/NAME/kube_config_cluster.yml belongs to the right cluster',
      )
    const places = new Set(secrets.map(secret => secretPlaceOf(secretNameOf(secret))))
    const absent = wanted.filter(name => !places.has(secretPlaceOf(name)))
    const tell = () => {
      for (const [what, why] of absenceText(absent, secrets)) {
        run.log.warn(what)
        run.log.info(`  ${why}`)
      }
    }
    const plan = [`write ${secrets.length} secrets to ${folder}${to ? ', encrypted' : ''}`]
    if (run.flags['dry-run'] && !(await run.agree(plan, ''))) return tell()

    const byHand = `kubectl get secret -o yaml -n ${secrets[0]!.metadata.namespace} ${secrets[0]!.metadata.name} > FILE   # and so on`
    await run.step('Write the backup, read it again, compare it with the cluster', byHand, async () => {
      if (run.flags.output === undefined) privateFolder(dirname(folder))
      const origin = { cluster: run.cluster.name, server: kubectl.client.server, createdAt: at.toISOString() }
      const manifest = await writeBackup(folder, { ...origin, absent, secrets }, to, async part =>
        proveBackup(kubectl, await readAgain(run, part, to, secrets)),
      )
      run.result = { folder, manifest }
      const keys = manifest.secrets.reduce((sum, secret) => sum + secret.keys, 0)
      return `${secrets.length} secrets with ${keys} values, all verified`
    })
    tell()
    run.log.print(folder)
    const identity = to && !run.flags.passphrase ? ' --identity FILE' : ''
    const key = to && run.flags.passphrase ? ' --passphrase' : identity
    run.next([
      `npx tsx scripts/backup-secrets.ts --verify ${folder}${key}   # any time`,
      `npx tsx scripts/restore-secrets.ts --dry-run ${folder}${identity}   # what differs`,
      ...(to
        ? []
        : ['the files are not encrypted: whoever has them has every password. --recipient encrypts them']),
    ])
  },
})
