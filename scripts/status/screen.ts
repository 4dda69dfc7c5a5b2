import { isNotReady, type StatusSection } from '../../lib/diagnosis/status.ts'
import type { Log } from '../../lib/script/log.ts'
import { table } from '../../lib/script/table.ts'

/** One screen of text: what is not ready, how much is, and with `all` every object. */
export function screenText(sections: StatusSection[], all: boolean, colour: Log['colour']): string {
  const rows: string[][] = []
  const wide = process.stdout.isTTY !== true // programs get the whole line
  for (const { title, items } of sections) {
    const ready = items.filter(item => item.ready).length
    if (items.length === 0) continue
    const passedOver = items.filter(item => item.ignored !== undefined).length
    rows.push([
      items.some(isNotReady) ? '✗' : '✓',
      title,
      `${ready}/${items.length} ready${passedOver > 0 ? `, ${passedOver} ignored` : ''}`,
    ])
    for (const item of items)
      if (all || !item.ready) {
        const passed = item.ignored && `ignored ${item.ignored}`
        const detail = [item.detail, item.cause, passed].filter(Boolean).join(' · ')
        rows.push([
          item.ready ? ' ✓' : isNotReady(item) ? ' ✗' : ' -',
          `  ${item.namespace ? `${item.namespace}/` : ''}${item.name}`,
          wide ? detail : detail.slice(0, 160),
        ])
      }
  }
  return table(rows)
    .replaceAll(/^( ?)✓/gm, `$1${colour.green('✓')}`)
    .replaceAll(/^( ?)✗/gm, `$1${colour.red('✗')}`)
}
