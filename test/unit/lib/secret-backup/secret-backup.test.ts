import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AgeKeys } from '../../../../lib/age/age.ts'
import { newIdentity } from '../../../../lib/age/keys.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { ExpectedError } from '../../../../lib/script/errors.ts'
import { redact } from '../../../../lib/script/redact.ts'
import { compareBackup, hideValues } from '../../../../lib/secret-backup/cluster.ts'
import { diffSecret } from '../../../../lib/secret-backup/diff.ts'
import { backupFolder, readBackup, readManifest, writeBackup } from '../../../../lib/secret-backup/files.ts'
import { NO_KEYS } from '../../../../lib/secret-backup/keys.ts'
import {
  isSealed,
  MANIFEST,
  parseManifest,
  parseStream,
  SEALED,
  secretFileOf,
  streamText,
} from '../../../../lib/secret-backup/manifest.ts'
import {
  absenceText,
  differences,
  looksGenerated,
  missingOauthKeys,
  parseSecret,
  plainSecret,
  secretText,
  TEN,
} from '../../../../lib/secret-backup/secret-backup.ts'
import { expectedFrom, messagesOf, temporaryFolder } from '../../helpers.ts'
import { anySecret, base64, secret } from '../../secrets.ts'

const origin = {
  cluster: 'oas.example.org',
  server: 'https://127.0.0.1:6443',
  createdAt: '2026-01-02T03:04:05.678Z',
  absent: [{ namespace: 'flux-system', name: 'oas-wekan-variables' }],
}
const two = () => [
  secret('oas-nextcloud-variables', { nextcloud_password: 'Nextcloud-password', empty: '' }),
  secret('oas-prometheus-basic-auth', { auth: 'admin:$2y$05$x\n' }, 'oas'),
]
const proven = async () => undefined

/** A backup in a folder of its own. */
async function backup(
  secrets: readonly KubeObject[] = two(),
  lock?: { recipients: string[] },
): Promise<string> {
  const folder = join(temporaryFolder(), 'backup')
  await writeBackup(folder, { ...origin, secrets }, lock, proven)
  return folder
}
const anySecrets = fc.uniqueArray(anySecret, {
  maxLength: 6,
  selector: ({ metadata }) => `${metadata.namespace}.${metadata.name}`,
})

test('a Secret loses what belongs to its cluster, and nothing else', () => {
  const plain = secret('a', { one: 'x' })
  const dressed: KubeObject = {
    ...plain,
    immutable: true,
    metadata: {
      ...plain.metadata,
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': 'Password-in-it' },
      labels: { a: 'b' },
      creationTimestamp: '2020-01-01T00:00:00Z',
      resourceVersion: '1',
      uid: 'u',
      ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'x', uid: 'x' }],
      managedFields: [],
    },
  }
  assert.equal(plainSecret(dressed), { ...plain, immutable: true })
  const { type: _t, data: _d, ...bare } = plain
  assert.equal(plainSecret(bare as KubeObject), { ...plain, data: {} })
})

test('every Secret survives as YAML, with every value in quotes', async () => {
  await fc.assert(
    fc.asyncProperty(anySecret, async one => {
      const text = secretText(one)
      assert.equal(await parseSecret(text, 'x'), one)
      assert.equal(secretText(await parseSecret(text, 'x')), text)
      for (const line of text.split('\n'))
        assert.match(
          line,
          /^$|^apiVersion: v1$|^kind: Secret$|^metadata:$|^data:( \{\})?$|^immutable: true$|: ".*"$/,
        )
    }),
    { numRuns: 300 },
  )
})

test('every list of Secrets survives a backup and the encrypted stream', async () => {
  await fc.assert(
    fc.asyncProperty(anySecrets, async secrets => {
      assert.equal(await parseStream(streamText(secrets), 'x'), secrets)
      const folder = await backup(secrets)
      assert.equal((await readBackup(folder, NO_KEYS)).secrets, secrets)
      rmSync(folder, { recursive: true })
    }),
    { numRuns: 60 },
  )
})

