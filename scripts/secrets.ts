/**
 * Lists the generated secrets without their values, reveals one, and audits all: missing, empty, or with the
 * newline at the end that `echo … | base64` leaves. It replaces the docs' `openappstack NAME secrets`.
 *
 * Usage: npx tsx scripts/secrets.ts [--show KEY] [--app APP]
 * Needs: a cluster folder with a kubeconfig. Changes nothing.
 */

import { installedNames } from '../lib/flux/flux.ts'
import { APP_NAMES, checkApp } from '../lib/platform/apps.ts'
import { ExpectedError, Findings, UsageError } from '../lib/script/errors.ts'
import { suggestion } from '../lib/script/flags.ts'
import { script } from '../lib/script/script.ts'
import { table } from '../lib/script/table.ts'

await script({
  name: 'secrets',
  group: 'watch',
  summary:
    'List the generated secrets without their values; reveal one; audit all (exit code 3 with findings).',
  flags: {
    show: { type: 'string', value: 'KEY', help: 'print the value of this key and nothing else' },
    app: { type: 'string', value: 'APP', help: `only those of core, ${APP_NAMES.join(', ')}` },
  },
  examples: [
    ['npx tsx scripts/secrets.ts', 'List all secrets, and what is wrong with them'],
    ['npx tsx scripts/secrets.ts --show userbackend_admin_password', 'The password of the user admin'],
    ['npx tsx scripts/secrets.ts --app nextcloud', 'The secrets of one application'],
  ],
  cluster: 'existing',
  changes: false,
  async run(run) {
    const { generatedKeysOf, loadCatalogue, secretRef, secretValues } = await import(
      '../lib/platform/secrets.ts'
    )
    const { auditSecrets } = await import('./secrets/audit.ts')
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    if (run.flags.app !== undefined) checkApp(run.flags.app, ['core', ...APP_NAMES])
    const catalogue = (await loadCatalogue()).filter(
      entry => run.flags.app === undefined || entry.app === run.flags.app,
    )
    const wanted = run.flags.show
    // Basic-auth Secrets all have the keys pass and auth: theirs are named SECRET/KEY.
    const names = catalogue.flatMap(entry =>
      generatedKeysOf(entry).map(key => (entry.basicAuth ? `${entry.name}/${key}` : key)),
    )
    if (wanted !== undefined && !names.includes(wanted))
      throw new UsageError(`unknown key ${JSON.stringify(wanted)}`, suggestion(wanted, names))

    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    const found = await Promise.all(
      catalogue.map(async entry => ({ entry, values: secretValues(await kubectl.get(secretRef(entry))) })),
    )
    if (wanted !== undefined) {
      const { entry, values } = found.find(({ entry }) =>
        wanted.includes('/')
          ? wanted.startsWith(`${entry.name}/`)
          : !entry.basicAuth && generatedKeysOf(entry).includes(wanted),
      )!
      const value = values[wanted.split('/').at(-1)!]
      if (value === undefined)
        throw new ExpectedError(
          `${wanted} is not in the cluster: Secret ${entry.namespace}/${entry.name} does not have it`,
          `run \`npx tsx scripts/install-${entry.app === 'core' ? 'core.ts' : `app.ts ${entry.app}`}\`: it adds what is missing`,
        )
      run.reveal({ key: wanted, value }, value)
      return
    }

    // An application that is not installed has no secrets, and lacks none.
    const installed = await installedNames(kubectl)
    const findings = found
      .filter(({ entry }) => entry.app === 'core' || installed.includes(entry.app))
      .flatMap(({ entry, values }) => auditSecrets(entry, values))
    run.result = {
      secrets: found.map(({ entry, values }) => ({
        name: entry.name,
        namespace: entry.namespace,
        app: entry.app,
        keys: generatedKeysOf(entry).filter(key => values[key] !== undefined),
      })),
      findings,
    }
    run.log.print(
      table([
        ['APP', 'SECRET', 'KEY', 'STATE'],
        ...found.flatMap(({ entry, values }) =>
          generatedKeysOf(entry).map(key => [
            entry.app,
            `${entry.namespace}/${entry.name}`,
            key,
            values[key] === undefined ? 'absent' : `${values[key].length} characters`,
          ]),
        ),
      ]),
    )
    for (const finding of findings) {
      run.log.warn(`${finding.secret} ${finding.key}: ${finding.problem}`)
      run.log.info(`  fix: ${finding.fix}`)
    }
    if (findings.length > 0) throw new Findings()
  },
})
