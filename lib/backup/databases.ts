/**
 * The databases that releases bring, known by the hook that dumps them before a backup: how their rows are counted, and
 * how a dump is loaded. Everything runs in the container that dumps; passwords stay in its environment.
 */

/** A kind of database. Its scripts are for `sh -c`. */
export interface DatabaseKind {
  name: string
  /** Writes one line for each table: its name, a tab, its rows. Changes nothing. */
  count: string
  /** Replaces what the server has by the dump that the hook has written. Ends with 4 when there is no whole dump. */
  load: string
}

const MARIADB: DatabaseKind = {
  name: 'MariaDB',
  count: `set -e
export MYSQL_PWD="$MARIADB_ROOT_PASSWORD"
q=$(mariadb --user=root -N -B -r -e "select concat('select ', quote(concat(table_schema, '.', table_name)), ', count(*) from ',
  char(96), replace(table_schema, char(96), repeat(char(96), 2)), char(96), '.',
  char(96), replace(table_name, char(96), repeat(char(96), 2)), char(96), ';') from information_schema.tables
  where table_type = 'BASE TABLE' and table_schema not in ('mysql', 'sys', 'performance_schema')")
printf '%s\\n' "$q" | mariadb --user=root -N -B`,
  load: `set -e
cd /var/lib/mysql
[ -f velero-dump.sql ] && tail -n 1 velero-dump.sql | grep -q Dump.completed || exit 4
export MYSQL_PWD="$MARIADB_ROOT_PASSWORD"
mariadb --user=root < velero-dump.sql
mariadb --user=root -e 'flush privileges'`,
}

/** Without a password: the image trusts its own socket, as the hook does. */
const PSQL = 'psql -X -A -t -q -w -v ON_ERROR_STOP=1 -U postgres'

const POSTGRESQL: DatabaseKind = {
  name: 'PostgreSQL',
  count: `set -e
d=$(${PSQL} -d postgres -c "select datname from pg_database where datallowconn and not datistemplate order by 1")
printf '%s\\n' "$d" | while IFS= read -r each; do
  ${PSQL} -F "$(printf '\\t')" -d "$each" -c "select current_database() || '.' || schemaname || '.' || tablename,
    (xpath('/row/c/text()', query_to_xml(format('select count(*) as c from %I.%I', schemaname, tablename), false, true, '')))[1]
    from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1" || exit 1
done`,
  // The dump creates its databases and roles: databases go first, and a role that exists stays. psql goes on after an
  // error and then ends with 0; a lost connection ends it, and is not an `ERROR:`. Either way the dump is not loaded.
  load: `set -e
cd /var/lib/postgresql/data
[ -f dump.sql ] && tail -n 10 dump.sql | grep -q cluster.dump.complete || exit 4
d=$(${PSQL} -d postgres -c "select format('drop database %I with (force)', datname) from pg_database where not datistemplate and datname <> 'postgres'")
printf '%s\\n' "$d" | while IFS= read -r each; do [ -z "$each" ] || ${PSQL} -d postgres -c "$each" || exit 1; done
e=$({ psql -X -q -w -U postgres -d postgres -f dump.sql 2>&1 >/dev/null || echo "FATAL: psql has ended with $?"; } |
  grep -E 'ERROR:|FATAL:|PANIC:| error: ' | grep -v 'role ".*" already exists' | head -n 3) || true
[ -z "$e" ] || { printf '%s\\n' "$e" >&2; exit 1; }`,
}

/** A connection of mongosh to the server beside it, with the password from the environment. */
const MONGO = `const { MONGO_INITDB_ROOT_USERNAME: u, MONGO_INITDB_ROOT_PASSWORD: p } = process.env
const admin = connect("mongodb://" + encodeURIComponent(u) + ":" + encodeURIComponent(p) + "@127.0.0.1/admin")`

const MONGODB: DatabaseKind = {
  name: 'MongoDB',
  count: `exec mongosh --nodb --quiet --norc --eval '${MONGO}
for (const { name } of admin.adminCommand({ listDatabases: 1 }).databases)
  if (!["admin", "config", "local"].includes(name))
    for (const each of admin.getSiblingDB(name).getCollectionInfos({ type: "collection" }))
      print(name + "." + each.name + "\\t" + admin.getSiblingDB(name).getCollection(each.name).countDocuments({}))'`,
  load: `set -e
cd /data/db
[ -f velero-dump.archive ] && tail -c 4 velero-dump.archive | od -An -tx4 | grep -q ffffffff || exit 4
printf 'password: %s\\n' "$MONGO_INITDB_ROOT_PASSWORD" | mongorestore --quiet --config=/dev/stdin --username="$MONGO_INITDB_ROOT_USERNAME" --authenticationDatabase=admin --drop --nsExclude='admin.*' --nsExclude='config.*' --archive=velero-dump.archive`,
}

const SQLITE: DatabaseKind = {
  name: 'SQLite',
  count: `exec python3 -c '
import glob, sqlite3
for path in sorted(glob.glob("/state/*.sqlite")):
    base = sqlite3.connect("file:" + path + "?mode=ro", uri=True)
    for (name,) in base.execute("select name from sqlite_master where type = \\"table\\" order by 1").fetchall():
        quoted = name.replace(chr(34), chr(34) * 2)
        print(path.split("/")[-1] + "." + name, base.execute("select count(*) from \\"" + quoted + "\\"").fetchone()[0], sep="\\t")'`,
  load: `exec python3 -c '
import glob, os, sqlite3, sys
paths = glob.glob("/state/*.velero-dump")
if not paths:
    sys.exit(4)
for path in paths:
    source = sqlite3.connect(path)
    if source.execute("pragma quick_check").fetchone()[0] != "ok":
        sys.exit(4)
    target = sqlite3.connect(path[: -len(".velero-dump")], timeout=60)
    source.backup(target)
    target.close()'`,
}

/** Annotations of a pod that begin so have Velero run something in it before it copies the volumes. */
export const HOOK = 'pre.hook.backup.velero.io'

/** What the hook of each kind runs (flux2/apps, flux2/core/single-sign-on). */
const HOOKS: readonly [RegExp, DatabaseKind][] = [
  [/\bmariadb-dump\b/, MARIADB],
  [/\bpg_dumpall\b/, POSTGRESQL],
  [/\bmongodump\b/, MONGODB],
  [/os\.environ\[\\?"DUMP\\?"\]/, SQLITE],
]

/** The kind of database that the hook of a pod dumps; undefined for another hook, or none. Pure. */
export function databaseOf(hook: string | undefined): DatabaseKind | undefined {
  return HOOKS.find(([command]) => command.test(hook ?? ''))?.[1]
}

/** The rows by table of what a `count` has written. Lines of another form are left out. Pure. */
export function tablesOf(text: string): Record<string, number> {
  const tables: Record<string, number> = {}
  for (const line of text.split('\n').slice(0, MOST_TABLES)) {
    const at = line.lastIndexOf('\t')
    const rows = Number(line.slice(at + 1))
    if (at > 0 && Number.isSafeInteger(rows)) tables[line.slice(0, at)] = rows
  }
  return tables
}

/** Tables of one server that are counted: a site with more is not one of this platform. */
const MOST_TABLES = 5000
