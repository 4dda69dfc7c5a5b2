import { existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { newIdentity, recipientsOf } from '../../lib/age/keys.ts'
import { recipientsFile } from '../../lib/age/remembered.ts'
import { lockFolder } from '../../lib/platform/folder-lock.ts'
import { EXIT, ExpectedError, UsageError } from '../../lib/script/errors.ts'
import { writeFileAtomic } from '../../lib/script/files.ts'
import { quote } from '../../lib/script/quote.ts'
import { sizeText } from '../../lib/script/size.ts'
import { connectServer, holdServer } from '../../lib/server/server.ts'
import { identityProblem, knownIdentity, readIdentity } from '../../lib/server/server-identity.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { K3S_COPY, writeArchive } from './archive.ts'
import type { ArchiveRun } from './flags.ts'
import { archiveSourcesOf, folderFiles } from './folder.ts'
import { contentOfCopy, copyK3s, type K3sState, readK3sState, removeCopy } from './k3s.ts'
import { archiveName, backupsOf, storeArchive } from './store.ts'

/** Bytes that stay free on a server beside the copy of k3s. */
const SPARE = 64 << 20

/** Makes an archive of the cluster folder, with the state of k3s unless told otherwise. */
export async function archiveCluster(run: ArchiveRun): Promise<void> {
  const { cluster, log } = run
  const keyFile = run.flags['new-identity']
  const fresh = keyFile === undefined ? undefined : await newIdentity()
  if (keyFile !== undefined) refuseKeyFile(keyFile, run)
  const recipient = [...run.flags.recipient, ...(fresh ? [fresh.recipient] : [])]
  const to = await recipientsOf({ ...run.flags, recipient }, recipientsFile(cluster))
  if (run.flags.remember && !('recipients' in to))
    throw new UsageError('a passphrase is never remembered', 'leave out --remember')
  const folder = resolve(run.flags.output ?? backupsOf(cluster))
  const files = folderFiles(cluster, text => log.warn(text))

  const ssh = run.flags['skip-server'] ? undefined : await connectServer(run)
  const state = ssh && (await survey(run, ssh))
  const now = new Date()
  const shown = 'recipients' in to ? `to ${to.recipients.join(', ')}` : 'with a passphrase'
  const plan = [
    ...(keyFile === undefined ? [] : [`write a new identity to ${keyFile}`]),
    ...(run.flags.remember ? [`remember the recipients in ${recipientsFile(cluster)}`] : []),
    ...(ssh && state
      ? [
          `copy the state of k3s ${state.version} on ${ssh.name} (${sizeText(state.size)}): k3s is stopped for some seconds, applications keep running`,
        ]
      : []),
    `archive ${files.length} files of ${cluster.folder}${ssh ? ' and that copy' : ''}, encrypted ${shown}`,
    `verify it, and name it ${folder}/${archiveName(cluster, now)}`,
  ]
  if (!(await run.agree(plan, ssh ? 'Stop k3s for a moment and back up?' : 'Back up?'))) return

  const unlock = lockFolder(cluster.folder)
  run.onEnd(async () => unlock())
  if (keyFile !== undefined && fresh)
    await run.step('Identity', `age-keygen -o ${keyFile}`, async () => {
      writeFileAtomic(keyFile, fresh.text)
      return `keep ${keyFile} somewhere else: without it nobody can open the archives`
    })
  if (run.flags.remember && 'recipients' in to)
    await run.step('Recipients', undefined, async () => {
      writeFileAtomic(recipientsFile(cluster), `${to.recipients.join('\n')}\n`)
      return undefined
    })
  let copy: { size: number; sha256: string } | undefined
  if (ssh) {
    await holdServer(ssh, run)
    run.onEnd(() => removeCopy(ssh))
    await run.step('Copy of k3s', 'systemctl stop k3s; tar -cf k3s.tar …; systemctl start k3s', async () => {
      copy = await copyK3s(ssh, run.signal)
      return sizeText(copy.size)
    })
  }
  await run.step('Archive', 'tar -c … | age -r RECIPIENT > FILE', async () => {
    const about = {
      cluster: cluster.name,
      createdAt: now.toISOString(),
      ...(ssh && state ? { server: { name: ssh.name, k3s: state.version, node: state.node } } : {}),
    }
    async function* sources() {
      yield* archiveSourcesOf(
        cluster,
        folderFiles(cluster, () => {}),
      )
      if (ssh && copy)
        yield { path: K3S_COPY, mode: 0o600, size: copy.size, content: contentOfCopy(ssh, copy.sha256) }
    }
    const stored = await storeArchive(cluster, folder, now, to, writeArchive(about, sources()))
    run.result = { file: stored.file, size: stored.size, sha256: stored.sha256, server: stored.server }
    return `${stored.file}, ${sizeText(stored.size)}, verified`
  })
  run.next([
    'an archive on the same disk as the folder goes with it: take a copy to another place',
    `npx tsx scripts/backup-cluster-dir.ts --cluster ${cluster.name} --list${run.flags.output === undefined ? '' : ` --output ${quote(folder)}`}`,
  ])
}

/** Looks at the k3s of the server. Throws what stands in the way of copying it. */
async function survey({ cluster }: ArchiveRun, ssh: Ssh): Promise<K3sState> {
  const problem = identityProblem(await readIdentity(ssh), await knownIdentity(cluster))
  if (problem)
    throw new ExpectedError(
      `${ssh.name} is not the server of ${cluster.name}: ${problem}`,
      'correct inventory.yml, or back up the folder alone: --skip-server',
      { exitCode: EXIT.refused },
    )
  const state = await readK3sState(ssh)
  if (state.free < state.size * 1.1 + SPARE)
    throw new ExpectedError(
      `the copy of k3s needs ${sizeText(state.size)} on ${ssh.name}, and /var has ${sizeText(state.free)} left`,
      'free some space there (df -h), or back up the folder alone: --skip-server',
    )
  return state
}

/** A new identity never replaces another one, nor lies beside what it opens. */
function refuseKeyFile(file: string, run: ArchiveRun): void {
  if (existsSync(file))
    throw new UsageError(
      `${file} is there already`,
      'encrypt to it with --recipient (its public key), or give another file',
    )
  if (!statSync(dirname(resolve(file)), { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`the folder ${dirname(file)} does not exist`, 'create it first')
  if (resolve(file).startsWith(`${run.cluster.folder}/`))
    throw new UsageError(
      `${file} would be in the folder that is archived, next to what it opens`,
      'give a file elsewhere, best on another disk',
    )
}
