import { asOneLine } from './printable.ts'

/** Rows as aligned columns, each cell on one line; the first row is the heading. Two spaces between columns, none at line ends. */
export function table(cells: readonly (readonly string[])[]): string {
  const rows = cells.map(row => row.map(asOneLine))
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length)
    })
  return rows
    .map(row =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
