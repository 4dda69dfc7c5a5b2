/** What the panel is told by its Deployment. */
export interface Config {
  port: number
  /** Where kratos asks: no ingress leads there. */
  hooksPort: number
  /** https://admin.DOMAIN, without a slash at the end. */
  panelUrl: string
  /** https://sso.DOMAIN, as browsers reach hydra. */
  ssoUrl: string
  kratosPublicUrl: string
  kratosAdminUrl: string
  hydraAdminUrl: string
  /** Signs the forms. */
  secret: string
  /** Whether users of before there were grants may open every application. */
  legacyAccess: boolean
  /** Whether the server sends mail: without it nobody can reset a password alone. */
  mail: boolean
}

/** The configuration in an environment. Throws an Error that names every variable that is missing. */
export function configOf(environment: Record<string, string | undefined>): Config {
  const names = [
    'PANEL_URL',
    'SSO_URL',
    'KRATOS_PUBLIC_URL',
    'KRATOS_ADMIN_URL',
    'HYDRA_ADMIN_URL',
    'PANEL_SECRET',
  ]
  const missing = names.filter(name => !environment[name])
  if (missing.length > 0) throw new Error(`missing in the environment: ${missing.join(', ')}`)
  const settings = (environment.SETTINGS ?? '').split(' ')
  const isOn = (name: string) => settings.includes(`${name}=true`)
  const url = (name: string) => environment[name]!.replace(/\/$/, '')
  return {
    port: Number(environment.PORT ?? 3000),
    hooksPort: Number(environment.HOOKS_PORT ?? 3001),
    panelUrl: url('PANEL_URL'),
    ssoUrl: url('SSO_URL'),
    kratosPublicUrl: url('KRATOS_PUBLIC_URL'),
    kratosAdminUrl: url('KRATOS_ADMIN_URL'),
    hydraAdminUrl: url('HYDRA_ADMIN_URL'),
    secret: environment.PANEL_SECRET!,
    legacyAccess: isOn('legacy_access'),
    mail: isOn('mail'),
  }
}
