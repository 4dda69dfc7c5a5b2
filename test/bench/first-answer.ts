/**
 * The first answer of an API server, from the start of a process to its end: `secrets --show` against `kubectl
 * get secret`, which reads the same Secret. Starts a sandbox of its own.
 *
 * Usage: npx tsx test/bench/first-answer.ts [ROUNDS]
 * Environment: KUBECTL, the kubectl to compare with; without it one is built once.
 */
import { join } from 'node:path'
import { SecretCopies } from '../../lib/platform/secret-copies.ts'
import { ensureSecrets, loadCatalogue } from '../../lib/platform/secrets.ts'
import { ROOT } from '../../lib/script/files.ts'
import { namespaces } from '../../scripts/install-core/platform.ts'
import { Bed } from '../cluster/harness.ts'
import { alternate, findKubectl, tellRatios, timed, timedScript } from './measure.ts'

const kubectl = await findKubectl()
const bed = await Bed.start()
try {
  for (const namespace of namespaces()) await bed.kubectl.apply(namespace)
  await ensureSecrets(bed.kubectl, await loadCatalogue(), new SecretCopies(bed.cluster))
  const key = 'userbackend_admin_password'
  const [flag, secret] = [`--kubeconfig=${bed.up.kubeconfig}`, 'oas-single-sign-on-variables']
  const get = [flag, '-n', 'flux-system', 'get', 'secret', secret, '-o', `jsonpath={.data.${key}}`]
  const medians = await alternate(
    {
      'kubectl get secret': () => timed(kubectl, get),
      'secrets --show': () => timedScript(join(ROOT, 'scripts/secrets.ts'), ['--show', key]),
      'an empty program': () => timedScript(join(ROOT, 'test/bench/empty.ts')),
    },
    Number(process.argv[2] ?? 15),
  )
  tellRatios(medians, 'kubectl get secret')
} finally {
  await bed.stop()
}
