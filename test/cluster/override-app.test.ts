/**
 * Overrides on the real helm-controller: values that are refused before, taken back after, or work; runs that are
 * killed and meet each other; hostile files; and the examples of the docs' chapters 8 and 10.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { allOf, decryptWith } from '../../lib/age/age.ts'
import { GIT_REPOSITORY, HELM_RELEASE, KUSTOMIZATION, standing } from '../../lib/flux/flux.ts'
import type { KubeObject, Ref } from '../../lib/kubectl/kubectl.ts'
import { CHECK_LABEL } from '../../lib/platform/overrides.ts'
import { ROOT } from '../../lib/script/files.ts'
import { sleep, until } from '../../lib/script/wait.ts'
import { type Answered, endOnTerminal } from '../harness-terminal.ts'
import { all, suite } from '../suite.ts'
import { PLAY, STAGES } from './faults/kubelets.ts'
import { reaches, told } from './faults.ts'
import { Bed, type Outcome, runScript, type ScriptOptions } from './harness.ts'
import { killedAfterWrite, killedAt } from './killing.ts'
import { pushFolder } from './own-sources.ts'

const test = suite('override-app')
const folder = mkdtempSync(join(tmpdir(), 'oas-test-'))
let bed: Bed

test.before(async () => {
  bed = await Bed.startInstalled({ audit: true })
  for (const stage of STAGES) await bed.kubectl.apply(stage)
})

test.after(async () => {
  await bed?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const override = (args: readonly string[], options?: ScriptOptions) =>
  runScript('override-app', ['--cluster', 'sandbox', ...args], options)
const change = (args: readonly string[], options?: ScriptOptions) => override([...args, '--yes'], options)
const file = (name: string, text: string | Buffer) => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const ref = (kind: string, name = 'oas-wekan-override', namespace = 'oas-apps'): Ref => ({
  apiVersion: 'v1',
  kind,
  namespace,
  name,
})
const values = async (name?: string, namespace?: string) =>
  (await bed.kubectl.get(ref('ConfigMap', name, namespace)))?.data?.['values.yaml'] as string | undefined
const memory = async () =>
  (await bed.kubectl.get({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    namespace: 'oas-apps',
    name: 'wekan',
  }))!.spec.template.spec.containers[0].resources.limits.memory

const RBAC = 'rbac.authorization.k8s.io/v1'

const crash = `podAnnotations.${PLAY.replaceAll('.', '\\.')}=crash`

/** Nothing of a check is left, and no unfinished change. */
async function clean(): Promise<void> {
  const found: string[] = []
  for (const kind of ['Secret', 'ServiceAccount', 'ConfigMap'])
    for (const { metadata } of await bed.kubectl.list('v1', kind, { metadataOnly: true }))
      if (/^oas-check-|-override-before$/.test(metadata.name)) found.push(`${kind} ${metadata.name}`)
  for (const { metadata } of await bed.kubectl.list(HELM_RELEASE.apiVersion, HELM_RELEASE.kind))
    if (metadata.name.startsWith('oas-check-')) found.push(metadata.name)
  const roles = await bed.kubectl.list('rbac.authorization.k8s.io/v1', 'ClusterRole', { metadataOnly: true })
  found.push(...roles.map(({ metadata }) => metadata.name).filter(name => name.startsWith('oas-check-')))
  assert.equal(found, [])
}

/** The overrides of wekan are as before, and it was never reconciled. */
async function unchanged(work: () => Promise<Outcome>, code: number, message: RegExp): Promise<void> {
  const before = await bed.kubectl.get({ ...HELM_RELEASE, namespace: 'oas-apps', name: 'wekan' })
  const text = await values()
  const outcome = await work()
  assert.is(outcome.code, code, outcome.stderr)
  assert.is(told(outcome).length, 1, outcome.stderr)
  assert.match(told(outcome)[0]!.what, message)
  assert.is(await values(), text)
  const after = await bed.kubectl.get({ ...HELM_RELEASE, namespace: 'oas-apps', name: 'wekan' })
  assert.equal(after?.status?.history, before?.status?.history)
  await clean()
}

