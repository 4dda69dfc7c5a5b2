/** OAuth2Clients: registered at hydra, for a host that is served. */
import { condition, standing } from '../../flux/flux.ts'
import { SOURCE_LABEL } from '../../flux/own-sources.ts'
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { each, type Finding, type Rule, restarting, tell } from '../finding.ts'
import { SERVICES } from '../sign-on.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { keysOf } from './given.ts'
import { hostsOf } from './ingresses.ts'
import { meaningOf } from './last-words.ts'
import { endpointsOf, kustomizationOf, podsBehind, since } from './workload-facts.ts'

/**
 * Clients that hydra-maester could not register.
 * Source: https://github.com/ory/hydra-maester/blob/v0.0.40/api/v1alpha1/oauth2client_types.go
 */
const unregistered = each('OAuth2Client', (client, index) => {
  const { statusCode, description } = client.status?.reconciliationError ?? {}
  const { namespace, name, creationTimestamp } = client.metadata
  if (!statusCode || condition(client, 'Ready')?.status === 'True' || since(index, creationTimestamp) < 120)
    return undefined
  const secret = `Secret ${namespace}/${client.spec?.secretName}`
  const isAway = /unreachable|unresolved/.test(meaningOf(String(description))?.rule ?? '')
  return {
    rule: 'oauth-client-not-registered',
    cause: `is not registered at hydra: ${statusCode}${description ? `: ${short(String(description), 200)}` : ''}`,
    evidence: [`nobody can log in to ${name} by single sign-on`],
    ...(/\b(CLIENT_ID|CLIENT_SECRET)\b.{0,20} missing/.test(String(description))
      ? {
          text: `name its keys CLIENT_ID and CLIENT_SECRET in ${secret}${keysText(client, index)}; or delete it: hydra-maester then makes one`,
          command: `kubectl -n ${namespace} describe secret ${client.spec?.secretName}`,
        }
      : /assigned to another resource/.test(String(description))
        ? {
            text: `give ${secret} a CLIENT_ID that no other OAuth2Client has; if none has it, delete that client in hydra`,
            command: 'kubectl get oauth2clients -A',
          }
        : {
            text: isAway
              ? 'see whether hydra runs, and whether its Service of that name exists: it is set in the values of hydra-maester (adminService) or in spec.hydraAdmin of the client'
              : `read the log of hydra-maester, and check ${secret}`,
            command: 'npx tsx scripts/logs.ts hydra --grep maester',
          }),
    causedBy: index
      .all('Deployment')
      .filter(({ metadata }) => /^hydra/.test(metadata.name))
      .map(refOf),
  }
})

/** Clients that hydra-maester has never handled, although it has others: it does not watch their namespace. */
const unhandled = each('OAuth2Client', (client, index) => {
  const { namespace, name, creationTimestamp } = client.metadata
  if (client.status || since(index, creationTimestamp) < 600) return undefined
  const handled = index.all('OAuth2Client').filter(({ status }) => status)
  const isElsewhere = handled.every(({ metadata }) => metadata.namespace !== namespace)
  const maester = index.all('Deployment').find(({ metadata }) => /maester/.test(metadata.name))
  if (handled.length === 0 || !isElsewhere || !maester) return undefined
  return {
    rule: 'oauth-client-unhandled',
    cause: `hydra-maester does not handle it, and does those of namespace ${handled[0]!.metadata.namespace}: nobody can log in to ${name} by single sign-on`,
    text: `let hydra-maester watch namespace ${namespace}, too: omit its argument --namespace (in the values of the release: hydra-maester.maester.singleNamespaceMode: false); it makes the Secret then`,
    command: `kubectl -n ${maester.metadata.namespace} get deployment ${maester.metadata.name} -o yaml`,
  }
})

