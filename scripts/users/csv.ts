import { ExpectedError } from '../../lib/script/errors.ts'

/** Characters and rows of a file of people. */
const LARGEST = 4 << 20
const MOST_ROWS = 20_000

/**
 * The rows of a CSV file (RFC 4180, with commas), each with the line on which it begins. Throws an ExpectedError for
 * a file that is too large or has a quote in a wrong place. Linear. Pure.
 */
export function csvRows(text: string): { line: number; cells: string[] }[] {
  if (text.length > LARGEST)
    throw new ExpectedError(`the file is larger than ${LARGEST >> 20} MiB`, 'split it into smaller files')
  const rows: { line: number; cells: string[] }[] = []
  const cell = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n|$)/y
  let line = 1
  let row: { line: number; cells: string[] } = { line, cells: [] }
  cell.lastIndex = text.startsWith('\uFEFF') ? 1 : 0
  while (cell.lastIndex < text.length || row.cells.length > 0) {
    const match = cell.exec(text)
    if (!match)
      throw new ExpectedError(
        `line ${line}: a quote is in a wrong place`,
        'put the whole cell in double quotes, and double those inside',
      )
    const [all, quoted, plain = '', end] = match
    row.cells.push((quoted?.replaceAll('""', '"') ?? plain).trim())
    line += all.split('\n').length - 1
    if (end === ',') continue
    if (row.cells.some(value => value !== '')) rows.push(row)
    if (rows.length > MOST_ROWS)
      throw new ExpectedError(`the file has more than ${MOST_ROWS} rows`, 'split it into smaller files')
    row = { line, cells: [] }
  }
  return rows
}

/** Rows as CSV. Pure. */
export function csvText(rows: readonly (readonly string[])[]): string {
  const cell = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  return rows.map(row => `${row.map(cell).join(',')}\n`).join('')
}
