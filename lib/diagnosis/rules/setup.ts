/** What a kubelet says when it cannot set a placed pod up: volumes, sandboxes, or nothing at all. */
import { condition } from '../../flux/flux.ts'
import { claimsOfPod } from '../../kubectl/claims.ts'
import { type KubeObject, refOf, refText } from '../../kubectl/kubectl.ts'
import { durationText } from '../../script/duration.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import type { Index } from '../snapshot.ts'
import { short } from '../text.ts'
import { adviceOn } from './advice.ts'
import { keptOff } from './daemon-sets.ts'
import { asRoot, RESTART_K3S, refTo } from './failure.ts'
import { imageTrouble } from './images.ts'
import { systemMeaning } from './last-words.ts'
import { READ_ONLY, startTrouble, writableAgain } from './starting.ts'
import {
  describing,
  eventsOf,
  oncePerWorkload,
  podsOf,
  since,
  suffersFrom,
  timesSeen,
  whereToChange,
  workloadOf,
} from './workload-facts.ts'

/** A pod's age since it was created or, once it is scheduled, since then. */
export const podAge = (pod: KubeObject, index: Index) =>
  since(index, condition(pod, 'PodScheduled')?.lastTransitionTime, pod.metadata.creationTimestamp)

/** What a kubelet says when it cannot set a placed pod up. */
const notSetUp: Rule = index =>
  oncePerWorkload(
    podsOf(index).flatMap(pod => {
      if (!pod.spec?.nodeName || pod.status?.phase !== 'Pending') return []
      const finding = mount(pod, index) ?? sandbox(pod, index) ?? notBegun(pod, index)
      // What is wrong with a node is told once, however many pods suffer.
      return finding
        ? [
            {
              ...finding,
              of: (finding.subject.kind !== 'Pod' && index.find(finding.subject)) || workloadOf(pod, index),
            },
          ]
        : []
    }),
  )

/** An event on one line, its reason at the end: mount(8) puts its own below the command and its arguments. */
function reasonOf({ message = '' }: KubeObject): string {
  const [head = '', ...rest] = String(message).slice(0, 4096).split('\n')
  const output = rest.find(line => line.startsWith('Output: ')) ?? rest.at(-1)
  return output ? `${head}: ${output}` : head
}

/** Missing Secrets and ConfigMaps are told by needs.ts. */
const ELSEWHERE = /(secret|configmap) "[^"]*" not found|references non-existent|object .* not registered/i

function mount(pod: KubeObject, index: Index): Finding | undefined {
  const failed = eventsOf(index, pod, /^Failed(Mount|AttachVolume|MapVolume)$/, 600)
  // `timed out waiting for the condition` only sums up what another event tells.
  const sums = ({ message }: KubeObject) => /^Unable to attach or mount/.test(message ?? '')
  const event =
    failed.find(each => !sums(each)) ??
    // That a volume is attached elsewhere is said once, and not again as long as that is so.
    (failed[0] && eventsOf(index, pod, /^FailedAttachVolume$/, podAge(pod, index) + 60)[0]) ??
    failed[0]
  // What was seen once is tried again within seconds.
  const patience = failed.length === 1 && timesSeen(failed[0]!) < 2 ? 60 : 10
  if (!event || ELSEWHERE.test(event.message ?? '') || podAge(pod, index) < patience) return undefined
  const message = reasonOf(event)
  if (/Multi-Attach error/.test(message)) return attachedElsewhere(pod, message, index)
  const [, volume, path] =
    /volume "([^"]+)" *: .*?(?:path "([^"]+)" does not exist|stat (\S+): no such file)/.exec(message) ?? []
  // Longhorn and others have an object of their own for each volume.
  const [, attached = ''] = /^AttachVolume\.Attach failed for volume "([^"]+)"/.exec(message) ?? []
  const stored = index.all('Volume').filter(({ metadata }) => metadata.name === attached)
  const onDisk = volume && path ? index.get('PersistentVolume', undefined, volume) : undefined
  const driver = driverKeptOff(message, pod, index)
  return tell(onDisk ? refOf(onDisk) : refOf(pod), {
    rule: onDisk ? 'volume-folder-missing' : 'pod-mount-failed',
    cause: onDisk
      ? `its folder ${path} is not on the server any more`
      : driver
        ? `its CSI driver ${driver.name} does not run on ${driver.node}: ${driver.why}`
        : `a volume cannot be mounted: ${short(message, 200)}`,
    evidence: [`${event.reason}: ${short(message)}`],
    ...suffersFrom([...stored, ...unboundOf(pod, message, index)].map(refOf)),
    ...(onDisk
      ? {
          text: 'bring the folder back from a backup, or create it empty if the data may be lost',
          command: asRoot(`ls -l ${path?.replace(/\/[^/]*$/, '')}`),
        }
      : {
          text: driver?.fix ?? mountFix(message, whereToChange(workloadOf(pod, index), index)),
          command: describing(pod),
        }),
  })
}