/** The keys that the Secret of a client has, in words. */
function keysText({ metadata, spec }: KubeObject, index: Index): string {
  const keys = keysOf({ kind: 'Secret', name: spec?.secretName ?? '' }, metadata.namespace, index) ?? []
  return keys.length > 0 ? ` (it has ${keys.slice(0, 5).join(', ')})` : ''
}

const hostOf = (address: unknown) =>
  URL.canParse(String(address)) ? new URL(String(address)).hostname.toLowerCase() : ''

/** Clients whose redirect addresses lead to no host that an Ingress of their namespace serves. */
const elsewhere = each('OAuth2Client', (client, index) => {
  const uris = (client.spec?.redirectUris ?? []) as string[]
  const hosts = uris.map(hostOf).filter(host => host.includes('.') && !/^\d/.test(host))
  const served = index.all('Ingress').flatMap((ingress: KubeObject) => hostsOf(ingress))
  if (hosts.length === 0 || served.length === 0 || index.blind('Ingress')) return undefined
  if (hosts.some(host => served.some(name => name === host || isBelow(host, name)))) return undefined
  const owner = kustomizationOf(client, index)
  if (owner && standing(owner).state === 'waiting') return undefined // it brings the Ingress, too
  const { namespace, name, labels } = client.metadata
  const own = index
    .all('Ingress')
    .filter(({ metadata }) => metadata.namespace === namespace)
    .flatMap(hostsOf)
  return {
    rule: 'oauth-redirect-elsewhere',
    cause: `redirects to ${[...new Set(hosts)].join(', ')}, which no Ingress serves: logging in fails`,
    evidence: own.length > 0 ? [`served in ${namespace}: ${[...new Set(own)].join(', ')}`] : [],
    ...(labels?.[SOURCE_LABEL]
      ? {
          text: `add an Ingress for that host to the repository of ${name}, or run add-source with another --login`,
          command: 'npx tsx scripts/add-source.ts',
        }
      : {
          text: 'correct redirectUris: the domain of the platform is in .flux.env; install-core and install-app apply it',
          command: `kubectl -n ${namespace} get oauth2client ${name} -o yaml`,
        }),
  }
})

/** Clients whose redirect addresses are plain HTTP on a host that is served by HTTPS: hydra compares them exactly. */
const plain = each('OAuth2Client', (client, index) => {
  const secure = index
    .all('Ingress')
    .flatMap(({ spec }) => (spec?.tls ?? []) as { hosts?: string[] }[])
    .flatMap(({ hosts = [] }) => hosts)
  const uri = ((client.spec?.redirectUris ?? []) as string[]).find(
    each => each.startsWith('http://') && secure.includes(hostOf(each)),
  )
  const { namespace, name } = client.metadata
  if (!uri) return undefined
  return {
    rule: 'oauth-redirect-plain',
    cause: `redirects to ${uri}, and that host is served by HTTPS: hydra refuses the address that the application sends`,
    text: 'write https:// in redirectUris',
    command: `kubectl -n ${namespace} edit oauth2client ${name}`,
  }
})

const isBelow = (host: string, name: string) => name.startsWith('*.') && host.endsWith(name.slice(1))

/** Fields of a client without which nobody can log in. */
const NEEDED = ['registration', 'client secret', 'redirect addresses', 'authentication method']

/**
 * Clients that hydra holds otherwise than their OAuth2Client and Secret say. hydra-maester does not see that: it
 * reports Ready when its POST has failed, and never sends a changed secret, unless the object changes
 * (ory/hydra-maester, controllers/oauth2client_controller.go: the observed generation decides).
 */