test('no change of a byte anywhere in a backup goes unnoticed', async () => {
  const folder = await backup()
  const original = new Map(readdirSync(folder).map(file => [file, readFileSync(join(folder, file))]))
  const { secrets } = await readBackup(folder, NO_KEYS)
  const digit = original.get(MANIFEST)!.indexOf('"bytes": ') + '"bytes": '.length
  const spot = fc
    .constantFrom(...original.keys())
    .chain(file =>
      fc.tuple(fc.constant(file), fc.nat(original.get(file)!.length - 1), fc.integer({ min: 1, max: 255 })),
    )
  await fc.assert(
    fc.asyncProperty(spot, async ([file, at, flip]) => {
      const data = Buffer.from(original.get(file)!)
      data[at]! ^= flip
      writeFileSync(join(folder, file), data)
      try {
        // The manifest's words on where and when may change: the Secrets may not.
        const read = await readBackup(folder, NO_KEYS)
        assert.is(file, MANIFEST)
        assert.equal(read.secrets, secrets)
      } catch (error) {
        assert.instance(error, ExpectedError)
        assert.match((error as Error).message, file)
        assert.not.match((error as Error).message, 'Nextcloud-password')
      }
      writeFileSync(join(folder, file), original.get(file)!)
    }),
    { numRuns: 400, examples: [[[MANIFEST, digit, 8]]] }, // a first digit that grew
  )
})

test('nor does a truncation', async () => {
  const folder = await backup()
  for (const file of readdirSync(folder)) {
    const whole = readFileSync(join(folder, file))
    for (const length of [0, 1, whole.length >> 1, whole.length - 2]) {
      writeFileSync(join(folder, file), whole.subarray(0, length))
      const error = await expectedFrom(() => readBackup(folder, NO_KEYS))
      assert.match(error.message, new RegExp(`${file} (was cut off|is not a manifest)`))
    }
    writeFileSync(join(folder, file), whole)
  }
})

test('what is no Secret is refused by the name of its file, and nothing of it is quoted', async () => {
  const good = secretText(two()[0]!)
  const cases: [string, RegExp][] = [
    ['', /is not valid YAML/],
    ['Hunter2: [', /is not valid YAML/],
    ['[]', /is not a Secret/],
    [`${good}---\n${good}`, /is not valid YAML/],
    [good.replace('\ndata:\n', '\ndata:\n  "empty": "Hunter2="\n'), /is not valid YAML/], // a key twice
    [good.replace('kind: Secret', 'kind: ConfigMap'), /is not a Secret/],
    [good.replace('metadata:\n', 'metadata:\n  labels: {}\n'), /fields that a backup does not have: labels/],
    [`${good}stringData: {}\n`, /fields that a backup does not have: stringData/],
    [good.replace('"flux-system"', '"../../etc"'), /no valid name and namespace/],
    [good.replace('"flux-system"', '7'), /no valid name and namespace/],
    [good.replace('"Opaque"', '[]'), /invalid type/],
    [good.replace(/\ndata:.*/s, '\ndata: 3\n'), /has no data/],
    [good.replace(base64('Nextcloud-password'), 'Hunter2!'), /not base64: nextcloud_password/],
    [good.replace(`"${base64('Nextcloud-password')}"`, '0x12'), /not base64: nextcloud_password/],
  ]
  for (const [text, what] of cases) {
    const error = await expectedFrom(() => parseSecret(text, 'FILE'))
    assert.match(error.message, what)
    assert.match(error.message, /^FILE /)
    assert.not.match(`${error.message} ${error.fix} ${error.cause}`, 'Hunter2')
  }
})

