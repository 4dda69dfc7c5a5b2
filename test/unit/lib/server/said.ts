import type { NamedFacts } from '../../../../lib/server/reader.ts'

/** What a server prints for these facts: the given outputs, and of programs that are not given that they are missing. */
export function said<F extends NamedFacts>(
  facts: F,
  outputs: { [K in keyof F]?: string | Buffer | { text: string; code: number } },
): string {
  const lines = Object.keys(facts).map(name => {
    const output = outputs[name] ?? { text: '', code: 127 }
    const { text, code } =
      typeof output === 'string' || Buffer.isBuffer(output) ? { text: output, code: 0 } : output
    return `${name} ${Buffer.concat([Buffer.from(text), Buffer.from(`\n${code}`)]).toString('base64')}`
  })
  return `${lines.join('\n')}\nend\n`
}
