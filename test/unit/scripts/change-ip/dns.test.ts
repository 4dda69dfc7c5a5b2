import * as assert from 'uvu/assert'
import { ProviderClient } from '../../../../lib/provider/provider-client.ts'
import { PROVIDERS } from '../../../../lib/provider/providers.ts'
import { planRecords, writeRecord } from '../../../../scripts/change-ip/dns.ts'
import { test } from '../../../suite.ts'
import { type StandIn, standIn, TOKEN } from '../../provider-server.ts'

const [OLD, NEW] = ['203.0.113.7', '203.0.113.8']
let provider: StandIn
let client: ProviderClient

test.before.each(async () => {
  provider = await standIn()
  client = new ProviderClient(PROVIDERS.digitalocean!, provider.url, TOKEN, { backoff: 1, timeout: 2000 })
  const record = (id: number, type: string, name: string, data: string) => ({ id, type, name, data })
  provider.records.set('example.org', [
    record(1, 'NS', '@', 'ns1.example.net'),
    record(2, 'A', 'oas', OLD),
    record(3, 'CNAME', '*.oas', 'oas.example.org'),
    record(4, 'A', 'www.oas', OLD),
    record(5, 'A', 'blog', OLD),
    record(6, 'A', 'other.oas', '203.0.113.70'),
    record(7, 'TXT', 'oas', `v=spf1 ip4:${OLD} -all`),
    record(8, 'AAAA', 'oas', '2001:DB8:0::7'),
  ])
})
test.after.each(() => provider.close())

const hosts = ['oas.example.org', 'www.oas.example.org']
const changes = () => provider.requests.filter(({ method }) => method === 'PUT')

test('records of the platform are changed, others of the domain are told', async () => {
  const { edits, others } = await planRecords(client, hosts, OLD, NEW)
  assert.equal(
    edits.map(({ zone, id, name, before, after }) => [zone, id, name, before, after]),
    [
      ['example.org', 2, 'oas', OLD, NEW],
      ['example.org', 4, 'www.oas', OLD, NEW],
    ],
  )
  assert.equal(others, [`DNS example.org: A blog → ${OLD}`])
  assert.equal(changes(), [])
  for (const edit of edits) await writeRecord(client, edit)
  assert.equal(
    changes().map(({ path, body }) => [path, body]),
    [
      ['/domains/example.org/records/2', { type: 'A', data: NEW }],
      ['/domains/example.org/records/4', { type: 'A', data: NEW }],
    ],
  )
  // Looked at again, there is nothing to do, and nothing is sent.
  for (const edit of edits) assert.is(await writeRecord(client, edit), 'unchanged')
  assert.is(changes().length, 2)
  assert.equal((await planRecords(client, hosts, OLD, NEW)).edits, [])
})

test('an IPv6 address is found in every spelling', async () => {
  const { edits } = await planRecords(client, hosts, '2001:db8::7', '2001:db8::8')
  assert.equal(
    edits.map(({ type, name, after }) => [type, name, after]),
    [['AAAA', 'oas', '2001:db8::8']],
  )
})

test('an answer that is lost is asked for again, and the record is changed once', async () => {
  const { edits } = await planRecords(client, hosts, OLD, NEW)
  let cut = 0
  provider.fault = ({ method }) => (method === 'PUT' && cut++ === 0 ? 'cut-after' : undefined)
  await writeRecord(client, edits[0]!)
  assert.is(provider.records.get('example.org')!.find(({ id }) => id === 2)!.data, NEW)
})

test('what somebody else has changed is left alone', async () => {
  const { edits } = await planRecords(client, hosts, OLD, NEW)
  provider.records.get('example.org')!.find(({ id }) => id === 2)!.data = '203.0.113.99'
  await writeRecord(client, edits[0]!).then(
    () => assert.unreachable(),
    error => assert.match(error.message, 'was changed by somebody else: 203.0.113.99'),
  )
  provider.records.set('example.org', [])
  await writeRecord(client, edits[0]!).then(
    () => assert.unreachable(),
    error => assert.match(error.message, 'it is gone'),
  )
  assert.equal(changes(), [])
})

test('a domain that is not at the provider is told', async () => {
  await planRecords(client, ['oas.example.com'], OLD, NEW).then(
    () => assert.unreachable(),
    error => assert.match(error.message, 'none of oas.example.com, example.com is a domain at DigitalOcean'),
  )
})

test.run()
