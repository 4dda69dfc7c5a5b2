import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { DOWNLOADS } from '../../lib/k3s/k3s.ts'
import { type Artifact, checksumIn, fileNameOf, mirrored } from '../../lib/k3s/releases.ts'
import { BodyTooLarge, bodyText } from '../../lib/script/body.ts'
import { codeOf, ExpectedError, messageOf } from '../../lib/script/errors.ts'
import { privateFolder } from '../../lib/script/files.ts'
import { sizeText } from '../../lib/script/size.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'

/** Milliseconds that one download or upload may take: 200 MB over a slow line. */
const LIMIT = 30 * 60_000
/** Bytes of a download: the largest, the images of k3s, have a fifth of it. */
const LARGEST = 1 << 30
/** Exit code of the scripts below for a wrong checksum. */
const MISMATCH = 65

/** An artifact whose checksum is known. */
export type VerifiableArtifact = Artifact & { sha256: string }

/** Where releases come from. */
export interface DownloadSource {
  /** The artifact with its checksum, which is looked up where it is not recorded. */
  known(artifact: Artifact): Promise<VerifiableArtifact>
  /** Brings it into the folder of downloads on a server, verified. Resolves with 'unchanged' when it is there. */
  bring(ssh: Ssh, artifact: VerifiableArtifact): Promise<'unchanged' | undefined>
  /** The commands that do the same by hand. */
  byHand(artifact: Artifact, server: string): string
}

/** Where an artifact lies on a server once it was brought there. */
export function downloadOf(artifact: Artifact): string {
  // Without its version an old download would pass for a new one until its checksum is looked at.
  return `${DOWNLOADS}/${artifact.name}-${artifact.version}-${artifact.file}`
}

/**
 * Downloads to a temporary neighbour, verifies, renames. A download that lost its run is still waited for: it
 * holds the lock. Arguments: folder, file, checksum, URL; without a URL it only looks whether the file is there.
 */
const DOWNLOAD = `
set -e
umask 077
mkdir -p -m 0700 -- "$1"
cd -- "$1"
is() { [ "$(sha256sum < "$1" | cut -c1-64)" = "$2" ]; }
exec 9>> "$2.lock"
flock -w 1500 9
if [ -f "$2" ] && is "$2" "$3"; then echo present; exit 0; fi
[ -n "$4" ] || exit 0
rm -f -- "$2" "$2".*.part
temporary=$2.$$.part
trap 'rm -f -- "$temporary"' EXIT
trap 'exit 1' HUP INT PIPE TERM
if command -v curl > /dev/null; then
  curl -fsSL --proto =https --proto-redir =https --retry 2 --connect-timeout 20 --speed-limit 1000 --speed-time 60 -o "$temporary" -- "$4"
elif command -v wget > /dev/null; then wget -q --https-only --tries=2 --timeout=60 -O "$temporary" -- "$4"
else echo 'neither curl nor wget is installed' >&2; exit 1
fi
is "$temporary" "$3" || { sha256sum < "$temporary" | cut -c1-64; exit ${MISMATCH}; }
sync -- "$temporary"
mv -T -- "$temporary" "$2"
trap - EXIT
`

/** Prints what is behind a URL. */
const PRINT = `
if command -v curl > /dev/null; then curl -fsSL --proto =https --proto-redir =https --retry 2 --connect-timeout 20 --max-time 60 -- "$1"
else wget -q --https-only --tries=2 --timeout=30 -O - -- "$1"
fi
`

/** The server downloads by itself. `ssh` is the one that looks up checksums. */
export function serverSource(ssh: Ssh, mirror: string | undefined): DownloadSource {
  return {
    known: artifact =>
      withChecksum(artifact, url =>
        ssh.sh(PRINT, [mirrored(url, mirror)], { ...cannot(ssh, url), sudo: true }),
      ),
    async bring(to, artifact) {
      const url = mirrored(artifact.url, mirror)
      return place(to, artifact, url, cannot(to, url))
    },
    byHand: ({ url, file }) => `curl -fLO ${mirrored(url, mirror)} && sha256sum ${file}`,
  }

  function cannot(to: Ssh, url: string) {
    const { host } = new URL(mirrored(url, mirror))
    return {
      title: `download of ${fileNameOf(url)}`,
      fix: `see whether ${to.settings.hostName} reaches ${host}, and that the release exists; without internet there: --upload or --airgap DIR`,
    }
  }
}

/** Downloads on this machine, which are uploaded. They are kept for the next server. */
export function uploadSource(mirror: string | undefined): DownloadSource {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openappstack', 'releases')
  return {
    known: artifact => withChecksum(artifact, async url => bodyText(await response(mirrored(url, mirror)))),
    async bring(ssh, artifact) {
      if ((await place(ssh, artifact, '')) === 'unchanged') return 'unchanged'
      privateFolder(folder)
      const file = join(folder, `${artifact.name}-${artifact.version}-${artifact.file}`)
      if (!existsSync(file) || (await sha256Of(file)) !== artifact.sha256)
        await downloadHere(artifact, mirrored(artifact.url, mirror), file)
      return upload(ssh, artifact, file)
    },
    byHand: ({ url, file }, server) =>
      `curl -fLO ${mirrored(url, mirror)} && sha256sum ${file} && scp ${file} ${server}:`,
  }
}

