import type { KubeObject } from '../../kubectl/kubectl.ts'
import { CONFIG_KEYS } from '../../platform/config-keys.ts'
import { VARIABLES } from '../../platform/variables.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { refTo, type ScriptCall, scriptCommand } from './failure.ts'
import { isOurs } from './ownership.ts'
import { installerOf } from './refusals.ts'

/** One Secret that the platform needs: which keys, and which script makes them. */
interface Needed {
  namespace: string
  name: string
  keys: readonly string[]
  script: ScriptCall
  /** An empty value is as good as none. */
  filled: boolean
}

/** The Secrets of the catalogue whose application is installed, and that of the configuration. */
function neededSecrets(index: Index): Needed[] {
  const installed = (app: string) => index.get('Kustomization', 'flux-system', app) !== undefined
  if (!installed('core')) return []
  const generated = (index.snapshot.catalogue ?? [])
    .filter(({ app }) => installed(app))
    .map(({ namespace, name, app, keys }): Needed => {
      const script: ScriptCall = app === 'core' ? ['install-core'] : ['install-app', app]
      return { namespace, name, keys, script, filled: true }
    })
  const keys = CONFIG_KEYS.filter(({ use }) => use === 'variable').map(({ name }) => name)
  return [
    ...generated,
    // Its values may be empty.
    { namespace: VARIABLES.namespace, name: VARIABLES.name, keys, script: ['install-core'], filled: false },
  ]
}

/** Whether a Secret of variables lacks a key, or has an empty one. */
export function lackingKeys(index: Index, namespace: string, name: string): boolean {
  const shape = index.secret(namespace, name)
  return neededSecrets(index).some(
    needed =>
      needed.namespace === namespace &&
      needed.name === name &&
      (!shape || needed.keys.some(key => (needed.filled ? !shape.keys[key] : shape.keys[key] === undefined))),
  )
}

const restored = (script: ScriptCall) =>
  `run \`${scriptCommand(script)}\`: it restores the value from the copy in clusters/, and generates a new one only without a copy; for an older one run \`npx tsx scripts/restore-secrets.ts\` before`

const finding = (
  needed: { namespace: string; name: string; script: ScriptCall | undefined },
  rule: string,
  cause: string,
): Finding =>
  tell(
    { ...refTo('Secret', needed.namespace, needed.name), apiVersion: 'v1' },
    {
      rule,
      cause,
      ...(needed.script
        ? {
            text:
              needed.name === VARIABLES.name
                ? `run \`${scriptCommand(needed.script)}\`: it creates it from .flux.env`
                : restored(needed.script),
            command: scriptCommand(needed.script),
            action: { do: 'script', script: needed.script[0], args: needed.script.slice(1) },
          }
        : {
            text: 'create it, or correct substituteFrom of the Kustomization',
            command: `kubectl -n ${needed.namespace} get secrets`,
          }),
    },
  )

/** Secrets that are not there, or lack something: from the catalogue, and whatever a Kustomization is made of. */
const lacking: Rule = index => {
  if (index.blind('Secret')) return []
  const needed = neededSecrets(index)
  const known = new Set(needed.map(({ namespace, name }) => `${namespace}/${name}`))
  const others = index.all('Kustomization').flatMap(kustomization => {
    const { namespace = '' } = kustomization.metadata
    const named = (kustomization.spec?.postBuild?.substituteFrom ?? []) as Substitute[]
    return named
      .filter(each => each.kind === 'Secret' && !each.optional && !known.has(`${namespace}/${each.name}`))
      .map(({ name }) => ({
        namespace,
        name,
        script: isOurs(kustomization) ? installerOf(kustomization, name) : undefined,
      }))
  })
  const absent = [...needed, ...others].filter(({ namespace, name }) => !index.secret(namespace, name))
  const once = new Map(
    absent.map(each => [`${each.namespace}/${each.name}`, each]).reverse() as [string, (typeof absent)[0]][],
  )
  return [
    ...[...once.values()].map(each =>
      finding(each, 'secret-missing', `does not exist, and ${usersText(each, index)}`),
    ),
    ...needed.flatMap(each => {
      const shape = index.secret(each.namespace, each.name)
      if (!shape) return []
      const missing = each.keys.filter(key => shape.keys[key] === undefined)
      const empty = each.filled ? each.keys.filter(key => shape.keys[key] === 0) : []
      return [
        ...(missing.length > 0 ? [finding(each, 'secret-key-missing', `lacks ${missing.join(', ')}`)] : []),
        ...(empty.length > 0
          ? [
              finding(
                each,
                'secret-key-empty',
                `${empty.join(', ')} ${empty.length > 1 ? 'are' : 'is'} empty`,
              ),
            ]
          : []),
      ]
    }),
  ]
}

interface Substitute {
  kind: string
  name: string
  optional?: boolean
}

/** Who cannot do without a Secret. */
function usersText({ namespace, name }: { namespace: string; name: string }, index: Index): string {
  const uses = ({ metadata, spec }: KubeObject) =>
    metadata.namespace === namespace &&
    ((spec?.postBuild?.substituteFrom ?? []) as Substitute[]).some(each => each.name === name)
  const users = index.all('Kustomization').filter(uses)
  if (users.length === 0) return 'the platform needs it'
  const names = users.map(({ metadata }) => metadata.name)
  return `${users.length > 1 ? 'the Kustomizations' : 'the Kustomization'} ${names.join(', ')} cannot be built without it`
}

/** `echo password | base64`, as the docs of 0.7.0 had it, encodes the newline too. */
const newlines: Rule = index =>
  neededSecrets(index).flatMap((needed): Finding[] => {
    const shape = index.secret(needed.namespace, needed.name)
    const keys = (shape?.newline ?? []).filter(key => needed.keys.includes(key))
    if (keys.length === 0) return []
    return [
      {
        ...finding(
          needed,
          'secret-newline',
          `${keys.join(', ')} ${keys.length > 1 ? 'end' : 'ends'} with a newline`,
        ),
        verdict: 'warning',
        remedy: {
          text: 'if the application works with it, leave it; otherwise set it again without one: printf %s VALUE | base64',
        },
      },
    ]
  })

/** Passwords that are published: what they protect, anybody can read. */
const published: Rule = index =>
  neededSecrets(index).flatMap((needed): Finding[] => {
    const known = index.secret(needed.namespace, needed.name)?.published ?? []
    const keys = known.filter(key => needed.keys.includes(key))
    if (keys.length === 0) return []
    const cause = `${keys.join(', ')} is the default that Velero publishes: whoever has the bucket can read all backups`
    return [
      {
        ...finding(needed, 'secret-published', cause),
        verdict: 'warning',
        remedy: {
          text: 'start a new prefix with a password of its own: see "A password of its own" in runbooks/backup.md',
        },
      },
    ]
  })

/** What is wrong with the Secrets that the platform is configured by. */
export const rules: Rule[] = [lacking, newlines, published]
