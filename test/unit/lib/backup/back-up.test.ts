import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type AppParts, unfinishedBackup } from '../../../../lib/backup/back-up.ts'
import { backupObject } from '../../../../lib/backup/velero.ts'
import type { Kubectl, KubeObject } from '../../../../lib/kubectl/kubectl.ts'

const parts = (app: string, releases = [app]): AppParts => ({
  app,
  releases,
  namespaces: ['oas-apps'],
  owns: () => true,
})
const made = (name: string, of?: AppParts, phase = 'InProgress'): KubeObject => ({
  ...backupObject(name, { madeBy: 'backup', ttl: '720h', ...of }),
  status: { phase },
})

test('an unfinished backup is continued by a run for the same data only', async () => {
  const found = async (backups: KubeObject[], of?: AppParts) => {
    const kubectl = { list: async () => backups } as unknown as Kubectl
    return (await unfinishedBackup(kubectl, 'backup', of))?.metadata.name
  }
  const [whole, wekan] = [made('whole'), made('wekan', parts('wekan'))]
  const everything = {
    ...whole,
    spec: { ...whole.spec, includedNamespaces: ['*'], csiSnapshotTimeout: '10m' },
  }
  assert.is(await found([wekan, whole]), 'whole')
  assert.is(await found([everything]), 'whole')
  assert.is(await found([whole, wekan], parts('wekan')), 'wekan')
  assert.is(await found([wekan]), undefined)
  assert.is(await found([whole], parts('wekan')), undefined)
  assert.is(await found([wekan], parts('nextcloud')), undefined)
  assert.is(await found([wekan], parts('wekan', ['wekan', 'wekan-ferretdb'])), undefined)
  assert.is(await found([made('whole', undefined, 'Completed')]), undefined)
})

test.run()
