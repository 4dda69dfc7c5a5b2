import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, type Log } from '../../../../lib/script/log.ts'
import { printable } from '../../../../lib/script/printable.ts'
import { registerSecret } from '../../../../lib/script/redact.ts'
import { table } from '../../../../lib/script/table.ts'

interface Terminal {
  tty?: boolean
  columns?: number
  env?: Record<string, string>
  json?: boolean
  verbose?: boolean
}

/** What `work` makes a log write to both streams. */
async function written(options: Terminal, work: (log: Log) => void): Promise<{ out: string; err: string }> {
  const { stdout, stderr } = process
  const saved = { out: stdout.write, err: stderr.write, tty: stderr.isTTY, columns: stderr.columns }
  const env = { ...process.env }
  const text = { out: '', err: '' }
  delete process.env.NO_COLOR
  delete process.env.FORCE_COLOR
  process.env.TERM = 'xterm'
  Object.assign(process.env, options.env)
  stderr.isTTY = options.tty ?? false
  stderr.columns = options.columns ?? 80
  stdout.write = ((chunk: string) => {
    text.out += chunk
    return true
  }) as typeof stdout.write
  stderr.write = ((chunk: string) => {
    text.err += chunk
    return true
  }) as typeof stderr.write
  try {
    work(await createLog({ verbose: options.verbose ?? false, json: options.json ?? false }))
  } finally {
    stdout.write = saved.out
    stderr.write = saved.err
    stderr.isTTY = saved.tty
    stderr.columns = saved.columns
    // The object itself stays: others hold it.
    for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name]
    Object.assign(process.env, env)
  }
  return text
}
const everything = (log: Log) => {
  log.info('i')
  log.ok('o')
  log.warn('w')
  log.error('e')
  log.detail('d')
  log.print('p')
}

test('progress goes to stderr, results to stdout, details only with --verbose', async () => {
  assert.equal(await written({}, everything), { out: 'p\n', err: 'i\n✓ o\n! w\n✗ e\n' })
  assert.match((await written({ verbose: true }, everything)).err, 'd\n')
})

test('with --json stdout is left to the document', async () => {
  assert.is((await written({ json: true }, everything)).out, '')
})

test('colours on a terminal, and none with NO_COLOR or in a file', async () => {
  assert.match((await written({ tty: true }, everything)).err, '\x1b[32m')
  for (const options of [{ tty: true, env: { NO_COLOR: '1', FORCE_COLOR: '1' } }, { tty: false }])
    assert.not.match((await written(options, everything)).err, '\x1b')
  // https://no-color.org: an empty value is as good as none.
  assert.match((await written({ tty: true, env: { NO_COLOR: '' } }, everything)).err, '\x1b[32m')
  assert.match((await written({ env: { FORCE_COLOR: '1' } }, everything)).err, '\x1b[32m')
})

test('every stream is redacted, a line that replaces itself too', async () => {
  registerSecret('log-secret-value')
  const texts = (tty: boolean) =>
    written({ tty, verbose: true, columns: 30 }, log => {
      for (const line of [log.info, log.ok, log.warn, log.error, log.detail, log.print])
        line('log-secret-value')
      // Cut at the edge of the terminal, half of a secret would be left.
      log.progress(`${'x'.repeat(15)} log-secret-value`)
    })
  for (const { out, err } of [await texts(true), await texts(false)]) {
    assert.not.match(out + err, 'log-se')
    assert.is((out + err).split('***').length, 8)
  }
})

test('progress that does not change is printed once where there is no terminal', async () => {
  const { err } = await written({}, log => {
    for (const text of ['1 of 2', '1 of 2', '2 of 2', '2 of 2']) log.progress(text)
  })
  assert.is(err, '1 of 2\n2 of 2\n')
})

test('progress replaces itself on a terminal, within one row, and is cleared before the next line', async () => {
  const { err } = await written({ tty: true, columns: 24 }, log => {
    log.progress('a'.repeat(100))
    log.progress('b')
    log.info('end')
  })
  assert.is(err, `${'a'.repeat(23)}\r\x1b[2Kb\r\x1b[2Kend\n`)
  assert.is((await written({ tty: true, env: { TERM: 'dumb' } }, log => log.progress('x'))).err, 'x\n')
})

test('no text of others is obeyed by a terminal, whichever way it goes', async () => {
  const hostile = 'a\x1b]52;c;AAAA\x07\x9b2J\x1b[31m\u202eb\n✓ forged'
  const shown = 'a\\x1b]52;c;AAAA\\x07\\x9b2J\\u202eb'
  for (const tty of [true, false]) {
    const { out, err } = await written({ tty, verbose: true, columns: 200 }, log => {
      for (const line of [
        log.info,
        log.ok,
        log.warn,
        log.error,
        log.detail,
        log.heading,
        log.dim,
        log.progress,
      ])
        line(hostile)
      log.print(log.colour.red(hostile))
    })
    assert.is(err.split(`${shown} ✓ forged`).length, 9, err)
    assert.is(out, `${shown}\n✓ forged\n`)
    // The styles of the log itself and its own clearing of a line are all that is left.
    const own = ['\r\x1b[2K', ...[1, 2, 22, 31, 32, 33, 39].map(code => `\x1b[${code}m`)]
    const rest = own.reduce((text, code) => text.replaceAll(code, ''), err)
    assert.is(rest, printable(rest))
  }
})

test('a style is what the log gave, and no mark of it is left', async () => {
  const show = (log: Log) => {
    log.print(`${log.colour.green('g')}${log.colour.red('')} plain ${log.colour.yellow('y')}`)
  }
  assert.is(
    (await written({ env: { FORCE_COLOR: '1' } }, show)).out,
    '\x1b[32mg\x1b[39m plain \x1b[33my\x1b[39m\n',
  )
  assert.is((await written({}, show)).out, 'g plain y\n')
})

test('a line of progress is bounded', async () => {
  // Of two letters: a text of one is a secret of another file that runs in this process.
  const { err } = await written({}, log => log.warn('ab'.repeat(50_000)))
  assert.is(err, `! ${'ab'.repeat(2000).slice(0, -1)}…\n`)
})

test('a table aligns its columns and leaves no blanks at line ends', async () => {
  assert.is(
    table([['NAME', 'STATE', ''], ['a', 'ready', 'x'], ['longer', 'no', ''], ['row']]),
    'NAME    STATE\na       ready  x\nlonger  no\nrow',
  )
  assert.is(table([['a\nb', 'c']]), 'a b  c')
  assert.is(table([]), '')
})

test.run()
