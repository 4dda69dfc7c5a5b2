import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cluster } from '../../lib/script/cluster.ts'
import { EXIT, ExpectedError, throwAll, UsageError } from '../../lib/script/errors.ts'
import { suggestion } from '../../lib/script/flags.ts'
import { askSelect, askSeveral } from '../../lib/script/prompt.ts'
import type { SecretDiff } from '../../lib/secret-backup/diff.ts'
import { backupFolder } from '../../lib/secret-backup/files.ts'
import type { Choice } from '../../lib/secret-backup/restore.ts'
import { secretNameOf, secretPlaceOf } from '../../lib/secret-backup/secret-backup.ts'

/** The Secrets for lists on the command line: `NAME` or `NAMESPACE/NAME`, with commas. Throws a UsageError. */
function named(diffs: readonly SecretDiff[], flag: string, lists: readonly string[]): SecretDiff[] {
  const names = lists.flatMap(list => list.split(',').map(name => name.trim()))
  return names.map(name => {
    const found = diffs.filter(
      ({ secret }) => name === secret.metadata.name || name === secretPlaceOf(secretNameOf(secret)),
    )
    if (found.length === 1) return found[0]!
    const known = diffs.map(({ secret }) => secret.metadata.name)
    throw found.length === 0
      ? new UsageError(
          `${flag} ${JSON.stringify(name)}: not a Secret of this backup`,
          suggestion(name, known),
        )
      : new UsageError(
          `${flag} ${name}: several Secrets have this name`,
          `write ${secretPlaceOf(secretNameOf(found[0]!.secret))}`,
        )
  })
}

/** The flags of the choice. */
type ChoosingRun = { flags: { only: string[]; overwrite: string[]; yes: boolean; 'dry-run': boolean } }

/**
 * The Secrets to restore: those that --only and --overwrite name; with neither, those that the cluster lacks
 * entirely or in part, after a question. Throws an ExpectedError (exit code 4) for a named Secret with other
 * values, unless --overwrite names it.
 */
export async function choose({ flags }: ChoosingRun, diffs: readonly SecretDiff[]): Promise<Choice[]> {
  const replace = new Set(named(diffs, '--overwrite', flags.overwrite))
  const only = named(diffs, '--only', flags.only)
  const refused = only.filter(diff => diff.state === 'different' && !replace.has(diff))
  throwAll(
    refused.map(
      ({ secret }) =>
        new ExpectedError(
          `Secret ${secretPlaceOf(secretNameOf(secret))} has other values in the cluster; nothing was changed`,
          `give --overwrite ${secret.metadata.name}`,
          { exitCode: EXIT.refused },
        ),
    ),
  )
  const lacking = diffs.filter(({ state }) => state === 'missing' || state === 'incomplete')
  const all = flags.yes || flags['dry-run']
  const asked = () => askWhich(diffs, replace)
  const chosen = new Set(
    flags.only.length > 0
      ? only
      : replace.size > 0
        ? []
        : all || lacking.length === 0
          ? lacking
          : await asked(),
  )
  for (const diff of replace) chosen.add(diff)
  return diffs
    .filter(diff => chosen.has(diff) && diff.state !== 'same')
    .map(diff => ({ diff, overwrite: diff.state === 'different' && replace.has(diff) }))
}

/** Asks which Secrets to restore, of those that the cluster lacks entirely or in part. */
async function askWhich(
  diffs: readonly SecretDiff[],
  replace: ReadonlySet<SecretDiff>,
): Promise<SecretDiff[]> {
  const answer = await askSeveral({
    message: 'Which secrets?',
    flag: '--only NAME, or --yes for all that the cluster lacks',
    choices: diffs
      .filter(diff => diff.state !== 'same' && !replace.has(diff))
      .map(({ secret, state }) => ({
        value: secretPlaceOf(secretNameOf(secret)),
        name: `${secretPlaceOf(secretNameOf(secret))} (${state})`,
        ...(state === 'different' ? { disabled: `differs: --overwrite ${secret.metadata.name}` } : {}),
      })),
  })
  return diffs.filter(({ secret }) => answer.includes(secretPlaceOf(secretNameOf(secret))))
}

/** Asks for one of the backups in the cluster's folder, the newest first. */
export async function chooseBackup(cluster: Cluster): Promise<string> {
  const parent = dirname(backupFolder(cluster, new Date()))
  const choices = (existsSync(parent) ? readdirSync(parent) : [])
    .filter(name => !name.endsWith('.incomplete'))
    .sort()
    .reverse()
  if (choices.length === 0)
    throw new UsageError(
      `${parent} holds no backup`,
      'give the folder of a backup: npx tsx scripts/restore-secrets.ts DIR',
    )
  const question = { message: 'Which backup?', flag: `the folder of one: ${join(parent, choices[0]!)}` }
  return join(parent, await askSelect({ ...question, choices }))
}
