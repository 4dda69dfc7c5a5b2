import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readSourceFlags, type SourceFlags } from '../../../../scripts/add-source/flags.ts'
import { completed } from '../../../../scripts/add-source/kept.ts'
import { sourceObjects } from '../../../../scripts/add-source/objects.ts'

const URL_ = 'https://git.example.org/shop.git'
const source = (flags: SourceFlags, has = {}, url = URL_) =>
  completed(readSourceFlags(['shop', url], flags), has)
const objectsOf = (wanted: ReturnType<typeof source>) =>
  sourceObjects(wanted, { podRanges: [], domain: 'x' }, { deployKey: undefined, clientSecret: undefined })

/** The settings of a source that was added with options, with a token and with keys. */
const repository = {
  apiVersion: 'source.toolkit.fluxcd.io/v1',
  kind: 'GitRepository',
  metadata: { name: 'shop' },
  spec: {
    url: URL_,
    ref: { tag: 'v1' },
    secretRef: { name: 'git' },
    verify: { mode: 'Tag', secretRef: { name: 'git-signers' } },
  },
}
const kustomization = { ...repository, kind: 'Kustomization', spec: { path: './deploy' } }
const quota = {
  ...repository,
  kind: 'ResourceQuota',
  spec: { hard: { 'limits.memory': '4Gi', 'requests.storage': '9Gi' } },
}
const has = { repository, kustomization, quota }

test('a new source has the defaults', () => {
  const { ref, path, memory, storage, keeps } = source({})
  assert.equal(ref, { branch: 'main' })
  assert.equal([path, memory, storage], ['./', '2Gi', '20Gi'])
  assert.equal(keeps, { token: false, keys: false })
})

test('one that is added again keeps what no flag says: also its token, and that commits have to be signed', () => {
  const { ref, path, memory, storage } = source({ memory: '8Gi' }, has)
  assert.equal([ref, path, memory, storage], [{ tag: 'v1' }, './deploy', '8Gi', '9Gi'])
  const { spec } = objectsOf(source({}, has)).find(({ kind }) => kind === 'GitRepository')!
  assert.equal(spec, { ...repository.spec, interval: '5m', timeout: '60s' })
  const branch = objectsOf(source({ branch: 'main' }, has)).find(({ kind }) => kind === 'GitRepository')!
  assert.equal([branch.spec.ref, branch.spec.verify.mode], [{ branch: 'main' }, 'HEAD'])
})

test('a token is not sent to another address', () => {
  assert.is(source({}, has, 'https://git.example.com/shop.git').keeps.token, false)
})

test.run()
