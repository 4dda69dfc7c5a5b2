/** The addresses between which a login sends a browser, and its cookies: they have to be those that are served. */
import { type KubeObject, refOf } from '../../kubectl/kubectl.ts'
import { type Finding, type Rule, tell } from '../finding.ts'
import { backendsOf } from '../graph.ts'
import type { SignOnSetting } from '../sign-on-settings.ts'
import type { Index } from '../snapshot.ts'
import { hostsOf } from './ingresses.ts'
import { releaseOf as installerOf, kustomizationOf } from './workload-facts.ts'

/** The Ingress behind which the addresses of a setting are: the panel's, except for what hydra says of itself. */
const ingressOf = ({ setting }: SignOnSetting) =>
  /^(urls\.self\.|serve\.cookies\.)/.test(setting) ? 'hydra-public' : 'single-sign-on'

const servedFor = (setting: SignOnSetting, index: Index) => {
  const ingress = index.get('Ingress', 'oas', ingressOf(setting))
  return ingress ? hostsOf(ingress) : []
}

/** Who is at fault: the release; what it was given is its configuration. */
const releaseOf = ({ service }: SignOnSetting, index: Index): KubeObject | undefined =>
  index.get('HelmRelease', 'oas', service) ?? index.get('Deployment', 'oas', service)

/** Where a setting comes from: from an override, or from the platform's own values. */
function remedyOf({ service, setting }: SignOnSetting, index: Index): Finding['remedy'] {
  const override = index.snapshot.overrides?.find(({ release }) => release === service)
  return override
    ? {
        text: `remove it from the override of ${service}, unless it was set on purpose`,
        command: `npx tsx scripts/override-app.ts ${service} --unset ${service}.config.${setting}`,
      }
    : {
        text: 'correct domain in .flux.env, and apply it everywhere',
        command: 'npx tsx scripts/install-core.ts',
      }
}

const settingsOf = (index: Index) =>
  (index.snapshot.signOnSettings ?? []).flatMap(setting => {
    const release = releaseOf(setting, index)
    const served = servedFor(setting, index)
    return release && served.length > 0 ? [{ setting, release, served }] : []
  })

/** The host of an address; undefined where it cannot be read. */
const hostOf = (address: string) =>
  URL.canParse(address) ? new URL(address).hostname.toLowerCase() || undefined : undefined

/** Addresses that no Ingress of single sign-on serves: whoever logs in is sent to nobody. */
const elsewhere: Rule = index =>
  settingsOf(index).flatMap(({ setting, release, served }): Finding[] => {
    if (setting.setting.endsWith('.domain')) return []
    const host = hostOf(setting.value)
    if (host === undefined || served.includes(host)) return []
    return [
      tell(release, {
        rule: 'sign-on-address-elsewhere',
        cause: `sends browsers to ${setting.value}, and single sign-on is served at ${served.join(', ')}: nobody can log in`,
        evidence: [`${setting.setting} in the configuration of ${setting.service}`],
        ...remedyOf(setting, index),
        causedBy: ['hydra-public', 'single-sign-on'].flatMap(name => {
          const ingress = index.get('Ingress', 'oas', name)
          return ingress ? [refOf(ingress)] : []
        }),
      }),
    ]
  })

/**
 * Cookies for a domain to which their host does not belong: browsers drop them (RFC 6265, 5.3, step 6), and every
 * login begins again, or ends in an error about its CSRF token.
 */
const cookies: Rule = index =>
  settingsOf(index).flatMap(({ setting, release, served }): Finding[] => {
    if (!setting.setting.endsWith('.domain')) return []
    const domain = setting.value.toLowerCase().replace(/^\./, '')
    if (served.some(host => host === domain || host.endsWith(`.${domain}`))) return []
    return [
      tell(release, {
        rule: 'sign-on-cookie-domain',
        cause: `sets its cookies for ${setting.value}, but browsers reach it at ${served.join(', ')}: they discard the cookies, and every login starts again`,
        evidence: [`${setting.setting} in the configuration of ${setting.service}`],
        ...remedyOf(setting, index),
      }),
    ]
  })

/** A login that leads to the login page again. */
const loop: Rule = index => {
  const all = settingsOf(index).filter(({ setting }) => setting.service === 'kratos')
  const page = all.find(({ setting }) => setting.setting === 'selfservice.flows.login.ui_url')
  if (!page) return []
  const pathOf = (address: string) =>
    URL.canParse(address) ? `${new URL(address).host}${new URL(address).pathname}` : undefined
  return all
    .filter(({ setting }) => setting.setting.endsWith('default_browser_return_url'))
    .filter(({ setting }) => pathOf(setting.value) === pathOf(page.setting.value))
    .map(({ setting, release }) =>
      tell(release, {
        rule: 'sign-on-login-loop',
        cause: `redirects to ${setting.value}, the login page, after a login: logins loop`,
        evidence: [`${setting.setting} in the configuration of ${setting.service}`],
        ...remedyOf(setting, index),
      }),
    )
}

/** Services that know no passwords: whoever reaches them is an administrator. */
const ADMIN = /^(hydra|kratos)-admin$/

/** Ingresses that lead to another Service than theirs, whose name they have, or to one that nobody outside may reach. */
const misled: Rule = index =>
  index.within('Ingress', 'oas').flatMap((ingress): Finding[] => {
    const { name } = ingress.metadata
    const own = ['hydra-public', 'single-sign-on'].includes(name)
    const target = backendsOf(ingress)
      .map(each => each.name ?? '')
      .find(to => ADMIN.test(to) || (own && to !== name && index.get('Service', 'oas', to)))
    if (target === undefined) return []
    const [release, kustomization] = [installerOf(ingress, index), kustomizationOf(ingress, index)]
    const by = release ?? kustomization
    return [
      tell(ingress, {
        rule: ADMIN.test(target) ? 'sign-on-admin-open' : 'sign-on-ingress-elsewhere',
        cause: ADMIN.test(target)
          ? `leads to Service ${target}, which knows no passwords: whoever reaches it may do everything to users and clients`
          : `leads to Service ${target} and not to ${name}: nobody can log in`,
        evidence: [`it serves ${hostsOf(ingress).join(', ')}`],
        text: `have Flux restore it, unless it was installed so: then lead it to ${own ? name : 'another Service'}`,
        command: release
          ? `flux reconcile helmrelease ${release.metadata.name} -n oas --force`
          : `kubectl -n oas edit ingress ${name}`,
        ...(by && { action: { do: 'reconcile', ref: refOf(by), ...(release && { force: true }) } }),
      }),
    ]
  })

export const rules: readonly Rule[] = [elsewhere, cookies, loop, misled]
