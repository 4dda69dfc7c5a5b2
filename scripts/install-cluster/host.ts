import { filesOf, K3S, type Role, TOOLS } from '../../lib/k3s/k3s.ts'
import { type Artifact, artifactsOf, type ReleaseName, type Releases } from '../../lib/k3s/releases.ts'
import { sha256 } from '../../lib/script/digest.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { registerSecret } from '../../lib/script/redact.ts'
import type { Run } from '../../lib/script/run.ts'
import { readServerFile } from '../../lib/server/facts.ts'
import { readIdentity } from '../../lib/server/server-identity.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { installerVariables, secretsIn } from './config.ts'
import type { DownloadSource, VerifiableArtifact } from './downloads.ts'
import { type K3sFacts, readK3sFacts } from './facts.ts'
import {
  checkTool,
  createStorage,
  installTool,
  linkKubeconfig,
  placeImages,
  removeDownloads,
  writeConfig,
} from './install.ts'
import { checkPurged, markServer } from './mark.ts'
import { checkVersion, type HostPlan, planHost } from './plan.ts'
import {
  clearInstaller,
  finishInstaller,
  installerState,
  type Limits,
  runInstaller,
  savedFolder,
  waitForNode,
} from './run.ts'

/** What all hosts of a cluster are installed with. */
export interface Installation {
  cluster: string
  domain: string
  /** Of the server, for others. */
  address: string
  releases: Releases
  k3sVersion: string | undefined
  source: DownloadSource
  airgap: boolean
}

/** A host with what there is and what has to be done. */
export interface Host {
  ssh: Ssh
  role: Role
  facts: K3sFacts
  artifacts: Record<ReleaseName, Artifact> & { k3s: VerifiableArtifact }
  plan: HostPlan
}

/** Waits for the installer of a run that was cut off: it goes on by itself, and nothing may be done next to it. */
export async function awaitInstaller(ssh: Ssh, role: Role, limits: Limits): Promise<void> {
  if ((await installerState(ssh)) !== 'running') return clearInstaller(ssh)
  limits.log.info(`The installer of an earlier run is at work on ${ssh.name}: waiting for its end.`)
  await finishInstaller(ssh, role, limits)
}

/** Looks at a host and decides what has to be done. Changes nothing. */
export async function surveyHost(
  ssh: Ssh,
  role: Role,
  installation: Installation,
  token?: string,
): Promise<Host> {
  const { releases, k3sVersion, source, domain, address, airgap } = installation
  const { marked } = await readIdentity(ssh)
  checkPurged(ssh.name, marked)
  const facts = await readK3sFacts(ssh, role)
  for (const secret of await secretsIn(facts.config ?? '', facts.env ?? '')) registerSecret(secret)
  const listed = artifactsOf(releases, facts.arch, { k3sVersion })
  // Before anything is asked for elsewhere: a version that is refused need not even exist.
  checkVersion(facts, role, listed.k3s.version)
  const artifacts = { ...listed, k3s: await source.known(listed.k3s) }
  const sum = token === undefined ? undefined : sha256(token)
  const plan = await planHost(facts, { role, artifacts, domain, address, token: sum, airgap })
  if (!marked) plan.lines.unshift(`mark it as a server of the cluster ${installation.cluster}`)
  return { ssh, role, facts, artifacts, plan }
}

/** The token that agents join with; undefined while the server has none. */
export async function joinToken(ssh: Ssh): Promise<string | undefined> {
  const token = await readServerFile(ssh, K3S.nodeToken)
  if (token !== undefined) registerSecret(token.trim())
  return token
}

/** Brings the downloads of all hosts to their places, all of them verified, before anything is changed. */
export async function bringDownloads(
  run: Steps,
  hosts: readonly Host[],
  { source }: Installation,
): Promise<void> {
  for (const { ssh, plan, artifacts } of hosts)
    for (const name of plan.downloads) {
      const artifact = artifacts[name]
      await run.step(
        `Download ${artifact.file} ${artifact.version} for ${ssh.settings.hostName}`,
        source.byHand(artifact, ssh.name),
        async () => source.bring(ssh, await source.known(artifact)),
      )
    }
}

