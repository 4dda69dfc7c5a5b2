/** How the words of programs, of shells and of the kubelet are read. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { repairOf, settingsPlace } from '../../../../lib/diagnosis/rules/configured.ts'
import { meaningOf } from '../../../../lib/diagnosis/rules/last-words.ts'
import { probeMistake, unserved } from '../../../../lib/diagnosis/rules/probes.ts'
import {
  lackingProgram,
  namedIn,
  probeAnswer,
  saidBy,
  tellingLine,
  wholeMessages,
} from '../../../../lib/diagnosis/rules/telling-lines.ts'
import { Index } from '../../../../lib/diagnosis/snapshot.ts'
import { objectOf, snapshotOf } from './snapshots.ts'

for (const [line, program, exitCode] of [
  ['/bin/sh: 1: python3: not found', 'python3'],
  ['sh: curl: not found', 'curl'],
  ['/bin/bash: line 1: migrate: command not found', 'migrate'],
  ['/usr/local/bin/docker-entrypoint.sh: exec: line 11: serve: not found', 'serve'],
  ['/app/run: line 3: jq: not found', 'jq'],
  ["env: 'node': No such file or directory", 'node', 127],
  ['bash: line 1: /app/start: No such file or directory', '/app/start', 127],
] as const)
  test(`a shell says which program is not there: ${line}`, () => {
    assert.is(lackingProgram([`starts\n${line}\n`], exitCode)?.program, program)
  })

test('what is not found need not be a program', () => {
  for (const line of [
    'Error: bucket: not found',
    'error while loading shared libraries: libpq.so.5: cannot open shared object file: No such file or directory',
    'cat: /etc/app/settings.ini: No such file or directory',
    'secret "db" not found',
  ])
    assert.is(lackingProgram([line], 1), undefined, line)
  assert.is(
    lackingProgram(['libpq.so.5: cannot open shared object file: No such file or directory'], 127),
    undefined,
  )
})

test('the speaker of a line is not what it is about', () => {
  assert.is(namedIn('/bin/sh: 1: python3: not found'), undefined)
  assert.match(
    namedIn('/docker-entrypoint.sh: cannot read /etc/app/settings.ini')!,
    'for /etc/app/settings.ini',
  )
  assert.match(namedIn('/data/settings.ini: permission denied')!, 'for /data/settings.ini')
})

const VAULT = `2026-11-28T16:58:40.044Z [ERROR] agent.auth.handler: error authenticating:
  error=
  | Error making API request.
  |\x20
  | URL: PUT http://vault.example.org:8200/v1/auth/kubernetes/login
  | Code: 403. Errors:
  |\x20
  | * permission denied
  backoff=4m52.1s`

test('a message on several lines is read as one', () => {
  assert.is(
    wholeMessages(`${VAULT}\nnext`),
    '2026-11-28T16:58:40.044Z [ERROR] agent.auth.handler: error authenticating: error= Error making API request. URL: PUT http://vault.example.org:8200/v1/auth/kubernetes/login Code: 403. Errors: * permission denied backoff=4m52.1s\nnext',
  )
  assert.is(
    wholeMessages(
      'Error making API request.\n\nURL: GET https://a.example.org/v1\nCode: 503. Errors:\n\n* Vault is sealed',
    ),
    'Error making API request. URL: GET https://a.example.org/v1 Code: 503. Errors: * Vault is sealed',
  )
  assert.is(
    wholeMessages('2 errors occurred:\n\t* one\n\t* two\n\nend'),
    '2 errors occurred: * one * two\n\nend',
  )
  for (const text of ['one\n* two', 'a\n\nb', '  x=1', '']) assert.is(wholeMessages(text), text)
})

test('a permission that is denied is about a file only where there is one', () => {
  for (const text of [
    'open /data/x: permission denied',
    'mkdir: can’t create "cache": Permission denied',
    'write error: Permission denied',
    'EACCES: permission denied',
  ])
    assert.is(meaningOf(text)?.rule, 'container-permission-denied', text)
  for (const text of [
    VAULT,
    'GET https://api.example.org/v1/keys: permission denied',
    'status 403: access denied',
  ])
    assert.is(meaningOf(text)?.rule, 'container-request-refused', text)
  assert.is(meaningOf('ERROR: permission denied'), undefined)
})

test('of a structured line the error is told, and the files that it names', () => {
  const agent =
    'time=2026-11-28T16:58:00Z level=fatal msg="Error while creating daemon" module=agent error="invalid \\"cidr\\": it is not set"'
  assert.is(saidBy(agent), 'Error while creating daemon: invalid "cidr": it is not set')
  assert.is(tellingLine(`level=info msg=starts\n${agent}`), saidBy(agent))
  assert.is(
    saidBy(
      '{"t":{"$date":"2026"},"s":"E","msg":"Cannot read","attr":{"keyFile":"/etc/tls/a.pem","error":"No such file"}}',
    ),
    'Cannot read: No such file (keyFile /etc/tls/a.pem)',
  )
  assert.is(saidBy('{"level":"error","caller":"/src/main.go:12","error":"no route"}'), 'no route')
  for (const line of ['FATAL: error="x"', 'level=info', '{"a":1}', 'Error: msg="x" is wrong'])
    assert.is(saidBy(line), line)
})

test('the file of a certificate that is missing counts more than what follows from it', () => {
  const { rule, cause } = meaningOf(
    '{"s":"E","msg":"Cannot read certificate file","attr":{"keyFile":"/etc/tls/a.pem","error":"fopen:No such file or directory"}}\n{"s":"F","msg":"Error during initialization","attr":{"error":{"codeName":"InvalidSSLConfiguration","errmsg":"Can not set up PEM key file."}}}',
  )!
  assert.is(rule, 'container-certificate-unusable')
  assert.match(cause, 'keyFile /etc/tls/a.pem')
})

test('of what a probe’s command writes the telling part is told', () => {
  const status =
    'Key         Value\n---         -----\nSeal Type   shamir\nSealed      true\nVersion     1.15\nHA Enabled  false\n'
  assert.is(probeAnswer(status), 'Sealed true')
  assert.is(probeAnswer('checks:\n  database: ok\n  "ready": false,\n'), '"ready": false,')
  assert.is(probeAnswer('2026 [INFO] 3 checks\nstore is not reached yet'), 'store is not reached yet')
  assert.is(probeAnswer('one\nERROR no route\ntwo'), 'ERROR no route')
  assert.is(probeAnswer('one\ntwo'), 'one two')
  assert.is(probeAnswer(''), '')
})

const http = { httpGet: { port: 8080 } }
const container = (...ports: number[]) => ({
  name: 'main',
  init: false,
  status: {},
  spec: { name: 'main', ports: ports.map(containerPort => ({ containerPort })), livenessProbe: http },
})
const podOf = (...containers: object[]) => objectOf('Pod', 'shop', 'web', { spec: { containers } })
const liveness = (why: string) => `Liveness probe failed: Get "http://10.42.0.7:8080/": ${why}`
const REFUSED = liveness('dial tcp 10.42.0.7:8080: connect: connection refused')

test('a probe that is refused means that nothing listens; one that times out does not', () => {
  const found = (messages: string[], ...ports: number[]) =>
    unserved(podOf(container(...ports).spec), container(...ports), messages)
  assert.match(found([REFUSED])!.cause, 'nothing listens on port 8080 that its liveness probe asks')
  assert.match(
    found([REFUSED])!.fix('here'),
    /^correct the port of the liveness probe here, or remove the probe/,
  )
  assert.match(found([REFUSED], 80, 9090)!.cause, 'its containers declare 80, 9090')
  assert.match(found([REFUSED], 8080)!.fix('here'), /^see on which port the program listens/)
  assert.is(found([REFUSED, liveness('context deadline exceeded')]), undefined)
  assert.is(
    found([liveness('net/http: request canceled (Client.Timeout exceeded while awaiting headers)')]),
    undefined,
  )
  const local = REFUSED.replaceAll('10.42.0.7', '127.0.0.1')
  assert.not.match(found([local])!.fix('here'), '0.0.0.0')
})

test('a probe may ask a port of another container of its pod', () => {
  const other = { name: 'proxy', ports: [{ containerPort: 8080 }] }
  const own = container(9090)
  assert.match(
    probeMistake(own, REFUSED, podOf(own.spec))!.cause,
    'asks port 8080, and the container has 9090',
  )
  assert.is(probeMistake(own, REFUSED, podOf(own.spec, other)), undefined)
})

/** A pod whose container takes its settings from what is given. */
const configured = (spec: object, volumes: object[] = []) =>
  objectOf('Pod', 'shop', 'web', { spec: { volumes, containers: [{ name: 'main', ...spec }] } })
