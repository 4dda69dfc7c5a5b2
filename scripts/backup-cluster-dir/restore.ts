import { resolve } from 'node:path'
import { type AgeKeys, type Chunks, decryptWith } from '../../lib/age/age.ts'
import { K3S } from '../../lib/k3s/k3s.ts'
import { localKubeconfig, saveKubeconfig } from '../../lib/k3s/kubeconfig.ts'
import { compareK3s } from '../../lib/k3s/version.ts'
import { lockFolder } from '../../lib/platform/folder-lock.ts'
import { EXIT, ExpectedError } from '../../lib/script/errors.ts'
import { privateFolder } from '../../lib/script/files.ts'
import { quote } from '../../lib/script/quote.ts'
import { K3S_VERSION } from '../../lib/server/facts.ts'
import { remoteKubeconfig } from '../../lib/server/k3s-files.ts'
import { waitForFormerNodes } from '../../lib/server/nodes.ts'
import { readFacts } from '../../lib/server/reader.ts'
import { connectServer, holdServer } from '../../lib/server/server.ts'
import { IDENTITY, identityProblem, identityText, knownIdentity } from '../../lib/server/server-identity.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { type ArchiveManifest, K3S_COPY } from './archive.ts'
import type { ArchiveRun } from './flags.ts'
import { compareFolder, restoreFolder } from './folder.ts'
import { removeCopy, restoreK3s, uploadCopy } from './k3s.ts'
import { restoredName, serverNodes } from './naming.ts'
import { verifyArchive } from './store.ts'

/** An archive that can be read as often as needed. */
export interface OpenArchive {
  name: string
  /** Its absolute path. */
  file: string
  read: () => Chunks
  keys: AgeKeys
}

/** What an archive is, for people. */
export function archiveText({ cluster, createdAt, server, files }: ArchiveManifest): string {
  const k3s = server ? `, k3s ${server.k3s} of ${server.name}` : ', without k3s'
  return `${cluster}, ${createdAt}, ${files.length} files${k3s}`
}

/** The command that gives the server its state from an archive, from any folder, with the same identities. Pure. */
export function serverCommand(cluster: string, file: string, identities: readonly string[]): string {
  const keys = identities.map(identity => ` --identity ${quote(resolve(identity))}`).join('')
  return `npx tsx scripts/backup-cluster-dir.ts --cluster ${cluster} --restore ${quote(file)} --server${keys}`
}

/** Restores the files of a cluster folder, after it has shown which of them are other ones now. */
export async function restoreToFolder(run: ArchiveRun, archive: OpenArchive): Promise<void> {
  const { cluster } = run
  const { manifest } = await verifyArchive(archive.keys, archive.read(), archive.name)
  refuseOther(run, manifest)
  const { added, changed, same } = compareFolder(cluster, manifest)
  run.result = { archive: archive.name, createdAt: manifest.createdAt, added, changed, same }
  run.log.info(`${archive.name}: ${archiveText(manifest)}`)
  if (added.length + changed.length === 0) {
    run.log.ok(`${cluster.folder} has all files of this archive as they are in it; nothing was changed.`)
    return
  }
  const plan = [
    ...added.map(path => `+ write ${path}`),
    ...changed.map(path => `~ replace ${path}, which is another one now`),
    `${same.length} files stay as they are, and so does what is not in the archive`,
  ]
  const question =
    changed.length > 0
      ? `Replace ${changed.length} files in ${cluster.folder} by older ones?`
      : `Write ${cluster.folder}?`
  if (!(await run.agree(plan, question))) return
  privateFolder(cluster.folder)
  const unlock = lockFolder(cluster.folder)
  run.onEnd(async () => unlock())
  await run.step('Cluster folder', `age -d ${quote(archive.file)} | tar -x cluster/`, async () => {
    const decrypted = decryptWith(archive.keys, archive.read(), archive.name)
    return `${await restoreFolder(cluster, decrypted, archive.name, manifest)} files written`
  })
  if (manifest.server)
    run.next([
      'the state of the cluster itself is in the archive, too. To give it back to a server on which k3s is installed:',
      serverCommand(cluster.name, archive.file, run.flags.identity),
      'a new server that gets its data from the backups: "On a new server" in runbooks/restore.md',
    ])
}

/** Milliseconds until the node of a restored server is Ready. */
const NODES_READY = 10 * 60_000

