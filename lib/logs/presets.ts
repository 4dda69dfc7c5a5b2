import type { LineFilter, LogSelection, Matcher } from './selection.ts'

/** A question that is asked often (docs 0.7.0, "LogQL query examples"), by the labels of flux2/core/alloy. */
export interface Preset extends LogSelection {
  name: string
  /** What it shows. */
  what: string
  /** It asks for the cluster's events: without Loki they come from the API server and not from pods. */
  events?: true
}

const app = (...values: string[]): Matcher => ({ label: 'app', values })
const container = (...values: string[]): Matcher => ({ label: 'container_name', values })
/** A matcher that cannot be empty, which Loki asks for: everything that is collected has a job. */
const EVERYTHING: Matcher = { label: 'job', pattern: '.+' }
const EVENTS = app('eventrouter')

/** The presets, by the part of the platform. None is called like an application or a release: those are names too. */
export const PRESETS: readonly Preset[] = [
  {
    name: 'flux',
    what: 'all controllers of Flux',
    matchers: [
      app('source-controller', 'kustomize-controller', 'helm-controller', 'notification-controller'),
    ],
    filters: [],
  },
  {
    name: 'source-controller',
    what: 'Flux fetching Git repositories and charts',
    matchers: [app('source-controller')],
    filters: [],
  },
  {
    name: 'kustomize-controller',
    what: 'Flux applying flux2/',
    matchers: [app('kustomize-controller')],
    filters: [],
  },
  {
    name: 'helm-controller',
    what: 'Flux installing charts, without what it says when nothing changes',
    matchers: [app('helm-controller')],
    filters: [
      {
        operator: '!~',
        text: 'in-sync|checking [0-9]+ dependencies|all dependencies are ready|could not resolve optional',
      },
    ],
  },
  {
    name: 'certificates',
    what: 'cert-manager, all its parts',
    matchers: [
      { label: 'namespace', values: ['cert-manager'] },
      app('cert-manager', 'cainjector', 'webhook', 'startupapicheck'),
    ],
    filters: [],
  },
  {
    name: 'hydra-warnings',
    what: 'warnings and errors of the single sign-on',
    matchers: [container('hydra')],
    // As text and as JSON.
    filters: [{ operator: '!~', text: 'level"?[=:]"?(info|debug)' }],
  },
  {
    name: 'logins',
    what: 'the user panel: who was let in, refused or slowed down',
    matchers: [container('panel')],
    filters: [],
  },
  {
    name: 'sso-rocketchat',
    what: 'a login at Rocket.Chat, on both sides',
    matchers: [container('hydra', 'rocketchat')],
    filters: [],
  },
  { name: 'events', what: 'the cluster’s events', matchers: [EVENTS], filters: [], events: true },
  {
    name: 'warnings',
    what: 'the cluster’s events that are warnings',
    matchers: [EVENTS],
    filters: [{ operator: '|=', text: ' type=Warning ' }],
    events: true,
  },
  {
    name: 'errors',
    what: 'errors everywhere',
    matchers: [EVERYTHING],
    filters: [{ operator: '|~', text: 'error|fail|exception|fatal|panic', ignoreCase: true }],
  },
  { name: 'everything', what: 'every line that is collected', matchers: [EVERYTHING], filters: [] },
]

/** A selection narrowed to lines with all these texts, and to containers of a name. Pure. */
export function narrowed<T extends LogSelection>(
  selection: T,
  { grep = [], container: name }: { grep?: readonly string[]; container?: string },
): T {
  const filters: LineFilter[] = grep.map(text => ({ operator: '|=', text }))
  return {
    ...selection,
    matchers: [...selection.matchers, ...(name === undefined ? [] : [container(name)])],
    filters: [...selection.filters, ...filters],
  }
}
