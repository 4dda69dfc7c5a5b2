import type { Config } from '../platform/config.ts'

/** The host names of the core: login, user panel, and monitoring. */
export function coreHosts(config: Config): string[] {
  return ['sso', 'admin', 'grafana', 'prometheus', 'alertmanager'].map(name => `${name}.${config.domain}`)
}
