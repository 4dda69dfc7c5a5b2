/**
 * Shows how a backup of backup-secrets differs from the cluster, without any value, and restores the chosen Secrets; over
 * another value only when the Secret is named. It replaces the second script of the docs' "Upgrading to 0.7.0".
 *
 * Usage: npx tsx scripts/restore-secrets.ts [DIR] [--only NAMES] [--overwrite NAMES]
 * Needs: a cluster folder with a kubeconfig, and a backup.
 * Safe to run again: Secrets that match the backup are left alone.
 */
import { resolve } from 'node:path'
import { ageFlags } from '../lib/age/flags.ts'
import { EXIT, ExpectedError } from '../lib/script/errors.ts'
import type { FlagSpecs } from '../lib/script/flags.ts'
import { script } from '../lib/script/script.ts'
import { absenceText, secretNameOf, secretPlaceOf } from '../lib/secret-backup/secret-backup.ts'

const flags = {
  only: { type: 'string', value: 'NAMES', multiple: true, help: 'only these Secrets, separated by commas' },
  overwrite: {
    type: 'string',
    value: 'NAMES',
    multiple: true,
    help: 'restore these Secrets over other values in the cluster, which are backed up first',
  },
  'accept-cluster': {
    type: 'string',
    value: 'CLUSTER',
    help: 'accept a backup of this other cluster',
    formerly: 'from',
  },
  identity: ageFlags.identity,
} satisfies FlagSpecs

await script({
  name: 'restore-secrets',
  group: 'back up',
  summary: 'Show how a backup of secrets differs from the cluster, and restore the chosen ones.',
  args: {
    name: 'DIR',
    help: 'the folder of a backup, clusters/NAME/secrets-backup/…; chosen from a list by default',
    max: 1,
  },
  flags,
  examples: [
    ['npx tsx scripts/restore-secrets.ts --dry-run DIR', 'Show the differences; change nothing'],
    ['npx tsx scripts/restore-secrets.ts', 'Choose a backup, and restore secrets that the cluster lacks'],
    [
      'npx tsx scripts/restore-secrets.ts DIR --yes',
      'Restore everything that the cluster lacks, without a question',
    ],
    [
      'npx tsx scripts/restore-secrets.ts DIR --overwrite oas-oauth-variables',
      'Restore this Secret, and replace its values in the cluster',
    ],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { checkRights } = await import('../lib/preflight/preflight.ts')
    const { readSecrets } = await import('../lib/secret-backup/cluster.ts')
    const { readBackup } = await import('../lib/secret-backup/files.ts')
    const { keysFor } = await import('../lib/secret-backup/keys.ts')
    const { diffBackup } = await import('../lib/secret-backup/diff.ts')
    const { keepReplaced, missingNamespaces, restoreSecret } = await import('../lib/secret-backup/restore.ts')
    const { choose, chooseBackup } = await import('./restore-secrets/choose.ts')
    const { checkRestored, diffText, fingerprints } = await import('./restore-secrets/diff.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { keepCopies, SecretCopies } = await import('../lib/platform/secret-copies.ts')
    const { loadCatalogue } = await import('../lib/platform/secrets.ts')
    const folder = resolve(run.args[0] ?? (await chooseBackup(run.cluster)))
    const backup = await readBackup(folder, await keysFor(run))
    const { cluster, createdAt, secrets, absent } = backup.manifest
    if (cluster !== (run.flags['accept-cluster'] ?? run.cluster.name))
      throw new ExpectedError(
        `${folder} is a backup of ${cluster}, not of ${run.flags['accept-cluster'] ?? run.cluster.name}`,
        `give --cluster ${cluster}; or --accept-cluster ${cluster}, to restore its passwords on ${run.cluster.name}`,
        { exitCode: EXIT.refused },
      )
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    const namespaces = [...new Set(secrets.map(({ namespace }) => namespace))]
    const found = await readSecrets(kubectl, namespaces)
    const diffs = diffBackup(backup.secrets, found)
    const print = fingerprints()
    run.log.heading(`${folder}, created ${createdAt}`)
    for (const diff of diffs) for (const line of diffText(diff, print)) run.log.info(line)
    const summary = diffs.map(({ secret, state, keys }) => {
      return { ...secretNameOf(secret), state, keys: keys.map(({ key, state }) => ({ key, state })) }
    })
    run.result = { folder, secrets: summary }

    const chosen = await choose(run, diffs)
    for (const { secret, state } of diffs)
      if (state === 'different' && !chosen.some(({ diff }) => diff.secret === secret))
        run.log.warn(
          `${secretPlaceOf(secretNameOf(secret))} keeps the values of the cluster (to replace them: --overwrite ${secret.metadata.name})`,
        )
    if (chosen.length === 0) return run.log.ok('nothing to restore; nothing was changed.')
    const needed = await missingNamespaces(kubectl, chosen)
    await run.preflight([
      () => checkRights(kubectl, [['update', 'coordination.k8s.io', 'leases', 'kube-system']]),
      ...namespaces.map(
        namespace => () =>
          checkRights(kubectl, [
            ['create', '', 'secrets', namespace],
            ['patch', '', 'secrets', namespace],
          ]),
      ),
    ])
    const replaced = chosen
      .filter(({ diff, overwrite }) => overwrite && diff.existing)
      .map(({ diff }) => diff)
    const plan = [
      ...needed.map(name => `create namespace ${name}`),
      ...(replaced.length > 0 ? ['back up the replaced values'] : []),
      ...chosen.map(({ diff, overwrite }) => {
        const verb = diff.state === 'missing' ? 'create' : overwrite ? 'REPLACE values of' : 'complete'
        return `${verb} Secret ${secretPlaceOf(secretNameOf(diff.secret))}`
      }),
    ]
    const question = `Restore ${chosen.length} of ${diffs.length} secrets on ${run.cluster.name}?`
    if (!(await run.agree(plan, question))) return
    await lockCluster(kubectl, run)

    if (replaced.length > 0)
      await run.step('Back up the replaced values', 'npx tsx scripts/backup-secrets.ts', () =>
        keepReplaced(kubectl, run.cluster, replaced),
      )
    if (needed.length > 0)
      await run.step('Namespaces', `kubectl create namespace ${needed.join(' ')}`, async () => {
        for (const name of needed)
          await kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
        return undefined
      })
    await run.step('Restore', `kubectl apply --server-side -f FILE   # of ${folder}`, async () => {
      for (const { diff, overwrite } of chosen) await restoreSecret(kubectl, diff, overwrite)
      return chosen.map(({ diff }) => diff.secret.metadata.name).join(', ')
    })
    await run.step('Read again and compare with the backup', undefined, async () => {
      await checkRestored(kubectl, chosen)
      // install-core restores a lost Secret from its copy: the copies must not be older.
      const names = new Set(chosen.map(({ diff }) => secretPlaceOf(secretNameOf(diff.secret))))
      const entries = (await loadCatalogue()).filter(entry => names.has(secretPlaceOf(entry)))
      await keepCopies(kubectl, entries, new SecretCopies(run.cluster.folder))
      return 'byte by byte'
    })
    for (const [what, why] of absenceText(absent, backup.secrets)) run.log.warn(`${what}: ${why}`)
    run.next(['npx tsx scripts/status.ts   # check that the applications work'])
  },
})
