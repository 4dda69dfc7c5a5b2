import { countText } from '../../lib/script/count.ts'
import { durationText } from '../../lib/script/duration.ts'
import { type HtmlCell, type HtmlPage, htmlPage, type Mood } from '../../lib/script/html.ts'
import { markdownCode, markdownText } from '../../lib/script/printable.ts'
import { scrub } from '../../lib/script/scrub.ts'
import { sizeText } from '../../lib/script/size.ts'
import type { Report } from './facts.ts'

/** Days of a certificate of Let's Encrypt, the length of its bar. */
const LIFE = 90
const DAY = 86_400_000

const day = (time: string) => time.slice(0, 10)

/** Days from the report to a time; undefined for none. */
function daysLeft(report: Report, time: string | undefined): number | undefined {
  const left = (Date.parse(time ?? '') - Date.parse(report.madeAt)) / DAY
  return Number.isFinite(left) ? Math.floor(left) : undefined
}

/** How something is meant, by the causes about it; as given where there is none. */
const moodOf = (verdict: 'broken' | 'warning' | undefined, otherwise: Mood): Mood =>
  verdict === 'broken' ? 'bad' : verdict === 'warning' ? 'warn' : otherwise
const certificateMood = ({ verdict, ready }: Report['certificates'][number]) =>
  moodOf(verdict, ready ? 'good' : 'warn')

/** The content of a report, the same for every form of it. Pure. */
export function contentOf(report: Report, since?: { at: string; changes: readonly string[] }): HtmlPage {
  const {
    causes,
    ignored = [],
    certificates,
    volumes,
    releases,
    backups,
    drills,
    users,
    runs,
    unread,
    gaps,
  } = report
  const broken = causes.filter(({ verdict }) => verdict === 'broken').length
  const behind = releases.filter(({ wanted, installed }) => wanted !== installed).length
  const [first] = certificates.filter(({ notAfter }) => daysLeft(report, notAfter) !== undefined)
  const age =
    backups.newest === undefined ? undefined : Date.parse(report.madeAt) - Date.parse(backups.newest)
  return {
    title: `Report of ${report.cluster}`,
    about: `${report.madeAt.slice(0, 16).replace('T', ' ')} UTC · Kubernetes ${report.kubernetes ?? 'unknown'}`,
    tiles: [
      {
        name: 'Health',
        value:
          broken > 0
            ? countText(broken, 'cause')
            : unread > 0
              ? 'some facts are missing'
              : 'nothing is broken',
        mood: broken > 0 ? 'bad' : unread > 0 ? 'warn' : 'good',
      },
      {
        name: 'Warnings',
        value: String(causes.length - broken),
        mood: causes.length > broken ? 'warn' : 'good',
      },
      {
        name: 'First certificate to expire',
        value: first ? `in ${countText(daysLeft(report, first.notAfter) ?? 0, 'day')}` : 'none',
        mood: first ? certificateMood(first) : 'none',
      },
      {
        name: 'Newest backup',
        value: age === undefined ? 'none' : `${durationText(age)} old`,
        mood: moodOf(backups.verdict, age === undefined || backups.schedules === 0 ? 'warn' : 'good'),
      },
      { name: 'Releases behind', value: String(behind), mood: behind > 0 ? 'warn' : 'good' },
    ],
    sections: [
      ...(since
        ? [
            {
              title: `Changes since ${since.at.slice(0, 16).replace('T', ' ')} UTC`,
              blocks: [
                {
                  head: ['what'],
                  rows: since.changes.map((line): HtmlCell[] => [line]),
                  empty: 'Nothing has changed.',
                },
              ],
            },
          ]
        : []),
      {
        title: 'Findings',
        blocks: [
          causes.length === 0
            ? unread > 0
              ? { text: 'Of what could be read, nothing is broken.', mood: 'warn' as const }
              : { text: 'Nothing is broken.', mood: 'good' as const }
            : {
                findings: causes.map(({ subject, verdict, cause, seen, fix, command }) => ({
                  title: `${subject}: ${cause}`,
                  mood: verdict === 'broken' ? ('bad' as const) : ('warn' as const),
                  seen,
                  fix,
                  command,
                })),
              },
        ],
      },
      ...(ignored.length > 0
        ? [
            {
              title: 'Ignored findings',
              blocks: [
                {
                  head: ['finding', 'until', 'reason'],
                  rows: ignored.map(({ subject, cause, until, reason }): HtmlCell[] => [
                    `${subject}: ${cause}`,
                    until,
                    reason,
                  ]),
                },
              ],
            },
          ]
        : []),
      {
        title: 'Ready',
        blocks: [
          {
            head: ['what', 'ready'],
            rows: report.ready.map(({ title, ready, all, ignored = 0 }) => [
              title,
              {
                text: `${ready} of ${all}${ready < all ? (ignored > 0 ? `, ${ignored} ignored` : ', not all') : ''}`,
                mood: ready + ignored < all ? ('bad' as const) : ('good' as const),
              },
            ]),
          },
        ],
      },
      {
        title: 'Certificates',
        blocks: [
          {
            head: ['hosts', 'until', 'issuer'],
            rows: certificates.map(certificate => {
              const { hosts, notAfter, issuer, name } = certificate
              const left = daysLeft(report, notAfter)
              const until =
                notAfter === undefined
                  ? 'not issued'
                  : `${day(notAfter)}, ${countText(left ?? 0, 'day')} left`
              return [
                hosts.join(' ') || name,
                {
                  text: until,
                  mood: certificateMood(certificate),
                  percent: left === undefined ? 0 : (100 * left) / LIFE,
                },
                issuer,
              ]
            }),
            empty: 'There is no certificate.',
          },
        ],
      },
      {
        title: 'Volumes',
        blocks: [
          {
            head: ['volume', 'size', 'used', 'a day'],
            rows: volumes.map(({ name, size, used, capacity, growth }) => [
              name,
              size,
              used === undefined || !capacity
                ? 'not known'
                : {
                    text: `${sizeText(used)}, ${Math.round((100 * used) / capacity)} %`,
                    mood: used / capacity > 0.85 ? ('bad' as const) : ('none' as const),
                    percent: (100 * used) / capacity,
                  },
              growth === undefined ? '' : `${growth < 0 ? '-' : '+'}${sizeText(Math.abs(growth))}`,
            ]),
            empty: 'There is no volume.',
          },
        ],
      },
      {
        title: 'Releases',
        blocks: [
          {
            head: ['release', 'chart', 'installed'],
            rows: releases.map(({ name, chart, wanted, installed }) => [
              name,
              chart,
              wanted === installed
                ? installed
                : { text: `${installed || 'not installed'}, ${wanted} is wanted`, mood: 'warn' as const },
            ]),
            empty: 'Nothing is installed.',
          },
        ],
      },
      {
        title: 'Backups',
        blocks: [
          backups.schedules === 0
            ? { text: 'There is no schedule: nothing is backed up.', mood: 'warn' as const }
            : {
                text: `${countText(backups.schedules, 'schedule')}; ${backups.complete} complete, ${backups.failed} failed; newest: ${backups.newest ?? 'none yet'}; newest proof: ${backups.proved ?? 'none yet'}`,
              },
        ],
      },
      {
        title: 'Restore drills',
        blocks: [
          backups.drilled === undefined
            ? {
                text: 'No restore of everything has been tried: whether the backups can be restored is not known.',
                mood: 'warn' as const,
              }
            : { text: `The newest drill of everything: ${day(backups.drilled)}` },
          {
            head: ['drill', 'backup', 'applications', 'took', 'age of the data'],
            rows: drills.map(({ at, backup, apps, rto, rpo }) => [
              day(at),
              backup,
              apps.join(', '),
              durationText(rto),
              durationText(rpo),
            ]),
            empty: 'The journal of this cluster folder has no drill.',
          },
        ],
      },
      {
        title: 'Users',
        blocks: users
          ? [
              {
                text: `${countText(users.all, 'user')}, ${users.active} active, ${countText(users.admins, 'administrator')}`,
              },
              {
                head: ['application', 'users with a grant'],
                rows: Object.entries(users.grants).map(([app, number]): HtmlCell[] => [app, String(number)]),
                empty: 'Nobody has a grant of an application.',
              },
            ]
          : [{ text: 'Not known.' }],
      },
      {
        title: 'Last runs',
        blocks: [
          {
            head: ['started', 'script', 'outcome'],
            rows: runs.map(({ startedAt, script, outcome, good }) => [
              startedAt.slice(0, 16).replace('T', ' '),
              script,
              { text: outcome, mood: good ? ('good' as const) : ('warn' as const) },
            ]),
            empty: 'No run has changed anything yet.',
          },
        ],
      },
      ...(gaps.length > 0
        ? [
            {
              title: 'Not known',
              blocks: [{ head: ['what', 'why'], rows: gaps.map(({ what, why }): HtmlCell[] => [what, why]) }],
            },
          ]
        : []),
    ],
  }
}

