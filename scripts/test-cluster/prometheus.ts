import { ApiError } from '../../lib/kubectl/api-error.ts'
import { explainApiError, type Kubectl } from '../../lib/kubectl/kubectl.ts'
import { PROMETHEUS } from '../../lib/platform/prometheus.ts'
import { ExpectedError } from '../../lib/script/errors.ts'
import { checkOf, failedCheck, passedCheck, type TestCheck } from './checks.ts'

/** Targets and alerts that are told one by one. */
const MOST = 30

/** An answer of /api/v1/targets, as far as it is read (https://prometheus.io/docs/prometheus/latest/querying/api). */
export interface Targets {
  activeTargets?: {
    labels?: Record<string, string>
    scrapePool?: string
    health?: string
    lastError?: string
  }[]
}

/** An answer of /api/v1/alerts. */
export interface Alerts {
  alerts?: { labels?: Record<string, string>; annotations?: Record<string, string>; state?: string }[]
}

/** Asks Prometheus through the API server. Throws an ExpectedError when it does not answer. */
export async function prometheusChecks(kubectl: Kubectl): Promise<TestCheck[]> {
  const ask = async <T>(path: string): Promise<T> => {
    try {
      const { data } = await kubectl.call<{ data?: T }>({ path: PROMETHEUS + path, timeout: 15_000 })
      if (data === undefined || data === null || typeof data !== 'object')
        throw new ExpectedError('Prometheus does not answer with JSON', 'run npx tsx scripts/diagnose.ts')
      return data
    } catch (error) {
      if (error instanceof ApiError && error.code !== 401 && error.code !== 403)
        throw new ExpectedError(
          `Prometheus does not answer: ${error.message}`,
          'run npx tsx scripts/app-debug.ts kube-prometheus-stack',
          { cause: error },
        )
      throw explainApiError(error, 'asking Prometheus')
    }
  }
  const [targets, alerts] = await Promise.all([ask<Targets>('/targets?state=active'), ask<Alerts>('/alerts')])
  return [...targetChecks(targets), ...alertChecks(alerts)]
}

const plain = (value: unknown) => String(value ?? '').slice(0, 200)

/** A check for all targets that answer, and one for each that does not. Pure. */
export function targetChecks({ activeTargets }: Targets): TestCheck[] {
  const targets = Array.isArray(activeTargets) ? activeTargets : []
  const down = targets.filter(({ health }) => health !== 'up')
  const note = `${targets.length - down.length} of ${targets.length} targets answer`
  const none = ['Prometheus has no target', 'run npx tsx scripts/app-debug.ts kube-prometheus-stack'] as const
  return [
    checkOf('prometheus', 'targets', targets.length === 0 ? none : undefined, note),
    ...down
      .slice(0, MOST)
      .map(({ labels, scrapePool, lastError, health }) =>
        failedCheck(
          'prometheus',
          `target ${plain(labels?.job ?? scrapePool)} ${plain(labels?.instance)}`,
          `is ${plain(health)}: ${plain(lastError) || 'no reason given'}`,
          `run npx tsx scripts/diagnose.ts: its pod may not be ready`,
        ),
      ),
  ]
}

/** A check that rules are evaluated (Watchdog always fires), and one for each alert that fires. Pure. */
export function alertChecks({ alerts }: Alerts): TestCheck[] {
  const firing = (Array.isArray(alerts) ? alerts : []).filter(({ state }) => state === 'firing')
  const name = ({ labels }: (typeof firing)[number]) => plain(labels?.alertname)
  const dead = [
    'the alert Watchdog, which always fires, does not: no rule is evaluated',
    'run npx tsx scripts/app-debug.ts kube-prometheus-stack',
  ] as const
  const told = firing.filter(alert => !/^(Watchdog|InfoInhibitor)$/.test(name(alert)))
  return [
    checkOf('prometheus', 'rules', firing.some(alert => name(alert) === 'Watchdog') ? undefined : dead),
    ...(told.length === 0 ? [passedCheck('prometheus', 'alerts', 'none fires')] : []),
    ...told.slice(0, MOST).map(alert => {
      const { labels = {}, annotations = {} } = alert
      const where = ['namespace', 'pod', 'name', 'instance', 'persistentvolumeclaim']
        .flatMap(label => (labels[label] ? [plain(labels[label])] : []))
        .slice(0, 3)
      return failedCheck(
        'prometheus',
        `alert ${name(alert)}${where.length > 0 ? ` ${where.join(' ')}` : ''}`,
        plain(annotations.summary || annotations.description) || 'fires',
        annotations.runbook_url
          ? `read ${plain(annotations.runbook_url)}`
          : 'run npx tsx scripts/diagnose.ts',
        annotations.description ? [plain(annotations.description)] : [],
      )
    }),
  ]
}