test('a wrong type, an unknown key and a value that the API server refuses are told before', async () => {
  await unchanged(
    () => change(['wekan', '--set', 'replicaCount=many']),
    1,
    /Helm refuses .*replicaCount.*got string/,
  )
  if (!all) return
  await unchanged(() => change(['wekan', '--set', 'replicaCuont=2']), 1, /does not know replicaCuont/)
  await unchanged(
    () => change(['wekan', '--set', 'updateStrategy.type=Bogus']),
    1,
    /API server refuses Deployment oas-apps\/wekan/,
  )
})

test('a value is installed; one that makes the pod crash is taken back', async () => {
  const good = await change(['wekan', '--set', 'resources.limits.memory=1100Mi'])
  assert.is(good.code, 0, good.stderr)
  assert.is(await memory(), '1100Mi')
  assert.match(good.stderr, /-\s+memory: 988Mi\n\s+\+\s+memory: 1100Mi/)
  // Helm was refused the check on purpose: nobody has to grant it anything.
  assert.not.match((await runScript('diagnose', ['--cluster', 'sandbox'])).stdout, /oas-check-/)
  const before = await values()
  const bad = await change(['wekan', '--set', crash])
  assert.is(bad.code, 1, bad.stderr)
  assert.match(told(bad).at(-1)!.what, /rolled back: Pod oas-apps\/wekan-.* keeps crashing/)
  assert.is(await values(), before)
  assert.is(await memory(), '1100Mi')
  assert.is((await runScript('status', ['--cluster', 'sandbox'])).code, 0)
  await clean()
})