/** Words that say nothing of which driver is meant: `nfs.csi.k8s.io`, `driver.longhorn.io`. */
const OF_ANY_DRIVER = /^(csi|k8s|io|com|org|driver|storage|drivers?|net|plugin|node)$/

/** The DaemonSet that would serve a CSI driver on the node of a pod, and what keeps it off that node. */
function driverKeptOff(message: string, pod: KubeObject, index: Index) {
  const [, name] =
    /driver name ([\w.-]{1,100}) not found in the list of registered CSI drivers/.exec(message) ?? []
  const node = index.get('Node', undefined, pod.spec?.nodeName)
  if (!name || !node) return undefined
  const words = name.split(/[.-]/).filter(word => !OF_ANY_DRIVER.test(word))
  const daemon = index
    .all('DaemonSet')
    .find(
      ({ metadata }) =>
        words.some(word => metadata.name.split('-').includes(word)) && /csi|node|plugin/.test(metadata.name),
    )
  const why = daemon && keptOff(daemon, node)
  return (
    why && {
      name,
      node: refText(refOf(node)),
      why: `${refText(refOf(daemon))} is not there, since ${why.cause}`,
      fix: why.fix,
    }
  )
}

/** The claims of a pod that are not bound, where that is what the kubelet says. */
const unboundOf = (pod: KubeObject, message: string, index: Index): KubeObject[] =>
  /PVC is not bound/.test(message)
    ? claimsOfPod(pod).flatMap(name => {
        const claim = index.get('PersistentVolumeClaim', pod.metadata.namespace, name)
        return claim && claim.status?.phase !== 'Bound' ? [claim] : []
      })
    : []

/** What kubelet's and mount's words ask for. The first that matches counts. */
const MOUNTS: readonly [pattern: RegExp, fix: (where: string) => string][] = [
  [
    /bad superblock on \/dev\/|structure needs cleaning|fsck|corrupt/i,
    () =>
      'check the file system of the volume on the server (fsck, while nothing uses it), or restore it from a backup; where its class has mountOptions, whether the file system knows them',
  ],
  [
    /external-attacher/,
    () =>
      'see whether the controller of its CSI driver runs, with the attacher in it: nobody else attaches the volume',
  ],
  [READ_ONLY, () => writableAgain],
  [/iscsi/i, () => 'install open-iscsi on the server, start iscsid, and load the module iscsi_tcp'],
  [
    /passphrase|cryptsetup/i,
    () => 'put the passphrase with which the volume was created into the Secret that its StorageClass names',
  ],
  [
    /operation with the given volume (id|key)/i,
    () =>
      'the CSI driver is still busy with an earlier try: see what its pods and its storage say; if it lasts, delete the pod of the driver on this node',
  ],
  [
    /provider not found: provider/,
    () => 'install the provider of this store of secrets: its pods have to run on every node',
  ],
  [
    /helper program|unknown filesystem type|executable file not found/i,
    () =>
      'install what mounts this kind of volume on the server: nfs-common for NFS, cifs-utils for CIFS, open-iscsi for iSCSI',
  ],
  [
    /not found in the list of registered CSI drivers|CSIDriver|csi\.sock/i,
    () =>
      'see whether the pods of the CSI driver of this volume run on the node; install it again, or restore the data into another class',
  ],
  [
    /maximum number of volumes|exceed max|attach limit/i,
    () => 'the node has as many volumes attached as it may: detach some by removing pods, or add a node',
  ],
  [
    /failed to sync (configmap|secret) cache|in the time allotted/i,
    () =>
      'the kubelet does not hear of ConfigMaps, Secrets and tokens from the API server in time: see the load of the server, and restart k3s if it lasts',
  ],
  [
    /fetch token|serviceaccount/i,
    where => `create the ServiceAccount that it names ${where}, and restart k3s if it exists already`,
  ],
  [
    /volumeMode Block|volumeMounts?\b.*volumeMode|volumeMode.*volumeMounts?/i,
    where => `use volumeDevices in place of volumeMounts ${where}, or a claim with volumeMode Filesystem`,
  ],
  [
    /access denied|permission denied|not permitted/i,
    () =>
      'let the storage server export the volume to the address of this node (/etc/exports), and check its credentials',
  ],
  [
    /hostPath type check failed|no such file|\bpath\b.{0,200}does not exist|is not a (directory|file)/i,
    where => `create the path on the server, or correct path and type of the volume ${where}`,
  ],
  [
    /connection (refused|timed out|reset)|no route to host|timed? ?out|unreachable|no such host|resolve/i,
    where => `let the node reach the storage server: its address ${where}, the network and the firewall`,
  ],
  [
    /stale file handle/i,
    () =>
      'the storage server has replaced what it exports: unmount it on the server (umount -f), then delete the pod, so that it is mounted again',
  ],
]

