import type { Index } from '../../lib/diagnosis/snapshot.ts'

/**
 * The oldest major version of which the program of 0.7 opens the data, by the name of the image. Both Nextcloud and
 * MongoDB refuse to start after a skipped one (nextcloud/docker, docker-entrypoint.sh; RocketChat/helm-charts, README,
 * "To 5.4.3"), Rocket.Chat asks for all of them (RocketChat/docs, updating-rocket.chat.md).
 */
const OLDEST: Readonly<Record<string, number>> = { nextcloud: 33, 'rocket.chat': 7, mongodb: 7, mongo: 7 }

const PAGE = 'runbooks/upgrade-0.7.md, "What the versions ask for"'

/** The lines of the plan about programs in oas-apps that are too old for what 0.7 brings. Pure. */
export function oldPrograms({ index }: { index: Pick<Index, 'all'> }): string[] {
  const images = index
    .all('Pod')
    .filter(({ metadata }) => metadata.namespace === 'oas-apps')
    .flatMap(({ spec }) => (spec?.containers ?? []) as { image?: string }[])
    .map(({ image = '' }) => image.split('@')[0]!.split('/').at(-1)!)
  return [...new Set(images)].flatMap(image => {
    const [name = '', tag = ''] = image.split(':')
    const oldest = Object.hasOwn(OLDEST, name) ? OLDEST[name]! : 0
    return Number.parseInt(tag.replace(/^v/, ''), 10) < oldest
      ? [`! ${name} ${tag}: skip no major version. The one of 0.7 opens data of ${oldest} or later (${PAGE})`]
      : []
  })
}
