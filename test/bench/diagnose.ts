/**
 * A diagnosis of a large cluster: 500 Certificates and 300 HelmReleases beside the platform, as a process from
 * start to end, against the docs' commands for one certificate (docs 0.7.0, 9.6). Starts a sandbox of its own.
 *
 * Usage: npx tsx test/bench/diagnose.ts [ROUNDS]
 * Environment: KUBECTL, the kubectl to compare with; without it one is built once. POPEYE, a Popeye to compare with
 * (https://github.com/derailed/popeye): it lints the whole cluster, and knows nothing of Flux or cert-manager.
 */
import { join } from 'node:path'
import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { HELM_RELEASE } from '../../lib/flux/flux.ts'
import { ROOT } from '../../lib/script/files.ts'
import { Bed, runScript } from '../cluster/harness.ts'
import { inParallel } from '../cluster/pods.ts'
import { alternate, findKubectl, type Taken, tellRatios, timed, timedScript } from './measure.ts'

const [CERTIFICATES, RELEASES] = [500, 300]
const kubectl = await findKubectl()
const bed = await Bed.start()
try {
  await runScript('install-core', ['--yes'])
  await bed.kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'many' } })
  await inParallel(CERTIFICATES, i =>
    bed.kubectl.create({
      apiVersion: 'cert-manager.io/v1',
      kind: 'Certificate',
      metadata: { namespace: 'many', name: `host-${i}` },
      spec: {
        secretName: `host-${i}`,
        dnsNames: [`host-${i}.example.org`],
        issuerRef: { kind: 'ClusterIssuer', name: 'letsencrypt-production' },
      },
    }),
  )
  // They are suspended, so that helm-controller leaves them alone: each is a finding.
  await inParallel(RELEASES, i =>
    bed.kubectl.create({
      ...HELM_RELEASE,
      metadata: { namespace: 'many', name: `release-${i}` },
      spec: {
        suspend: true,
        interval: '1h',
        chart: {
          spec: {
            chart: 'wekan',
            version: '11.07.0',
            sourceRef: { kind: 'HelmRepository', name: 'wekan', namespace: 'flux-system' },
          },
        },
      },
    }),
  )

  /** Exit code 3 only says that there are findings. */
  const finding = (args: readonly string[]) =>
    timed('sh', ['-c', '"$@"; [ $? -eq 3 ]', 'sh', process.execPath, '--import', 'tsx', ...args])
  const commands = [
    ['get', 'clusterissuers', '-o', 'yaml'],
    ['-n', 'cert-manager', 'get', 'pods'],
    ['get', 'certificates', '-A'],
    ['get', 'certificaterequests', '-A'],
    ['get', '-A', 'certificate,certificaterequest,challenge,order'],
    ['-n', 'many', 'get', 'certificate', 'host-1', '-o', "jsonpath={.status.conditions[*]['message']}"],
  ]
  const medians = await alternate(
    {
      [`the docs’ ${commands.length} commands for one certificate`]: async () => {
        const sum: Taken = { clock: 0, processor: 0 }
        for (const command of commands) {
          const taken = await timed(kubectl, [`--kubeconfig=${bed.up.kubeconfig}`, ...command])
          sum.clock += taken.clock
          sum.processor += taken.processor
        }
        return sum
      },
      diagnose: () => finding([join(ROOT, 'scripts/diagnose.ts')]),
      ...(process.env.POPEYE
        ? {
            Popeye: () =>
              timed(process.env.POPEYE!, [
                `--kubeconfig=${bed.up.kubeconfig}`,
                '--all-namespaces',
                '--force-exit-zero',
              ]),
          }
        : {}),
      'an empty program': () => timedScript(join(ROOT, 'test/bench/empty.ts')),
    },
    Number(process.argv[2] ?? 7),
  )
  tellRatios(medians, `the docs’ ${commands.length} commands for one certificate`)

  // Where the time goes, in this process: the second look has warm connections.
  for (const look of ['first', 'second']) {
    const began = performance.now()
    const snapshot = await gather(bed.kubectl)
    const read = performance.now()
    const { causes } = diagnose(snapshot, RULES)
    const judged = performance.now()
    console.log(
      `${look} look: ${snapshot.objects.length} objects read in ${(read - began).toFixed(0)} ms, judged in ${(judged - read).toFixed(0)} ms: ${causes.length} causes`,
    )
  }
} finally {
  await bed.stop()
}
