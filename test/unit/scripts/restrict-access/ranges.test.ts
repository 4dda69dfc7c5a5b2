import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRange, parseRanges } from '../../../../scripts/restrict-access/ranges.ts'

test('a range has one spelling', () => {
  for (const [text, range] of [
    ['203.0.113.7', '203.0.113.7/32'],
    ['1.2.3.4/24', '1.2.3.0/24'],
    ['10.42.77.1/9', '10.0.0.0/9'],
    ['2001:db8:0:0::7', '2001:db8::7/128'],
    ['2001:DB8:1:ffff::/47', '2001:db8::/47'],
    ['::1', '::1/128'],
    ['2001:db8::1.2.3.4/120', '2001:db8::102:300/120'],
  ])
    assert.equal(parseRange(text!), { range }, text)
})

test('hostile and mistaken ranges are refused together, each once', () => {
  const words = [
    '0.0.0.0/0',
    '::/0',
    '1.2.3.4/33',
    '1.2.3/24',
    '01.2.3.4',
    '::ffff:1.2.3.4',
    'fe80::1%eth0',
    '../..',
    '1.2.3.4/24/8',
    '1.2.3.4/-1',
    'a`)||Host(`b',
    '',
  ]
  for (const word of words) assert.ok('problem' in parseRange(word), word)
  assert.throws(() => parseRanges('--allow', words), /12 problems/)
  assert.throws(() => parseRanges('--allow', ['0.0.0.0/0']), /is everybody/)
  assert.throws(() => parseRanges('--allow', [Array(300).fill('1.2.3.4').join()]), /more than 200/)
  assert.equal(parseRanges('--allow', ['1.2.3.4/24, ::1', '1.2.3.9/24']), ['1.2.3.0/24', '::1/128'])
})

test('a range holds the same addresses as what was given', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6())
  fc.assert(
    fc.property(address, fc.integer({ min: 1, max: 128 }), address, (given, prefix, probe) => {
      const type = isIP(given) === 6 ? 'ipv6' : 'ipv4'
      const parsed = parseRange(`${given}/${type === 'ipv4' ? Math.min(prefix, 32) : prefix}`)
      if (!('range' in parsed)) return assert.match(parsed.problem, /written as IPv6/)
      const [net = '', length] = parsed.range.split('/')
      assert.equal(parseRange(parsed.range), parsed)
      const [ours, theirs] = [net, given].map(each => {
        const list = new BlockList()
        list.addSubnet(each, Number(length), type)
        return list
      })
      const probed = isIP(probe) === 6 ? 'ipv6' : 'ipv4'
      assert.ok(ours!.check(given, type))
      assert.is(ours!.check(probe, probed), theirs!.check(probe, probed))
    }),
  )
})

test.run()
