import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KUSTOMIZATION } from '../../../../lib/flux/flux.ts'
import { APP_NAMES, CORE_KUSTOMIZATIONS } from '../../../../lib/platform/apps.ts'
import { appKustomization } from '../../../../scripts/install-app/kustomization.ts'

const coreNames: readonly string[] = CORE_KUSTOMIZATIONS

for (const name of APP_NAMES)
  test(`${name} has a Kustomization of its own name, after parts of the core`, async () => {
    const object = await appKustomization(name)
    assert.equal([object.apiVersion, object.kind], [KUSTOMIZATION.apiVersion, KUSTOMIZATION.kind])
    assert.equal([object.metadata.namespace, object.metadata.name], ['flux-system', name])
    assert.is(object.spec.path, `./flux2/apps/${name}`)
    const before = object.spec.dependsOn.map((dependency: { name: string }) => dependency.name)
    for (const dependency of before) assert.ok(coreNames.includes(dependency), dependency)
    assert.ok(before.length > 0)
  })

test.run()
