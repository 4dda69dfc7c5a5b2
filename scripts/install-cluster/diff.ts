import { diffArrays } from 'diff'

/** What changes between two texts, line by line: `+ ` added, `- ` removed, `  ` in both. Empty for equal texts. Pure. */
export function diffLines(before: string, after: string): string[] {
  if (before === after) return []
  return diffArrays(linesOf(before), linesOf(after)).flatMap(({ added, removed, value }) =>
    value.map(line => `${added ? '+' : removed ? '-' : ' '} ${line}`),
  )
}

function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n')
}
