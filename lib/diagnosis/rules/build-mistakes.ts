/** What kustomize says of manifests that it cannot build, and what to do about it. */

/** A path below the temporary folder that kustomize-controller builds in, as it is in the repository. */
const inRepository = (path: string) => path.replace(/^\/tmp\/[\w-]{1,80}\//, '')

/**
 * Mistakes by their messages, the first that matches counts.
 * Sources: sigs.k8s.io/kustomize/api internal/target, resmap/reswrangler.go, internal/loader/fileloader.go; fluxcd/pkg
 * kustomize/kustomize_generator.go.
 */
const MISTAKES: readonly (readonly [words: RegExp, fix: (...parts: string[]) => string])[] = [
  [
    /no matches for Id (\w{1,60})\.[\w./-]{0,120}?([\w-]{1,120})\.\[/,
    (kind, name) =>
      `it has a patch for ${kind} ${name}, which is not among its resources: correct the name, kind or namespace of the patch, or remove it`,
  ],
  [
    /already registered id: (\w{1,60})\.[\w.[\]]{0,120}\/([\w.-]{1,120})/,
    (kind, name) => `${kind} ${name} stands in two of its files: remove one of them`,
  ],
  [
    /security; file '([^'\n]{1,300})' is not in or below/,
    file =>
      `it names the file ${inRepository(file)} outside of its folder, which kustomize refuses: name the folder that it is in, with a kustomization.yaml there`,
  ],
  [
    /(?:decode Kubernetes YAML from|parsing file) (\/\S{1,300}?): [^\n]{0,200}\bline (\d{1,6})/,
    (file, line) => `${inRepository(file)} is not valid YAML at line ${line}: correct it`,
  ],
  [
    /\b(?:lstat|stat|open) (\/\S{1,300}?): no such file or directory/,
    file =>
      `its kustomization.yaml names ${inRepository(file)}, which is not in the repository: add it, or remove the line`,
  ],
]

/** What to do about a build that has failed; undefined where its message tells no more than that. Pure. */
export function buildMistake(message: string): string | undefined {
  for (const [words, fix] of MISTAKES) {
    const match = words.exec(message)
    if (match) return fix(...match.slice(1))
  }
  return undefined
}
