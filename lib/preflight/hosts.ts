import { APPS } from '../platform/apps.ts'
import type { Config } from '../platform/config.ts'

/** The host names of the core: login, user panel, and monitoring. */
export function coreHosts(config: Config): string[] {
  return ['sso', 'admin', 'grafana', 'prometheus', 'alertmanager'].map(name => `${name}.${config.domain}`)
}

/** Every host name of the platform, whether its application is installed or not, its domain being the first. */
export function platformHosts(config: Config): string[] {
  const apps = APPS.flatMap(app => app.hosts(config))
  return [...new Set([config.domain ?? '', ...coreHosts(config), ...apps].filter(Boolean))]
}
