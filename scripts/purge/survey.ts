import { K3S, LOCAL_STORAGE } from '../../lib/k3s/k3s.ts'
import { effectiveSettings, elsewhereProblem } from '../../lib/k3s/settings.ts'
import { entrySizes, RECORDED_TOOLS, splitAt, unitStates } from '../../lib/server/facts.ts'
import { k3sFiles, settingsSources } from '../../lib/server/k3s-files.ts'
import { linesOf, readFacts, shell, type ValuesOf, wholeNumber } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { DOCKER, FILES, K3S_STORAGE, KEPT, LINKS, type PurgePath, TOOL_PATHS, TREES } from './paths.ts'

/** Something that is mounted at or below a path that a purge removes. */
export interface Mount {
  /** The path that a purge removes. */
  below: string
  target: string
  type: string
  source: string
}

/** Everything on a server that a purge is about. Sizes are in bytes. */
export interface ServerSurvey {
  /** Those of the paths to remove that exist. */
  paths: { path: PurgePath; size: number }[]
  /** Paths that are not what their name says: a part of them is a link. */
  elsewhere: { path: string; real: string }[]
  mounts: Mount[]
  /** Programs that install-cluster says to have put there. */
  tools: PurgePath[]
  links: string[]
  kept: { path: string; size: number }[]
  /** The folders of persistent volumes, where provisioners put them. */
  folders: { place: string; name: string; size: number }[]
  datastore: number | undefined
  /** `systemctl is-active` by unit, of the units that exist. */
  units: Map<string, string>
  /** Running containers of Docker; undefined where there is no Docker. */
  containers: number | undefined
  /** Why k3s keeps its data where a purge does not remove them; undefined where it does not. */
  elsewhereData: string | undefined
}

/**
 * A shell function that says why `$1` must not be removed, a line each; silent when it may. `realpath` differs
 * from the path when any part of it is a link. The kernel's own list of mounts (proc(5): field 5 is the place,
 * the type follows the dash) also has bind mounts, which stay on the same device and which rm would follow.
 */
export const GUARD = `
guard() {
  real=$(realpath -m -- "$1")
  [ "$real" = "$1" ] || printf 'elsewhere\\t%s\\t%s\\n' "$1" "$real"
  awk -v path="$1" 'index($5 "/", path "/") == 1 {
    for (i = 6; $i != "-"; i++);
    printf "mount\\t%s\\t%s\\t%s\\t%s\\n", path, $5, $(i + 1), $(i + 2)
  }' /proc/self/mountinfo
}
there() { [ -e "$1" ] || [ -L "$1" ]; }
`

const EVERY_PATH: readonly PurgePath[] = [...TREES, ...FILES, ...TOOL_PATHS, DOCKER]

/** The sizes of those of these paths that exist. */
function sizes<P extends string>(paths: readonly P[]) {
  const script = `for path; do
  if [ -e "$path" ] || [ -L "$path" ]; then printf '%s\\t%s\\n' "$(du -sxB1 -- "$path" | cut -f 1)" "$path"; fi
done`
  return shell(script, paths, answer =>
    linesOf(answer).map(line => {
      const [size, path] = splitAt(line, '\t')
      return { path: path as P, size: Number(size) || 0 }
    }),
  )
}

/** What a server is asked before a purge. */
export const PURGE_FACTS = {
  paths: sizes(EVERY_PATH),
  kept: sizes(KEPT),
  guard: shell(`${GUARD}for path; do if there "$path"; then guard "$path"; fi; done`, EVERY_PATH, answer =>
    linesOf(answer).map(line => line.split('\t')),
  ),
  /** Arguments: link, target, link, target, … */
  links: shell(
    `while [ $# -gt 0 ]; do
  [ ! -L "$1" ] || [ "$(readlink -- "$1")" != "$2" ] || printf '%s\\n' "$1"
  shift 2
done`,
    LINKS.flat(),
    linesOf,
  ),
  folders: entrySizes(LOCAL_STORAGE),
  k3sFolders: entrySizes(K3S_STORAGE),
  datastore: sizes([K3S.datastore]),
  units: unitStates(['k3s.service', 'k3s-agent.service', 'docker.service']),
  containers: shell(
    'if command -v docker >/dev/null; then timeout 20 docker ps -q | wc -l; fi',
    [],
    ({ text }) => wholeNumber(text.trim() || undefined),
  ),
  tools: RECORDED_TOOLS,
  /** Of k3s, in both roles: a purge does not know which one it was. */
  serverFiles: k3sFiles('server'),
  agentFiles: k3sFiles('agent'),
}

