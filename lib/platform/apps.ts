import { UsageError } from '../script/errors.ts'
import { nearest } from '../script/flags.ts'
import type { Config } from './config.ts'

/** An application that can be installed, and its addresses and login. */
export interface App {
  name: string
  title: string
  /** Its addresses, the main page first. Empty for an application without a page. */
  hosts: (config: Config) => string[]
  /** The first user, and the key of the catalogue with the password. */
  login?: { user: string; key: string }
}

/** The applications, by the names of their Kustomizations (docs 0.7.0, "Install additional applications"). */
export const APPS: readonly App[] = [
  {
    name: 'nextcloud',
    title: 'Nextcloud with OnlyOffice',
    hosts: config => [`files.${config.domain}`, `office.${config.domain}`],
    login: { user: 'admin', key: 'nextcloud_password' },
  },
  {
    name: 'rocketchat',
    title: 'Rocket.Chat',
    hosts: config => [`chat.${config.domain}`],
    login: { user: 'admin', key: 'rocketchat_admin_password' },
  },
  { name: 'wekan', title: 'Wekan', hosts: config => [`wekan.${config.domain}`] },
  {
    name: 'wordpress',
    title: 'WordPress',
    hosts: config => [config.wordpress_domain ?? ''],
    login: { user: 'admin', key: 'wordpress_admin_password' },
  },
  { name: 'velero', title: 'Velero, nightly backups to S3', hosts: () => [] },
]

/** The names of the applications. */
export const APP_NAMES: readonly string[] = APPS.map(app => app.name)

/** What has data that can be backed up and restored by itself: the users of the core, and the applications. */
export const DATA_NAMES: readonly string[] = ['core', ...APP_NAMES.filter(name => name !== 'velero')]

/**
 * The value of `--app`, one of these names. Throws a UsageError for none and for another one, with the nearest name and
 * the list. Pure.
 */
export function checkApp(app: string | undefined, known: readonly string[]): string {
  if (app !== undefined && known.includes(app)) return app
  const near = app === undefined ? undefined : nearest(app, known)
  const list = `expected one of: ${known.join(', ')}`
  throw new UsageError(
    app === undefined
      ? '--app is missing'
      : `--app ${JSON.stringify(app)}: ${APP_NAMES.includes(app) ? 'an application without data' : 'unknown application'}`,
    near ? `did you mean ${near}? ${list}` : list,
  )
}

/** The Kustomizations of the platform itself, in the order in which they become ready. */
export const CORE_KUSTOMIZATIONS = [
  'openappstack',
  'infrastructure',
  'infrastructure-configs',
  'core',
] as const
