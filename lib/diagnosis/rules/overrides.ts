/** Overrides of administrators: keys that nobody reads, overrides that nobody reads, and those that left their file behind. */
import type { Ref } from '../../kubectl/kubectl.ts'
import { appOfOverride, CHECK_LABEL } from '../../platform/overrides.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { OverrideFact } from '../snapshot.ts'

const refTo = ({ kind, namespace, name }: OverrideFact): Ref => ({ apiVersion: 'v1', kind, namespace, name })

const unknownKey: Rule = ({ snapshot }) =>
  (snapshot.overrides ?? []).flatMap(override =>
    override.unknown.map(
      ({ key, meant }): Finding =>
        tell(refTo(override), {
          rule: 'override-unknown-key',
          verdict: 'warning',
          cause: `sets ${key}, which the chart ${override.chart ?? ''} does not know${meant ? `; it knows ${meant}` : ''}`,
          evidence: [`HelmRelease ${override.namespace}/${override.release ?? ''} reads it`],
          text: 'Set the key that was meant, and remove this one',
          command: `npx tsx scripts/override-app.ts ${override.release ?? ''} --unset ${key}`,
        }),
    ),
  )

const unread: Rule = index =>
  (index.snapshot.overrides ?? [])
    .filter(({ release }) => release === undefined)
    // That of an application that is not installed waits for its installation.
    .filter(({ name }) => {
      const app = appOfOverride(name)
      return app === undefined || index.get('Kustomization', 'flux-system', app) !== undefined
    })
    .map(
      (override): Finding =>
        tell(refTo(override), {
          rule: 'override-unread',
          verdict: 'warning',
          cause: 'no HelmRelease of its namespace reads it, so that its values have no effect',
          text: 'Correct its name or namespace (oas-RELEASE-override), or delete it',
          command: `kubectl -n ${override.namespace} delete ${override.kind.toLowerCase()} ${override.name}`,
        }),
    )

const changed: Rule = ({ snapshot }) =>
  (snapshot.overrides ?? [])
    .filter(({ changed }) => changed)
    .map(
      (override): Finding =>
        tell(refTo(override), {
          rule: 'override-differs',
          verdict: 'warning',
          cause: 'differs from the file to which it was exported',
          text: 'Export it again, or apply the file',
          command: `npx tsx scripts/override-app.ts --export DIR`,
        }),
    )

const leftCheck: Rule = index =>
  index
    .all('HelmRelease')
    .filter(({ metadata }) => metadata.labels?.[CHECK_LABEL])
    .map(
      (release): Finding =>
        tell(release, {
          rule: 'override-check-left',
          verdict: 'warning',
          cause: 'is a check of override-app, which is running or was killed; it cannot install anything',
          text: 'Run override-app again with any change, also with --dry-run: it removes checks that are older than three minutes',
        }),
    )

/** The rules of overrides. */
export const rules: readonly Rule[] = [unknownKey, unread, changed, leftCheck]
