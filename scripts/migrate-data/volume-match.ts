import { UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { type FolderVolume, volumeName } from './volumes.ts'

/** An old volume and the new one that its data is for. */
export interface Match {
  old: FolderVolume
  new: FolderVolume
  /** From 0 to 100; undefined for one that a person has chosen. */
  score?: number
}

/** An old volume that cannot be matched for sure. */
export interface OpenVolume {
  old: FolderVolume
  /** What it may be, the likeliest first. */
  candidates: { new: FolderVolume; score: number }[]
}

/** What is proposed. */
export interface Proposal {
  matches: Match[]
  open: OpenVolume[]
}

/** Words that tell nothing of whose data it is. `oas` and `test` were in the names of releases of before 0.4. */
const NOISE = new Set(
  'oas test data datadir storage persistent persistence volume claim pvc pv app apps server primary master the of'.split(
    ' ',
  ),
)

/** The applications, the most particular first: the name of a part often holds that of the whole. */
const APPLICATIONS: readonly (readonly [name: string, words: readonly string[]])[] = [
  ['onlyoffice', ['onlyoffice', 'documentserver', 'office']],
  ['alertmanager', ['alertmanager']],
  ['grafana', ['grafana']],
  ['loki', ['loki']],
  // `files`, `chat` and so on are the names that the addresses had, and releases of before 0.4 after them.
  ['rocketchat', ['rocketchat', 'rocket', 'chat']],
  ['wordpress', ['wordpress', 'wp', 'website', 'blog', 'www']],
  ['wekan', ['wekan', 'kanban']],
  ['nextcloud', ['nextcloud', 'files']],
  ['single-sign-on', ['sso', 'userbackend', 'userpanel', 'hydra', 'kratos', 'consent']],
  ['prometheus', ['prometheus', 'monitoring']],
]

/** What kind of program has written the data: that of one cannot be read by another. */
const KINDS: readonly (readonly [name: string, words: readonly string[]])[] = [
  ['mariadb', ['mariadb', 'mysql']],
  ['mongodb', ['mongodb', 'mongo']],
  ['postgresql', ['postgresql', 'postgres']],
  ['redis', ['redis', 'valkey']],
  ['rabbitmq', ['rabbitmq']],
  ['database', ['database', 'db']],
]
const DATABASES = new Set(['mariadb', 'mongodb', 'postgresql'])

/** At least so much is proposed. The application alone, with the kind of data, is more; everything else is less. */
const SURE = 60
/** The next best has to be so much worse. */
const MARGIN = 8
/** Below this it is not a candidate. */
const LIKELY = 40

interface Reading {
  words: Set<string>
  application?: string
  kind: string
  ordinal: string
}

const wordsOf = (text: string) =>
  text
    .toLowerCase()
    .replaceAll('single-sign-on', 'sso')
    .replaceAll('rocket-chat', 'rocketchat')
    .split(/[^a-z0-9]+/)
    .filter(word => word !== '' && !/^\d+$/.test(word))

const lookUp = (table: typeof APPLICATIONS, words: ReadonlySet<string>) =>
  table.find(([, names]) => names.some(name => words.has(name)))?.[0]

function read({ claim, apps, pods }: FolderVolume): Reading {
  const own = new Set(wordsOf(claim ?? ''))
  const around = new Set([...apps, ...pods].flatMap(wordsOf))
  // Labels name an application where the claim does not, as that of a database may.
  const application = lookUp(APPLICATIONS, own) ?? lookUp(APPLICATIONS, around)
  const isOwnFormat = application === 'prometheus' || application === 'alertmanager'
  return {
    words: new Set([...own].filter(word => !NOISE.has(word))),
    application,
    kind: isOwnFormat ? 'files' : (lookUp(KINDS, own) ?? 'files'),
    ordinal: /-(\d+)$/.exec(claim ?? '')?.[1] ?? '',
  }
}

/**
 * How well an old volume and a new one fit, from 0 to 100: by namespace and claim, else by application, kind of
 * data and the words of the claims. What was written by another program does not fit at all. Pure.
 */
export function matchScore(old: FolderVolume, now: FolderVolume): number {
  if (old.claim === undefined || now.claim === undefined) return 0
  const sameNamespace = old.namespace === now.namespace
  if (old.claim === now.claim) return sameNamespace ? 100 : 90
  const [a, b] = [read(old), read(now)]
  const generic = (one: Reading, other: Reading) => one.kind === 'database' && DATABASES.has(other.kind)
  const kinds = a.kind === b.kind ? 20 : generic(a, b) || generic(b, a) ? 10 : undefined
  if (kinds === undefined) return 0
  if (a.application && b.application && a.application !== b.application) return 0
  const common = [...a.words].filter(word => b.words.has(word)).length
  const all = new Set([...a.words, ...b.words]).size
  const application = a.application && b.application ? 50 : 0
  const ordinals = a.ordinal === b.ordinal ? 5 : a.ordinal && b.ordinal ? -40 : 0
  const score =
    application + kinds + (sameNamespace ? 10 : 0) + ordinals + (all > 0 ? (14 * common) / all : 0)
  return Math.max(0, Math.min(99, Math.round(score)))
}

/**
 * Proposes which new volume the data of each old one is for: where both are each other's best by far. What was
 * found so is out of the way for the others. The order of the lists has no part in it. Pure.
 */
export function proposeMatches(olds: readonly FolderVolume[], news: readonly FolderVolume[]): Proposal {
  const matches: Match[] = []
  let free = [...olds]
  let left = [...news]
  for (;;) {
    const scores = new Map(free.map(old => [old, new Map(left.map(now => [now, matchScore(old, now)]))]))
    const score = (old: FolderVolume, now: FolderVolume) => scores.get(old)!.get(now)!
    const isSure = (old: FolderVolume, now: FolderVolume) => {
      const best = score(old, now)
      const margin = best === 100 ? 1 : MARGIN // the very name is what nothing else can be
      return (
        best >= SURE &&
        left.every(other => other === now || best - score(old, other) >= margin) &&
        free.every(other => other === old || best - score(other, now) >= margin)
      )
    }
    const sure = free.flatMap(old =>
      left.filter(now => isSure(old, now)).map(now => ({ old, new: now, score: score(old, now) })),
    )
    if (sure.length === 0) {
      const open = free.map(old => ({ old, candidates: candidatesOf(old, left) }))
      return { matches: sorted(matches), open: sorted(open) }
    }
    matches.push(...sure)
    free = free.filter(old => !sure.some(match => match.old === old))
    left = left.filter(now => !sure.some(match => match.new === now))
  }
}

function candidatesOf(old: FolderVolume, news: readonly FolderVolume[]): OpenVolume['candidates'] {
  return news
    .map(now => ({ new: now, score: matchScore(old, now) }))
    .filter(({ score }) => score >= LIKELY)
    .sort((a, b) => b.score - a.score || compare(a.new, b.new))
}

const key = (volume: FolderVolume) => `${volumeName(volume)} ${volume.folder}`
const compare = (a: FolderVolume, b: FolderVolume) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0)
const sorted = <T extends { old: FolderVolume }>(list: readonly T[]): T[] =>
  [...list].sort((a, b) => compare(a.old, b.old))

