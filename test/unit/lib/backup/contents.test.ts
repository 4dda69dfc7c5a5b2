/** Counting is tried on files of this machine: the commands that run in a container run here. */
import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { load } from 'js-yaml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { countedAround, losses } from '../../../../lib/backup/compare.ts'
import {
  type ClaimPlace,
  type Counting,
  claimPlaces,
  contentsText,
  countContents,
  Listing,
} from '../../../../lib/backup/contents.ts'
import { databaseOf, tablesOf } from '../../../../lib/backup/databases.ts'
import type { KubeObject } from '../../../../lib/kubectl/kubectl.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { readObjects } from '../../../bed/build/data.ts'
import { temporaryFolder } from '../../helpers.ts'

const counting: Counting = {
  key: 'key',
  run: (_place, [program = '', ...args], limits) =>
    new Promise(resolve => {
      execFile(program, args, { encoding: 'buffer' }, (error, stdout, stderr) => {
        if (limits?.take) limits.take(stdout)
        const code = error ? Number(error.code) || 1 : 0
        resolve({ stdout: limits?.take ? '' : stdout.toString(), stderr: stderr.toString(), code })
      })
    }),
}
const place = (path: string): ClaimPlace => ({
  claim: 'oas-apps/data',
  containers: [{ place: { namespace: 'oas-apps', pod: 'app', container: 'app' }, paths: [path] }],
})
const count = async (path: string, known?: Parameters<typeof countContents>[2]) =>
  (await countContents(counting, [place(path)], known))[0]!

test('files are counted with a sample; a lost, a changed and a new one are told apart', async () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'cache'))
  mkdirSync(join(folder, '.velero'))
  for (let i = 0; i < 40; i++) writeFileSync(join(folder, `file ${i}`), `content ${i}`)
  for (const odd of ["quote ' and \\ slash", 'line\nbreak', '-n', 'cache/passing', '.velero/mark', 'app.log'])
    writeFileSync(join(folder, odd), 'odd')
  const before = await count(folder)
  assert.is(before.files, 43)
  assert.is(Object.keys(before.sample!).length, 12)
  assert.match(contentsText(before), /^43 files, 12 checksums/)
  const [known] = countedAround([before], [await count(folder, [before])])
  assert.equal(losses(known!, await count(folder, [known!])), [])
  // What is written into the bucket names no file and has no checksum that anybody could look up.
  assert.not.match(JSON.stringify(known), /file \d|odd|quote/)

  const [first, second] = Object.values(before.paths!) as [string, string]
  writeFileSync(join(folder, 'new'), 'x')
  writeFileSync(first, 'x')
  assert.equal(losses(known!, await count(folder, [known!])), [
    `oas-apps/data: file ${first} has another content`,
  ])
  rmSync(first)
  rmSync(second)
  assert.equal(losses(known!, await count(folder, [known!])), [
    'oas-apps/data: has 42 files, and had 43',
    'oas-apps/data: 2 files of the sample of 12 cannot be found',
  ])
})

test('a file that changed during the backup is not compared', async () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'busy'), '1')
  const before = await count(folder)
  writeFileSync(join(folder, 'busy'), '2')
  writeFileSync(join(folder, 'later'), '2')
  const [known] = countedAround([before], [await count(folder, [before])])
  assert.equal(known, { claim: 'oas-apps/data', files: [1, 2], sample: {} })
})

test('a container without sha256sum is not counted, with the reason', async () => {
  const [folder, bin] = [temporaryFolder(), temporaryFolder()]
  writeFileSync(join(folder, 'file'), 'content')
  for (const [name, path] of [
    ['sh', '/bin/sh'],
    ['find', '/usr/bin/find'],
  ] as const)
    symlinkSync(path, join(bin, name))
  const without: Counting = {
    ...counting,
    run: (place, command, limits) => counting.run(place, ['env', '-i', `PATH=${bin}`, ...command], limits),
  }
  const [found] = await countContents(without, [place(folder)])
  assert.match(found!.unread!, /reading a sample of its files in container app .*sha256sum: not found/)
})

test('a folder that does not exist is not counted, with the reason', async () => {
  const found = await count('/does/not/exist')
  assert.match(found.unread!, /listing its files in container app has ended with [12]: .*No such file/)
  assert.match(contentsText(found), /^not counted: /)
})

test('paths come in pieces that end anywhere', () => {
  const listing = new Listing(String, [])
  const bytes = Buffer.from(`${Array.from({ length: 30 }, (_, i) => `./ü${i}`).join('\0')}\0`)
  for (let at = 0; at < bytes.length; at += 7) listing.add(bytes.subarray(at, at + 7))
  assert.is(listing.count, 30)
  assert.ok(listing.chosen.every(({ path }) => /^\.\/ü\d+$/.test(path)))
})

test('what a client writes', () => {
  assert.equal(tablesOf('a.b\t3\nwith\ttab\t4\nnonsense\n\t5\nc\tx\n'), { 'a.b': 3, 'with\ttab': 4 })
})

test('the hook of every database of our releases is known', () => {
  const files = [
    'apps/nextcloud/values-mariadb',
    'apps/wordpress/values-mariadb',
    'apps/rocketchat/values-mongodb',
  ]
  const names = [...files, 'core/single-sign-on/database/values', 'apps/wekan/values'].map(file => {
    const config = readObjects(join(ROOT, 'flux2', `${file}.yaml`)).find(({ kind }) => kind === 'ConfigMap')!
    const values = load(config.data['values.yaml'].replaceAll(/\$\{[^}]*\}/g, 'x')) as Record<string, object>
    const { podAnnotations } = (values.podAnnotations ? values : values.ferretdb!) as {
      podAnnotations: object
    }
    return databaseOf((podAnnotations as Record<string, string>)['pre.hook.backup.velero.io/command'])?.name
  })
  assert.equal(names, ['MariaDB', 'MariaDB', 'MongoDB', 'PostgreSQL', 'SQLite'])
  assert.is(databaseOf('["/bin/true"]'), undefined)
})

test('places: the container that dumps, else every one that mounts the claim', () => {
  const pod = (name: string, annotations: object, containers: object[]): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'oas-apps', name, annotations: annotations as Record<string, string> },
    spec: { containers, volumes: [{ name: 'v', persistentVolumeClaim: { claimName: name } }] },
    status: { phase: 'Running' },
  })
  const mounts = (name: string, ...more: string[]) => ({
    name,
    volumeMounts: [name, ...more].map(path => ({ name: 'v', mountPath: `/${path}` })),
  })
  const hook = {
    'pre.hook.backup.velero.io/container': 'dump',
    'pre.hook.backup.velero.io/command': '["sh", "-c", "pg_dumpall > x"]',
  }
  const places = claimPlaces(
    [
      pod('db', hook, [mounts('side'), mounts('dump')]),
      pod('app', {}, [mounts('one'), mounts('two', 'two/in', 'other/')]),
    ],
    () => true,
  )
  assert.equal(
    places.map(({ claim, database, containers }) => [
      claim,
      database?.name,
      containers.map(({ paths }) => paths.join('+')).join(),
    ]),
    [
      ['oas-apps/app', undefined, '/one,/two+/other'],
      ['oas-apps/db', 'PostgreSQL', '/dump'],
    ],
  )
})

test.run()
