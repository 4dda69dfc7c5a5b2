/**
 * What applications need to log people in, as Flux applies it: with `cluster_issuer=letsencrypt-staging` alone they
 * accept the certificate of the single sign-on.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { load, loadAll } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '../../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { substituted } from '../../bed/login/values.ts'

/** The objects of an application's file, as Flux applies them with this issuer. */
const objectsWith = (file: string, cluster_issuer: string, folder = 'flux2/apps') => {
  const text = readFileSync(join(ROOT, folder, file), 'utf8')
  const secrets = Object.fromEntries(
    [...text.matchAll(/\$\{(\w+)(?:%: )?\}/g)].map(([, name]) => [name, 'x']),
  )
  const own = { domain: 'oas.example.org', admin_email: 'admin@example.org', cluster_issuer }
  const variables = { ...secrets, ...own }
  return loadAll(substituted(text, variables)) as KubeObject[]
}
const named = (objects: readonly KubeObject[], name: string) =>
  objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name)
const STAGING = 'letsencrypt-staging'
const PRODUCTION = 'letsencrypt-production'

test('Rocket.Chat: Node checks certificates, but with staging', () => {
  const rejects = (issuer: string) => {
    const objects = objectsWith('rocketchat/values.yaml', issuer)
    const values = load(named(objects, 'oas-rocketchat-values')!.data['values.yaml']) as {
      extraEnv: {
        name: string
        valueFrom?: { configMapKeyRef: { name: string; key: string; optional: boolean } }
      }[]
    }
    const { name, key, optional } = values.extraEnv.find(
      ({ name }) => name === 'NODE_TLS_REJECT_UNAUTHORIZED',
    )!.valueFrom!.configMapKeyRef
    assert.ok(optional)
    return named(objects, name)!.data[key]
  }
  assert.is(rejects(STAGING), '0')
  assert.is(rejects(PRODUCTION), undefined)
})

test('Wekan: the ConfigMap of the staging issuer exists, and no other', () => {
  const given = (issuer: string) => {
    const objects = objectsWith('wekan/values.yaml', issuer)
    const values = load(named(objects, 'oas-wekan-values')!.data['values.yaml']) as { extraEnvFrom: string }
    const name = /configMapRef:\s+name: (\S+)\s+optional: true/.exec(values.extraEnvFrom)![1]!
    return named(objects, name)?.data
  }
  assert.equal(given(STAGING), { NODE_TLS_REJECT_UNAUTHORIZED: '0' })
  assert.is(given(PRODUCTION), undefined)
})

test('WordPress: the plugin is loaded, and compares with the issuer', () => {
  const file = (issuer: string) => {
    const [setup] = objectsWith('wordpress/setup.yaml', issuer)
    assert.match(setup!.stringData['setup.sh'], 'require "/setup/staging.php"')
    return setup!.stringData['staging.php'] as string
  }
  assert.match(file(STAGING), "if ('letsencrypt-staging' === 'letsencrypt-staging')")
  assert.match(file(PRODUCTION), "if ('letsencrypt-production' === 'letsencrypt-staging')")
  assert.match(file(STAGING), "'https://sso.oas.example.org/'")
})

