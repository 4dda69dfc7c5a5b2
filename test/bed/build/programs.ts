import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { ExpectedError, throwAll } from '../../../lib/script/errors.ts'
import { ROOT } from '../../../lib/script/files.ts'
import { run } from './shell.ts'

/** The folder of the Go module from which everything is built. */
export const BED = join(ROOT, 'test/bed')

/** A program of the sandbox, and the Go package it is built from. */
export interface Program {
  name: string
  package: string
  /** The module whose version is the program's. */
  module: string
  /** Whether it prints its version with `--version`. */
  tellsVersion: boolean
}

const kubernetes = (name: string): Program => ({
  name,
  package: `k8s.io/kubernetes/cmd/${name}`,
  module: 'k8s.io/kubernetes',
  tellsVersion: true,
})
const flux = (name: string): Program => ({
  name,
  package: `github.com/fluxcd/${name}`,
  module: `github.com/fluxcd/${name}`,
  tellsVersion: false,
})

/** Every program of the sandbox. */
export const CONTROL_PLANE_PROGRAMS: readonly Program[] = [
  {
    name: 'etcd',
    package: 'go.etcd.io/etcd/server/v3',
    module: 'go.etcd.io/etcd/server/v3',
    tellsVersion: true,
  },
  kubernetes('kube-apiserver'),
  kubernetes('kube-controller-manager'),
  kubernetes('kube-scheduler'),
  { name: 'kwok', package: 'sigs.k8s.io/kwok/cmd/kwok', module: 'sigs.k8s.io/kwok', tellsVersion: true },
  flux('source-controller'),
  flux('kustomize-controller'),
  flux('helm-controller'),
]

/** Programs that are built together, from one Go module. */
export interface ProgramSet {
  /** The folder of the Go module. */
  folder: string
  programs: readonly Program[]
  /** It cannot be built by the same call as others. */
  alone?: true
  /** Build tags, where they leave out what is large and never used here. */
  tags?: string
  /** Variables of its packages that are linked with another value, where it has no flag for them. */
  variables?: Readonly<Record<string, string>>
  /**
   * A dependency of which one file is replaced by a file of ours: what that file alone needs cannot be fetched, or is
   * large and never used here.
   */
  trimmed?: { module: string; file: string; with: string }
}

/** What the plain sandbox runs. */
export const SANDBOX: ProgramSet = { folder: BED, programs: CONTROL_PLANE_PROGRAMS }

const ours = (folder: string, name: string, path: string): ProgramSet => ({
  folder: join(BED, folder),
  programs: [{ name, package: path, module: `openappstack.net/test/bed/${folder}`, tellsVersion: false }],
})

/** What else a server of the bed needs as a Kubernetes node, and the programs of its images. */
export const NODE_SETS: readonly ProgramSet[] = [
  {
    folder: BED,
    programs: [kubernetes('kubelet'), kubernetes('kube-proxy'), kubernetes('kubectl')],
  },
  {
    // Beside others the build fails: two dependencies then differ only in upper and lower case.
    folder: BED,
    alone: true,
    programs: [
      {
        name: 'local-path-provisioner',
        package: 'github.com/rancher/local-path-provisioner',
        module: 'github.com/rancher/local-path-provisioner',
        tellsVersion: false,
      },
    ],
  },
  ours('k3s', 'k3s', 'openappstack.net/test/bed/k3s'),
  ours('k3s', 'app', 'openappstack.net/test/bed/k3s/app'),
  ours('k3s/coredns', 'coredns', 'openappstack.net/test/bed/k3s/coredns'),
]

const tool = (name: string, path: string): Program => ({
  name,
  package: path,
  module: path.replace(/\/cmd\/.*/, ''),
  tellsVersion: false,
})

/** What issues certificates: cert-manager's controllers, and an ACME server with its DNS server. */
export const CERTIFICATE_SETS: readonly ProgramSet[] = [
  ours('cert-manager', 'cert-manager', 'openappstack.net/test/bed/cert-manager'),
  {
    folder: join(BED, 'pebble'),
    programs: [
      tool('pebble', 'github.com/letsencrypt/pebble/v2/cmd/pebble'),
      tool('pebble-challtestsrv', 'github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv'),
    ],
  },
]

/** Single sign-on: who logs in, and what applications are told of it. */
export const LOGIN_SETS: readonly ProgramSet[] = [
  { folder: join(BED, 'hydra'), programs: [tool('hydra', 'github.com/ory/hydra/v2')] },
  { folder: join(BED, 'kratos'), programs: [tool('kratos', 'github.com/ory/kratos')] },
]

/** Who registers applications at hydra. */
export const MAESTER_SET: ProgramSet = {
  folder: join(BED, 'hydra-maester'),
  programs: [tool('hydra-maester', 'github.com/ory/hydra-maester')],
}

/** The ingress controller of the platform. lego's file names a hundred DNS providers, each with modules of its own. */
export const TRAEFIK: ProgramSet = {
  folder: join(BED, 'traefik'),
  programs: [tool('traefik', 'github.com/traefik/traefik/v3/cmd/traefik')],
  trimmed: {
    module: 'github.com/go-acme/lego/v5',
    file: 'providers/dns/zz_gen_dns_providers.go',
    with: 'dns-providers.go.txt',
  },
}

/**
 * Velero, and the plugin by which it speaks to S3. Its controllers would serve figures at port 8080, whatever it is
 * told (controller-runtime, pkg/metrics/server): two of them on one machine could not run.
 */
