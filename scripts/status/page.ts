import { isNotReady, type StatusItem, type StatusSection } from '../../lib/diagnosis/status.ts'
import { type HtmlCell, htmlPage } from '../../lib/script/html.ts'

const stateOf = ({ ready, ignored }: StatusItem): HtmlCell =>
  ready
    ? { text: 'ready', mood: 'good' }
    : ignored === undefined
      ? { text: 'not ready', mood: 'bad' }
      : `not ready, ignored ${ignored}`

/** The status as a page, in the style of `report`: what is not ready first. Pure but for the known secrets. */
export function statusPage(cluster: string, sections: readonly StatusSection[]): string {
  const shown = sections.filter(({ items }) => items.length > 0)
  const notReady = shown.flatMap(({ items }) => items).filter(isNotReady)
  return htmlPage({
    title: `Status of ${cluster}`,
    about: `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    tiles: shown.map(({ title, items }) => {
      const ready = items.filter(item => item.ready).length
      return {
        name: title,
        value: `${ready} of ${items.length}`,
        mood: items.some(isNotReady) ? ('bad' as const) : ('good' as const),
      }
    }),
    sections: [
      {
        title: 'Not ready',
        blocks: [
          notReady.length === 0
            ? { text: 'Everything is ready.', mood: 'good' }
            : {
                findings: notReady.map(({ kind, namespace, name, detail, cause, fix }) => ({
                  title: `${kind} ${namespace ? `${namespace}/` : ''}${name}: ${cause ?? detail}`,
                  mood: 'bad',
                  seen: cause && detail ? [detail] : [],
                  fix: fix ?? 'run npx tsx scripts/diagnose.ts',
                })),
              },
        ],
      },
      ...shown.map(({ title, items }) => ({
        title,
        blocks: [
          {
            head: ['name', 'state', 'detail'],
            rows: items.map(item => [
              item.namespace ? `${item.namespace}/${item.name}` : item.name,
              stateOf(item),
              item.detail,
            ]),
          },
        ],
      })),
    ],
  })
}
