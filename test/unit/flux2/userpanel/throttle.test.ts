import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Throttle } from '../../../../flux2/core/single-sign-on/userpanel/panel/throttle.ts'

/** A throttle with a clock of the test, in seconds. */
function throttleAt() {
  const clock = { seconds: 0 }
  return { clock, throttle: new Throttle(() => clock.seconds * 1000) }
}

test('five attempts are free, then the wait doubles up to five minutes, and ends by itself', () => {
  const { clock, throttle } = throttleAt()
  const waits: number[] = []
  for (let i = 0; i < 16; i++) {
    const wait = throttle.enter({ password: 'admin', network: `10.0.0.${i}` })
    waits.push(wait)
    clock.seconds += wait
    if (wait > 0) assert.is(throttle.enter({ password: 'admin' }), 0)
  }
  assert.equal(waits, [0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
  clock.seconds += 300
  assert.is(throttle.enter({ password: 'admin' }), 0)
  assert.is(throttle.enter({ password: 'somebody else' }), 0)
})

test('of a hundred attempts at once the free ones pass', () => {
  const { throttle } = throttleAt()
  const waits = Array.from({ length: 100 }, () => throttle.enter({ password: 'admin' }))
  assert.is(waits.filter(wait => wait === 0).length, 5)
})

test('an attempt that waits for one reason counts for none', () => {
  const { throttle } = throttleAt()
  for (let i = 0; i < 5; i++) throttle.enter({ password: 'anna' })
  for (let i = 0; i < 50; i++) assert.ok(throttle.enter({ password: 'anna', network: 'a' }) > 0)
  assert.is(throttle.enter({ password: 'bert', network: 'a' }), 0)
})

test('a network that tries one password on many accounts waits, too; logging in frees the account alone', () => {
  const { throttle } = throttleAt()
  for (let i = 0; i < 20; i++) throttle.enter({ password: `user-${i}`, network: '192.0.2.1' })
  assert.is(throttle.enter({ password: 'fresh', network: '192.0.2.1' }), 2)
  assert.is(throttle.enter({ password: 'fresh', network: '192.0.2.2' }), 0)
  for (let i = 0; i < 5; i++) throttle.enter({ password: 'anna', network: '192.0.2.3' })
  throttle.worked({ password: 'anna', network: '192.0.2.3' })
  assert.is(throttle.enter({ password: 'anna', network: '192.0.2.3' }), 0)
  throttle.worked({ password: 'own', network: '192.0.2.1' })
  assert.is(throttle.enter({ password: 'other', network: '192.0.2.1' }), 0)
  assert.is(throttle.enter({ password: 'other', network: '192.0.2.1' }), 2)
})

test('people who log in from one network do not slow each other down', () => {
  const { throttle } = throttleAt()
  for (let i = 0; i < 200; i++) {
    const attempt = { password: `user-${i}`, network: '192.0.2.1' }
    assert.is(throttle.enter(attempt), 0)
    throttle.worked(attempt)
  }
})

test('a right password clears nothing of the second factor', () => {
  const { throttle } = throttleAt()
  for (let i = 0; i < 5; i++) throttle.enter({ second: 'anna' })
  throttle.worked({ password: 'anna' })
  assert.is(throttle.enter({ second: 'anna' }), 2)
})

test('names that nobody has push no account out', () => {
  const { throttle } = throttleAt()
  for (let i = 0; i < 5; i++) throttle.enter({ password: 'anna' })
  for (let i = 0; i < 60_000; i++) throttle.enter({ unknown: `name-${i}` })
  assert.is(throttle.enter({ password: 'anna' }), 2)
})

test('an hour after the last attempt everything is forgotten', () => {
  const { clock, throttle } = throttleAt()
  for (let i = 0; i < 5; i++) throttle.enter({ password: 'anna' })
  clock.seconds = 3600
  for (let i = 0; i < 5; i++) assert.is(throttle.enter({ password: 'anna' }), 0)
})

test.run()
