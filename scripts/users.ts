/**
 * Manages the people who log in by single sign-on: their accounts, the applications that they may open, the label
 * "Admin" and their passwords. It does what the user panel at https://admin.DOMAIN does, also when nobody can log in.
 *
 * Usage: npx tsx scripts/users.ts [COMMAND NAME APP…]   (`list` without a command)
 * Needs: a cluster folder with a kubeconfig, and single sign-on that is ready.
 * Safe to run again: it reads the accounts every time and changes what differs.
 */
import { existsSync, readFileSync } from 'node:fs'
import { ExpectedError, UsageError } from '../lib/script/errors.ts'
import { checkOutputPath, writeFileAtomic } from '../lib/script/files.ts'
import { script } from '../lib/script/script.ts'

await script({
  name: 'users',
  group: 'set up',
  summary: 'List, create, change, disable and delete users; grant applications; reset passwords.',
  args: {
    name: 'COMMAND NAME APP…',
    help:
      'list · show NAME · create NAME · edit NAME · disable NAME · enable NAME · delete NAME · restore NAME · ' +
      'free-name NAME · grant NAME APP[=admin]… · revoke NAME APP… · admin NAME on|off [APP] · ' +
      'reset-password NAME · sessions NAME --end · import FILE.csv · export · reset-admin',
  },
  flags: {
    email: {
      type: 'string',
      value: 'ADDRESS',
      help: 'the e-mail address: create, edit, restore, reset-admin (default: admin_email)',
    },
    name: { type: 'string', value: 'TEXT', help: 'the full name: create, edit, restore' },
    admin: { type: 'boolean', help: 'create an administrator' },
    grant: { type: 'string', value: 'APP', multiple: true, help: 'create with APP, or with APP=admin' },
    generate: { type: 'boolean', help: 'generate a password and show it once, in place of a one-time code' },
    end: { type: 'boolean', help: 'end all sessions: sessions' },
    confirm: {
      type: 'string',
      value: 'NAME',
      help: 'the name of the user, instead of typing it: delete, free-name',
    },
    output: { type: 'string', value: 'FILE', help: 'write the export to this file' },
  },
  examples: [
    ['npx tsx scripts/users.ts list', 'Everybody, and what they may open'],
    [
      'npx tsx scripts/users.ts create mia --email mia@example.org --grant nextcloud',
      'A user, and a code to start with',
    ],
    ['npx tsx scripts/users.ts grant mia wekan=admin', 'One more application, as its administrator'],
    ['npx tsx scripts/users.ts reset-password mia --generate', 'A new password, shown once'],
    ['npx tsx scripts/users.ts import people.csv --dry-run', 'What a file would create and change'],
    ['npx tsx scripts/users.ts reset-admin', 'The administrator is locked out'],
  ],
  cluster: 'existing',
  changes: true,
  async run(run) {
    const [command = 'list', name] = run.args
    const { output } = run.flags
    if (output !== undefined) checkOutputPath('--output', output)
    const { Kubectl } = await import('../lib/kubectl/kubectl.ts')
    const { readConfig } = await import('../lib/platform/config.ts')
    const { lockCluster } = await import('../lib/platform/lock.ts')
    const { clusterChecks } = await import('../lib/preflight/preflight.ts')
    const { accountServices, everybody } = await import('../lib/platform/sign-on.ts')
    const { exportText, peopleOf } = await import('./users/people.ts')
    const { accountLines, userNamed } = await import('./users/actions.ts')
    const { importPlan } = await import('./users/import.ts')
    const { hasLegacyAccess, listing } = await import('./users/list.ts')
    const { accountPlan } = await import('./users/plan.ts')
    const { carryOut, handOver, handoverText } = await import('./users/steps.ts')

    const kubectl = await Kubectl.connect(run.cluster.kubeconfig, run.signal)
    const services = accountServices(kubectl)
    const people = await everybody(services.kratos)
    if (command === 'list' || command === 'show') {
      const shown = command === 'list' ? people : [userNamed(name, people)]
      const { text, result, next } = listing(shown, await hasLegacyAccess(kubectl))
      run.result = result
      run.log.print(text)
      run.next(next)
      return
    }
    if (command === 'export') {
      const text = exportText(people)
      run.result = { csv: text }
      if (output !== undefined) writeFileAtomic(output, text)
      else run.log.print(text.trimEnd())
      return
    }

    const rights = ['create', 'update', 'delete'].map(verb => [verb, '', 'services/proxy', 'oas'] as const)
    await run.preflight(await clusterChecks(kubectl, rights))
    const lines = accountLines(await planned(people))
    if (lines.length === 0) {
      run.log.ok('no change is needed; nothing was changed.')
      return
    }
    const question = `Change ${run.cluster.name}?`
    const agreed =
      name && (command === 'delete' || command === 'free-name')
        ? await run.agreeByName(lines, question, name, run.flags.confirm)
        : await run.agree(lines, question)
    if (!agreed) return

    await lockCluster(kubectl, run)
    // Somebody at the panel, or another run, may have changed a user since; what was shown is what is done.
    const plan = await planned(await everybody(services.kratos))
    const { actions, handing } = plan
    if (accountLines(plan).join('\n') !== lines.join('\n'))
      throw new ExpectedError(
        'the users have changed since the plan was shown; nothing was changed',
        'run the same command again: it makes a new plan',
      )
    if (actions.length > 0)
      await run.step(
        actions.length === 1 ? lines[0]! : `Change ${actions.length} users`,
        undefined,
        async () => {
          await carryOut(services, actions, run.signal)
          return undefined
        },
      )
    if (command === 'import')
      run.next(['npx tsx scripts/users.ts reset-password NAME   # a code for each new user'])
    if (!handing) return
    await run.step(`Create a ${handing.as} for ${handing.to}`, undefined, async () => {
      const handover = await handOver(services, handing)
      run.reveal({ user: handing.to, ...handover }, handoverText(handing.to, handover))
      return undefined
    })

    async function planned(accounts: typeof people) {
      const apps = (await services.hydra.clients()).map(client => client.client_id)
      if (command === 'import') return importPlan(peopleOf(fileText(name), apps), accounts)
      const email =
        run.flags.email ?? (command === 'reset-admin' ? readConfig(run.cluster.env).admin_email : undefined)
      return accountPlan(run.args, { ...run.flags, email }, { people: accounts, apps })
    }

    function fileText(file: string | undefined): string {
      if (!file || !existsSync(file))
        throw new UsageError(`the file ${file ?? ''} does not exist`, 'write import FILE.csv')
      return readFileSync(file, 'utf8')
    }
  },
})
