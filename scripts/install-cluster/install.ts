import { DOWNLOADS, K3S, LOCAL_STORAGE, ROOT_KUBECONFIG, TOOLS, TOOLS_RECORD } from '../../lib/k3s/k3s.ts'
import type { Artifact } from '../../lib/k3s/releases.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { RECORDED_TOOLS } from '../../lib/server/facts.ts'
import { readFacts } from '../../lib/server/reader.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { downloadOf } from './downloads.ts'
import { hasVersion, type Tool } from './facts.ts'
import type { HostPlan } from './plan.ts'

/** Creates the folder that the volumes of applications lie in; nobody but root has a business in it. */
export async function createStorage(ssh: Ssh): Promise<void> {
  await ssh.run(['install', '-d', '-m', '0700', LOCAL_STORAGE], { sudo: true })
}

/** Writes config.yaml (and on an agent its token), which k3s reads when it starts. */
export async function writeConfig(ssh: Ssh, plan: HostPlan, token: string | undefined): Promise<void> {
  await ssh.run(['install', '-d', '-m', '0755', '/etc/rancher', '/etc/rancher/k3s'], { sudo: true })
  if (plan.token) {
    if (!token) throw new Error('an agent is installed without a token')
    await ssh.upload(token, K3S.agentToken, { mode: 0o600, sudo: true })
  }
  if (plan.config !== undefined) await ssh.upload(plan.config, K3S.config, { mode: 0o600, sudo: true })
}

/** Puts the archive of images where k3s looks for it when it starts (https://docs.k3s.io/installation/airgap). */
export async function placeImages(ssh: Ssh, artifact: Artifact): Promise<void> {
  const script = `
set -e
mkdir -p -- "$1"
cp -- "$2" "$1/.$3.part"
sync -- "$1/.$3.part"
mv -T -- "$1/.$3.part" "$1/$3"
`
  await ssh.sh(script, [K3S.images, downloadOf(artifact), artifact.file], {
    sudo: true,
    timeout: 10 * 60_000,
    title: 'placing the images',
  })
}

/**
 * Takes a program out of its archive into its place. The record comes first: a program that is not in it is
 * somebody else's for every later run.
 */
export async function installTool(ssh: Ssh, tool: Tool, artifact: Artifact): Promise<void> {
  const path = TOOLS[tool]
  const { recorded } = await readFacts(
    ssh,
    { recorded: RECORDED_TOOLS },
    { sudo: true, title: 'reading the record of tools' },
  )
  if (!recorded.includes(path)) {
    const text = `${JSON.stringify({ paths: [...recorded, path] }, null, 2)}\n`
    await ssh.run(['install', '-d', '-m', '0755', '/etc/openappstack'], { sudo: true })
    await ssh.upload(text, TOOLS_RECORD, { mode: 0o644, sudo: true })
  }
  const script = `
set -e
umask 077
tar -xzO -f "$1" -- "$2" > "$3.part"
chmod 0755 -- "$3.part"
sync -- "$3.part"
mv -T -- "$3.part" "$3"
`
  await ssh.sh(script, [downloadOf(artifact), artifact.member!, path], {
    sudo: true,
    title: `unpacking ${tool}`,
  })
}

/** What a tool says must be its version. */
export function checkTool(tool: Tool, said: string | undefined, artifact: Artifact): void {
  if (hasVersion(said ?? '', artifact.version)) return
  throw new ExpectedError(
    `${TOOLS[tool]} is not ${artifact.version} after it was installed: it says ${JSON.stringify((said ?? '').slice(0, 120))}`,
    'run the same command again; if it stays so, check the list of releases',
  )
}

/** Links root's kubeconfig to that of k3s, so that flux, helm and velero find the cluster as kubectl does. */
export async function linkKubeconfig(ssh: Ssh): Promise<void> {
  await ssh.run(['install', '-d', '-m', '0700', '/root/.kube'], { sudo: true })
  await ssh.run(['ln', '-s', '-T', K3S.kubeconfig, ROOT_KUBECONFIG], { sudo: true })
}

/** Removes the downloads from a host. */
export async function removeDownloads(ssh: Ssh): Promise<void> {
  await ssh.run(['rm', '-rf', '--', DOWNLOADS], { sudo: true })
}