if (all) {
  test('the values in force, each with where it comes from, and no secret', async () => {
    const outcome = await override(['wekan'])
    assert.is(outcome.code, 0, outcome.stderr)
    assert.match(
      outcome.stdout,
      /resources\.limits\.memory +"1100Mi" +ConfigMap oas-apps\/oas-wekan-override/,
    )
    assert.match(
      outcome.stdout,
      /ferretdb\.resources\.limits\.memory +"512Mi" +ConfigMap oas-apps\/oas-wekan-values/,
    )
    assert.not.match(outcome.stdout, /the chart/)
    const everything = await override(['wekan', '--all'])
    assert.match(everything.stdout, /dbname +"wekan" +the chart/)
  })

  test('the application that replaces its pods one after the other answers all the time', async () => {
    let least = Number.POSITIVE_INFINITY
    let ended = false
    const watching = (async () => {
      while (!ended) {
        const pods = await bed.kubectl.list('v1', 'Pod', {
          namespace: 'oas',
          labelSelector: 'app.kubernetes.io/name=traefik',
        })
        const ready = pods.filter(({ status }) =>
          status?.conditions?.some(
            (each: { type: string; status: string }) => each.type === 'Ready' && each.status === 'True',
          ),
        )
        least = Math.min(least, ready.length)
        await sleep(200)
      }
    })()
    const outcome = await change(['ingress', '--set', `deployment.${crash}`])
    ended = true
    await watching
    assert.is(outcome.code, 1, outcome.stderr)
    assert.match(told(outcome).at(-1)!.what, /rolled back/)
    assert.ok(least >= 1, `there was a moment with ${least} pods`)
    assert.is(await values('oas-nginx-override', 'oas'), undefined)
    await clean()
  })

  test('values that nobody checked before, and the API server refuses, are taken back, too', async () => {
    const before = await values()
    const outcome = await change(['wekan', '--set', 'updateStrategy.type=Bogus', '--skip-check'])
    assert.is(outcome.code, 1, outcome.stderr)
    assert.match(told(outcome).at(-1)!.what, /rolled back/)
    assert.is(await values(), before)
    await clean()
  })

  test('values that would delete a volume are refused', async () => {
    const claims = async () =>
      (await bed.kubectl.list('v1', 'PersistentVolumeClaim', { namespace: 'oas-apps' })).length
    const before = await claims()
    const outcome = await change(['wekan', '--set', 'ferretdb.storage.size=9Gi'])
    assert.is(outcome.code, 1, outcome.stderr)
    assert.match(told(outcome)[0]!.what, /refuses StatefulSet oas-apps\/wekan-ferretdb/)
    assert.is(await claims(), before)
  })

  test('a dry run says all and changes nothing; the same values again change nothing', async () => {
    const dry = await override(['wekan', '--set', 'replicaCount=2', '--dry-run', '--json'])
    assert.is(dry.code, 0, dry.stderr)
    assert.match(
      JSON.parse(dry.stdout).plan.join('\n'),
      /set replicaCount = 2[\s\S]*change Deployment oas-apps\/wekan/,
    )
    await clean()
    const mark = bed.auditMark()
    const same = await change(['wekan', '--set', 'resources.limits.memory=1100Mi'])
    assert.match(same.stderr, /nothing was changed/)
    assert.equal(bed.writesSince(mark), [])
  })

  test('hostile input: one error each, and nothing is written', async () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]']
    for (const [i, name] of [...'bcdefgh'].entries())
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${'abcdefg'[i]}`).join()}]`)
    const files = {
      bomb: file('bomb.yaml', bomb.join('\n')),
      large: file('large.yaml', `a: ${'x'.repeat(5_000_000)}\n`),
      binary: file('binary.yaml', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 0xff])),
      twice: file('twice.yaml', 'replicaCount: 1\nreplicaCount: 2\n'),
      list: file('list.yaml', '- replicaCount: 1\n'),
      open: file('open.yaml', 'password: "hunter2-hunter2\nx: [\n'),
    }
    const tries: [args: string[], message: RegExp][] = [
      [['wekan', '--file', files.bomb], /too many aliases/],
      [['wekan', '--file', files.large], /larger than 256 KiB/],
      [['wekan', '--file', files.binary], /not a text/],
      [['wekan', '--file', files.twice], /line 2: Map keys must be unique/],
      [['wekan', '--file', files.list], /not a map/],
      [['wekan', '--file', files.open], /not valid YAML/],
      [['wekan', '--file', folder], /is a folder/],
      [['wekan', '--file', '/dev/zero'], /larger than|not a text/],
      [['wekan', '--file', join(folder, 'none')], /does not exist/],
      [['../wekan', '--set', 'a=1'], /is not an installed release/],
      [['wekan\u001b[2J', '--set', 'a=1'], /is not an installed release/],
      [['weken', '--set', 'a=1'], /is not an installed release/],
      [['wekan', '--set', '../../etc/passwd=1'], /not a path/],
      [['wekan', '--set', '__proto__.x=1'], /not a path/],
      [['wekan', '--secret', '--set', 'dbname=geheim-geheim-geheim'], /on the command line/],
    ]
    const mark = bed.auditMark()
    for (const [args, message] of tries) {
      const outcome = await change(args)
      assert.is(outcome.code, 2, `${args}: ${outcome.stderr}`)
      assert.is(told(outcome).length, 1, outcome.stderr)
      assert.match(told(outcome)[0]!.what, message)
      assert.not.ok(outcome.stderr.includes('hunter2') || outcome.stderr.includes('\u001b[2J'))
    }
    assert.equal(bed.writesSince(mark), [])
  })

  test('anchors and merge keys are written out', async () => {
    const path = file('anchors.yaml', 'x-labels: &l {team: a}\npodLabels: {<<: *l, tier: web}\n')
    await unchanged(() => change(['wekan', '--file', path]), 1, /does not know x-labels/)
    const plain = file('merge.yaml', 'podLabels: &l {team: a}\npodAnnotations: {<<: *l, tier: web}\n')
    const outcome = await change(['wekan', '--file', plain])
    assert.is(outcome.code, 0, outcome.stderr)
    assert.match((await values())!, /podAnnotations:\n {2}team: "a"\n {2}tier: "web"\n/)
    assert.is((await change(['wekan', '--unset', 'podLabels', '--unset', 'podAnnotations'])).code, 0)
  })

  test('killed before and after every step, and between: the next run goes on', async () => {
    const wish = ['wekan', '--set', 'resources.limits.memory=1200Mi']
    const moments: [name: string, options: ScriptOptions][] = [
      ['while it checks', killedAfterWrite(5)],
      ['before it writes', killedAt('1. Write')],
      ['between the values before and the new ones', killedAfterWrite(23)],
      ['after it wrote', killedAt('✓ Write')],
      ['while it waits', killedAt('2. Wait')],
      ['at the end', killedAt('✓ Wait')],
    ]
    for (const [moment, options] of moments) {
      const outcome = await change(wish, options)
      assert.is(outcome.signal, 'SIGKILL', `it was not killed ${moment}: ${outcome.stderr}`)
    }
    const last = await change(wish)
    assert.is(last.code, 0, last.stderr)
    assert.is(await memory(), '1200Mi')
    assert.is(await bed.kubectl.get(ref('Secret', 'oas-wekan-override-before')), undefined)
    // The check that was killed: the next one removes it when it is three minutes old.
    for (const kind of ['Secret', 'ServiceAccount', 'Namespace'])
      for (const { metadata } of await bed.kubectl.list('v1', kind, { labelSelector: CHECK_LABEL }))
        await bed.kubectl.delete({ apiVersion: 'v1', kind, ...metadata })
    for (const kind of ['ClusterRole', 'ClusterRoleBinding'])
      for (const { apiVersion, metadata } of await bed.kubectl.list(RBAC, kind, {
        labelSelector: CHECK_LABEL,
      }))
        await bed.kubectl.delete({ apiVersion, kind, ...metadata })
  })

  test('an unfinished change that fails is taken back to the values before it, also by --rollback', async () => {
    const before = await values()
    const killed = await change(['wekan', '--set', crash], killedAt('2. Wait'))
    assert.is(killed.signal, 'SIGKILL', killed.stderr)
    const shown = await override(['wekan'])
    assert.match(shown.stderr, /is unfinished/)
    const back = await change(['wekan', '--rollback'])
    assert.is(back.code, 0, back.stderr)
    assert.is(await values(), before)
    assert.is(await memory(), '1200Mi')
    assert.is((await change(['wekan', '--rollback'])).code, 2)
  })

  test('two at once: one ends with 75 and changes nothing', async () => {
    let waiting: () => void = () => {}
    const started = new Promise<void>(resolve => {
      waiting = resolve
    })
    const first = change(['wekan', '--set', 'resources.limits.memory=1300Mi'], {
      kill: stderr => {
        if (stderr.includes('1. Write')) waiting()
        return undefined
      },
    })
    await started
    const second = await change(['wekan', '--set', 'resources.limits.memory=1400Mi', '--skip-check'])
    assert.ok([1, 75].includes(second.code!), second.stderr)
    assert.is((await first).code, 0)
    assert.is(await memory(), '1300Mi')
  })

  test('two started at the same moment: one of them wins whole, the other one says so and changes nothing', async () => {
    const wishes = ['1500Mi', '1600Mi']
    const both = await Promise.all(
      wishes.map(size => change(['wekan', '--set', `resources.limits.memory=${size}`])),
    )
    const winners = wishes.filter((_, i) => both[i]!.code === 0)
    const said = both.map(({ stderr }) => stderr).join('\n')
    assert.ok(winners.length >= 1, said)
    for (const outcome of both.filter(({ code }) => code !== 0)) {
      assert.ok([1, 75].includes(outcome.code!), said)
      assert.match(told(outcome)[0]!.what, /another run|was changed meanwhile/)
    }
    // Where the slower one planned after the other had ended, both have won in turn.
    const size = await memory()
    assert.ok(winners.includes(size), `${size}: ${said}`)
    assert.match((await values())!, `memory: "${size}"`)
    await clean()
    const undo = await change(['wekan', '--set', 'resources.limits.memory=1300Mi'])
    assert.is(undo.code, 0, undo.stderr)
  })

  /** Has Flux apply a folder, as it would from a repository of the administrator's. */
  const fluxApplies = async (target: string) => {
    pushFolder('exported', target)
    const ours = await bed.kubectl.get({ ...GIT_REPOSITORY, name: 'openappstack', namespace: 'flux-system' })
    const metadata = { name: 'exported', namespace: 'flux-system' }
    const { url } = ours!.spec
    await bed.kubectl.create({
      ...GIT_REPOSITORY,
      metadata,
      spec: { interval: '1h', url, ref: { branch: 'exported' } },
    })
    const sourceRef = { kind: GIT_REPOSITORY.kind, name: 'exported' }
    await bed.kubectl.create({
      ...KUSTOMIZATION,
      metadata,
      spec: { interval: '1h', path: './', prune: false, wait: true, sourceRef },
    })
    const kustomization = { ...KUSTOMIZATION, ...metadata }
    await reaches(bed, kustomization, object => standing(object).state === 'ready')
    assert.is(
      (await bed.kubectl.get(ref('ConfigMap')))?.metadata.labels?.['kustomize.toolkit.fluxcd.io/name'],
      'exported',
    )
    for (const each of [kustomization, { ...GIT_REPOSITORY, ...metadata }]) await bed.kubectl.delete(each)
  }

  test('a secret value: never shown, exported encrypted, listed; a broken override can be replaced', async () => {
    const secret = 'correct-horse-battery-staple'
    const path = file('secret.yaml', `secretEnv:\n  - {name: SOME_TOKEN, value: ${secret}}\n`)
    const set = await change(['wekan', '--secret', '--file', path])
    assert.is(set.code, 0, set.stderr)
    const shown = await override(['wekan'])
    assert.match(shown.stdout, /secretEnv +\*\*\* +Secret oas-apps\/oas-wekan-override/)
    const list = await override(['--list'])
    assert.match(list.stdout, /wekan +Secret oas-apps\/oas-wekan-override +1 +ready/)
    const target = join(folder, 'exported')
    assert.is((await change(['--export', target])).code, 2)
    const { generateX25519Identity, identityToRecipient } = await import('age-encryption')
    const identity = await generateX25519Identity()
    const recipient = await identityToRecipient(identity)
    const exported = await change(['--export', target, '--recipient', recipient])
    assert.is(exported.code, 0, exported.stderr)
    assert.equal(readdirSync(target).sort(), [
      'kustomization.yaml',
      'oas-apps-oas-wekan-override.secret.yaml.age',
      'oas-apps-oas-wekan-override.yaml',
    ])
    const encrypted = readFileSync(join(target, 'oas-apps-oas-wekan-override.secret.yaml.age'))
    assert.not.ok(encrypted.includes(secret))
    const keys = { identities: [identity], passphrase: async () => '' }
    const { load } = await import('js-yaml')
    const manifest = load((await allOf(decryptWith(keys, [encrypted], 'it'))).toString()) as KubeObject
    await bed.kubectl.apply(manifest, { dryRun: true })
    const configMap = load(
      readFileSync(join(target, 'oas-apps-oas-wekan-override.yaml'), 'utf8'),
    ) as KubeObject
    await bed.kubectl.apply(configMap, { dryRun: true })
    await fluxApplies(target)
    assert.equal(bed.leaks([secret]), [])

    await bed.kubectl.patch(ref('ConfigMap'), { data: { 'values.yaml': 'a: [1\n' } })
    assert.match(told(await change(['wekan', '--set', 'dbname=x']))[0]!.what, /not valid YAML/)
    const reset = await change(['wekan', '--reset'])
    assert.is(reset.code, 0, reset.stderr)
    assert.is(await values(), undefined)
    assert.is(await bed.kubectl.get(ref('Secret')), undefined)
    assert.is(await memory(), '988Mi')
  })

  /** Edits the override of wekan on a terminal, by a program that does with the file what the shell text says. */
  const edit = async (shell: string, answers: readonly Answered[], ...args: string[]) => {
    const editor = join(folder, 'editor')
    writeFileSync(editor, `#!/bin/sh\n${shell}\n`, { mode: 0o755 })
    const { code, screen } = await endOnTerminal(
      'override-app',
      ['--cluster', 'sandbox', 'wekan', '--edit', ...args],
      answers,
      { env: { EDITOR: editor, VISUAL: undefined, TMPDIR: folder } },
    )
    // A terminal cuts long lines.
    return { code, screen, text: screen.replaceAll(/\r?\n/g, ' ') }
  }
  const drafts = () => readdirSync(folder).filter(name => name.startsWith('oas-override-'))

  test('--edit on a terminal: what was saved is judged, shown, asked about and installed', async () => {
    const before = await memory()
    const agreed = [[/Change the values of wekan/, 'y']] as const
    const ended = await edit(
      `stat -c %a "$1" > "${folder}/mode"; printf 'resources: {limits: {memory: 1700Mi}} # ours\\n' > "$1"`,
      agreed,
    )
    assert.is(ended.code, 0, ended.screen)
    assert.is(readFileSync(join(folder, 'mode'), 'utf8'), '600\n')
    assert.is(await memory(), '1700Mi')
    assert.equal(drafts(), [])
    // The next editor shows what is in force.
    const next = await edit(`grep -q 1700Mi "$1" && sed -i s/1700Mi/1800Mi/ "$1"`, agreed)
    assert.is(next.code, 0, next.screen)
    assert.is(await memory(), '1800Mi')
    const undo = await change(['wekan', '--reset'])
    assert.is(undo.code, 0, undo.stderr)
    assert.is(await memory(), before)
  })

  test('--edit: an editor that fails, saves nothing, or saves what is refused; no work is lost', async () => {
    const before = await values()
    const fails = await edit('exit 3', [])
    assert.is(fails.code, 1, fails.screen)
    assert.match(fails.text, /editor failed/)
    const same = await edit('true', [])
    assert.is(same.code, 4, same.screen)
    assert.match(same.text, 'was not edited')
    assert.match((await edit('kill -9 $$', [])).text, /editor failed/)
    assert.equal(drafts(), [])
    const bomb = [...'abcdefgh'].map((name, i, all) =>
      i === 0
        ? 'a: &a [x,x,x,x,x,x,x,x,x]'
        : `${name}: &${name} [${Array(9)
            .fill(`*${all[i - 1]}`)
            .join()}]`,
    )
    const tries: [saved: string, answers: Answered[], code: number, message: RegExp][] = [
      ['a: [1', [], 2, /not valid YAML/],
      ['a: 1\\na: 2', [], 2, /Map keys must be unique/],
      [bomb.join('\\n'), [], 2, /too many aliases/],
      ['replicaCuont: 2', [], 1, /does not know replicaCuont/],
      ['replicaCount: many', [], 1, /got string/],
      ['replicaCount: 2', [[/Change the values/, 'n']], 4, /not confirmed/],
    ]
    for (const [saved, answers, code, message] of tries) {
      const ended = await edit(`printf '${saved}\\n' > "$1"`, answers)
      assert.is(ended.code, code, ended.screen)
      assert.match(ended.text, message)
      assert.is(drafts().length, 1, saved)
      const [, file = ''] = /--reset --file (\S+)/.exec(ended.text) ?? []
      assert.is(file, join(folder, drafts()[0]!, 'values.yaml'))
      assert.is(statSync(file).mode & 0o777, 0o600)
      rmSync(join(folder, drafts()[0]!), { recursive: true })
    }
    assert.is(await values(), before)
    await clean()
    const piped = await change(['wekan', '--edit'])
    assert.is(piped.code, 2)
    assert.match(told(piped)[0]!.what, /--edit needs a terminal/)
  })

  test("the docs' examples: staging certificates in one line, and source ranges", async () => {
    const installed = await runScript('install-app', ['--cluster', 'sandbox', '--yes', 'nextcloud'], {
      timeout: 600_000,
    })
    assert.is(installed.code, 0, installed.stderr)
    const staging = await change(['nextcloud', '--file', 'install/overrides/oas-nextcloud-override.yaml'])
    assert.is(staging.code, 0, staging.stderr)
    assert.match((await values('oas-nextcloud-override'))!, /letsencrypt-staging/)
    assert.is((await change(['nextcloud', '--reset'])).code, 0)
    // By hand, as chapter 8 has it: Flux takes it over, and it is shown.
    const { load } = await import('js-yaml')
    await bed.kubectl.apply(
      load(readFileSync(join(ROOT, 'install/overrides/oas-nextcloud-override.yaml'), 'utf8')) as KubeObject,
    )
    await until(
      async () => {
        const deployment = {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          namespace: 'oas-apps',
          name: 'nextcloud',
        }
        const { annotations } = (await bed.kubectl.get(deployment))!.spec.template.metadata
        return annotations?.['openappstack.net/cluster-issuer'] === 'letsencrypt-staging'
          ? { done: true }
          : { last: JSON.stringify(annotations) }
      },
      { deadline: 120_000, describe: String },
    )
    assert.match(
      (await override(['nextcloud'])).stdout,
      /cluster-issuer +"letsencrypt-staging" +ConfigMap oas-apps/,
    )
    assert.match(
      (await override(['--list'])).stdout,
      /nextcloud +ConfigMap oas-apps\/oas-nextcloud-override +1/,
    )
    // Chapter 10 sets a value of ingress-nginx, in a manifest that kubectl refuses.
    const docs = `---
apiVersion: v1
kind: secret
metadata:
  name: oas-nginx-override
data:
  values.yaml: |
    controller:
      config:
        whitelist-source-range: 1.2.3.4/24
`
    const old = await change(['ingress', '--secret', '--file', file('docs.yaml', docs)])
    assert.is(old.code, 1, old.stderr)
    assert.match(told(old)[0]!.what, /the chart traefik does not know controller/)
    const ranges = await change([
      'ingress',
      '--secret',
      '--file',
      'install/overrides/oas-nginx-override.yaml',
      '--dry-run',
    ])
    assert.not.match(ranges.stderr, /does not know/)
    await clean()
  })
}

test.run()
