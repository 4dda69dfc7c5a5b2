import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseSourceName } from '../../../../lib/flux/own-sources.ts'
import { APP_NAMES } from '../../../../lib/platform/apps.ts'
import { parseFolder, parseLogin, parseUrl, readSourceFlags } from '../../../../scripts/add-source/flags.ts'

const URL_ = 'https://git.example.org/shop.git'

test('a source as it is asked for', () => {
  const wanted = readSourceFlags(['shop', URL_], { path: 'deploy//./x/', login: 'shop.example.org/callback' })
  assert.is(wanted.ref, undefined)
  assert.is(wanted.path, './deploy/x')
  assert.is(wanted.login?.callback, 'https://shop.example.org/callback')
  assert.equal(readSourceFlags(['shop', URL_], { tag: 'v1.2+x' }).ref, { tag: 'v1.2+x' })
})

test('names of the platform, and what is not a name, are refused', () => {
  for (const name of [
    'oas',
    'oas-apps',
    'flux-system',
    'kube-system',
    'default',
    'wekan',
    'velero',
    '',
    '../x',
    'X',
    'a_b',
    '-a',
    'a-',
    'a'.repeat(41),
    'a\nb',
  ])
    assert.throws(() => parseSourceName(name), /source|platform/, name)
  for (const app of APP_NAMES)
    assert.throws(
      () => parseSourceName(app),
      /belongs to the platform/,
      `TAKEN in own-sources.ts lacks ${app}`,
    )
  assert.is(parseSourceName('shop-2'), 'shop-2')
})

test('addresses that are not a repository, or hold a password, are refused without showing it', () => {
  for (const url of [
    '',
    'x',
    'file:///etc',
    'ext::sh -c x',
    'git://x/y',
    'ftp://x/y',
    '/srv/x.git',
    '--upload-pack=x',
    'https://x/y?z',
    'https://x/`y`',
  ])
    assert.throws(() => parseUrl(url), /not the address|has a/, url)
  assert.throws(
    () => parseUrl('git@git.example.org:a/shop.git'),
    (error: { fix: string }) => error.fix === 'give ssh://git@git.example.org/a/shop.git',
  )
  assert.throws(
    () => parseUrl('https://me:hunter2@x.org/y.git'),
    (error: Error) => !error.message.includes('hunter2'),
  )
})

test('a name without an address is told what is missing', () => {
  assert.throws(() => readSourceFlags(['shop'], {}), /the address of the repository is missing/)
})

test('no path leads out of the repository', () => {
  for (const path of ['..', 'a/../../b', '/etc', 'a\0b', 'a/..', './../x', '$(x)'])
    assert.throws(() => parseFolder(path), /not a folder/, path)
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('.', '/', 'a', '$', ' ') }), text => {
      try {
        assert.not.match(parseFolder(text), /(^|\/)\.\.(\/|$)/)
      } catch (error) {
        assert.match((error as Error).message, 'not a folder')
      }
    }),
  )
})

test('logins, branches and sizes that are not valid are refused', () => {
  for (const login of ['https://x.org', 'x', 'x.org/../y', 'x.org/a b', '1.2.3.4'])
    assert.throws(() => parseLogin(login), undefined, login)
  for (const branch of ['a..b', '-x', 'a.lock', 'a//b', 'a b', '@{x}', 'a/'])
    assert.throws(() => readSourceFlags(['x', URL_], { branch }), /not a name in Git/, branch)
  for (const memory of ['1e9', '-1Gi', '0Gi', '4GB'])
    assert.throws(() => readSourceFlags(['x', URL_], { memory }), /not a size/)
  assert.throws(() => readSourceFlags(['x', URL_], { branch: 'a', tag: 'b' }), /do not go together/)
  assert.throws(() => readSourceFlags(['x', URL_], { username: 'a' }), /go together/)
  assert.throws(() => readSourceFlags(['x', URL_], { username: 'a', 'token-file': '/no/such' }), /not a file/)
})

test.run()