const different: Rule = index =>
  (index.snapshot.signOn?.clients ?? []).flatMap(({ namespace, name, differs }): Finding[] => {
    const client = index.get('OAuth2Client', namespace, name)
    // A new one is registered at this moment.
    if (!client || differs.length === 0 || since(index, client.metadata.creationTimestamp) < 60) return []
    const isMissing = differs.includes('registration')
    const patch = { status: { observedGeneration: 0 } }
    return [
      tell(client, {
        rule: 'oauth-client-differs',
        verdict: differs.some(field => NEEDED.includes(field)) ? 'broken' : 'warning',
        cause: isMissing
          ? 'is not registered at hydra'
          : `differs at hydra from Secret ${namespace}/${client.spec?.secretName} and this object: ${differs.join(', ')}`,
        evidence: [
          `nobody can log in to ${name} by single sign-on`,
          ...(condition(client, 'Ready')?.status === 'True' ? ['its status says Ready all the same'] : []),
        ].filter(
          text => isMissing || differs.some(field => NEEDED.includes(field)) || !text.startsWith('nobody'),
        ),
        text: 'have hydra-maester send the client to hydra again',
        command: `kubectl -n ${namespace} patch oauth2client ${name} --subresource=status --type=merge -p '${JSON.stringify(patch)}'`,
        action: {
          do: 'patch',
          ref: refOf(client),
          patch,
          subresource: 'status',
          why: 'have hydra-maester send the client again',
        },
        // While it does not run, nobody sends anything.
        symptom: true,
        causedBy: index
          .within('Deployment', 'oas')
          .filter(({ metadata }) => /maester/.test(metadata.name))
          .map(refOf),
      }),
    ]
  })

const workloadOf = (index: Index, name: string) =>
  index.get('Deployment', 'oas', name) ?? index.get('Service', 'oas', `${name}-admin`)

/** hydra and kratos that run, and report that they are not ready: their database is away. */
const unready: Rule = index =>
  (index.snapshot.signOn?.unready ?? []).flatMap(({ service, why }): Finding[] => {
    const workload = workloadOf(index, service)
    if (!workload) return []
    return [
      tell(workload, {
        rule: 'sign-on-not-ready',
        cause: `${service} runs, and reports that it is not ready: ${short(why, 200)}`,
        evidence: ['nobody can log in to any application'],
        ...(/password authentication failed/.test(why)
          ? {
              text: `restore ${service}_postgres_password from a backup of the secrets: its database has another password`,
              command: 'npx tsx scripts/restore-secrets.ts --dry-run',
            }
          : {
              text: 'check its database, single-sign-on-database, and read the log',
              command: 'npx tsx scripts/app-debug.ts single-sign-on-database',
            }),
        symptom: true,
        causedBy: index
          .within('StatefulSet', 'oas')
          .concat(index.within('Deployment', 'oas'))
          .filter(({ metadata }) => metadata.name.startsWith('single-sign-on-database'))
          .map(refOf),
      }),
    ]
  })

/** Seconds after which a pod that has become ready answers over its Service, too. */
const SERVED = 30

/** Whether a Service has pods, and all of them have been ready for a while: until then their starts are told. */
function isServed(service: KubeObject, index: Index): boolean {
  const pods = podsBehind(service, index)
  return (
    pods.length > 0 &&
    endpointsOf(refOf(service), index) !== 0 &&
    pods.every(pod => {
      const ready = condition(pod, 'Ready')
      return ready?.status === 'True' && since(index, ready.lastTransitionTime) > SERVED
    })
  )
}

/** What does not answer although its pods are ready: it hangs, or a Service leads past the port on which it listens. */
const silent: Rule = index => {
  const why = new Map(index.snapshot.signOn?.silent?.map(each => [each.service, each.why]))
  return [...new Set(SERVICES.map(({ workload }) => workload))].flatMap((name): Finding[] => {
    const services = SERVICES.filter(({ workload }) => workload === name).map(({ service }) => service)
    const mute = services.flatMap(service => {
      const object = index.get('Service', 'oas', service)
      return object && why.has(service) && isServed(object, index) ? [object] : []
    })
    const [first] = mute
    const workload = index.get('Deployment', 'oas', name)
    if (!first || !workload) return []
    const hangs = mute.length === services.length
    const remedy = hangs
      ? {
          text: 'restart it, and read its log',
          command: `kubectl -n oas rollout restart deployment ${name}`,
          action: restarting(workload, index, 'restart its pods'),
        }
      : {
          text: `correct the targetPort of Service ${first.metadata.name}: others of ${name} answer`,
          command: `kubectl -n oas describe service ${first.metadata.name}`,
        }
    return [
      tell(hangs ? workload : first, {
        rule: 'sign-on-silent',
        cause: `does not answer, although its pods are ready: ${short(why.get(first.metadata.name) ?? '', 200)}`,
        evidence: ['nobody can log in to any application'],
        ...remedy,
        symptom: true,
      }),
    ]
  })
}

