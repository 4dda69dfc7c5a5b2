/** What a diagnosis tells as broken while something else happens to a platform: false alarms, when that goes well. */
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { diagnose } from '../../lib/diagnosis/diagnose.ts'
import { gather } from '../../lib/diagnosis/gather.ts'
import { RULES } from '../../lib/diagnosis/rules/index.ts'
import { type KubeObject, refText } from '../../lib/kubectl/kubectl.ts'
import type { Bed, Outcome } from './harness.ts'

/** What is told as broken now. */
export async function alarms({ kubectl }: Bed): Promise<string[]> {
  const snapshot = await gather(kubectl)
  return diagnose(snapshot, RULES)
    .causes.filter(({ verdict }) => verdict === 'broken')
    .map(({ rule, subject, cause }) => `${rule} ${refText(subject)}: ${cause}`)
}

/** All alarms that are told while a script runs, which has to succeed. */
export async function alarmsDuring(bed: Bed, run: Promise<Outcome>): Promise<string[]> {
  const heard = new Set<string>()
  let over = false
  const ended = run.finally(() => {
    over = true
  })
  while (!over) {
    for (const alarm of await alarms(bed)) heard.add(alarm)
    await sleep(1000)
  }
  const { code, stderr } = await ended
  assert.is(code, 0, stderr)
  return [...heard]
}

/** All alarms that are told until everything is ready again, and for a while after that. */
export async function alarmsUntilReady(bed: Bed): Promise<string[]> {
  const heard = new Set<string>()
  const end = performance.now() + 300_000
  for (let quiet = 0; quiet < 5; ) {
    assert.ok(performance.now() < end, 'the platform does not get ready again')
    for (const alarm of await alarms(bed)) heard.add(alarm)
    quiet = (await unready(bed)).length === 0 ? quiet + 1 : 0
    await sleep(1000)
  }
  return [...heard]
}

/** Pods that are not ready, or on their way out. */
async function unready({ kubectl }: Bed): Promise<KubeObject[]> {
  const pods = await kubectl.list('v1', 'Pod')
  return pods.filter(({ metadata, status }) => {
    const ready = (status?.conditions ?? []).find(({ type }: { type: string }) => type === 'Ready')
    return metadata.deletionTimestamp || (status?.phase !== 'Succeeded' && ready?.status !== 'True')
  })
}
