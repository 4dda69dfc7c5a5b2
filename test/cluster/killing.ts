/** Options by which a script is killed, or held, at an exact moment of its run. */
import type { ScriptOptions } from './harness.ts'

/** Loaded into a script before its own code. */
const preload = (code: string) => ({
  NODE_OPTIONS: `--import data:text/javascript;base64,${Buffer.from(code).toString('base64')}`,
})

/**
 * Kills the process by SIGKILL at the moment when it says `text` (or what matches), before it does anything else: a
 * signal from outside would come some milliseconds into the next step.
 */
export const killedAt = (text: string | RegExp): ScriptOptions => ({
  env: preload(`
    const write = process.stderr.write
    process.stderr.write = function (chunk, ...rest) {
      const done = write.call(this, chunk, ...rest)
      const said = String(chunk)
      if (${typeof text === 'string' ? `said.startsWith(${JSON.stringify(text)})` : `${text}.test(said)`}) process.kill(process.pid, 'SIGKILL')
      return done
    }`),
})

/** Holds the process when it says `text`: it then writes the file `held`, and goes on when the file `go` exists. */
export const heldAt = (text: string, { held, go }: { held: string; go: string }): ScriptOptions => ({
  env: preload(`
    import { existsSync, writeFileSync } from 'node:fs'
    const write = process.stderr.write
    process.stderr.write = function (chunk, ...rest) {
      const done = write.call(this, chunk, ...rest)
      if (!String(chunk).startsWith(${JSON.stringify(text)})) return done
      writeFileSync(${JSON.stringify(held)}, '')
      const nothing = new Int32Array(new SharedArrayBuffer(4))
      while (!existsSync(${JSON.stringify(go)})) Atomics.wait(nothing, 0, 0, 50)
      return done
    }`),
})

/**
 * Kills the process by SIGKILL when the API server has carried out its write number `count`, before the script
 * learns of it; of those whose path matches, where a pattern is given. Dry runs, questions for rights and the lock do
 * not count.
 */
export const killedAfterWrite = (count: number, to?: RegExp): ScriptOptions => ({
  env: preload(`
    import https from 'node:https'
    import { syncBuiltinESMExports } from 'node:module'
    const request = https.request
    let left = ${count}
    https.request = (...args) => {
      const sent = request(...args)
      const { method, path } = sent
      if (method !== 'GET' && !path.includes('dryRun=') && ${to ? `${to}.test(path)` : '!/selfsubjectaccessreviews|leases/.test(path)'})
        sent.prependListener('response', () => {
          if (--left === 0) process.kill(process.pid, 'SIGKILL')
        })
      return sent
    }
    syncBuiltinESMExports()`),
})

/** Kills the process by SIGKILL when a file of this kind is written but not yet in its place. */
export const killedWriting = (ending: string): ScriptOptions => ({
  env: preload(`
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    const rename = fs.renameSync
    fs.renameSync = (from, to) => {
      if (to.endsWith(${JSON.stringify(ending)})) process.kill(process.pid, 'SIGKILL')
      rename(from, to)
    }
    syncBuiltinESMExports()`),
})