/** Milliseconds for adding up sizes: application data may be millions of files. */
const ADDING_UP = 20 * 60_000

/** Reads what is on a server. Changes nothing. */
export async function surveyServer(ssh: Ssh): Promise<ServerSurvey> {
  const options = { sudo: true, timeout: ADDING_UP, title: 'surveying the server' }
  return surveyOf(await readFacts(ssh, PURGE_FACTS, options))
}

/**
 * The sizes of these paths, whose names may hold anything, without those that do not exist. A path that the server
 * says nothing about counts as existing: what may be lost is never taken for absent. Pure.
 */
export function placeSizes(paths: readonly string[]) {
  const script = `for path; do
  if [ -e "$path" ] || [ -L "$path" ]; then echo "$(du -sxB1 -- "$path" | head -n 1 | cut -f 1)"; else echo absent; fi
done`
  return shell(script, paths, ({ text }) => {
    const lines = text.split('\n')
    return new Map(
      paths.flatMap((path, i) => (lines[i] === 'absent' ? [] : [[path, Number(lines[i]) || 0] as const])),
    )
  })
}

/** Reads the sizes of those of these paths that exist on a server. Changes nothing. */
export async function measurePlaces(ssh: Ssh, paths: readonly string[]): Promise<Map<string, number>> {
  if (paths.length === 0) return new Map()
  const options = { sudo: true, timeout: ADDING_UP, title: 'measuring volumes' }
  return (await readFacts(ssh, { sizes: placeSizes(paths) }, options)).sizes
}

/** What the server answered, as a survey. Pure. */
export async function surveyOf(said: ValuesOf<typeof PURGE_FACTS>): Promise<ServerSurvey> {
  const {
    paths,
    guard,
    folders,
    k3sFolders,
    datastore,
    tools: recorded,
    serverFiles,
    agentFiles,
    ...rest
  } = said
  const settings = await Promise.all(
    [serverFiles, agentFiles].map(files => effectiveSettings(settingsSources(files))),
  )
  const of = (kind: string) => guard.filter(row => row[0] === kind).map(row => row.slice(1) as string[])
  const tools = TOOL_PATHS.filter(path => recorded.includes(path))
  return {
    ...rest,
    paths: paths.filter(({ path }) => !isTool(path) || tools.includes(path)),
    elsewhere: of('elsewhere').map(([path, real]) => ({ path: path!, real: real! })),
    mounts: of('mount').map(([below, target, type, source]) => ({
      below: below!,
      target: unescaped(target!),
      type: type!,
      source: unescaped(source!),
    })),
    tools,
    folders: [
      ...folders.entries.map(entry => ({ place: `${LOCAL_STORAGE}/${entry.name}`, ...entry })),
      ...k3sFolders.entries.map(entry => ({ place: `${K3S_STORAGE}/${entry.name}`, ...entry })),
    ],
    datastore: datastore[0]?.size,
    elsewhereData: settings.map(elsewhereProblem).find(problem => problem !== undefined),
  }
}

const isTool = (path: PurgePath): path is (typeof TOOL_PATHS)[number] =>
  (TOOL_PATHS as readonly string[]).includes(path)

/** A path of /proc/…/mountinfo, in which blanks and their kin are octal. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/**
 * The mounts that have to be looked at by a person before anything may be removed. The others are those that the
 * kubelet and containerd make for pods, which end with them; what stays mounted even then is refused later.
 */
export function foreignMounts(
  { mounts }: Pick<ServerSurvey, 'mounts'>,
  options: { docker: boolean },
): Mount[] {
  return mounts.filter(({ below, target, type }) => {
    if (below === DOCKER) return options.docker && (target === DOCKER || type !== 'overlay')
    if (/^\/var\/lib\/kubelet\/(pods|plugins)\//.test(target)) return false
    return !(/^\/var\/lib\/rancher\/k3s\/agent\/containerd\//.test(target) && /^(overlay|tmpfs)$/.test(type))
  })
}
