import { rmSync } from 'node:fs'
import { basename } from 'node:path'
import type { Kubectl } from '../../lib/kubectl/kubectl.ts'
import type { ProviderClient } from '../../lib/provider/provider-client.ts'
import type { Cluster } from '../../lib/script/cluster.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { readIfExists, writeFileAtomic } from '../../lib/script/files.ts'
import { readServerFile } from '../../lib/server/facts.ts'
import type { Ssh } from '../../lib/ssh/ssh.ts'
import { replaceAddress } from './address.ts'
import { answering, answeringAfterStart, type ClusterLock, type StepRun, verifyApi } from './api.ts'
import { findInCluster, planVariables, writeVariables } from './cluster.ts'
import type { Comparison } from './diff.ts'
import { writeRecord } from './dns.ts'
import { restartK3s, writeServerFile } from './server.ts'
import {
  type ChangeState,
  checksum,
  type FileEdit,
  originalOf,
  type RecordEdit,
  saveOriginals,
  type VariableEdit,
  writeChangeState,
} from './state.ts'
import { replacePods, waitForHealth } from './verify.ts'

/** All that one direction of a change writes. */
export interface Edits {
  files: FileEdit[]
  variables: VariableEdit[]
  records: RecordEdit[]
}

/** What the steps work with. */
export interface ChangeContext {
  run: StepRun
  ssh: Ssh
  state: ChangeState
  provider: ProviderClient | undefined
  /** The objects of Flux that were not ready before. */
  unhealthy: readonly string[]
  /** The nodes to wait for; undefined for all. */
  ready: readonly string[] | undefined
  /** Hosts whose DNS leads to the new address already, and that the certificate has to name. */
  domains: readonly string[]
  /** Milliseconds to wait for nodes and for Flux. */
  deadline: number
  /** The API server, where it answered. */
  api: Kubectl | undefined
  lock: ClusterLock
}

/** What the diff shows of these edits. Pure. */
export function comparisons(edits: Edits): Comparison[] {
  return [
    ...edits.files.map(({ place, path, before, after }) => ({
      name: place === 'server' ? `server:${path}` : path,
      before,
      after,
    })),
    ...edits.variables.map(({ key, before, after }) => ({
      name: 'Secret flux-system/oas-cluster-variables',
      before: `${key}: ${before}`,
      after: `${key}: ${after}`,
    })),
    ...edits.records.map(({ zone, type, name, before, after }) => ({
      name: `DNS ${zone}`,
      before: `${name} ${type} ${before}`,
      after: `${name} ${type} ${after}`,
    })),
  ]
}

/** The edits that take a change back. Where somebody else has edited a file since, only the address in it goes back. */
export async function planRollback({
  cluster,
  ssh,
  state,
}: Pick<ChangeContext, 'ssh' | 'state'> & { cluster: Cluster }): Promise<Edits> {
  const files: FileEdit[] = []
  for (const saved of [...state.files].reverse()) {
    const { place, path, mode, owner } = saved
    const before = place === 'server' ? await readServerFile(ssh, path) : readIfExists(path)
    const now = checksum(before)
    if (now === saved.before) continue
    const after =
      now === saved.after || before === undefined
        ? originalOf(cluster, saved)
        : replaceAddress(before, state.new, state.old)
    if (after !== before) files.push({ place, path, mode, owner, before, after })
  }
  const back = <T extends { before: string; after: string }>(edit: T): T => ({
    ...edit,
    before: edit.after,
    after: edit.before,
  })
  return { files, variables: state.variables.map(back), records: state.records.map(back) }
}

/**
 * Does a change, in an order in which every part can be taken back: the server first, then what leads to it. Every
 * step looks first, so that a run that was killed is completed by the next one. Returns what still has the old address
 * in a cluster that could not be asked before.
 */
export async function applyChange(context: ChangeContext, edits: Edits): Promise<string[]> {
  const { run, state, provider, lock, api } = context
  const { old, new: address } = state
  const onServer = edits.files.filter(({ place }) => place === 'server')
  if (api) await lock.take(api)
  await run.step('Save the originals', undefined, async () => {
    state.phase = 'changing'
    state.restart ||= onServer.length > 0
    merge(state.variables, edits.variables, ({ key }) => key)
    merge(state.records, edits.records, ({ zone, id }) => `${zone}/${id}`)
    saveOriginals(run.cluster, state, edits.files)
    return `${state.files.length} files in ${run.cluster.folder}/change-ip`
  })
  await writeOnServer(context, onServer, old, address)
  const kubectl = await verifyApi(run, {
    address,
    domains: context.domains,
    names: state.nodes,
    ready: context.ready,
    old: state.before.hasNew ? old : undefined,
    deadline: context.deadline,
  })
  await writeHere(context, edits.files)
  if (kubectl) {
    await lock.take(kubectl)
    // The API server may not have answered before; and what the plan has shown is part of it.
    merge(state.variables, await planVariables(kubectl, old, address), ({ key }) => key)
    writeChangeState(run.cluster, state)
    await changeVariables(context, kubectl, state.variables)
    await run.step('Pods with the old address', 'kubectl delete pod …', () => replacePods(kubectl, old))
  }
  for (const record of state.records) await changeRecord(context, provider, record)
  if (kubectl) await run.step('Flux', 'flux get all -A', () => healthy(context, kubectl))
  state.phase = 'changed'
  writeChangeState(run.cluster, state)
  return kubectl && !api ? findInCluster(kubectl, old) : []
}