/** Gives a server the datastore, token and certificates of an archive, after its name was typed. */
export async function restoreToServer(
  run: ArchiveRun,
  archive: OpenArchive,
  confirm: string | undefined,
): Promise<void> {
  const { cluster } = run
  const { manifest, copy: contents } = await verifyArchive(archive.keys, archive.read(), archive.name)
  refuseOther(run, manifest)
  const { server, files } = manifest
  const copy = files.find(({ path }) => path === K3S_COPY)
  if (!server || !copy || !contents)
    throw new ExpectedError(
      `${archive.name} holds the cluster folder alone, no copy of k3s`,
      'take an archive that was created without --skip-server',
    )
  const ssh = await connectServer(run)
  const version = await checkServer(run, ssh, server.k3s)
  const naming = await restoredName(ssh, server.node, contents)
  run.log.info(`${archive.name}: ${archiveText(manifest)}`)
  const plan = [
    `stop k3s on ${ssh.name}; it is ${version}, the archive is of ${server.k3s}`,
    `replace ${contents.parts.map(path => `/${path}`).join(', ')}`,
    ...(naming.write ? [`keep the name ${naming.node} of its node: write node-name to ${K3S.config}`] : []),
    `everything that was created or changed in the cluster since ${manifest.createdAt} is gone from it then; volumes with data are not touched`,
    'keep the present state in /var/backups/openappstack/before-restore-TIME on the server',
    'start k3s; if it does not come up, put the present state back',
    `fetch ${cluster.kubeconfig}`,
  ]
  if (
    !(await run.agreeByName(plan, `Replace the state of the cluster on ${ssh.name}?`, cluster.name, confirm))
  )
    return
  await holdServer(ssh, run)
  run.onEnd(() => removeCopy(ssh))
  await run.step('Upload of the copy of k3s', undefined, async () => {
    await uploadCopy(ssh, k3sCopy(archive), copy.sha256, run.signal)
    return undefined
  })
  const byHand = `systemctl stop k3s; tar -xf k3s.tar -C /; systemctl start k3s`
  await run.step('State of k3s', byHand, async () => {
    const kept = await restoreK3s(ssh, new Date(), {
      parts: contents.parts,
      node: naming.write ? naming.node : undefined,
    })
    run.result = { archive: archive.name, createdAt: manifest.createdAt, server: ssh.name, kept }
    return `restored; the previous state is in ${kept}`
  })
  await run.step('Nodes', 'k3s kubectl get nodes', async () => {
    const options = { deadline: NODES_READY, log: run.log, signal: run.signal }
    return waitForFormerNodes(ssh, await serverNodes(ssh, naming.node), options)
  })
  await run.step('Kubeconfig', `cat ${K3S.kubeconfig}`, async () => {
    const text = localKubeconfig(await remoteKubeconfig(ssh), ssh.settings.hostName)
    return saveKubeconfig(cluster, text) ? `saved ${cluster.kubeconfig}` : 'unchanged'
  })
  run.next([
    `npx tsx scripts/status.ts --cluster ${cluster.name}`,
    'a server with another address than before: npx tsx scripts/change-ip.ts --help',
  ])
}

/** The copy of k3s in an archive, decrypted, as a stream: an archive is read from its beginning to its end. */
async function* k3sCopy({ keys, read, name }: OpenArchive): AsyncGenerator<Uint8Array> {
  const { tarMembers } = await import('../../lib/age/tar.ts')
  for await (const { member, content } of tarMembers(decryptWith(keys, read(), name)))
    if (member.path === K3S_COPY) yield* content
}

/** An archive of another cluster would replace this one's folder or state. */
function refuseOther(run: ArchiveRun, manifest: ArchiveManifest): void {
  if (manifest.cluster === run.cluster.name) return
  throw new ExpectedError(
    `this is an archive of the cluster ${manifest.cluster}, not of ${run.cluster.name}`,
    `restore it as what it is: --cluster ${manifest.cluster}`,
    { exitCode: EXIT.refused },
  )
}

/** Checks that the server is that of the cluster, and its k3s new enough for the datastore. Returns its version. */
async function checkServer(run: ArchiveRun, ssh: Ssh, archived: string): Promise<string> {
  const { version, ...identity } = await readFacts(
    ssh,
    { ...IDENTITY, version: K3S_VERSION },
    { sudo: true, title: 'reading who the server is' },
  )
  const known = await knownIdentity(run.cluster)
  // A reinstalled server has another certificate authority than the kubeconfig: its mark says who it is.
  const problem = identityProblem(identity, identity.marked ? { ...known, serverCa: undefined } : known)
  if (problem)
    throw new ExpectedError(
      `${ssh.name} is not the server of ${run.cluster.name}: ${problem} (${identityText(identity)})`,
      'correct inventory.yml, or install k3s on it first: npx tsx scripts/install-cluster.ts',
      { exitCode: EXIT.refused },
    )
  if (!version)
    throw new ExpectedError(
      `k3s is not installed on ${ssh.name}`,
      'install it first: npx tsx scripts/install-cluster.ts',
    )
  if (compareK3s(version, archived) < 0)
    throw new ExpectedError(
      `${ssh.name} has k3s ${version}, which cannot read the datastore of the newer ${archived}`,
      `install ${archived} first: npx tsx scripts/install-cluster.ts --k3s-version ${archived}`,
      { exitCode: EXIT.refused },
    )
  return version
}