test('a manifest leads nowhere but to the files of its own Secrets, each once', async () => {
  const folder = await backup()
  const good = JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8'))
  const [first, second] = good.files
  const changed: [object, RegExp][] = [
    [{ files: [{ ...first, file: '../../../etc/passwd' }, second] }, /its files do not match its Secrets/],
    [{ files: [{ ...first, file: '/etc/passwd' }, second] }, /its files do not match/],
    [{ files: [first, first] }, /its files do not match/],
    [{ files: [first] }, /its files do not match/],
    [{ secrets: [good.secrets[0], good.secrets[0]], files: [first, first] }, /do not match/],
    [{ secrets: [{ namespace: '..', name: '/x', keys: 1 }] }, /not complete/],
    [{ secrets: [{ namespace: 'a/b', name: 'x', keys: 1 }] }, /not complete/],
    [{ secrets: 'all' }, /not complete/],
    [{ absent: [null] }, /not complete/],
    [{ absent: [{ namespace: 'oas', name: good.secrets[1].name }] }, /do not match/],
    [{ createdAt: 'yesterday' }, /not complete/],
    [{ files: [{ ...first, bytes: -1 }, second] }, /not complete/],
    [{ format: 'openappstack-secrets/2' }, /unknown format/],
  ]
  for (const [change, what] of changed) {
    const error = await expectedFrom(() => parseManifest(JSON.stringify({ ...good, ...change }), 'FILE'))
    assert.match(error.message, what)
    assert.match(error.message, /^FILE /)
  }
  for (const text of ['', 'null', '[]', '3', '{', '{"__proto__": {}}'])
    assert.match((await expectedFrom(() => parseManifest(text, 'FILE'))).message, /^FILE /)
  fc.assert(
    fc.property(fc.json(), text => {
      try {
        parseManifest(text, 'FILE')
      } catch (error) {
        assert.instance(error, ExpectedError)
      }
    }),
  )
  // Two that have changed places.
  const swapped = { ...good, secrets: [...good.secrets].reverse(), files: [second, first] }
  writeFileSync(join(folder, MANIFEST), JSON.stringify({ ...swapped, secrets: swapped.secrets }))
  assert.is((await readBackup(folder, NO_KEYS)).secrets[0]!.metadata.namespace, 'oas')
  const wrong = { ...good, secrets: good.secrets.map((one: object) => ({ ...one, keys: 7 })) }
  writeFileSync(join(folder, MANIFEST), JSON.stringify(wrong))
  assert.match((await expectedFrom(() => readBackup(folder, NO_KEYS))).message, /names other Secrets than/)
})

test('files that are none, far too large, or foreign are refused, all at once', async () => {
  const folder = await backup()
  const [one, other] = two().map(({ metadata }) =>
    join(folder, `${metadata.namespace}.${metadata.name}.yaml`),
  )
  const content = readFileSync(one!)
  truncateSync(other!, 5 << 20)
  rmSync(one!)
  symlinkSync('/etc/passwd', one!)
  writeFileSync(join(folder, 'more.yml'), 'kind: Secret')
  writeFileSync(join(folder, 'notes.txt'), 'kubectl does not look at this')
  assert.equal(
    messagesOf(await expectedFrom(() => readManifest(folder))).map(message =>
      message.replace(`${folder}/`, ''),
    ),
    [
      'flux-system.oas-nextcloud-variables.yaml is not a regular file',
      'oas.oas-prometheus-basic-auth.yaml is too large for a backup: 5242880 bytes',
      'more.yml does not belong to this backup: its manifest does not name it',
    ],
  )
  rmSync(one!)
  mkdirSync(one!)
  assert.match(messagesOf(await expectedFrom(() => readManifest(folder)))[0]!, 'is not a regular file')
  assert.ok(content.length > 0)
  assert.is((await expectedFrom(() => readManifest(join(folder, 'nowhere')))).exitCode, 2)
  assert.is((await expectedFrom(() => readManifest(join(folder, 'notes.txt')))).exitCode, 2)
})