/** The report as a page. Pure but for the known secrets. */
export function reportHtml(report: Report, since?: Parameters<typeof contentOf>[1]): string {
  return htmlPage(contentOf(report, since))
}

/** The same as Markdown; texts from elsewhere are escaped. Pure but for the known secrets. */
export function reportMarkdown(report: Report, since?: Parameters<typeof contentOf>[1]): string {
  const { title, about, tiles, sections } = contentOf(report, since)
  const plain = (text: string) => markdownText(scrub(text))
  const cell = (each: HtmlCell) => plain(typeof each === 'string' ? each : each.text)
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return `${[
    `# ${plain(title)}`,
    '',
    plain(about),
    '',
    ...tiles.map(({ name, value }) => `- ${plain(name)}: ${plain(value)}`),
    ...sections.flatMap(section => [
      '',
      `## ${plain(section.title)}`,
      '',
      ...section.blocks.flatMap(block => {
        if ('text' in block) return [plain(block.text)]
        if ('findings' in block)
          return block.findings.flatMap(({ title, seen, fix, command }) => [
            `- **${plain(title)}**`,
            ...seen.map(line => `  - seen: ${plain(line)}`),
            `  - ${plain(fix)}`,
            ...(command ? [`  - ${markdownCode(scrub(command))}`] : []),
          ])
        if (block.rows.length === 0) return [plain(block.empty ?? 'None.')]
        return [
          row(block.head),
          row(block.head.map(() => '---')),
          ...block.rows.map(cells => row(cells.map(cell))),
        ]
      }),
    ]),
  ].join('\n')}\n`
}
