import type { Kubectl, KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { type ContainerPlace, runInContainer } from '../../../lib/kubectl/run-in-container.ts'
import { EXIT, ExpectedError, UsageError } from '../../../lib/script/errors.ts'
import { answerOf, DATABASES_SQL, LAYOUT_SQL, type TableLayout, tableLayoutOf } from './layout.ts'
import { hasUsers } from './mapping.ts'

/** Where 0.6 had its single sign-on. */
const NAMESPACE = 'oas'
/** What its user backend is called: chart single-sign-on, values `userbackend` (docs/helmchart.md of that chart). */
const BACKEND = /user-?backend/
/** Databases that a server has besides those of users. */
const OTHERS = /^(hydra|kratos|postgres)/

/** A way to ask one database of a container: the answer of a statement. */
export type Ask = (database: string, sql: string) => Promise<string>

/**
 * What a shell in a PostgreSQL container runs. It takes user and password from the container's own environment, as the
 * images of postgres and bitnami name them, so that neither leaves it; and the server refuses whatever would change
 * something. Arguments: database, statement.
 */
const PSQL = `p="\${POSTGRES_PASSWORD:-\${POSTGRESQL_PASSWORD:-\${POSTGRESQL_POSTGRES_PASSWORD:-}}}"
f="\${POSTGRES_PASSWORD_FILE:-\${POSTGRESQL_PASSWORD_FILE:-}}"
if [ -z "$p" ] && [ -r "$f" ]; then p=$(cat "$f"); fi
export PGPASSWORD="$p" PGCONNECT_TIMEOUT=10 PGOPTIONS='-c default_transaction_read_only=on -c statement_timeout=45000'
exec psql -X -A -t -q -w -v ON_ERROR_STOP=1 -U "\${POSTGRES_USER:-\${POSTGRESQL_USERNAME:-postgres}}" -d "$1" -c "$2"`

/** A way to ask the databases of a container. Every statement throws an ExpectedError when psql fails. */
export function askIn(kubeconfig: string, place: ContainerPlace, signal?: AbortSignal): Ask {
  return async (database, sql) => {
    const { stdout, stderr, code } = await runInContainer(
      kubeconfig,
      place,
      ['sh', '-c', PSQL, 'sh', database, sql],
      { signal },
    )
    if (code === 0) return stdout.trim()
    throw new ExpectedError(
      `psql in pod ${place.namespace}/${place.pod} (${place.container}), database ${database}, ended with ${code}: ${stderr.trim().split('\n')[0] ?? ''}`,
      'try it by hand: runbooks/upgrade-0.7.md, "Users of 0.6"; without the users: --skip-users',
    )
  }
}

/**
 * The container with the database of the old user backend; undefined when nothing of such a backend is in the cluster.
 * Throws an ExpectedError when something is, and no container, or more than one, may be it. Pure.
 */
export function backendOf(objects: readonly KubeObject[]): ContainerPlace | undefined {
  const traces = objects.filter(({ metadata }) => BACKEND.test(metadata.name))
  const all = objects
    .filter(({ kind, status }) => kind === 'Pod' && status?.phase === 'Running')
    .flatMap(containersOf)
  const own = all.filter(({ pod }) => BACKEND.test(pod))
  const [found, ...more] = own.length > 0 ? own : traces.length > 0 ? all : []
  if (found && more.length === 0) return found
  if (traces.length === 0) return undefined
  const names = [found, ...more].flatMap(place =>
    place ? [`${place.namespace}/${place.pod}/${place.container}`] : [],
  )
  throw new ExpectedError(
    found
      ? `several containers may have the database of the user backend: ${names.join(', ')}`
      : `the cluster has a user backend (${traces[0]!.kind} ${traces[0]!.metadata.name}), and no running pod with its PostgreSQL in the namespace ${NAMESPACE}`,
    'say which: --users-from NAMESPACE/POD/CONTAINER; or upgrade without the users, who are not in 0.7 then: --skip-users',
    { exitCode: EXIT.refused },
  )
}

function containersOf({ metadata, spec }: KubeObject): ContainerPlace[] {
  const containers = (spec?.containers ?? []) as { name: string; image?: string }[]
  return containers
    .filter(({ name, image }) => /postgres/i.test(image ?? '') || /postgres/i.test(name))
    .map(({ name }) => ({ namespace: metadata.namespace ?? NAMESPACE, pod: metadata.name, container: name }))
}

/** The container that `--users-from` names. Throws a UsageError. Pure. */
export function givenPlace(text: string): ContainerPlace {
  const [namespace, pod, container, ...more] = text.split('/')
  if (namespace && pod && container && more.length === 0) return { namespace, pod, container }
  throw new UsageError(
    `--users-from ${JSON.stringify(text)} is not NAMESPACE/POD/CONTAINER`,
    'name all three',
  )
}

/** Looks for the database of the old user backend in the cluster. Throws like `backendOf`. */
export async function findBackend(kubectl: Kubectl): Promise<ContainerPlace | undefined> {
  const kinds: [string, string][] = [
    ['v1', 'Pod'],
    ['v1', 'PersistentVolumeClaim'],
    ['apps/v1', 'StatefulSet'],
    ['apps/v1', 'Deployment'],
  ]
  const lists = await Promise.all(
    kinds.map(([apiVersion, kind]) => kubectl.list(apiVersion, kind, { namespace: NAMESPACE })),
  )
  return backendOf(lists.flat())
}

/** The layout of the database with the users, of those that a server has. Throws an ExpectedError without one. */
export async function readLayout(ask: Ask, wanted: string | undefined): Promise<TableLayout> {
  const layout = async (name: string) => tableLayoutOf(name, await ask(name, LAYOUT_SQL))
  if (wanted !== undefined) return layout(wanted)
  const databases = answerOf(await ask('postgres', DATABASES_SQL)) as string[]
  const names = [
    ...databases.filter(name => !OTHERS.test(name)),
    ...databases.filter(name => name === 'postgres'),
  ]
  const found: TableLayout[] = []
  for (const name of names) {
    const each = await layout(name)
    if (hasUsers(each)) found.push(each)
  }
  if (found.length === 1) return found[0]!
  const of = (list: readonly string[]) => list.join(', ') || 'none'
  throw new ExpectedError(
    found.length > 1
      ? `several databases have a table of users: ${of(found.map(({ database }) => database))}`
      : `none of the databases has a table that looks like that of the users: ${of(names)}`,
    'say which: --map database=NAME, and --map users=TABLE',
    { exitCode: EXIT.refused },
  )
}