/** The Services that the user panel asks, and by which workload each is served; no Ingress refers to most of them. */
const INTERNAL = { 'kratos-public': 'kratos', 'kratos-admin': 'kratos', 'hydra-admin': 'hydra' }

/** A Service behind the user panel that is gone, although what it leads to is there. */
const hidden: Rule = index => {
  const panel = index.get('Deployment', 'oas', 'single-sign-on')
  if (!panel || index.blind('Service')) return []
  return Object.entries(INTERNAL).flatMap(([service, workload]): Finding[] => {
    if (!index.get('Deployment', 'oas', workload) || index.get('Service', 'oas', service)) return []
    return [
      tell(panel, {
        rule: 'sign-on-service-missing',
        cause: `asks Service oas/${service}, which does not exist`,
        evidence: ['nobody can log in to any application'],
        text: 'have Helm run the release again: it creates the Service',
        command: `flux reconcile helmrelease ${workload} -n oas --force`,
      }),
    ]
  })
}

/** A platform that nobody administers: every account of an administrator is disabled or deleted. */
const nobody: Rule = index => {
  const kratos = workloadOf(index, 'kratos')
  if (index.snapshot.signOn?.administrator !== false || !kratos) return []
  return [
    tell(kratos, {
      rule: 'sign-on-without-administrator',
      cause: 'no active user has the label "Admin": nobody can manage users',
      text: 'reset or create the user admin',
      command: 'npx tsx scripts/users.ts reset-admin',
    }),
  ]
}

/** Mails to users that kratos has given up. */
const mail: Rule = index => {
  const { count, why } = index.snapshot.signOn?.refusedMail ?? {}
  const kratos = workloadOf(index, 'kratos')
  if (!count || !kratos) return []
  return [
    tell(kratos, {
      rule: 'sign-on-mail-refused',
      verdict: 'warning',
      cause: `${count} ${count === 1 ? 'mail to a user' : 'mails to users'} could not be sent${why ? `: ${short(why, 200)}` : ''}`,
      evidence: ['a user who asked for a new password did not get the code'],
      text: 'check the mail server, and correct outgoing_mail_* in .flux.env; meanwhile hand out codes by hand',
      command: 'npx tsx scripts/preflight.ts --only mail',
    }),
  ]
}

/** A hydra that cannot read the keys with which it signs: they were encrypted by another secret. */
const keys: Rule = index => {
  const why = index.snapshot.signOn?.unreadableKeys
  const hydra = workloadOf(index, 'hydra')
  if (!why || !hydra) return []
  return [
    tell(hydra, {
      rule: 'sign-on-keys-unreadable',
      cause:
        'hydra cannot read the keys with which it signs: most likely hydra_system_secret is another one than that of its database',
      evidence: [why, 'every application refuses logins: it cannot check who they are of'],
      text: 'restore hydra_system_secret from a backup of the secrets, or the database of single sign-on that belongs to it',
      command: 'npx tsx scripts/restore-secrets.ts --dry-run',
    }),
  ]
}

export const rules: Rule[] = [
  unhandled,
  unregistered,
  elsewhere,
  plain,
  different,
  unready,
  silent,
  hidden,
  nobody,
  mail,
  keys,
]
