import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import { readConfig } from '../../lib/platform/config.ts'
import { CONFIG_KEYS, checkValue } from '../../lib/platform/config-keys.ts'
import { accountServices, everybody, withoutGrants } from '../../lib/platform/sign-on.ts'
import { askText, interactive } from '../../lib/script/prompt.ts'
import type { Run } from '../../lib/script/run.ts'

/** Milliseconds for an answer of kratos: on a new cluster there is none. */
const PATIENCE = 5000

/**
 * Whether users of before there were grants keep what they could open: asked once, where there are such users and
 * neither `.flux.env` nor `--set` says so; Enter keeps it, and so does a run without a terminal. Returns the setting
 * to save; none where there is nothing to decide.
 */
export async function chooseLegacyAccess(
  run: Pick<Run, 'cluster' | 'log'>,
  kubectl: Kubectl,
  settings: Record<string, string>,
): Promise<Record<string, string>> {
  if (settings.legacy_access || readConfig(run.cluster.env).legacy_access) return {}
  const people = await everybody(accountServices(kubectl, PATIENCE).kratos).catch(() => [])
  const names = people.filter(withoutGrants).map(({ traits }) => traits.username)
  if (names.length === 0) return {}
  const [count, they] = names.length === 1 ? ['1 user has', 'it'] : [`${names.length} users have`, 'they']
  if (!interactive()) {
    run.log.info(
      `${count} no grants yet, and ${they} may open every application; --set legacy_access=false ends that`,
    )
    return {}
  }
  const key = CONFIG_KEYS.find(({ name }) => name === 'legacy_access')!
  const listed = `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`
  const legacy_access = await askText({
    message: `${count} no grants yet (${listed}). May ${they} open every application, as until now (true or false)?`,
    flag: '--set legacy_access=VALUE',
    default: 'true',
    check: text => checkValue(key, text),
  })
  return { legacy_access }
}
