/** What kratos asks the panel: its web_hooks (kratos/values.yaml), https://www.ory.sh/docs/guides/integrate-with-ory-cloud-through-webhooks */
import { type Answer, bodyOf, PageError } from './http.ts'
import { isGone, type Panel, type Visit } from './panel.ts'
import { TEXTS } from './texts.ts'
import { type Identity, problemsOf, subjectOf } from './users.ts'

async function told({ request }: Visit): Promise<Pick<Identity, 'id' | 'traits'>> {
  const text = (await bodyOf(request)).toString('utf8')
  try {
    const told = JSON.parse(text)
    if (typeof told.id === 'string') return told
  } catch {}
  throw new PageError(400, TEXTS.error.form)
}

/**
 * Before somebody's settings are saved (`settings.after.profile`): a user name never changes, since Nextcloud and
 * Rocket.Chat take whoever bears a name for its account; and a name is what administrators may see as it is.
 */
export async function settingsHook({ kratos, log }: Panel, visit: Visit): Promise<Answer> {
  const { id, traits } = await told(visit)
  const now = await kratos.identity(id).catch(error => {
    if (!isGone(error)) throw error
  })
  if (now?.traits.username !== traits.username) {
    log({ event: 'rename refused', user: now?.traits.username })
    return refusal('username', TEXTS.settings.usernameFixed)
  }
  return problemsOf(traits).includes('name') ? refusal('name', TEXTS.problems.name) : { status: 204 }
}

/** A refusal as kratos shows it beside the field (flow-interrupting web hooks, `response.parse`). */
function refusal(trait: string, text: string): Answer {
  const messages = [{ instance_ptr: `#/traits/${trait}`, messages: [{ id: 1, text, type: 'error' }] }]
  return {
    status: 400,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages }),
  }
}

/**
 * After somebody has set a password (`settings.after.password`): what applications hold of the time before it ends.
 * Sessions of kratos end by its own hook, all but the one in which the password was set.
 */
export async function passwordHook({ kratos, hydra, log }: Panel, visit: Visit): Promise<Answer> {
  const identity = await kratos.identity((await told(visit)).id)
  await hydra.endSessions(subjectOf(identity))
  await hydra.revokeTokens(subjectOf(identity))
  log({ event: 'password set', user: identity.traits.username })
  return { status: 204 }
}
