/** The layout of a database that nobody has described to us, as PostgreSQL's own catalogue tells it. */
import { ExpectedError } from '../../../lib/script/errors.ts'

/** A table, `SCHEMA.TABLE`, with its columns and their types. */
export interface Table {
  name: string
  columns: Record<string, string>
  /** Its columns that refer to another table's column. */
  keys: Key[]
}

/** A reference: this table's column holds a value of that table's column. */
export interface Key {
  column: string
  table: string
  target: string
}

/** All tables of a database. */
export interface TableLayout {
  database: string
  tables: Table[]
}

/** Tables, and columns of all of them, beyond which a database is not that of a user backend. */
const MOST_COLUMNS = 5_000

const OWN = `nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'`

/**
 * Asks for everything that `tableLayoutOf` reads. The references come from pg_constraint: information_schema shows those of
 * the tables' owner alone.
 */
export const LAYOUT_SQL = `SELECT json_build_object(
  'columns', (SELECT json_agg(json_build_array(table_schema || '.' || table_name, column_name, data_type)
      ORDER BY table_schema, table_name, ordinal_position)
    FROM information_schema.columns JOIN pg_namespace ON nspname = table_schema
    JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_type = 'BASE TABLE' AND ${OWN}),
  'keys', (SELECT json_agg(json_build_array(n.nspname || '.' || c.relname, a.attname, fn.nspname || '.' || f.relname, fa.attname))
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
    JOIN pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = k.confkey[1]
    WHERE k.contype = 'f' AND cardinality(k.conkey) = 1))`

/** Asks for the databases of a server. */
export const DATABASES_SQL = `SELECT coalesce(json_agg(datname ORDER BY datname), '[]')
  FROM pg_database WHERE datallowconn AND NOT datistemplate`

/** A text of psql as JSON. Throws an ExpectedError when it is not. Pure. */
export function answerOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new ExpectedError(
      'psql in the pod of the old user backend does not answer as expected',
      'try it by hand: runbooks/upgrade-0.7.md, "Users of 0.6"',
    )
  }
}

const isTexts = (row: unknown, length: number): row is string[] =>
  Array.isArray(row) && row.length === length && row.every(cell => typeof cell === 'string')

/** The layout in an answer to LAYOUT_SQL. Throws an ExpectedError for any other answer. Pure. */
export function tableLayoutOf(database: string, text: string): TableLayout {
  const { columns, keys } = (answerOf(text) ?? {}) as { columns?: unknown; keys?: unknown }
  const rows = [columns ?? [], keys ?? []]
  const [cells, references] = rows
  if (
    !Array.isArray(cells) ||
    !Array.isArray(references) ||
    cells.length > MOST_COLUMNS ||
    !cells.every(row => isTexts(row, 3)) ||
    !references.every(row => isTexts(row, 4))
  )
    throw new ExpectedError(
      `the database ${database} does not describe its tables as expected`,
      'is it the database of the user backend? Give another one: --map database=NAME',
    )
  const tables = new Map<string, Table>()
  for (const [name, column, type] of cells as string[][]) {
    const table = tables.get(name!) ?? { name: name!, columns: Object.create(null), keys: [] }
    tables.set(name!, table)
    table.columns[column!] = type!
  }
  for (const [name, column, table, target] of references as string[][])
    if (tables.has(table!)) tables.get(name!)?.keys.push({ column: column!, table: table!, target: target! })
  return { database, tables: [...tables.values()] }
}

/** A name as SQL quotes it. Pure. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** `SCHEMA.TABLE` as SQL quotes it. Pure. */
export function quotedTable(name: string): string {
  const [schema = '', ...rest] = name.split('.')
  return `${quoted(schema)}.${quoted(rest.join('.'))}`
}
