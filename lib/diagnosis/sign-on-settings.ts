/** The addresses of single sign-on as hydra and kratos were given them, and the domains of their cookies. */
import { parseValues } from '../flux/values.ts'
import type { Kubectl } from '../kubectl/kubectl.ts'

/** One setting of hydra or kratos that is an address, or the domain of a cookie. */
export interface SignOnSetting {
  service: 'hydra' | 'kratos'
  /** Its place in the configuration, e.g. `urls.login`. */
  setting: string
  value: string
}

/** Where the charts keep a configuration (ory/k8s, templates/configmap.yaml of hydra and kratos). */
const FILES = {
  hydra: { configMap: 'hydra', key: 'hydra.yaml' },
  kratos: { configMap: 'kratos-config', key: 'kratos.yaml' },
} as const

const flows = ['login', 'settings', 'recovery', 'verification', 'error']

/** The settings that are read, and nothing else of a configuration. */
const SETTINGS: Record<SignOnSetting['service'], readonly string[]> = {
  hydra: [
    ...['issuer', 'public'].map(name => `urls.self.${name}`),
    ...['login', 'consent', 'logout', 'error', 'post_logout_redirect'].map(name => `urls.${name}`),
    'serve.cookies.domain',
  ],
  kratos: [
    'serve.public.base_url',
    'selfservice.default_browser_return_url',
    'selfservice.flows.login.after.default_browser_return_url',
    ...flows.map(name => `selfservice.flows.${name}.ui_url`),
    'cookies.domain',
    'session.cookie.domain',
  ],
}

/** The settings of hydra and kratos. What cannot be read is left out: other rules say why it is absent. */
export async function readSignOnSettings(kubectl: Kubectl): Promise<SignOnSetting[]> {
  const services = Object.keys(FILES) as SignOnSetting['service'][]
  const found = await Promise.all(
    services.map(async service => {
      const { configMap: name, key } = FILES[service]
      const object = await kubectl
        .get({ apiVersion: 'v1', kind: 'ConfigMap', namespace: 'oas', name })
        .catch(() => undefined)
      const text: unknown = object?.data?.[key]
      return typeof text === 'string' ? settingsIn(service, text) : []
    }),
  )
  return found.flat()
}

/** The settings in the text of a configuration; none in one that is not YAML. */
export async function settingsIn(service: SignOnSetting['service'], text: string): Promise<SignOnSetting[]> {
  const values = await parseValues(text, service).catch(() => undefined)
  return SETTINGS[service].flatMap(setting => {
    let value: unknown = values
    for (const key of setting.split('.')) value = (value as Record<string, unknown> | undefined)?.[key]
    return typeof value === 'string' && value !== '' ? [{ service, setting, value: value.slice(0, 300) }] : []
  })
}