test('a backup is private, and only there when it was proven', async () => {
  const parent = temporaryFolder()
  const folder = join(parent, 'backup')
  const seen: string[] = []
  const failing = async (part: string) => {
    seen.push(...readdirSync(part))
    throw new ExpectedError('not as in the cluster', 'again')
  }
  const content = { ...origin, secrets: two() }
  assert.is(
    (await expectedFrom(() => writeBackup(folder, content, undefined, failing))).message,
    'not as in the cluster',
  )
  assert.is(seen.length, 3)
  assert.equal(readdirSync(parent), [])

  const mask = process.umask(0)
  await writeBackup(folder, content, undefined, proven)
  process.umask(mask)
  assert.is(statSync(folder).mode & 0o777, 0o700)
  for (const file of readdirSync(folder)) assert.is(statSync(join(folder, file)).mode & 0o777, 0o600)

  const again = await expectedFrom(() => writeBackup(folder, content, undefined, proven))
  assert.is(again.exitCode, 4)
  mkdirSync(join(parent, 'late.incomplete'))
  const late = await expectedFrom(() => writeBackup(join(parent, 'late'), content, undefined, proven))
  assert.match(late.message, 'another run writes it, or was killed')
  assert.ok(existsSync(join(parent, 'late.incomplete')))
  const raced = join(parent, 'raced')
  const race = async () => {
    mkdirSync(raced)
    writeFileSync(join(raced, 'x'), 'of another run')
  }
  assert.is((await expectedFrom(() => writeBackup(raced, content, undefined, race))).exitCode, 4)
  assert.equal(readdirSync(raced), ['x'])
})

test('the folder is named by cluster and time', () => {
  const cluster = { name: 'oas.example.org', folder: '/c/oas.example.org' }
  assert.is(
    backupFolder(cluster, new Date('2026-01-02T03:04:05.678Z')),
    '/c/oas.example.org/secrets-backup/oas.example.org-2026-01-02T03-04-05-678Z',
  )
})

test('an encrypted backup tells no hash of a password, and is what it was', async () => {
  const { text, recipient } = await newIdentity()
  const keys: AgeKeys = { ...NO_KEYS, identities: [/AGE-SECRET-KEY-\S+/.exec(text)![0]] }
  const folder = await backup(two(), { recipients: [recipient] })
  assert.equal(readdirSync(folder).sort(), [MANIFEST, SEALED].sort())
  const { manifest } = readManifest(folder)
  assert.ok(isSealed(manifest))
  assert.is(manifest.files.length, 1)
  assert.equal((await readBackup(folder, keys)).secrets, two())
  assert.is((await expectedFrom(() => readBackup(folder, NO_KEYS))).exitCode, 2)

  // What somebody else encrypts to the same recipient, with the manifest's hash made to fit.
  const forge = async (secrets: KubeObject[]) => {
    const forged = await backup(secrets, { recipients: [recipient] })
    const { files } = JSON.parse(readFileSync(join(forged, MANIFEST), 'utf8'))
    writeFileSync(join(forged, MANIFEST), JSON.stringify({ ...manifest, files }))
    return readBackup(forged, keys)
  }
  assert.match(
    (await expectedFrom(() => forge(two().slice(1)))).message,
    'names other Secrets than the files hold',
  )
})

