/** The labels by which charts name their release: one or the other. */
const RELEASE_LABELS = ['app.kubernetes.io/instance', 'release'] as const

/** The names of Helm releases that the labels of an object give: none, one, or one by either label. Pure. */
export const labelledReleases = (labels: Record<string, string> = {}): string[] =>
  RELEASE_LABELS.flatMap(key => labels[key] ?? [])

/** Label selectors of the objects of some Helm releases, one for each label by which charts name theirs. Pure. */
export function releaseSelectors(releases: readonly string[]): object[] {
  return RELEASE_LABELS.map(key => ({
    matchExpressions: [{ key, operator: 'In', values: [...releases].sort() }],
  }))
}