/** Files in a folder of this machine, called as in the release. */
export function folderSource(folder: string): DownloadSource {
  return {
    known: artifact =>
      withChecksum(artifact, async url => readFileSync(inFolder(folder, fileNameOf(url)), 'utf8')),
    async bring(ssh, artifact) {
      const file = inFolder(folder, artifact.file)
      const sum = await sha256Of(file)
      if (sum !== artifact.sha256) throw mismatch(artifact, file, sum)
      return upload(ssh, artifact, file)
    },
    byHand: ({ file }, server) => `sha256sum ${join(folder, file)} && scp ${join(folder, file)} ${server}:`,
  }
}

function inFolder(folder: string, file: string): string {
  const path = join(folder, file)
  if (existsSync(path)) return path
  throw new ExpectedError(
    `${path} is not there`,
    'put all files there that the runbook page names for --airgap',
  )
}

/** An artifact with the checksum that is recorded, or else the one that its release tells. */
async function withChecksum(
  artifact: Artifact,
  read: (url: string) => Promise<string>,
): Promise<VerifiableArtifact> {
  const { sha256, checksums } = artifact
  if (sha256) return { ...artifact, sha256 }
  const found = checksumIn(await read(checksums!), artifact.file)
  if (found) return { ...artifact, sha256: found }
  throw new ExpectedError(
    `${checksums} has no checksum of ${artifact.file}`,
    'check the version: it has to be a release, with exactly this file',
  )
}

/** Looks for the artifact on a server, and downloads it there when a URL is given. */
async function place(
  ssh: Ssh,
  artifact: VerifiableArtifact,
  url: string,
  texts: { title?: string; fix?: string } = {},
): Promise<'unchanged' | undefined> {
  const path = downloadOf(artifact)
  const args = [DOWNLOADS, path.slice(DOWNLOADS.length + 1), artifact.sha256, url]
  const { failed } = await import('../../lib/ssh/ssh.ts')
  const command = ['sh', '-c', DOWNLOAD, 'sh', ...args] as const
  const options = { title: `looking for ${artifact.file}`, ...texts, sudo: true, timeout: LIMIT }
  const result = await ssh.exec(command, options)
  if (result.code === MISMATCH) throw mismatch(artifact, url, result.stdout.toString().trim())
  if (/curl: \(23\)/.test(result.stderr.toString()))
    throw new ExpectedError(
      `${artifact.file} cannot be written to ${DOWNLOADS} on ${ssh.name}`,
      'free some disk space there (df -h), then run the same command again',
    )
  if (result.code !== 0) throw failed(ssh.name, command, options, result)
  return result.stdout.toString().startsWith('present') ? 'unchanged' : undefined
}

async function upload(
  ssh: Ssh,
  artifact: VerifiableArtifact,
  file: string,
): Promise<'unchanged' | undefined> {
  if ((await place(ssh, artifact, '')) === 'unchanged') return 'unchanged'
  await ssh.upload({ file }, downloadOf(artifact), { mode: 0o600, sudo: true, timeout: LIMIT })
  if ((await place(ssh, artifact, '')) === 'unchanged') return undefined
  throw new ExpectedError(
    `${artifact.file} arrived on ${ssh.name} with another checksum than it has here`,
    'run the same command again; if it stays so, check disk and memory of the server',
  )
}

async function downloadHere(artifact: VerifiableArtifact, url: string, file: string): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  const hash = createHash('sha256')
  let size = 0
  const tap = new Transform({
    transform(chunk, _encoding, done) {
      hash.update(chunk)
      size += chunk.length
      done(size > LARGEST ? new BodyTooLarge(`it is larger than ${sizeText(LARGEST)}`) : null, chunk)
    },
  })
  try {
    const { body } = await response(url)
    const to = createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true })
    await pipeline(Readable.fromWeb(body as import('node:stream/web').ReadableStream), tap, to)
    const sum = hash.digest('hex')
    if (sum !== artifact.sha256) throw mismatch(artifact, url, sum)
    renameSync(temporary, file)
  } catch (error) {
    throw error instanceof ExpectedError ? error : unreachable(url, error)
  } finally {
    rmSync(temporary, { force: true })
  }
}

async function response(url: string): Promise<Response> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(LIMIT) })
    if (!answer.ok || !answer.body) throw new Error(`HTTP ${answer.status}`)
    return answer
  } catch (error) {
    throw unreachable(url, error)
  }
}

function unreachable(url: string, cause: unknown): ExpectedError {
  return new ExpectedError(
    `${url} cannot be downloaded: ${codeOf(cause) ?? messageOf(cause)}`,
    'see whether this machine reaches it, and that the release exists; --mirror URL takes it from elsewhere, --airgap DIR from a folder',
    { cause },
  )
}

/** The SHA-256 checksum of a local file. */
export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

function mismatch(artifact: VerifiableArtifact, from: string, sum: string): ExpectedError {
  return new ExpectedError(
    `${artifact.file} ${artifact.version} from ${from} has the checksum ${sum}, not ${artifact.sha256}`,
    'do not use it: it was cut short or is not the release; try again, or check the list of releases',
  )
}