const index = new Index(
  snapshotOf([], { secrets: [{ namespace: 'shop', name: 'tls', type: 'Opaque', keys: { 'tls.key': 9 } }] }),
)
const MANIFEST = 'in the manifest of Pod web'

test('a setting is corrected where the container takes it from', () => {
  const place = (pod: ReturnType<typeof configured>, words: string) =>
    settingsPlace(pod, 'main', [words], index)
  assert.is(place(configured({}), 'bad'), MANIFEST)
  const volumes = [
    { name: 'a', configMap: { name: 'settings', items: [{ key: 'app.ini' }] } },
    { name: 'b', secret: { secretName: 'tls' } },
    { name: 'c', projected: { sources: [{ configMap: { name: 'kube-root-ca.crt' } }] } },
  ]
  const mounts = (...names: string[]) => ({ volumeMounts: names.map(name => ({ name })) })
  assert.is(place(configured(mounts(), volumes), 'bad'), MANIFEST, 'it is not mounted here')
  assert.match(
    place(configured(mounts('a', 'c'), volumes), 'bad'),
    /^in ConfigMap settings, which it has mounted, or /,
  )
  // The one that a message names comes first; else the ConfigMap.
  assert.match(
    place(configured(mounts('a', 'b'), volumes), 'cannot use /etc/tls/tls.key'),
    /^in Secret tls, /,
  )
  assert.match(place(configured(mounts('a', 'b'), volumes), 'bad'), /^in ConfigMap settings, /)
  const at = {
    volumeMounts: ['a', 'b'].map(name => ({ name, mountPath: name === 'a' ? '/etc/nginx' : '/etc/***' })),
  }
  const others = [volumes[0]!, { name: 'b', configMap: { name: 'more' } }]
  assert.match(place(configured(at, others), 'open() "/etc/nginx/x" failed'), /^in ConfigMap settings, /)
  assert.match(place(configured(at, others), 'open() "/etc/more/x" failed'), /^in ConfigMap more, /)
  assert.is(place(configured(at, others), 'open() "/srv/x" failed'), MANIFEST)
  const env = [
    { name: 'STORE_URL', valueFrom: { configMapKeyRef: { name: 'one', key: 'STORE_DSN' } } },
    { name: 'PORT', valueFrom: { configMapKeyRef: { name: 'two', key: 'PORT' } } },
  ]
  assert.match(
    place(configured({ env }), 'STORE_URL is empty'),
    /^in ConfigMap one, whose key STORE_DSN it takes that from,/,
  )
  assert.match(place(configured({ env }), 'PORT is 0'), /^in ConfigMap two, which it reads,/)
  assert.is(place(configured({ env }), 'bad PORTS'), MANIFEST)
})

test('a Secret with a password is named only where there is one', () => {
  const refused = meaningOf('password authentication failed for user "app"')!
  const repair = (spec: object) => repairOf(refused, configured(spec), 'main', ['x'], index)
  assert.match(repair({ envFrom: [{ secretRef: { name: 'db' } }] }), `it is Secret db, named ${MANIFEST}`)
  assert.match(repair({}), /no Secret is named .* create its account in that service again/)
})

test.run()
