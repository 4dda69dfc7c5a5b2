import { sizeText } from '../../lib/script/size.ts'
import type { Contents } from './bundle.ts'

/** The README.txt of a bundle: what is in it, what is not, and why. Pure. */
export function indexText(
  { files, gaps, leftOut }: Contents,
  about: { cluster: string; madeAt: string; toolkit: string; since: string },
): string {
  const groups = new Map<string, { what: string; count: number; size: number }>()
  for (const { path, what, text } of files) {
    const folder = path.includes('/') ? `${path.split('/')[0]}/` : path
    const group = groups.get(folder) ?? { what, count: 0, size: 0 }
    groups.set(folder, { ...group, count: group.count + 1, size: group.size + Buffer.byteLength(text) })
  }
  const list = (items: readonly { what: string; why: string }[], none: string) =>
    items.length > 0 ? items.map(({ what, why }) => `- ${what}: ${why}`) : [none]
  return [
    `OpenAppStack: support bundle of the cluster ${about.cluster}`,
    '',
    `Created at ${about.madeAt} with version ${about.toolkit} of the runbooks; logs since ${about.since}.`,
    '',
    'Known secrets, and texts that look like one, are replaced by ***. Names of hosts and people, addresses and',
    'texts of users in logs are not: read it before you send it.',
    '',
    'In it:',
    ...[...groups].map(
      ([path, { what, count, size }]) =>
        `- ${path}: ${what} (${count > 1 ? `${count} files, ` : ''}${sizeText(size)})`,
    ),
    '',
    'Could not be read:',
    ...list(gaps, '- nothing: everything could be read'),
    '',
    'Left out:',
    ...list(leftOut, '- nothing'),
    '',
  ].join('\n')
}
