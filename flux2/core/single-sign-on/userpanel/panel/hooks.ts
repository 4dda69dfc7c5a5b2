import type { Answer } from './http.ts'
import { isGone, type Panel } from './panel.ts'
import { TEXTS } from './texts.ts'
import type { Identity } from './users.ts'

/**
 * kratos asks here before it saves somebody's settings (`settings.after.profile`, a web_hook whose answer is read):
 * a user name never changes, since Nextcloud and Rocket.Chat take whoever bears a name for its account. The answer's
 * form: https://www.ory.sh/docs/guides/integrate-with-ory-cloud-through-webhooks (flow-interrupting web hooks).
 */
export async function settingsHook({ kratos, log }: Panel, body: Buffer): Promise<Answer> {
  const { id, traits } = JSON.parse(body.toString('utf8')) as Pick<Identity, 'id' | 'traits'>
  try {
    const now = await kratos.identity(id)
    if (now.traits.username === traits.username) return { status: 204 }
    log({ event: 'rename refused', user: now.traits.username })
  } catch (error) {
    if (!isGone(error)) throw error
  }
  const text = TEXTS.settings.usernameFixed
  const messages = [{ instance_ptr: '#/traits/username', messages: [{ id: 1, text, type: 'error' }] }]
  return {
    status: 400,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages }),
  }
}
