import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import semver from 'semver'
import { codeOf, ExpectedError } from '../../../lib/script/errors.ts'
import { BED, readGoMod } from './programs.ts'
import { run } from './shell.ts'

/**
 * What the user's environment must not change about a build: no workspace, no C compiler, no flags of their
 * own. Where modules come from (GOPROXY, GOMODCACHE, GOSUMDB) stays theirs.
 */
export const GO_ENVIRONMENT = { GOWORK: 'off', CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' }

const getGo = (wanted: string) =>
  `install Go ${wanted} or later from https://go.dev/dl/ (Debian: \`apt install golang\` where it is new enough) and add \`go\` to PATH, or give --bin-dir DIR with the programs`

/** The version of Go that a go.mod asks for. Pure. */
export function wantedGo(goMod: string): string {
  return /^go (\S+)$/m.exec(goMod)?.[1] ?? ''
}

/** Go's version, like go1.26.8. Throws when there is none, or when it is too old and may not fetch a newer one. */
export async function goVersion(): Promise<string> {
  const wanted = wantedGo(readGoMod())
  let version: string
  try {
    // Outside the module: inside of it an old Go would fail, or download a newer one before we have said so.
    version = await run('go', ['env', 'GOVERSION'], { cwd: '/', env: GO_ENVIRONMENT, fix: getGo(wanted) })
  } catch (error) {
    throw new ExpectedError('Go is not installed; it builds the programs of the sandbox', getGo(wanted), {
      cause: error,
    })
  }
  const old = semver.lt(semver.coerce(version) ?? '0.0.0', semver.coerce(wanted) ?? '0.0.0')
  if (!old) return version
  // From 1.21 on, Go fetches the version that a go.mod asks for by itself, unless that is switched off.
  return await run('go', ['env', 'GOVERSION'], { cwd: BED, env: GO_ENVIRONMENT, timeout: 600_000 }).catch(
    error => {
      throw new ExpectedError(`${version} is too old: Go ${wanted} is needed`, getGo(wanted), {
        cause: error,
      })
    },
  )
}

/** Runs Go in a module of the bed and hands every line of its output to `line`. Throws with its last lines. */
export function runGo(
  args: readonly string[],
  options: { cwd: string; env: Record<string, string>; line: (line: string) => void; signal?: AbortSignal },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('go', args, {
      cwd: options.cwd,
      env: { ...process.env, ...GO_ENVIRONMENT, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: options.signal,
    })
    const last: string[] = []
    const take = (line: string) => {
      last.push(line)
      if (last.length > 5) last.shift()
      options.line(line)
    }
    createInterface({ input: child.stdout }).on('line', take)
    createInterface({ input: child.stderr }).on('line', take)
    child.on('error', error =>
      reject(codeOf(error) === 'ABORT_ERR' ? (options.signal?.reason ?? error) : error),
    )
    child.on('close', code => {
      if (code === 0) resolve()
      else
        reject(
          new ExpectedError(
            `\`go ${args[0]}\` failed: ${last.join(' | ') || `exit code ${code}`}`,
            'check the network, GOPROXY (`go env GOPROXY`) and the free disk space, then run this again: it continues',
          ),
        )
    })
  })
}