/**
 * Takes a change back, in the opposite order. What is taken back leaves the state: without a provider, the records stay
 * in it. Throws an ExpectedError when the variables of the cluster may still have the new address, as no
 * API server answers.
 */
export async function rollBackChange(context: ChangeContext, edits: Edits): Promise<void> {
  const { run, state, provider, lock } = context
  const { old, new: address } = state
  const onServer = edits.files.filter(({ place }) => place === 'server')
  const api = await answering(run, [address, old])
  if (api) await lock.take(api)
  state.phase = 'undoing'
  state.restart ||= onServer.length > 0
  writeChangeState(run.cluster, state)
  for (const record of edits.records) await changeRecord(context, provider, record)
  if (api) await changeVariables(context, api, edits.variables)
  await writeHere(context, edits.files)
  await writeOnServer(context, onServer, address, old)
  // Where the old address is gone, or nothing ran before either, there is nothing to be seen at it.
  const verified =
    state.before.api && state.before.hasOld
      ? await verifyApi(run, {
          address: old,
          domains: [],
          names: state.nodes,
          ready: context.ready,
          old: undefined,
          deadline: context.deadline,
        })
      : undefined
  // Where k3s was down before, as it did not start with the new address, its API server answers only now.
  const left = api ? [] : edits.variables
  const kubectl = verified ?? (left.length > 0 ? await answeringAfterStart(run, [address, old]) : undefined)
  if (kubectl) {
    await lock.take(kubectl)
    await changeVariables(context, kubectl, left)
  } else if (left.length > 0)
    throw new ExpectedError(
      `the variables of the cluster may still have ${address}: its API server does not answer`,
      'find the cause on the server (journalctl -u k3s -n 50), then take the change back again: change-ip --rollback',
    )
  if (verified) {
    await run.step('Pods with the old address', 'kubectl delete pod …', () => replacePods(verified, address))
    await run.step('Flux', 'flux get all -A', () => healthy(context, verified))
  }
  state.phase = 'undone'
  state.variables = []
  if (provider) state.records = []
  state.recordsKept = state.records.length > 0
  writeChangeState(run.cluster, state)
}

/** Adds to a list what it does not have yet; what an earlier run has noted keeps its original. */
function merge<T>(list: T[], more: readonly T[], key: (item: T) => string): void {
  for (const item of more) if (!list.some(each => key(each) === key(item))) list.push(item)
}

async function writeOnServer(
  { run, ssh, state, lock }: ChangeContext,
  edits: readonly FileEdit[],
  from: string,
  to: string,
): Promise<void> {
  if (edits.length > 0)
    await run.step(
      'Files on the server',
      `sed -i 's/${from.replaceAll('.', '\\.')}/${to}/g' ${edits.map(({ path }) => path).join(' ')}`,
      async () => {
        for (const edit of edits) await writeServerFile(ssh, edit)
        return edits.map(({ path }) => path).join(', ')
      },
    )
  await lock.give()
  if (state.restart)
    await run.step('Restart k3s', 'systemctl daemon-reload; systemctl restart k3s', async () => {
      const tolerant = state.phase === 'undoing' && !state.before.api
      await restartK3s(ssh).catch(error => {
        if (!tolerant || !(error instanceof ExpectedError)) throw error
        run.log.warn(`${error.message}; it did not run before either`)
      })
      state.restart = false
      writeChangeState(run.cluster, state)
      return undefined
    })
}

async function writeHere({ run }: ChangeContext, edits: readonly FileEdit[]): Promise<void> {
  const here = edits.filter(({ place }) => place === 'here')
  if (here.length === 0) return
  await run.step('Files of the cluster folder', undefined, async () => {
    for (const { path, mode, after } of here)
      if (after === undefined) rmSync(path, { force: true })
      else writeFileAtomic(path, after, mode)
    return here.map(({ path }) => basename(path)).join(', ')
  })
}

async function changeVariables(
  { run }: ChangeContext,
  kubectl: Kubectl,
  variables: readonly VariableEdit[],
): Promise<void> {
  if (variables.length === 0) return
  await run.step('Variables of the cluster', 'kubectl -n flux-system edit secret oas-cluster-variables', () =>
    writeVariables(kubectl, variables),
  )
}

/** What to do about a record for whose change no provider was given. Pure. */
export function recordByHand({ zone, type, name, after }: RecordEdit): string {
  return `DNS ${zone}: set ${type} ${name} to ${after}, or give --provider again`
}

async function changeRecord(
  { run }: ChangeContext,
  provider: ProviderClient | undefined,
  record: RecordEdit,
): Promise<void> {
  const { zone, id, type, name, after } = record
  if (!provider) return run.log.warn(recordByHand(record))
  await run.step(
    `Record ${type} ${name} of ${zone}`,
    `curl -X PUT -H @- -H 'Content-Type: application/json' -d '{"type":"${type}","data":"${after}"}' ${provider.url}/domains/${zone}/records/${id} <<<"Authorization: Bearer $${provider.spec.tokenVariable}"`,
    () => writeRecord(provider, record),
  )
}

async function healthy({ run, unhealthy, deadline }: ChangeContext, kubectl: Kubectl): Promise<string> {
  const { log, signal } = run
  return waitForHealth(kubectl, unhealthy, { deadline, log, signal })
}