const mountFix = (message: string, where: string) =>
  MOUNTS.find(([pattern]) => pattern.test(message))?.[1](where) ??
  systemMeaning(message)?.fix(where) ??
  adviceOn(message, where) ??
  (/^AttachVolume|rpc error: code/.test(message)
    ? 'see what the CSI driver of this volume says: its pods, and the state of the volume in its storage'
    : `correct what the message names ${where}`)

/** A volume that only one node may mount, and another pod still holds. */
function attachedElsewhere(pod: KubeObject, message: string, index: Index): Finding {
  const names = /used by pod\(s\) ([\w., -]+)/.exec(message)?.[1]?.split(/,\s*/) ?? []
  const holders = names.flatMap(name => index.get('Pod', pod.metadata.namespace, name.trim()) ?? [])
  const ending = holders.filter(
    ({ metadata, spec }) =>
      metadata.deletionTimestamp ||
      condition(index.get('Node', undefined, spec?.nodeName ?? '') ?? pod, 'Ready')?.status === 'Unknown',
  )
  const name = names[0] ?? 'NAME'
  return tell(pod, {
    rule: 'volume-attached-elsewhere',
    cause: `its volume is still attached for ${names.join(', ') || 'another node'}, and only one node may have it`,
    evidence: [short(message)],
    ...(ending.length > 0
      ? {
          text: `when that node is gone for good, delete Pod ${name} by force`,
          command: `kubectl -n ${pod.metadata.namespace} delete pod ${name} --force --grace-period=0`,
        }
      : {
          text: 'set strategy Recreate: a rolling update needs the volume on two nodes at once',
          command: `kubectl -n ${pod.metadata.namespace} get pods -o wide`,
        }),
    ...suffersFrom(ending.map(refOf)),
  })
}

/** Network and sandbox are a matter of the node: its pods only suffer. */
function sandbox(pod: KubeObject, index: Index): Finding | undefined {
  const [event] = eventsOf(index, pod, /^(FailedCreatePod(SandBox|Container)|NetworkNotReady)$/, 600)
  if (!event || podAge(pod, index) < 10) return undefined
  const message = String(event.message ?? '')
  const image = /(?:sandbox image|pull image) "([^"]+)"/.exec(message)?.[1]
  const told = image
    ? imageTrouble(pod, image, 'ErrImagePull', message, 'in the configuration of k3s (--pause-image)', index)
    : spaceTrouble(message)
  if (told)
    return tell(pod, {
      rule: told.rule,
      cause: image ? `its sandbox cannot be created: ${told.cause}` : told.cause,
      evidence: [`${event.reason}: ${short(message)}`],
      text: told.fix,
      ...(image ? {} : { command: SPACE }),
    })
  const known = startTrouble(message)
  if (known)
    return tell(pod, {
      rule: known.rule ?? 'pod-sandbox-failed',
      cause: `${known.cause}: ${short(message, 200)}`,
      text: known.fix(whereToChange(workloadOf(pod, index), index)),
      ...(known.command ? { command: known.command } : {}),
    })
  const network =
    /\bcni\b|flannel|network plugin|setup network|network for sandbox|NetworkNotReady|NetworkPluginNotReady/i.test(
      message,
    )
  const node = refTo('Node', undefined, pod.spec?.nodeName)
  const agent = network ? agentOf(message, index) : undefined
  // What a node says of its network itself is told of it.
  const isTold = condition(index.find(node) ?? pod, 'Ready')?.reason === 'KubeletNotReady'
  return tell(network && !isTold ? node : refOf(pod), {
    rule: network ? 'node-network-failing' : 'pod-sandbox-failed',
    cause: network
      ? 'its network for pods does not work'
      : `the node cannot set the pod up: ${short(message, 200)}`,
    evidence: [`${event.reason} of ${pod.metadata.namespace}/${pod.metadata.name}: ${short(message)}`],
    text: agent
      ? `restart ${refText(refOf(agent))}, which sets up the network of pods on the node: its configuration there is gone or outdated`
      : network
        ? (NETWORKS.find(([pattern]) => pattern.test(message))?.[1] ??
          systemMeaning(message)?.fix('') ??
          'k3s sets the network up when it starts: restart it, and read what it says')
        : 'correct what it says; the log of k3s on the server tells more',
    command: agent
      ? `kubectl -n ${agent.metadata.namespace} rollout restart daemonset ${agent.metadata.name}`
      : network
        ? RESTART_K3S
        : asRoot('journalctl -u k3s -n 100 --no-pager'),
    ...(network && isTold
      ? { symptom: true, causedBy: [node] }
      : agent
        ? { symptom: true, causedBy: [refOf(agent)] }
        : {}),
  })
}

