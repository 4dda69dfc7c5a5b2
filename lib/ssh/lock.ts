import { PassThrough } from 'node:stream'
import { EXIT, ExpectedError } from '../script/errors.ts'
import type { Ssh } from './ssh.ts'

/** Seconds without a sign of life after which the server gives the lock back. */
const LOCK_SECONDS = 60
const HEARTBEAT = 10_000

/**
 * Holds a flock(2) for as long as it reads a sign of life, at most `$3` seconds after the last one. The kernel
 * gives the lock back when this process ends, whatever ends it (a cut connection, a reboot), so no lock is
 * ever left behind, and no pid of another boot has to be judged. The name in the file is for people only.
 */
const HOLD = `
exec 9>>"$1" || exit 1
flock -n 9 || { printf 'by '; cat -- "$1"; exit 75; }
printf '%s\\n' "$2" > "$1"
echo held
while [ -n "$(timeout "$3" dd bs=1 count=1 2>/dev/null 9>&-)" ]; do :; done
: > "$1"
`

/** A lock that is held on a server. */
export interface ServerLock {
  /** Gives it back. */
  release(): Promise<void>
}

/**
 * Takes the lock of a server, so that two changing runs never work on it side by side. `holder` says who we are,
 * to whoever comes second: an ExpectedError with exit code 75 names the holder. `onLost` is called when the lock
 * ends before its release: the connection broke, or the server reboots; the run must stop then, or take it again.
 * What is run while it is held is marked as changing, for the next run to find what this one leaves behind.
 */
export async function lockServer(
  ssh: Ssh,
  options: {
    holder: string
    onLost: (why: ExpectedError) => void
    path?: string
    sudo?: boolean
    seconds?: number
  },
): Promise<ServerLock> {
  const { path = '/run/openappstack-runbooks.lock', sudo = true, seconds = LOCK_SECONDS } = options
  const input = new PassThrough()
  const beat = setInterval(() => input.write('x'), Math.min(HEARTBEAT, (seconds * 1000) / 3))
  beat.unref()
  let released = false
  const lost = (cause: unknown) =>
    new ExpectedError(
      `the lock on ${ssh.name} was lost`,
      'see whether the server is up, and who else works on it; then run the same command again',
      { exitCode: EXIT.locked, cause },
    )
  const { holding, ended } = hold(ssh, [path, options.holder, String(seconds)], input, sudo)
  let isOurs = false
  const over = ended
    .catch((error: unknown) => error)
    .then(outcome => {
      clearInterval(beat)
      if (isOurs && !released) options.onLost(lost(outcome))
    })
  await holding
  isOurs = true
  ssh.changing = true
  return {
    async release() {
      released = true
      ssh.changing = false
      clearInterval(beat)
      input.end()
      await over
    },
  }
}

/** Starts the holder: `holding` resolves when it has the lock, `ended` settles when it has ended. */
function hold(ssh: Ssh, args: string[], input: PassThrough, sudo: boolean) {
  let isHeld: () => void = () => {}
  const held = new Promise<void>(resolve => {
    isHeld = resolve
  })
  let said = ''
  const ended = ssh.exec(['sh', '-c', HOLD, 'sh', ...args], {
    sudo,
    input,
    timeout: 0,
    title: 'taking the lock',
    onStdout: text => {
      said += text
      if (said === 'held\n') isHeld()
    },
  })
  const refused = ended.then(({ code, stdout, stderr }) => {
    if (code === 75)
      throw new ExpectedError(
        `another run holds the lock on ${ssh.name}: ${stdout.toString().slice(3).trim() || 'it did not say its name'}`,
        `wait for its end; if it was cut off, the lock is free ${args[2]} s after`,
        { exitCode: EXIT.locked },
      )
    throw new ExpectedError(
      `the lock on ${ssh.name} could not be taken: ${stderr.toString().trim().split('\n').at(-1)}`,
      'check the rights of the user and that the server has util-linux (flock)',
    )
  })
  return { holding: Promise.race([held, refused]), ended }
}