/** What the hook that runs at every start of Nextcloud has imported; `php` only says what it was asked. */
function importedBy(issuer: string, isPrivate: boolean): Record<string, unknown> {
  const [object] = objectsWith('nextcloud/values.yaml', issuer)
  const { nextcloud, podAnnotations } = load((object!.stringData ?? object!.data)['values.yaml']) as {
    nextcloud: { hooks: { 'before-starting': string } }
    podAnnotations?: Record<string, string>
  }
  const folder = mkdtempSync(join(tmpdir(), 'oas-unit-'))
  try {
    const php = `#!/bin/sh
case "$*" in
  -r*) echo ${isPrivate};;
  *config:import*) cat > ${join(folder, 'imported')};;
  *user_oidc:provider*) echo "$*" > ${join(folder, 'provider')};;
esac
`
    writeFileSync(join(folder, 'php'), php, { mode: 0o755 })
    const { status, stderr } = spawnSync('sh', ['-c', nextcloud.hooks['before-starting']], {
      encoding: 'utf8',
      env: {
        PATH: `${folder}:/usr/bin:/bin`,
        CLUSTER_ISSUER: podAnnotations?.['openappstack.net/cluster-issuer'],
        ONLYOFFICE_JWT_SECRET: 'x',
        OIDC_CLIENT_ID: 'nextcloud',
      },
    })
    assert.is(status, 0, stderr)
    const provider = readFileSync(join(folder, 'provider'), 'utf8')
    for (const flag of ['--send-id-token-hint=1', '--mapping-groups=groups', '--group-provisioning=1'])
      assert.ok(provider.includes(flag), flag)
    return JSON.parse(readFileSync(join(folder, 'imported'), 'utf8')).system
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('Nextcloud: accepts self-signed certificates with staging, and private addresses where sso. has one', () => {
  const settings = (issuer: string, isPrivate = false) => {
    const { allow_local_remote_servers, user_oidc } = importedBy(issuer, isPrivate)
    return [allow_local_remote_servers, (user_oidc as Record<string, unknown>)['httpclient.allowselfsigned']]
  }
  assert.equal(settings(PRODUCTION), [false, false])
  assert.equal(settings(STAGING), [false, true])
  assert.equal(settings(PRODUCTION, true), [true, false])
})

/** The values of Grafana. */
const grafanaWith = (issuer: string) => {
  const [object] = objectsWith('values.yaml', issuer, 'flux2/core/kube-prometheus-stack')
  return load(object!.stringData['values.yaml']) as {
    grafana: { 'grafana.ini': Record<string, Record<string, unknown>>; adminUser: string }
    extraManifests: KubeObject[]
  }
}

test('Grafana: its template is true with staging, and false otherwise', () => {
  const template = (issuer: string) =>
    grafanaWith(issuer).grafana['grafana.ini']['auth.generic_oauth']!.tls_skip_verify_insecure
  assert.is(template(STAGING), '{{ eq "letsencrypt-staging" "letsencrypt-staging" }}')
  assert.is(template(PRODUCTION), '{{ eq "letsencrypt-production" "letsencrypt-staging" }}')
})

test('Grafana: whoever is not an administrator is a Viewer, without Explore; nobody has the name of its own user', () => {
  const { grafana } = grafanaWith(PRODUCTION)
  const ini = grafana['grafana.ini']
  const oauth = ini['auth.generic_oauth']!
  assert.is(oauth.role_attribute_path, "contains(groups[*], 'admin') && 'GrafanaAdmin' || 'Viewer'")
  assert.ok(oauth.role_attribute_strict && oauth.allow_assign_grafana_admin)
  // Either would open Explore, and with it the logs of everybody, to Viewers (Grafana, conf/defaults.ini).
  assert.is(ini.users?.viewers_can_edit, undefined)
  assert.is(ini['auth.anonymous'], undefined)
  assert.not.equal(grafana.adminUser, 'admin')
})

test('Wekan: the group of administrators decides, and not who comes first', () => {
  const values = named(objectsWith('wekan/values.yaml', PRODUCTION), 'oas-wekan-values')!.data['values.yaml']
  assert.match(values, /name: OAUTH2_ADMIN_GROUPS\n\s+value: admin\n/)
})

test('every client sends its secret in the body, as its application does', () => {
  const clients = [
    ...['nextcloud', 'rocketchat', 'wekan', 'wordpress'].flatMap(app =>
      objectsWith(`${app}/oauth-client.yaml`, PRODUCTION),
    ),
    ...grafanaWith(PRODUCTION).extraManifests,
  ].filter(({ kind }) => kind === 'OAuth2Client')
  assert.is(clients.length, 5)
  for (const { metadata, spec } of clients)
    assert.is(spec.tokenEndpointAuthMethod, 'client_secret_post', metadata.name)
  assert.is(grafanaWith(PRODUCTION).grafana['grafana.ini']['auth.generic_oauth']!.auth_style, 'InParams')
  const [rocketchat] = objectsWith('rocketchat/values.yaml', PRODUCTION)
  assert.match(rocketchat!.data['values.yaml'], /token_sent_via\n\s+value: payload/)
})

test.run()