export const VELERO_SET: ProgramSet = {
  folder: join(BED, 'velero'),
  variables: { 'sigs.k8s.io/controller-runtime/pkg/metrics/server.DefaultBindAddress': '0' },
  programs: [
    tool('velero', 'github.com/vmware-tanzu/velero/cmd/velero'),
    tool('velero-restore-helper', 'github.com/vmware-tanzu/velero/cmd/velero-restore-helper'),
    tool('velero-helper', 'github.com/vmware-tanzu/velero/cmd/velero-helper'),
    tool('velero-plugin-for-aws', 'github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws'),
  ],
}

/** Prometheus, and its tool for rules. */
const PROMETHEUS: ProgramSet = {
  folder: join(BED, 'prometheus'),
  tags: 'remove_all_sd', // without the clouds in which it would find what to watch
  programs: [
    tool('prometheus', 'github.com/prometheus/prometheus/cmd/prometheus'),
    tool('promtool', 'github.com/prometheus/prometheus/cmd/promtool'),
  ],
}

/** Alertmanager, and its tool for routes. What it is without its pages: they are not in its module. */
const ALERTMANAGER: ProgramSet = {
  folder: join(BED, 'alertmanager'),
  programs: [
    tool('alertmanager', 'github.com/prometheus/alertmanager/cmd/alertmanager'),
    tool('amtool', 'github.com/prometheus/alertmanager/cmd/amtool'),
  ],
  trimmed: { module: 'github.com/prometheus/alertmanager', file: 'ui/web.go', with: 'no-ui.go.txt' },
}

/** What rules are tried with. */
export const RULE_SETS: readonly ProgramSet[] = [PROMETHEUS]

/** Who tells others what Flux could not reconcile. */
export const NOTIFICATION_SET: ProgramSet = {
  folder: join(BED, 'notification-controller'),
  programs: [flux('notification-controller')],
}

/** The way of an alert: what tells the state of objects, and what judges and sends it. */
export const ALERT_SETS: readonly ProgramSet[] = [
  PROMETHEUS,
  ALERTMANAGER,
  {
    folder: join(BED, 'kube-state-metrics'),
    programs: [tool('kube-state-metrics', 'k8s.io/kube-state-metrics/v2')],
  },
  NOTIFICATION_SET,
]

const HELM_CONTROLLER = 'github.com/fluxcd/helm-controller'

/** The helm-controller of 0.6's age: a module of its own, for its dependencies are years older than the bed's. */
export const OLD_FLUX: ProgramSet = {
  folder: join(BED, 'flux-0.6'),
  programs: [
    { name: 'helm-controller', package: HELM_CONTROLLER, module: HELM_CONTROLLER, tellsVersion: false },
  ],
}

/** The name that `go build` gives a package's program: the last element of its path that is not a version. */
export function builtName(path: string): string {
  return path
    .replace(/\/v\d+$/, '')
    .split('/')
    .at(-1)!
}

/** The text of test/bed/go.mod, where all versions are. */
export function readGoMod(): string {
  return readFileSync(join(BED, 'go.mod'), 'utf8')
}

/** The version that a go.mod requires of a module. Pure. */
export function requiredVersion(goMod: string, module: string): string {
  const line = goMod.split('\n').find(line =>
    line
      .trim()
      .replace(/^require /, '')
      .startsWith(`${module} v`),
  )
  const version = line?.match(/ (v[^\s]+)/)?.[1]
  if (!version) throw new Error(`test/bed/go.mod requires no ${module}`)
  return version
}

/**
 * Checks the programs in a folder that is given instead of ours: all exist, and have the versions that
 * we would build. Throws everything that is wrong at once.
 */
export async function checkPrograms(folder: string): Promise<void> {
  const goMod = readGoMod()
  const problems = await Promise.all(
    CONTROL_PLANE_PROGRAMS.map(async program => {
      const path = join(folder, program.name)
      const wanted = requiredVersion(goMod, program.module)
      const fix = `put ${program.name} ${wanted} into ${folder}, or omit --bin-dir`
      if (!existsSync(path)) return new ExpectedError(`${path} does not exist`, fix)
      try {
        const found = program.tellsVersion ? await toldVersion(path) : builtVersion(path, program.module)
        if (found === wanted) return undefined
        return new ExpectedError(`${path} is ${found ?? 'of an unknown version'}, but must be ${wanted}`, fix)
      } catch (error) {
        return new ExpectedError(`${path} cannot be used`, fix, { cause: error })
      }
    }),
  )
  throwAll(problems.filter(problem => problem !== undefined))
}

async function toldVersion(path: string): Promise<string | undefined> {
  const number = (await run(path, ['--version'], { timeout: 20_000 })).match(/\d+\.\d+\.\d+[^\s]*/)?.[0]
  return number && `v${number}`
}

/**
 * The version of a main module in a program built by Go, which keeps it as a line `mod MODULE VERSION SUM`
 * (https://pkg.go.dev/runtime/debug#BuildInfo). The programs are large: they are read in pieces.
 */
function builtVersion(path: string, module: string): string | undefined {
  const piece = Buffer.alloc(8 * 1024 * 1024)
  const overlap = 4096
  const file = openSync(path, 'r')
  try {
    for (let at = 0; ; at += piece.length - overlap) {
      const length = readSync(file, piece, 0, piece.length, at)
      const start = piece.subarray(0, length).indexOf(`\nmod\t${module}\t`)
      if (start >= 0)
        return piece
          .subarray(start, start + 512)
          .toString('latin1')
          .split(/[\t\n]/)[3]
      if (length < piece.length) return undefined
    }
  } finally {
    closeSync(file)
  }
}
