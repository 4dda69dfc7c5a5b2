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
    clock.seconds += throttle.wait('admin', `10.0.0.${i}`)
    throttle.failed('admin', `10.0.0.${i}`)
    waits.push(throttle.wait('admin', 'elsewhere'))
  }
  assert.equal(waits, [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300])
  clock.seconds += 300
  assert.is(throttle.wait('admin', 'elsewhere'), 0)
  assert.is(throttle.wait('somebody else', 'elsewhere'), 0)
})

test('an address that tries one password on many accounts waits, too; logging in frees the account alone', () => {
  const { throttle } = throttleAt()
  for (let i = 0; i < 20; i++) throttle.failed(`user-${i}`, '192.0.2.1')
  assert.is(throttle.wait('fresh', '192.0.2.1'), 2)
  assert.is(throttle.wait('fresh', '192.0.2.2'), 0)
  for (let i = 0; i < 5; i++) throttle.failed('anna', '192.0.2.3')
  throttle.worked('anna')
  assert.is(throttle.wait('anna', '192.0.2.3'), 0)
  assert.is(throttle.wait('fresh', '192.0.2.1'), 2)
})

test('an hour after the last failure everything is forgotten', () => {
  const { clock, throttle } = throttleAt()
  for (let i = 0; i < 12; i++) throttle.failed('anna', 'a')
  clock.seconds = 3600
  throttle.failed('anna', 'a')
  assert.is(throttle.wait('anna', 'a'), 0)
})

test.run()
