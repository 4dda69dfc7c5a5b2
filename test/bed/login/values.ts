/**
 * The configuration of hydra and kratos as flux2 deploys them: the values of their releases, with Flux's variables
 * put in, and the names of Services replaced by where the bed runs them.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { load, loadAll } from 'js-yaml'
import { ROOT } from '../../../lib/script/files.ts'

/** Parsed YAML. */
// biome-ignore lint/suspicious/noExplicitAny: values and manifests have any shape
export type Values = Record<string, any>

const FOLDER = join(ROOT, 'flux2/core/single-sign-on')

/**
 * A text with `${name}`, `${name:=default}` and `${name%: }` (without that end) replaced as Flux does it
 * (kustomize-controller's post-build substitution, github.com/fluxcd/pkg/envsubst); the inner ones of nested
 * variables first. Throws for a variable that has neither value nor default.
 */
export function substituted(text: string, variables: Record<string, string>): string {
  const variable = /\$\{(\w+)(?:%: |:=([^${}]*))?\}/
  let result = text
  for (let found = variable.exec(result); found; found = variable.exec(result)) {
    const [whole, name = '', otherwise] = found
    const value = variables[name] ?? otherwise
    if (value === undefined) throw new Error(`no value for ${whole}`)
    result = result.replace(whole, () => value)
  }
  return result
}

/** The objects of a file of flux2's single sign-on, with the variables put in. */
export function objectsOf(file: string, variables: Record<string, string>): Values[] {
  return loadAll(substituted(readFileSync(join(FOLDER, file), 'utf8'), variables)) as Values[]
}

/** The Helm values of a release, `hydra` or `kratos`. */
export function releaseValues(release: string, variables: Record<string, string>): Values {
  const [object] = objectsOf(`${release}/values.yaml`, variables)
  return load(object!.stringData['values.yaml']) as Values
}

/** A configuration with every address of a Service replaced by the bed's, e.g. `hydra-admin:4445`. */
export function moved(config: unknown, addresses: Record<string, string>): unknown {
  let text = JSON.stringify(config)
  for (const [service, address] of Object.entries(addresses)) text = text.replaceAll(service, address)
  return JSON.parse(text)
}