/** What of a run the steps here need. */
type Steps = Pick<Run, 'step' | 'log' | 'signal'>

/** Does what the plan of a host says, in an order in which every step finds what it needs, and may be repeated. */
export async function installHost(
  run: Steps,
  host: Host,
  server: Ssh,
  installation: Installation,
  limits: Limits,
  token?: string,
): Promise<{ savedTo?: string }> {
  const { ssh, plan, role, artifacts, facts } = host
  const at = ssh.settings.hostName
  const { service } = filesOf(role)
  await run.step(`Mark ${at}`, undefined, () =>
    markServer(ssh, { cluster: installation.cluster, domain: installation.domain }),
  )
  if (plan.storage)
    await run.step('Storage of the applications', undefined, async () => {
      await createStorage(ssh)
      return undefined
    })
  if (plan.images)
    await run.step(`Images for ${at}`, `cp ${artifacts.images.file} ${K3S.images}/`, async () => {
      await placeImages(ssh, artifacts.images)
      return undefined
    })
  if (plan.config !== undefined || plan.token)
    await run.step(`Configuration of k3s on ${at}`, `editor ${K3S.config}`, async () => {
      await writeConfig(ssh, plan, token)
      return undefined
    })
  const savedTo = plan.save ? savedFolder(facts.version, new Date()) : undefined
  if (plan.install)
    await run.step(`k3s ${plan.version} on ${at}`, installByHand(plan, savedTo), async () => {
      await runInstaller(
        ssh,
        plan,
        { k3s: artifacts.k3s, installer: artifacts.installer },
        savedTo ?? '',
        limits,
      )
      return savedTo ? `datastore and token of ${facts.version} are saved in ${savedTo}` : undefined
    })
  await run.step(`Node ${plan.node}`, `journalctl -fu ${service}; kubectl get node ${plan.node}`, () =>
    waitForNode(server, ssh, plan, limits),
  )
  for (const tool of plan.tools)
    await run.step(
      `${tool} ${artifacts[tool].version}`,
      `tar -xzf ${artifacts[tool].file} && install -m 0755 ${artifacts[tool].member} ${TOOLS[tool]}`,
      async () => {
        await installTool(ssh, tool, artifacts[tool])
        return undefined
      },
    )
  if (plan.rootKubeconfig)
    await run.step("root's kubeconfig", `ln -s ${K3S.kubeconfig} /root/.kube/config`, async () => {
      await linkKubeconfig(ssh)
      return undefined
    })
  return { savedTo }
}

/** The commands that do the same as the step that runs the installer. Pure. */
function installByHand(plan: HostPlan, savedTo: string | undefined): string {
  const { service } = filesOf(plan.role)
  const variables = Object.entries(installerVariables(plan.role, plan.version))
  return [
    ...(savedTo
      ? [
          `systemctl stop ${service}; install -d -m 0700 ${savedTo}; cp -a ${K3S.datastore} ${K3S.token} ${savedTo}/`,
        ]
      : []),
    ...(plan.binary ? [`install -m 0755 k3s ${K3S.binary}`] : []),
    `${variables.map(([name, value]) => `${name}=${value}`).join(' ')} sh install.sh${plan.args.length > 0 ? ' FLAGS-OF-BEFORE' : ''}`,
  ].join('; ')
}

/** Removes the downloads and reads the facts again: nothing may be left to do. */
export async function verifyHost(host: Host, installation: Installation, token?: string): Promise<void> {
  const { ssh, role, artifacts, plan } = host
  await removeDownloads(ssh)
  const now = await surveyHost(ssh, role, installation, token)
  for (const tool of plan.tools) checkTool(tool, now.facts.tools[tool]?.said, artifacts[tool])
  if (now.plan.lines.length > 0)
    throw new ExpectedError(
      `${ssh.name} is not what it should be after the installation: ${now.plan.lines[0]}`,
      'run the same command again; if it stays so, something else changes this server',
    )
}
