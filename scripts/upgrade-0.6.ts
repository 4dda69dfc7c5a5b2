/**
 * Converts the settings of a cluster older than 0.6 (`settings.yaml`) to a `.flux.env`, keeps settings without
 * a counterpart as comments, and lists the applications to install afterwards. It replaces the copying by hand of
 * the docs' "Upgrading to 0.6.0".
 *
 * Usage: npx tsx scripts/upgrade-0.6.ts [--settings FILE] [--replace KEY]
 * Needs: the old settings. It reads no cluster, and does not change the old file.
 * Safe to run again: values in `.flux.env` are kept.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Findings, UsageError } from '../lib/script/errors.ts'
import { ROOT, readIfExists } from '../lib/script/files.ts'
import type { FlagSpecs } from '../lib/script/flags.ts'
import { script } from '../lib/script/script.ts'

const flags = {
  settings: {
    type: 'string',
    value: 'FILE',
    help: 'the old settings (default: settings.yaml, settings.yml, or these in group_vars/all, of the cluster folder)',
  },
  replace: {
    type: 'string',
    value: 'KEY',
    multiple: true,
    help: 'take this key from the old settings although .flux.env has another value; may be repeated',
  },
} satisfies FlagSpecs

await script({
  name: 'upgrade-0.6',
  group: 'upgrade',
  summary:
    'Convert the settings of a cluster older than 0.6 to a .flux.env, and list the applications to install.',
  flags,
  examples: [
    ['npx tsx scripts/upgrade-0.6.ts --dry-run', 'What clusters/NAME/settings.yaml would become'],
    [
      'npx tsx scripts/upgrade-0.6.ts --cluster oas.example.org --settings ~/old/settings.yml',
      'Settings from another folder, for a new cluster',
    ],
    [
      'npx tsx scripts/upgrade-0.6.ts --replace admin_email',
      'Replace this key in .flux.env by its old value',
    ],
  ],
  cluster: 'new',
  changes: true,
  async run(run) {
    const { missingKeys, parseConfig, readConfig } = await import('../lib/platform/config.ts')
    const { saveOver } = await import('../lib/platform/config.ts')
    const { migrateSettings } = await import('./upgrade-0.6/settings-migration.ts')
    const { findSettings, leftComments, planSettings, settingsText } = await import(
      './upgrade-0.6/settings-plan.ts'
    )
    const { env, name } = run.cluster
    const file = findSettings(run.cluster, run.flags.settings)
    const text = readIfExists(file)
    if (text === undefined)
      throw new UsageError(`${file} does not exist`, 'give the right file with --settings FILE')
    const migration = await migrateSettings(text, file)
    const plan = planSettings(migration, readConfig(env), run.flags.replace)
    const before = readIfExists(env)
    const base = before?.trim() ? before : readFileSync(join(ROOT, 'install', '.flux.env.example'), 'utf8')
    const after = settingsText(base, plan, leftComments(migration, file))
    const config = parseConfig(after, env) // nothing is written that could not be read
    const unusable = migration.left.filter(({ key }) => key !== undefined)
    const { apps, unknownApps } = migration

    for (const { path, why } of migration.left.filter(({ key }) => key === undefined))
      run.log.info(`= ${path}: ${why}`)
    for (const line of plan.kept) run.log.info(`= ${line}`)
    for (const { path, why, key } of unusable)
      run.log.warn(`${path} ${why}: write another value for ${key} into ${env}`)
    for (const app of unknownApps) run.log.warn(`application ${app}: 0.7 does not have it`)
    run.result = {
      file,
      set: Object.keys(plan.news),
      kept: plan.kept,
      left: migration.left,
      apps,
      unknownApps,
    }
    if (before === after) run.log.ok(`${env} is complete; nothing was changed.`)
    else {
      const lines = [
        `${before === undefined ? 'write' : 'complete'} ${env}`,
        ...plan.lines.map(line => `  ${line}`),
      ]
      if (!(await run.agree(lines, `Write the configuration of ${name}?`))) return
      await run.step(
        'Configuration',
        `cp ${join('install', '.flux.env.example')} ${env}   # then fill it in`,
        async () => {
          saveOver(run.cluster, before, after)
          return `${Object.keys(plan.news).length} settings of ${file}`
        },
      )
    }
    const missing = missingKeys(config).map(key => key.name)
    if (missing.length > 0) run.log.warn(`${env} still lacks ${missing.join(', ')}`)
    run.next([
      ...(plan.news.ip_address
        ? [`ip_address=${plan.news.ip_address} is the old server: correct it in ${env} for a new server`]
        : []),
      `npx tsx scripts/install-core.ts --cluster ${name} --kubeconfig FILE   # 0.6 and later need a new cluster`,
      apps === undefined
        ? 'the settings name no applications: check `kubectl get pvc -A` on the old cluster for those with data'
        : apps.length === 0
          ? 'the settings enable no application'
          : `npx tsx scripts/install-app.ts --cluster ${name} ${apps.join(' ')}`,
    ])
    if (unusable.length > 0) throw new Findings()
  },
})