/** The volume that a person means: by the name of its folder, or by namespace/claim. Throws a UsageError. */
export function findVolume(volumes: readonly FolderVolume[], name: string, flag: string): FolderVolume {
  const found = volumes.filter(volume => volume.folder === name || volumeName(volume) === name)
  if (found.length === 1) return found[0]!
  throw found.length > 1
    ? new UsageError(
        `${flag}: several volumes are called ${name}`,
        `give the name of the folder: ${found.map(({ folder }) => folder).join(', ')}`,
      )
    : new UsageError(
        `${flag}: there is no volume ${JSON.stringify(name)}`,
        volumes.length > 0 ? suggestion(name, volumes.map(volumeName)) : 'there are no volumes at all',
      )
}

/** What a person has said about volumes. */
export interface Choices {
  /** `OLD=NEW` each. */
  match: readonly string[]
  /** Old volumes that stay where they are. */
  leave: readonly string[]
}

/** The matches that were chosen, and what is proposed for the rest. Throws UsageErrors for what contradicts. Pure. */
export function decideMatches(
  olds: readonly FolderVolume[],
  news: readonly FolderVolume[],
  choices: Choices,
): Proposal & { left: FolderVolume[] } {
  const left = choices.leave.map(name => findVolume(olds, name, `--skip ${name}`))
  const chosen = choices.match.map(text => {
    const at = text.lastIndexOf('=')
    const flag = `--match ${text}`
    if (at < 1) throw new UsageError(`${flag} has no two sides`, 'write --match OLD=NAMESPACE/CLAIM')
    return { old: findVolume(olds, text.slice(0, at), flag), new: findVolume(news, text.slice(at + 1), flag) }
  })
  const twice = (volumes: readonly FolderVolume[]) =>
    volumes.find((volume, i) => volumes.indexOf(volume) !== i)
  const double = twice([...left, ...chosen.map(({ old }) => old)]) ?? twice(chosen.map(match => match.new))
  if (double)
    throw new UsageError(`${volumeName(double)} is named twice`, 'give each volume one --match or one --skip')
  const taken = new Set([...left, ...chosen.flatMap(match => [match.old, match.new])])
  const { matches, open } = proposeMatches(
    olds.filter(volume => !taken.has(volume)),
    news.filter(volume => !taken.has(volume)),
  )
  return { matches: sorted([...chosen, ...matches]), open, left }
}

/** The new claims of these matches, by name. */
export function matchedClaims(matches: readonly Pick<Match, 'new'>[]): Set<string> {
  return new Set(matches.map(match => volumeName(match.new)))
}