test('a stream that was changed is refused by document', async () => {
  const text = streamText(two())
  const cases: [string, RegExp][] = [
    [text.replace('"empty"', '"other"'), /^document 1 of FILE was changed after the backup/],
    [text.slice(0, -5), /^document 2 of FILE was changed/],
    [text.replace(/# sha256 .*\n/, ''), /^document 1 of FILE was changed/],
    [`x\n${text}`, /^FILE is not a backup/],
  ]
  for (const [changed, what] of cases)
    assert.match((await expectedFrom(() => parseStream(changed, 'FILE'))).message, what)
})

test('ten Secrets, of the docs; their absence is explained', () => {
  assert.is(new Set(TEN.map(secretFileOf)).size, 10)
  const oauth = secret('oas-oauth-variables', {
    ...Object.fromEntries(
      ['grafana', 'nextcloud', 'rocketchat'].map(app => [`${app}_oauth_client_secret`, 'x']),
    ),
    wordpress_oauth_client_secret: '',
  })
  const missing = ['userpanel', 'wekan', 'wordpress'].map(app => `${app}_oauth_client_secret`)
  assert.equal(missingOauthKeys([oauth]), missing)
  assert.equal(missingOauthKeys(two()), [])
  const [wekan, lacking, ...none] = absenceText([TEN[2]!], [oauth])
  assert.match(wekan!.join(), 'oas-wekan-variables is not in the cluster')
  assert.match(wekan!.join(), 'wekan_oauth_client_secret')
  assert.match(lacking![0], missing.join(', '))
  assert.equal([none, absenceText([], two())], [[], []])
  assert.ok(looksGenerated({ namespace: 'x', name: 'oas-zulip-variables' }))
  for (const other of [
    'oas-nextcloud-override',
    'oas-nextcloud-values',
    'sh.helm.release.v1.oas-x.v1',
    'variables',
  ])
    assert.not.ok(looksGenerated({ namespace: 'x', name: other }), other)
})

test('differences are named by key', () => {
  const one = secret('a', { same: 'x', gone: 'x', changed: 'x', empty: '' })
  assert.equal(differences(one, one), [])
  assert.equal(differences(one, { ...secret('a', { same: 'x', changed: 'y', new: 'z' }), type: 'other' }), [
    'type',
    'gone',
    'changed',
    'empty',
    'new',
  ])
})

test('a backup is compared with the cluster in all directions', () => {
  const manifest = { absent: [{ namespace: 'flux-system', name: 'oas-wekan-variables' }] }
  assert.equal(compareBackup({ secrets: two(), manifest }, two()), [])
  const cluster = [
    secret('oas-nextcloud-variables', { nextcloud_password: 'x' }),
    secret('oas-wekan-variables', {}),
  ]
  assert.equal(compareBackup({ secrets: two(), manifest }, cluster), [
    {
      secret: 'flux-system/oas-nextcloud-variables',
      problem: 'differs from the cluster in nextcloud_password, empty',
    },
    { secret: 'oas/oas-prometheus-basic-auth', problem: 'is not in the cluster' },
    {
      secret: 'flux-system/oas-wekan-variables',
      problem: 'is in the cluster now, but was not at the time of this backup',
    },
  ])
})

test('values are hidden, but not the domain', () => {
  hideValues([
    secret('oas-cluster-variables', {
      domain: 'shown.example.org',
      outgoing_mail_smtp_password: 'Hidden-mail-1',
    }),
    secret('oas-x-variables', { x: 'Hidden-value-1\n', binary: '\xff\xfe\x00\x01\x02\x03' }),
  ])
  assert.is(redact('shown.example.org Hidden-mail-1 Hidden-value-1'), 'shown.example.org *** ***')
  assert.is(redact(base64('\xff\xfe\x00\x01\x02\x03')), '***')
})

test('what would be replaced is told apart from what is only lost', () => {
  const mine = secret('a', { one: '1', two: '2', three: '' })
  const state = (values: Record<string, string>) => diffSecret(mine, secret('a', values)).state
  assert.is(diffSecret(mine, undefined).state, 'missing')
  assert.is(state({ one: '1', two: '2', three: '' }), 'same')
  assert.is(state({ one: '1', two: '2', three: '', more: 'x' }), 'same')
  assert.is(state({ one: '1', two: '2' }), 'incomplete')
  assert.is(state({ one: '1', two: '', three: '' }), 'incomplete')
  assert.is(state({ one: '1', two: '3', three: '' }), 'different')
  assert.is(state({ one: '1', two: '2', three: 'set since' }), 'different')
  assert.is(diffSecret(mine, { ...mine, type: 'other' }).state, 'different')
})

test.run()
