/**
 * A **stand-in** for mongodump, mongorestore and mongosh, which no package has: it keeps databases in a JSON file in
 * place of a server. Options and passwords as in mongodb/mongo-tools (common/options/options.go,
 * mongorestore/options.go), the beginning and the end of an archive as in its common/archive; `connect` and what it
 * returns as in mongodb-js/mongosh (packages/shell-api/src/mongo.ts and database.ts).
 *
 * Usage: node --import tsx test/host/mongodb-stand-in.ts PROGRAM [ARGUMENT…]
 * Environment: MONGO_STATE, the file; MONGO_PASSWORD, what root has to say; MONGO_DIES, a dump is cut off.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import vm from 'node:vm'

const MAGIC = Buffer.from('6de29981', 'hex')
const TERMINATOR = Buffer.from('ffffffff', 'hex')
type Databases = Record<string, Record<string, unknown[]>>
const { MONGO_STATE: file = '', MONGO_PASSWORD: password, MONGO_DIES: dies } = process.env

const state = (): Databases => JSON.parse(readFileSync(file, 'utf8'))
const fail = (text: string): never => {
  process.stderr.write(`${text}\n`)
  process.exit(1)
}
const login = (user: string | undefined, said: string | undefined) =>
  user === 'root' && said === password ? undefined : fail("Failed: can't create session: auth error")

const [program = '', ...args] = process.argv.slice(2)
const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const

if (program === 'mongosh') {
  const options = { nodb: flag, quiet: flag, norc: flag, eval: text }
  const { values } = parseArgs({ args, options })
  const database = (name: string) => ({
    adminCommand: () => ({ databases: [...Object.keys(state()), 'admin', 'local'].map(name => ({ name })) }),
    getSiblingDB: database,
    getCollectionInfos: () => Object.keys(state()[name] ?? {}).map(name => ({ name })),
    getCollection: (each: string) => ({ countDocuments: () => state()[name]![each]!.length }),
  })
  const connect = (url: string) => {
    const { username, password: said, pathname } = new URL(url)
    login(username, decodeURIComponent(said))
    return database(pathname.slice(1))
  }
  vm.runInNewContext(values.eval ?? '', { process, connect, encodeURIComponent, print: console.log })
} else {
  const options = {
    ...{ quiet: flag, config: text, username: text, authenticationDatabase: text, archive: text },
    ...(program === 'mongorestore' ? { drop: flag, nsExclude: { ...text, multiple: true as const } } : {}),
  }
  const { values } = parseArgs({ args, options })
  login(values.username, /^password: (.*)$/m.exec(readFileSync(values.config!, 'utf8'))?.[1])
  if (program === 'mongodump') {
    const body = Buffer.from(JSON.stringify(state()))
    writeFileSync(values.archive!, Buffer.concat([MAGIC, dies ? body.subarray(0, 20) : body]))
    if (dies) process.kill(process.pid, 'SIGKILL')
    writeFileSync(values.archive!, TERMINATOR, { flag: 'a' })
  } else {
    const archive = readFileSync(values.archive!)
    if (!archive.subarray(0, 4).equals(MAGIC))
      fail('Failed: stream or file does not appear to be a mongodump archive')
    const dumped: Databases = JSON.parse(archive.subarray(4, -4).toString())
    const now = state()
    for (const [name, collections] of Object.entries(dumped)) {
      if ([values.nsExclude].flat().includes(`${name}.*`)) continue
      now[name] = { ...now[name], ...collections }
    }
    writeFileSync(file, JSON.stringify(now))
  }
}
