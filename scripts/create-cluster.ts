/**
 * Creates the folder of a cluster with its inventory and configuration, and at a provider also the server
 * and its DNS records. It replaces the docs' `python -m openappstack NAME create`.
 *
 * Usage: npx tsx scripts/create-cluster.ts NAME DOMAIN [--ip-address IP] [--admin-email MAIL]
 * Needs: a server with a public address, or the API token of a provider in the environment.
 * Safe to run again: it checks before it creates, completes the existing folder, and replaces no value without --yes.
 */

import { checkClusterName, clusterNamed } from '../lib/script/cluster.ts'
import { EXIT, ExpectedError, throwAll } from '../lib/script/errors.ts'
import { script } from '../lib/script/script.ts'
import { createFlags, usageProblems } from './create-cluster/create-flags.ts'
import type { DomainRecord } from './create-cluster/dns-records.ts'

/** Stands for the address of a server that does not exist yet. */
const FUTURE_ADDRESS = 'ADDRESS_OF_THE_NEW_SERVER'

await script({
  name: 'create-cluster',
  group: 'set up',
  summary: 'Create the folder of a cluster, and on request its server and DNS records.',
  args: {
    name: 'NAME DOMAIN',
    help: 'NAME of the cluster folder, mostly the domain; DOMAIN of the platform',
    max: 2,
  },
  flags: createFlags,
  examples: [
    [
      'npx tsx scripts/create-cluster.ts oas.example.org oas.example.org --ip-address 203.0.113.7',
      'An existing server; asks for the rest',
    ],
    [
      'npx tsx scripts/create-cluster.ts oas.example.org example.org --subdomain oas --provider cosmos --droplet-id 1234 --create-domain-records',
      'A server at Greenhost, and the DNS records',
    ],
    [
      'npx tsx scripts/create-cluster.ts oas.example.org example.org --subdomain oas --provider digitalocean --create-droplet --size s-8vcpu-16gb --region ams3 --image debian-13-x64 --ssh-key-id 112 --create-domain-records --dry-run',
      'Show the calls that would create a server and its DNS records',
    ],
  ],
  cluster: 'none',
  changes: true,
  async run(run) {
    const { timeoutOf } = await import('../lib/script/duration.ts')
    const { privateFolder } = await import('../lib/script/files.ts')
    const { askText } = await import('../lib/script/prompt.ts')
    const { planFolder, writeFolder } = await import('./create-cluster/folder.ts')
    const { lockFolder } = await import('../lib/platform/folder-lock.ts')
    const { inventoryFile, readInventory, serverOf } = await import('../lib/platform/inventory.ts')
    const { oneLine } = await import('../lib/provider/provider-client.ts')
    const { publicAddressOf } = await import('./create-cluster/droplet.ts')
    const { askSettings, refuseReplacing, tellNext, wordpressDomain } = await import(
      './create-cluster/new-cluster.ts'
    )
    const {
      callText,
      completeOrder,
      createRecords,
      createServer,
      hostNameOf,
      missingRecords,
      orderCall,
      orderFor,
      providerFor,
      recordCall,
    } = await import('./create-cluster/new-server.ts')
    const deadline = timeoutOf(run.flags.timeout, 15)
    await run.preflight([() => throwAll(usageProblems(run)), () => void providerFor(run)])
    const name =
      run.args[0] ??
      (await askText({ message: 'Name of the cluster:', flag: 'NAME', check: checkClusterName }))
    run.cluster = clusterNamed(name)
    const inventory = inventoryFile(run.cluster)
    const present = serverOf(await readInventory(inventory), run.flags.hostname, inventory)
    const { domain, adminEmail, ipAddress } = await askSettings(run)
    const zone = run.args[1]

    const provider = providerFor(run)
    const order = run.flags['create-droplet'] ? orderFor(run, domain, provider) : undefined
    const id = run.flags['droplet-id']
    const droplet = id ? await provider?.droplet(Number(id)) : order && (await provider?.ordered(order))
    const known = droplet ? (droplet.status === 'new' ? undefined : publicAddressOf(droplet)) : ipAddress
    if (droplet?.status === 'off') run.log.warn(`server ${droplet.id} is switched off`)
    const records: DomainRecord[] = []
    await run.preflight([
      async () => {
        if (provider && order && !droplet) await completeOrder(run, provider, order)
      },
      async () => {
        if (provider && zone && run.flags['create-domain-records'])
          records.push(
            ...(await missingRecords(provider, zone, run.flags.subdomain, known ?? FUTURE_ADDRESS)),
          )
      },
    ])

    const facts = (address: string | undefined) => ({
      values: { domain, admin_email: adminEmail, ...wordpressDomain(run, domain) },
      host: {
        name: present?.name ?? run.flags.hostname ?? order?.name ?? hostNameOf(droplet) ?? domain,
        address,
        user: run.flags['ssh-user'] ?? (present ? undefined : 'root'),
      },
    })
    const folder = await planFolder(run.cluster, facts(known))
    refuseReplacing(run, folder.differences)
    const plan = [
      ...(droplet
        ? [`use the server ${oneLine(droplet.name)} (id ${droplet.id}, ${known ?? 'not ready yet'})`]
        : []),
      ...(provider && order && !droplet ? [callText(provider, orderCall(order))] : []),
      ...folder.lines,
      ...records.map(record => callText(provider!, recordCall(zone!, record))),
    ]
    run.result = { folder: run.cluster.folder, domain, ipAddress: known, dropletId: droplet?.id }
    const byApi = run.flags['create-domain-records']
    if (known && folder.lines.length === 0 && records.length === 0) {
      run.log.ok(`${run.cluster.folder} is complete; nothing was changed.`)
      return tellNext(run, domain, known, byApi)
    }
    if (!(await run.agree(plan, `Create the cluster ${name}?`))) return

    privateFolder(run.cluster.folder)
    const unlock = lockFolder(run.cluster.folder)
    run.onEnd(async () => unlock())
    const server =
      provider && (order || droplet) && !known
        ? await createServer(run, provider, { order, droplet }, deadline)
        : undefined
    const address = server?.address ?? known
    await run.step('Cluster folder', undefined, async () => {
      const now = await planFolder(run.cluster, facts(address))
      if (now.differences.length > folder.differences.length)
        throw new ExpectedError(
          `${run.cluster.folder} was changed in the meantime: ${now.differences.join('; ')}`,
          'run the same command again and check its plan',
          { exitCode: EXIT.refused },
        )
      return writeFolder(run.cluster, now).join(', ') || 'unchanged'
    })
    if (provider && zone && byApi) await createRecords(run, provider, zone, address!)
    const dropletId = server?.id ?? droplet?.id
    run.result = { folder: run.cluster.folder, domain, ipAddress: address, dropletId }
    run.log.ok(`${run.cluster.folder} is complete.`)
    tellNext(run, domain, address!, byApi)
  },
})
