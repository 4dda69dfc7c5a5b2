/**
 * A backup of the ten secrets, from the start of a process to its end: `backup-secrets`, which also reads it
 * again and compares it with the cluster, against the ten `kubectl get secret` of the docs of 0.7.0, which do
 * not. Starts a sandbox of its own.
 *
 * Usage: npx tsx test/bench/backup-secrets.ts [ROUNDS]
 * Environment: KUBECTL, the kubectl to compare with; without it one is built once.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT } from '../../lib/script/files.ts'
import { TEN } from '../../lib/secret-backup/secret-backup.ts'
import { namespaces } from '../../scripts/install-core/platform.ts'
import { Bed } from '../cluster/harness.ts'
import { alternate, findKubectl, tellRatios, timed, timedScript } from './measure.ts'

const kubectl = await findKubectl()
const folder = mkdtempSync(join(tmpdir(), 'oas-bench-'))
const bed = await Bed.start()
try {
  for (const namespace of namespaces()) await bed.kubectl.apply(namespace)
  for (const { namespace, name } of TEN)
    await bed.kubectl.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace, name },
      stringData: Object.fromEntries(
        [1, 2, 3, 4].map(i => [`password_${i}`, `${name}-${i}`.padEnd(32, 'x')]),
      ),
    })
  let round = 0
  const docs = (to: string) =>
    [
      `set -e; export KUBECONFIG=${bed.up.kubeconfig}; mkdir ${to}`,
      ...TEN.map(
        ({ namespace, name }) => `${kubectl} get secret -o yaml -n ${namespace} ${name} > ${to}/${name}.yaml`,
      ),
    ].join('\n')
  const script = join(ROOT, 'scripts', 'backup-secrets.ts')
  const medians = await alternate(
    {
      "the docs' ten kubectl calls": () => timed('bash', ['-c', docs(join(folder, `docs-${round++}`))]),
      'backup-secrets': () => timedScript(script, ['--output', join(folder, `ours-${round}`)]),
      'an empty program': () => timedScript(join(ROOT, 'test/bench/empty.ts')),
    },
    Number(process.argv[2] ?? 15),
  )
  tellRatios(medians, "the docs' ten kubectl calls")
} finally {
  await bed.stop()
  rmSync(folder, { recursive: true, force: true })
}
