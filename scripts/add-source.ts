/**
 * Adds a Git repository of your own to the cluster: Flux applies it in a namespace of its own, and the cluster refuses
 * it everything outside of that. It replaces the docs' "set up your own GitRepository and add it to the Flux system".
 *
 * Usage: npx tsx scripts/add-source.ts [NAME URL]   (lists the sources without arguments)
 * Needs: a cluster with the core installed; for ssh addresses git and ssh-keygen on this machine.
 * Safe to run again: it changes what a flag says and restores what is missing; everything else stays as it is.
 */
import type { KubeObject } from '../lib/kubectl/kubectl.ts'
import { timeoutOf } from '../lib/script/duration.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'

await script({
  name: 'add-source',
  group: 'set up',
  summary: 'Add a Git repository of your own, in a namespace that it cannot leave; list them.',
  args: {
    name: 'NAME URL',
    help: 'its name, which becomes the namespace, and its address; none: list them',
    max: 2,
  },
  flags: {
    branch: { type: 'string', value: 'NAME', help: 'the branch to follow (default main)' },
    tag: { type: 'string', value: 'NAME', help: 'a tag instead of a branch' },
    path: { type: 'string', value: 'DIR', help: 'the folder with the manifests (default: the root)' },
    username: { type: 'string', value: 'NAME', help: 'who reads a private repository over https' },
    'token-file': { type: 'string', value: 'FILE', help: 'the file with the token of --username' },
    'verify-with': {
      type: 'string',
      value: 'FILE',
      help: 'public PGP keys: commits signed otherwise are refused',
    },
    login: {
      type: 'string',
      value: 'HOST[/PATH]',
      help: 'a single sign-on client for this host (default path /oauth2/callback)',
    },
    memory: { type: 'string', value: 'SIZE', help: 'memory of all its pods together (default 2Gi)' },
    storage: { type: 'string', value: 'SIZE', help: 'storage of all its volumes together (default 20Gi)' },
    timeout: { type: 'string', value: 'TIME', help: 'how long to wait until it is ready (default 10m)' },
  },
  examples: [
    ['npx tsx scripts/add-source.ts', 'List the sources'],
    ['npx tsx scripts/add-source.ts shop https://git.example.org/shop.git', 'A public repository'],
    [
      'npx tsx scripts/add-source.ts shop ssh://git@git.example.org/shop.git --path ./deploy',
      'A private one, by a deploy key',
    ],
    [
      'npx tsx scripts/add-source.ts shop https://git.example.org/shop.git --login shop.example.org',
      'With single sign-on',
    ],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const { join } = await import('node:path')
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { applyText, planApply } = await import('../lib/flux/apply.ts')
    const { DeployKey } = await import('../lib/flux/deploy-key.ts')
    const { installedConfig } = await import('../lib/platform/config.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { generatePassword } = await import('../lib/platform/secrets.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { readSourceFlags } = await import('./add-source/flags.ts')
    const { completedFrom } = await import('./add-source/kept.ts')
    const { sourceObjects } = await import('./add-source/objects.ts')
    const { applyInOrder, checkFree, clientSecretOf, podNetworks, sourceRows, waitForSource } = await import(
      './add-source/steps.ts'
    )

    const deadline = timeoutOf(run.flags.timeout, 10)
    const wanted = run.args.length === 0 ? undefined : readSourceFlags(run.args, run.flags)
    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    if (!wanted) {
      const rows = await sourceRows(kubectl)
      run.result = rows.map(([name, source, state]) => ({ name, source, state }))
      run.log.print(rows.length > 0 ? table([['NAME', 'SOURCE', 'STATE'], ...rows]) : 'no own sources')
      return
    }

    const { name, url, login } = wanted
    const config = installedConfig(run.cluster)
    await run.preflight([
      ...(await clusterChecks(kubectl, [
        ['create', '', 'namespaces'],
        ['create', 'rbac.authorization.k8s.io', 'rolebindings'],
      ])),
      () => checkFree(kubectl, name, login !== undefined),
    ])
    const source = await completedFrom(kubectl, wanted)
    const { ref, path } = source
    const secret = { name: 'git', namespace: name }
    const isSsh = url.startsWith('ssh:')
    const place = { url, branch: 'branch' in ref ? ref.branch : 'main', secret }
    const folder = join(run.cluster.folder, 'sources', name)
    const key = isSsh
      ? await DeployKey.for(kubectl, { ...place, folder, comment: `openappstack ${name}` })
      : undefined
    const kept =
      isSsh && !key ? await kubectl.get({ apiVersion: 'v1', kind: 'Secret', ...secret }) : undefined
    const clientSecret = login && ((await clientSecretOf(kubectl, name)) ?? generatePassword(40))
    const around = { podRanges: await podNetworks(kubectl), domain: config.domain ?? '' }
    const keptKey: KubeObject | undefined = kept && {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: secret,
      type: 'Opaque',
      data: kept.data,
    }
    const objects = (deployKey = keptKey) => sourceObjects(source, around, { deployKey, clientSecret })
    const plan = [...(key ? [key.plan] : []), ...applyText(await planApply(kubectl, objects()))]
    run.result = { name, namespace: name, url, changed: plan.length > 0 }
    if (plan.length > 0) {
      const [[kind, at]] = Object.entries(ref) as [[string, string]]
      plan.push(
        `Flux applies ${path} of ${url}, ${kind} ${at}, in namespace ${name}, and may write nowhere else`,
      )
      if (!(await run.agree(plan, `Add ${name} to ${run.cluster.name}?`))) return
      await lockCluster(kubectl, run)
      if (key) await run.step('Deploy key', key.command, () => key.admit(run))
      await run.step(
        'Namespace, rights, limits and source',
        `flux create source git ${name} --url ${url}`,
        () => applyInOrder(kubectl, objects(key?.secret ?? keptKey)),
      )
    }
    await run.step('Wait until ready', `flux get kustomizations -n ${name} --watch`, async () => {
      await waitForSource(kubectl, name, { deadline, log: run.log, signal: run.signal })
      return undefined
    })
    run.next([
      `npx tsx scripts/logs.ts ${name}   # its logs`,
      ...(login
        ? [
            `Secret ${name}/login has CLIENT_ID, CLIENT_SECRET and ISSUER for ${login.callback}`,
            `npx tsx scripts/users.ts grant NAME ${name}   # who may log in there`,
          ]
        : []),
    ])
  },
})
