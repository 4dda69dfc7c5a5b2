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
  let line = 1
  let row: { line: number; cells: string[] } = { line, cells: [] }
  let at = text.startsWith('\uFEFF') ? 1 : 0
  while (at < text.length || row.cells.length > 0) {
    const start = at
    if (text[at] === '"') {
      do at = text.indexOf('"', at + 1) + 1
      while (at > 0 && text[at] === '"')
    } else while (at < text.length && !',"\r\n'.includes(text[at]!)) at++
    const raw = text.slice(start, at)
    const end = [',', '\r\n', '\n'].find(each => text.startsWith(each, at)) ?? ''
    if (at < start || (end === '' && at < text.length))
      throw new ExpectedError(
        `line ${line}: a quote is in a wrong place`,
        'put the whole cell in double quotes, and double those inside',
      )
    row.cells.push(plain((raw[0] === '"' ? raw.slice(1, -1).replaceAll('""', '"') : raw).trim()))
    at += end.length
    line += `${raw}${end}`.split('\n').length - 1
    if (end === ',') continue
    if (row.cells.some(value => value !== '')) rows.push(row)
    if (rows.length > MOST_ROWS)
      throw new ExpectedError(`the file has more than ${MOST_ROWS} rows`, 'split it into smaller files')
    row = { line, cells: [] }
  }
  return rows
}

/**
 * Rows as CSV. A cell that a spreadsheet would take for a formula begins with an apostrophe, which `csvRows` removes:
 * whoever opens an export must not run what a user has written into his name
 * (https://owasp.org/www-community/attacks/CSV_Injection). Pure.
 */
export function csvText(rows: readonly (readonly string[])[]): string {
  const cell = (given: string) => {
    const text = FORMULA.test(given) ? `'${given}` : given
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return rows.map(row => `${row.map(cell).join(',')}\n`).join('')
}

/** What begins a formula, also behind apostrophes of its own: then one more is removed again. */
const FORMULA = /^'*[=+@\t\r-]/

function plain(text: string): string {
  return text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text
}