/** What a network says that its restart alone does not heal. */
const NETWORKS: readonly [pattern: RegExp, fix: string][] = [
  [
    /already has an IP address/,
    'the bridge cni0 is from before the pod range was changed: delete it (ip link delete cni0), then restart k3s',
  ],
  [
    /no IP(s| addresses) available/i,
    'every address of its pod range is taken: remove what ended pods have left in /var/lib/cni/networks, then restart k3s; else run fewer pods',
  ],
  [
    /operation not supported/,
    'the kernel of the node lacks a module of the network (bridge, br_netfilter, vxlan): load it by modprobe and in /etc/modules-load.d, or start the server again if its kernel was upgraded',
  ],
  [
    /incompatible CNI versions/,
    'the programs of the network on the node are too old for its configuration: upgrade them (containernetworking-plugins in /opt/cni/bin), or lower cniVersion in /etc/cni/net.d',
  ],
  [
    /failed to find plugin/,
    'the program of the network is not on the node: install it where the message says (containernetworking-plugins), or remove what another network has left in /etc/cni/net.d; then restart k3s',
  ],
]

/** The DaemonSet that wires the pods of a node, by the name of its plugin: `calico`, `cilium-cni`. */
function agentOf(message: string, index: Index): KubeObject | undefined {
  const [, plugin] = /plugin type="([a-z]{3,20})/.exec(message) ?? []
  return plugin
    ? index.all('DaemonSet').find(({ metadata }) => metadata.name.replace('kube-', '').startsWith(plugin))
    : undefined
}

const SPACE = 'npx tsx scripts/ssh.ts -- df -h / /run'

/** No room on the node, for files or for control groups. */
function spaceTrouble(message: string) {
  if (!/no space left on device/i.test(message)) return undefined
  const groups = /\/sys\/fs\/cgroup|cgroup/.test(message)
  return {
    rule: 'node-no-space',
    cause: groups
      ? 'the node can make no more control groups, or its disk is full (no space left on device)'
      : 'the disk of the node is full (no space left on device)',
    fix: groups
      ? 'see whether the disk is full; else too many control groups are left over: restart the server'
      : 'make room on the disk of the server',
  }
}

/** A placed pod of which the kubelet tells nothing at all. */
function notBegun(pod: KubeObject, index: Index): Finding | undefined {
  const age = podAge(pod, index)
  if (age < 60 || pod.status?.startTime || pod.status?.containerStatuses) return undefined
  const nodes = index.all('Node').map(({ metadata }) => metadata.name)
  if (nodes.length > 0 && !nodes.includes(pod.spec?.nodeName))
    return tell(pod, {
      rule: 'pod-node-missing',
      cause: `it is placed on ${pod.spec?.nodeName}, which is not a node of the cluster`,
      evidence: [`nodes: ${nodes.slice(0, 5).join(', ')}`],
      text: `omit nodeName ${whereToChange(workloadOf(pod, index), index)}, or correct it; or bring that node back`,
      command: 'kubectl get nodes',
    })
  return tell(pod, {
    rule: 'kubelet-silent',
    cause: `the kubelet of ${pod.spec?.nodeName} has not started it for ${durationText(age * 1000)}`,
    text: 'see whether k3s runs on the server',
    command: asRoot('systemctl status k3s'),
    symptom: true,
  })
}

export const rules: Rule[] = [notSetUp]
