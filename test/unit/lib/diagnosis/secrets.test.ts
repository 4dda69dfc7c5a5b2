import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { rules } from '../../../../lib/diagnosis/rules/secrets.ts'
import type { Snapshot } from '../../../../lib/diagnosis/snapshot.ts'
import { refText } from '../../../../lib/kubectl/kubectl.ts'
import { CONFIG_KEYS } from '../../../../lib/platform/config-keys.ts'
import { fluxObject, ready } from '../../flux-objects.ts'
import { indexOf, shapeOf } from './snapshots.ts'

const entry = (app: string, name: string, ...keys: string[]) => ({
  namespace: 'flux-system',
  name,
  app,
  keys,
})
const catalogue = [
  entry('core', 'oas-oauth-variables', 'grafana_oauth_client_secret'),
  entry('wekan', 'oas-oauth-variables', 'wekan_oauth_client_secret'),
  entry('nextcloud', 'oas-nextcloud-variables', 'nextcloud_password'),
]
const variables = shapeOf(
  'flux-system',
  'oas-cluster-variables',
  Object.fromEntries(CONFIG_KEYS.filter(({ use }) => use === 'variable').map(({ name }) => [name, 0])),
)
const installed = ['core', 'wekan'].map(name => fluxObject('Kustomization', name, [ready]))
const judge = (secrets: Snapshot['secrets'], more: Partial<Snapshot> = {}, objects = installed) => {
  const index = indexOf(objects, { catalogue, secrets: [...secrets], ...more })
  return rules.flatMap(rule => rule(index))
}
const told = (...args: Parameters<typeof judge>) =>
  judge(...args).map(({ rule, subject, cause }) => `${rule} ${refText(subject)}: ${cause}`)
const oauth = (keys: Record<string, number>) => shapeOf('flux-system', 'oas-oauth-variables', keys)
const whole = oauth({ grafana_oauth_client_secret: 32, wekan_oauth_client_secret: 32 })

test('a platform with all its secrets has nothing to tell; what is not installed needs none', () => {
  assert.equal(told([variables, whole]), [])
  assert.equal(told([], {}, []), [])
})

test('keys that are missing or empty are told with the script that makes them', () => {
  const found = judge([variables, oauth({ grafana_oauth_client_secret: 0 })])
  assert.equal(
    found.map(({ rule, cause, remedy }) => `${rule} ${cause} ${remedy.command}`),
    [
      'secret-key-empty grafana_oauth_client_secret is empty npx tsx scripts/install-core.ts',
      'secret-key-missing lacks wekan_oauth_client_secret npx tsx scripts/install-app.ts wekan',
    ],
  )
  for (const { remedy } of found) assert.match(remedy.text, 'restore-secrets')
})

test('the Secret of the configuration may hold empty values, but not lack one', () => {
  const { domain: _domain, ...keys } = variables.keys
  assert.equal(told([{ ...variables, keys }, whole]), [
    'secret-key-missing Secret flux-system/oas-cluster-variables: lacks domain',
  ])
})

test('a Secret that is gone is told once, with who cannot do without it', () => {
  const user = fluxObject('Kustomization', 'wekan', [ready], {
    spec: {
      postBuild: {
        substituteFrom: [
          { kind: 'Secret', name: 'oas-oauth-variables' },
          { kind: 'Secret', name: 'mine' },
          { kind: 'Secret', name: 'perhaps', optional: true },
        ],
      },
    },
  })
  assert.equal(told([variables], {}, [installed[0]!, user]).sort(), [
    'secret-missing Secret flux-system/mine: does not exist, and the Kustomization wekan cannot be built without it',
    'secret-missing Secret flux-system/oas-oauth-variables: does not exist, and the Kustomization wekan cannot be built without it',
  ])
  assert.equal(told([], { gaps: [{ what: 'Secret', why: 'Forbidden' }] }), [], 'not seen is not absent')
})

test('a newline at the end of a password is a warning', () => {
  const [finding, ...more] = judge([variables, { ...whole, newline: ['wekan_oauth_client_secret'] }])
  assert.equal(more, [])
  assert.is(finding!.rule, 'secret-newline')
  assert.is(finding!.verdict, 'warning')
  assert.is(finding!.remedy.action, undefined)
})

test('a published password is a warning, with the way to another', () => {
  const [finding, ...more] = judge([variables, { ...whole, published: ['wekan_oauth_client_secret'] }])
  assert.equal(more, [])
  assert.is(finding!.rule, 'secret-published')
  assert.match(finding!.remedy.text, 'A password of its own')
})

test.run()
