/** The real Traefik with the values of flux2/infrastructure/ingress: what takes long, and what browsers are told. */
import * as assert from 'uvu/assert'
import { suite } from '../suite.ts'
import { Bed } from './harness.ts'
import { Traefik } from './traefik.ts'

const test = suite('ingress')
const HOST = 'wekan.oas.example.org'
/** More than the 60 seconds by which Traefik limits both by default. */
const SECONDS = 90
let bed: Bed
let traefik: Traefik

test.before(async () => {
  bed = await Bed.startInstalled()
  traefik = await Traefik.start(bed)
})
test.after(async () => {
  await traefik?.stop()
  await bed?.stop()
})

test('browsers are told to come back over https only', async () => {
  const { status, headers } = await traefik.exchange({ host: HOST })
  assert.is(status, 200)
  assert.is(headers['strict-transport-security'], 'max-age=15768000')
})

test('no header reaches an application under a name that it takes for one of the ingress', async () => {
  const headers = { X_Forwarded_For: '192.0.2.1', 'X.Forwarded.Proto': 'http', 'X-Own': 'kept' }
  const { status, body } = await traefik.exchange({ host: HOST, path: '/headers', headers })
  assert.is(status, 200)
  const names = body.split(' ')
  assert.ok(names.includes('x-forwarded-for') && names.includes('x-own'), body)
  assert.equal(
    names.filter(name => /[^a-z0-9-]/.test(name)),
    [],
  )
})

test('an answer and an upload that take 90 seconds pass', async () => {
  const [answer, upload] = await Promise.all([
    traefik.exchange({ host: HOST, path: `/slow?seconds=${SECONDS}` }, { patience: 2 * SECONDS }),
    traefik.exchange({ host: HOST, path: '/upload' }, { upload: SECONDS, patience: 2 * SECONDS }),
  ])
  assert.equal([answer.status, answer.body], [200, '0'], traefik.log().slice(-2000))
  assert.equal([upload.status, upload.body], [200, String(SECONDS)], traefik.log().slice(-2000))
})

test.run()
