import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BodyTooLarge, bodyBytes, bodyText } from '../../../../lib/script/body.ts'
import { ROOT } from '../../../../lib/script/files.ts'
import { serve } from '../../transport.ts'

test('a body is read whole up to its limit, and no further', async () => {
  const { url, close } = await serve((request, response) => {
    if (request.url === '/none') return response.writeHead(204).end()
    if (request.url === '/short') return response.end('šč'.repeat(50))
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(1 << 16)));
      if (!response.destroyed) response.once('drain', more)
    }
    response.on('error', () => {})
    more()
  })
  try {
    assert.is(await bodyText(await fetch(`${url}/short`), 200), 'šč'.repeat(50))
    assert.is((await bodyBytes(await fetch(`${url}/none`))).length, 0)
    for (const path of ['/short', '/endless'])
      try {
        await bodyText(await fetch(url + path), 199)
        assert.unreachable()
      } catch (error) {
        assert.instance(error, BodyTooLarge)
        assert.match((error as Error).message, 'the answer is larger than 199 B')
      }
  } finally {
    close()
  }
})

test('nothing else reads the body of an answer', () => {
  const files = ['lib', 'scripts'].flatMap(folder =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter(file => file.endsWith('.ts'))
      .map(file => join(folder, file)),
  )
  const reading = files.filter(file =>
    /\.(text|json|arrayBuffer|blob)\(\)/.test(readFileSync(join(ROOT, file), 'utf8')),
  )
  assert.equal(reading, [])
})

test.run()
