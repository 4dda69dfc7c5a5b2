import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../../../lib/script/files.ts'

/** Programs whose `--help` was read: see test/fixtures/programs/read-help.ts. */
const read: Record<string, string> = JSON.parse(
  readFileSync(join(ROOT, 'test/fixtures/programs/programs.json'), 'utf8'),
)

/** The flags of kubectl that the clients made with the same library have, too. */
const KUBECONFIG = '--kubeconfig= --context= -n= --namespace='
const FLUX_KINDS = ['kustomization', 'helmrelease', 'ks', 'hr', 'receiver']
const FLUX_SOURCES = ['git', 'helm', 'chart', 'bucket', 'oci']
const each = (verb: string, kinds: readonly string[], flags = '') =>
  Object.fromEntries(kinds.map(kind => [`${verb} ${kind}`, flags]))

/**
 * Programs that were not at hand, from their sources and manuals: flux 2.9 (cmd/flux), velero 1.18 (pkg/cmd/cli),
 * k3s 1.36, OpenSSH 10, dig of BIND 9, OpenBSD's nc, and Helm 2 for what is left of it. Only the verbs that
 * an administrator of this platform may want. The help
 * of systemd does not name all that it takes.
 */
const known: Record<string, string> = {
  systemctl: '--no-legend',
  sysctl: '-w -a --system',
  flux: `${KUBECONFIG} --timeout= --verbose --server= -h --help`,
  'flux check': '--pre --components= --components-extra= --poll-interval=',
  'flux create': '--interval= --export',
  'flux create kustomization': '--source= --path= --prune --wait --depends-on= --timeout=',
  'flux create source': '',
  'flux create source git': '--url= --branch= --tag= --secret-ref= --username= --password=',
  'flux events': '-A --all-namespaces -w --watch --for= --types=',
  'flux get': '-A --all-namespaces --no-header -w --watch --status-selector= -l= --label-selector=',
  ...each('flux get', [...FLUX_KINDS, 'all', 'sources', 'kustomizations', 'helmreleases']),
  ...each('flux get sources', ['all', ...FLUX_SOURCES]),
  'flux logs':
    '--level= --kind= --name= -f --follow --tail= --flux-namespace= -A --all-namespaces --since= --since-time=',
  'flux reconcile': '',
  ...each('flux reconcile', ['kustomization', 'ks'], '--with-source'),
  ...each('flux reconcile', ['helmrelease', 'hr'], '--with-source --force --reset'),
  'flux reconcile source': '',
  ...each('flux reconcile source', FLUX_SOURCES),
  'flux resume': '--all --wait',
  ...each('flux resume', FLUX_KINDS),
  'flux resume source': '',
  ...each('flux resume source', FLUX_SOURCES),
  'flux suspend': '--all',
  ...each('flux suspend', FLUX_KINDS),
  'flux suspend source': '',
  ...each('flux suspend source', FLUX_SOURCES),
  'flux version': '--client -o= --output=',

  velero: `--kubeconfig= --kubecontext= -n= --namespace= -h --help`,
  'velero backup': '',
  'velero backup create':
    '--ttl= --include-namespaces= --exclude-namespaces= --labels= --storage-location= -l= --selector= ' +
    '--snapshot-volumes? --default-volumes-to-fs-backup? --from-schedule= -w --wait',
  'velero backup describe': '-l= --selector= --details -o= --output=',
  'velero backup get': '-l= --selector= -o= --output=',
  'velero backup logs': '--timeout=',
  'velero restore': '',
  'velero restore create':
    '--from-backup= --from-schedule= --include-namespaces= --exclude-namespaces= -l= --selector= ' +
    '--existing-resource-policy= -w --wait',
  'velero restore describe': '-l= --selector= --details -o= --output=',
  'velero restore get': '-l= --selector= -o= --output=',
  'velero version': '--client-only --timeout=',

  'hostnamectl set-hostname': '',
  'kubectl krew': '',

  'helm2 delete': '--purge',
  'helm2 ls': '--all --tiller-namespace=',

  k3s: '',
  'k3s crictl': '',
  'k3s crictl images': '',
  'k3s crictl ps': '-a --all',
  'k3s crictl rmi': '--prune -q',
  'k3s etcd-snapshot': '',
  'k3s server': '--cluster-reset --node-ip=',
  'k3s-killall.sh': '',
  'k3s-uninstall.sh': '',

  dig: '',
  editor: '',
  eval: '',
  ip: '-4 -6 -br -o',
  'ip address': '',
  'ip route': '',
  less: '-R -S',
  nc: '-v -z -w= -4 -6 -u',
  openssl: '',
  'openssl rand': '-hex -base64',
  'openssl s_client': '-connect= -servername= -starttls= -showcerts -alpn=',
  'openssl x509': '-noout -text -dates -issuer -subject -ext=',
  ping: '-c= -4 -6',
  'ssh-add': '-l -L -d -D',
  'ssh-agent': '',
  'ssh-copy-id': '-i= -p=',
  'ssh-keygen': '-t= -N= -f= -F= -R= -l -C= -b=',
  'ssh-keyscan': '-p= -t= -H',
  sshd: '-t -T',
  swapoff: '-a',
  ufw: '',
  'ufw allow': '',
  'ufw disable': '',
  'ufw status': '',
  adduser: '',
  'apt-get': '-y',
  'apt-get install': '',
  'apt-get update': '',

  git: '-C=',
  'git checkout': '',
  'git clone': '',
  'git fetch': '',
  'git pull': '',
  'git push': '-u',
  'git remote': '',
  'git remote add': '',
  go: '',
  'go env': '',
  'go version': '',
  npm: '',
  'npm ci': '',
  'npm run': '',
  'npm test': '',

  ':': '',
  cd: '',
  echo: '',
  exit: '',
  export: '',
  printf: '',
  read: '-r -s',
  test: '-e -f -d -n -z',
  trap: '',
  true: '',
  umask: '',
  wait: '',
}

/** A flag: whether it takes a value (`optional`: only behind an equals sign). */
export type Flag = 'none' | 'value' | 'optional'

/** All commands by their words, `kubectl get`, each with its own flags; those of the words before hold, too. */
export const PROGRAMS: ReadonlyMap<string, ReadonlyMap<string, Flag>> = new Map(
  Object.keys({ ...read, ...known }).map(command => [
    command,
    new Map(
      `${read[command] ?? ''} ${known[command] ?? ''}`
        .split(' ')
        .filter(Boolean)
        .map(flag => [
          flag.replace(/[=?]$/, ''),
          flag.endsWith('=') ? 'value' : flag.endsWith('?') ? 'optional' : 'none',
        ]),
    ),
  ]),
)

/** Programs that run the command in their arguments: their own flags that take a value. */
export const WRAPPERS: Readonly<Record<string, readonly string[]>> = {
  sudo: ['-u'],
  env: [],
  xargs: ['-n', '-P', '-I', '-L', '-d'],
  timeout: [],
  nice: ['-n'],
}
