/** A real kubectl takes and refuses the same kubeconfigs as ours, and tells the server the same about who asks. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { connect } from '../../lib/kubectl/kube-client.ts'
import { builtSets } from '../bed/build/build.ts'
import { NODE_SETS } from '../bed/build/programs.ts'
import { suite } from '../suite.ts'
import { KUBECONFIG_CASES, tellingServer } from '../unit/lib/kubectl/kubeconfig-cases.ts'

const test = suite('kubeconfig')
let kubectl: string
let around: Awaited<ReturnType<typeof tellingServer>>
const folders: string[] = []

test.before(async () => {
  const tell = (text: string) => console.log(`# ${text}`)
  const built = await builtSets({ progress: tell, waiting: tell }, NODE_SETS)
  kubectl = built.map(folder => join(folder, 'kubectl')).find(existsSync)!
  around = await tellingServer()
})
test.after(() => {
  around?.close()
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** What kubectl is answered; undefined when it refuses, or waits for a pipe. */
function askedByKubectl(file: string): Promise<string | undefined> {
  const child = spawn(kubectl, ['--kubeconfig', file, 'get', '--raw', '/version'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: 10_000,
    killSignal: 'SIGKILL',
  })
  let answer = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    answer += text
  })
  return new Promise(resolve => child.on('close', code => resolve(code === 0 ? answer : undefined)))
}

/** What ours is answered; undefined when it refuses. */
async function askedByUs(file: string): Promise<string | undefined> {
  try {
    const client = await connect(file)
    try {
      return (await client.exchange({ path: '/version' })).text
    } finally {
      client.close()
    }
  } catch {
    return undefined
  }
}

for (const [what, make, refused] of KUBECONFIG_CASES)
  test(`${what}: ${refused ? 'refused' : 'used'} by both`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oas-kubeconfig-'))
    folders.push(folder)
    const file = make(folder, around)
    const theirs = await askedByKubectl(file)
    assert.is(await askedByUs(file), theirs)
    assert.is(theirs === undefined, refused !== undefined)
  })

test.run()
