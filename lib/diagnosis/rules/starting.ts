/** Why a runtime cannot start a container or set a pod's sandbox up, by kinds of its words. */
import { asRoot, RESTART_K3S } from './failure.ts'

/** What keeps a container from being started. */
export interface StartTrouble {
  /** Where it is a trouble of its own. */
  rule?: string
  cause: string
  fix: (where: string) => string
  command?: string
}

/** A folder of the kubelet or of the runtime that cannot be written. */
export const READ_ONLY = /\/var\/lib\/\S{1,300}: read-only file system/

export const writableAgain =
  'read what the kernel says of the disk: it makes a file system read-only after errors; check it (fsck), replace a failing disk, then restart the server'

/** What of a mount is wrong: a file does not fit onto a folder, or the other way round. */
export const MOUNTED = /error mounting|not a directory|is a directory|subPath|file exists/i

const KINDS: readonly (StartTrouble & { pattern: RegExp })[] = [
  {
    pattern: /runAsNonRoot|non-root/,
    cause: 'its image runs as root, or as a user without a number, and runAsNonRoot refuses that',
    fix: where => `set runAsUser to the number of a user other than root ${where}, or use an image with one`,
  },
  {
    pattern: /no users found|unable to find (user|group)|unknown (user|group)|no matching entries in passwd/i,
    cause: 'its image does not have the user as which it should run',
    fix: where => `set runAsUser and runAsGroup to numbers ${where}, or correct the image`,
  },
  {
    rule: 'pod-out-of-memory',
    pattern: /OOM[- ]?killed|memory limit too low/i,
    cause: 'its memory limit is too low for it even to start',
    fix: where => `raise its memory limit ${where}`,
  },
  {
    pattern: /is reserved for|name .* (is )?already in use|no running task found/i,
    cause: 'containerd has lost track of it: an earlier try to create it, or a sandbox that has ended',
    fix: () => 'delete the pod, so that it is recreated; if that does not help, restart k3s',
    command: RESTART_K3S,
  },
  {
    // https://github.com/opencontainers/runc/issues/4968
    pattern: /open sysctl \S{1,200} file: [^\n]{0,60}permission denied/,
    cause: 'the server is a container itself (LXC), whose host forbids what a newer runc does',
    fix: () =>
      'upgrade the host of that container (its LXC and AppArmor profiles: lxc-pve 6.0.5-2 or later with Proxmox), or let it run without a profile (lxc.apparmor.profile: unconfined); until then an earlier k3s works',
    command: asRoot('systemd-detect-virt'),
  },
  {
    pattern: /attr\/(keycreate|exec|sockcreate)/,
    cause: 'SELinux of the node does not know the label that containers get',
    fix: () => 'install container-selinux and k3s-selinux on the server, and restart k3s',
  },
  {
    pattern: /resolv\.conf: no such file/,
    cause: 'the node does not have the list of name servers that its kubelet hands to pods',
    fix: () => 'start what writes it (systemd-resolved), or name another one to k3s (--resolv-conf)',
    command: asRoot('systemctl status systemd-resolved'),
  },
  {
    pattern: /network-attachment-definition/i,
    cause: 'a further network that its annotation k8s.v1.cni.cncf.io/networks names does not exist',
    fix: where =>
      `create that NetworkAttachmentDefinition in its namespace, or correct the annotation ${where}`,
  },
  {
    pattern: /\/dev\/nvidia|nvidia-container|libcuda|no such device/i,
    cause: 'a device that it needs, or the driver of that, is not there on the node',
    fix: () =>
      'see the pods of the driver and of its device plugin on this node, and whether the kernel has the module',
  },
  {
    pattern: /cgroupsPath to be of format/,
    cause: 'kubelet and runtime of the node use different cgroup drivers',
    fix: () =>
      'set the same cgroup driver for both: SystemdCgroup of containerd and cgroup-driver of the kubelet, then restart k3s',
    command: RESTART_K3S,
  },
  {
    pattern: /failed to resolve rootfs|content digest \S+: not found|parent snapshot \S+ does not exist/,
    cause: 'an image on the node is not complete any more',
    fix: () =>
      'remove the image on the server (k3s crictl rmi), so that it is pulled again; after a power failure check the disk, too',
    command: asRoot('k3s crictl rmi --prune'),
  },
  {
    pattern: /failed to mount rootfs|(fstype|filesystem): overlay.*invalid argument/,
    cause: 'the file system below the folder of k3s cannot hold layers of images',
    fix: () =>
      'put the folder of k3s on ext4 or xfs (--data-dir), or set --snapshotter native: overlay does not work on overlay, NFS or ecryptfs',
  },
  {
    // https://github.com/awslabs/amazon-eks-ami/issues/1179
    pattern: /seccomp[^\n]{0,80}errno 524/,
    cause: 'the kernel of the node has no room left for filters of system calls',
    fix: () =>
      'raise net.core.bpf_jit_limit on the server, in /etc/sysctl.d; restart the server if it is used up again',
    command: asRoot('sysctl -w net.core.bpf_jit_limit=528482304'),
  },
  {
    pattern: /setting rlimit/,
    cause: 'the runtime of the node may not raise a limit as far as the container needs it',
    fix: () => 'set LimitNOFILE=infinity for k3s (systemctl edit k3s), then restart it',
    command: asRoot('systemctl show k3s -p LimitNOFILE'),
  },
  {
    pattern: /apparmor_parser[^\n]{0,60}executable file not found/,
    cause: 'the kernel of the node uses AppArmor, and its program apparmor_parser is not there',
    fix: () =>
      'install the package apparmor on that node, and restart k3s there; or switch AppArmor off (kernel argument apparmor=0)',
    command: asRoot('apt-get install -y apparmor'),
  },
  {
    pattern: /seccomp|apparmor|selinux/i,
    cause: 'the node cannot load the security profile that it names',
    fix: where => `bring the profile onto the node, or correct seccompProfile or appArmorProfile ${where}`,
  },
  {
    pattern: /no runtime for|RuntimeClass|runtime handler/i,
    cause: 'the node does not have the runtime that its runtimeClassName names',
    fix: where => `install that runtime on the node, or omit runtimeClassName ${where}`,
  },
  {
    pattern: /shared (or slave )?mount/i,
    cause: 'a folder of the node is not mounted in the way that its mountPropagation asks for',
    fix: where =>
      `have the server share its mounts, at each start: mount --make-rshared /; or omit mountPropagation ${where}`,
  },
  {
    pattern: /failed to mkdir "?\/[^\n]{1,600}: file exists/,
    cause:
      'the folder of a volume on the node is there and cannot be read: a broken link, or a mount that is gone',
    fix: () =>
      'look at that path on the server (ls -la, findmnt): unmount or remove what is broken there, then delete the pod',
    command: asRoot('findmnt'),
  },
  {
    // The kubelet's expansion of subPathExpr.
    pattern: /missing value for \w/,
    cause: 'the path of a volume mount (subPathExpr) uses a variable that it does not have',
    fix: where => `define the variable that it names in env ${where}, or correct subPathExpr`,
  },
  {
    pattern: MOUNTED,
    cause: 'something cannot be mounted into it',
    fix: where =>
      `correct mountPath and subPath of its volumeMounts ${where}: a file fits onto a file and a folder onto a folder, and the key must exist`,
  },
  {
    pattern: /\b(post|pre)Start\w*|lifecycle hook/i,
    cause: 'its postStart hook fails, and the kubelet kills it for that',
    fix: where => `correct the command of lifecycle.postStart ${where}`,
  },
  {
    pattern: /fork\/exec \S{1,200}: permission denied/,
    cause: 'the node may not run what lies in the folder of k3s',
    fix: () => 'mount the file system below /var/lib/rancher without noexec, or move the folder (--data-dir)',
  },
  {
    pattern: READ_ONLY,
    cause: 'the disk of the node is read-only',
    fix: () => writableAgain,
    command: asRoot('journalctl -k -n 50 --no-pager'),
  },
  {
    pattern: /exec(utable)?\b.*(not found|no such file|permission denied|not executable)/i,
    cause: 'its command does not exist in the image, or is not executable',
    fix: where =>
      `correct its command ${where}, or the image: the file has to be there and executable, with an interpreter that exists`,
  },
  {
    pattern: /hostUsers|user namespace|idmap/i,
    cause: 'the node cannot give it user namespaces of its own',
    fix: where => `omit hostUsers ${where}, or upgrade the node`,
  },
  {
    pattern: /ttrpc: closed|(DeadlineExceeded desc =|Error:|operation timeout:) context deadline exceeded$/,
    cause: 'the container runtime of the node does not answer in time',
    fix: () => 'see load and disk of the server (uptime, df -h), then restart k3s',
    command: RESTART_K3S,
  },
  {
    pattern: /cgroup|too many open files|resource temporarily unavailable|cannot allocate memory/i,
    cause: 'the node refuses it resources: a limit of its own, or one of the node that is reached',
    fix: where => `correct its requests and limits ${where}; if other pods suffer too, restart the server`,
  },
]

/** What keeps a container from being started; undefined where its words are not known. Pure. */
export function startTrouble(...texts: readonly string[]): StartTrouble | undefined {
  return KINDS.find(({ pattern }) => texts.some(text => pattern.test(text)))
}
