import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkSandboxFlags, type SandboxRun } from '../../bed/cluster/flags.ts'
import { failedAnswer, nameServersIn } from '../../bed/server/names.ts'
import { wayOutRules } from '../../bed/server/way-out.ts'
import { expectedFrom, messagesOf } from '../helpers.ts'

test('name servers of resolv.conf: at most three, and nothing that is not an address', () => {
  const text =
    '# x\nsearch example.org\nnameserver 127.0.0.53\n nameserver\tfe80::1%eth0 \nnameserver x`y\nnameserver 192.168.1.1\nnameserver 1.1.1.1\noptions edns0\n'
  assert.equal(nameServersIn(text), ['127.0.0.53', 'fe80::1%eth0', '192.168.1.1'])
  assert.equal(nameServersIn(''), [])
  fc.assert(fc.property(fc.string(), text => assert.ok(nameServersIn(text).length <= 3)))
})

test('a query is answered with a failure; what is not a query is not answered', () => {
  const query = Buffer.from('abcd01000001000000000000', 'hex')
  assert.is(failedAnswer(query)!.toString('hex'), 'abcd81820001000000000000')
  assert.is(failedAnswer(failedAnswer(query)!), undefined)
  assert.is(failedAnswer(Buffer.from('abcd')), undefined)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), bytes => {
      const answer = failedAnswer(Buffer.from(bytes))
      assert.ok(answer === undefined || answer.length === bytes.length)
    }),
  )
})

test('every rule of the way out has the mark by which it is removed', () => {
  for (const rule of wayOutRules('oas-0123abcd')) assert.is(rule.at(-1), 'oas-0123abcd')
})

test('--online: for servers alone, with nothing that would stand in', async () => {
  const check = (command: string, flags: object) =>
    checkSandboxFlags({ args: [command], flags } as unknown as SandboxRun)
  check('up', { server: true, online: true, 'name-server': '192.168.1.1' })
  for (const [command, flags, message] of [
    ['up', { online: true }, '--online needs --server'],
    ['up', { server: true, online: true, charts: '/' }, 'does not work with --online'],
    ['up', { server: true, online: true, 'name-server': 'x' }, 'needs --online and an IP address'],
    ['up', { server: true, 'name-server': '192.168.1.1' }, 'needs --online and an IP address'],
    ['down', { server: true, online: true }, 'belongs to `up`'],
  ] as const)
    assert.match(messagesOf(await expectedFrom(() => check(command, flags)))[0]!, message)
})

test.run()
