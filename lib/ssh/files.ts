import { randomBytes } from 'node:crypto'
import { chmodSync, createReadStream, createWriteStream, statSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { again, failed } from './errors.ts'
import type { Ssh } from './ssh.ts'

/** Reads all of stdin; what a cut connection leaves is too short, and is thrown away. */
const UPLOAD = `
set -e
umask 077
temporary=$(mktemp -- "$1.XXXXXX.tmp")
trap 'rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT PIPE TERM
cat > "$temporary"
[ "$(wc -c < "$temporary")" -eq "$3" ] || { echo 'not all of it arrived' >&2; exit 1; }
chmod -- "$2" "$temporary"
sync -- "$temporary"
mv -T -- "$temporary" "$1"
trap - EXIT
`

/** How a file is transferred. */
export interface TransferOptions {
  sudo?: boolean
  /** Milliseconds for the whole. */
  timeout?: number
}

/** `Ssh.upload` */
export async function upload(
  ssh: Ssh,
  content: string | Buffer | { file: string },
  path: string,
  options: TransferOptions & { mode: number },
): Promise<void> {
  const isFile = typeof content === 'object' && 'file' in content
  const data = isFile ? undefined : Buffer.from(content)
  const size = isFile ? statSync(content.file).size : data!.length
  await ssh.sh(UPLOAD, [path, options.mode.toString(8), String(size)], {
    input: isFile ? createReadStream(content.file) : data,
    sudo: options.sudo,
    timeout: options.timeout,
    title: `upload of ${path}`,
    fix: `check the folder, its rights and the free space on the server (df -h), ${again}; the file is as it was`,
  })
}

/** `Ssh.download` */
export async function download(ssh: Ssh, path: string, options: TransferOptions): Promise<Buffer> {
  const command = ['cat', '--', path] as const
  const named = { ...options, title: `download of ${path}` }
  const result = await ssh.exec(command, named)
  if (result.code !== 0) throw failed(ssh.name, command, named, result)
  return result.stdout
}

/** `Ssh.downloadTo` */
export async function downloadTo(
  ssh: Ssh,
  path: string,
  local: string,
  options: TransferOptions & { mode: number },
): Promise<void> {
  const temporary = `${local}.${randomBytes(6).toString('hex')}.tmp`
  const stdout = createWriteStream(temporary, { flags: 'wx', mode: options.mode, flush: true })
  try {
    await ssh.run(['cat', '--', path], { ...options, stdout, title: `download of ${path}` })
    await new Promise<void>((resolve, reject) => {
      stdout.once('error', reject)
      stdout.end(resolve)
    })
    chmodSync(temporary, options.mode)
    await rename(temporary, local)
  } catch (error) {
    stdout.destroy()
    await rm(temporary, { force: true })
    throw error
  }
}
