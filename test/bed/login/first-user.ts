import { Kratos } from '../../../flux2/core/single-sign-on/userpanel/panel/kratos.ts'
import { askAt } from '../../../flux2/core/single-sign-on/userpanel/panel/upstream.ts'
import { newIdentity } from '../../../flux2/core/single-sign-on/userpanel/panel/users.ts'
import type { Kubectl } from '../../../lib/kubectl/kubectl.ts'
import { SecretCopies } from '../../../lib/platform/secret-copies.ts'
import {
  ensureSecrets,
  generatedKeysOf,
  loadCatalogue,
  secretRef,
  secretValues,
} from '../../../lib/platform/secrets.ts'

const PASSWORD = 'userbackend_admin_password'

/**
 * Creates the user `admin` in the kratos at this URL with the password that install-core generates, or has generated,
 * as the Job of flux2/core/single-sign-on/admin-user does on a server. An existing one is kept.
 */
export async function createFirstUser(kubectl: Kubectl, folder: string, kratosAdmin: string): Promise<void> {
  const kratos = new Kratos(askAt('kratos', kratosAdmin), askAt('kratos', kratosAdmin))
  const entry = (await loadCatalogue()).find(entry => generatedKeysOf(entry).includes(PASSWORD))!
  const { namespace } = entry
  await kubectl.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  await ensureSecrets(kubectl, [entry], new SecretCopies(folder))
  if (await kratos.find('admin')) return
  const password = secretValues(await kubectl.get(secretRef(entry)))[PASSWORD]
  const traits = { username: 'admin', email: 'admin@oas.localhost', name: 'Administrator' }
  await kratos.create(newIdentity(traits, { admin: true }, password))
}
