const SCALES: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/**
 * The number that a quantity of Kubernetes is: `500m` is 0.5, `1Gi` is 2^30, `1e3` is 1000; 0 for anything else.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/. Pure.
 */
export function quantity(value: unknown): number {
  const [, number, scale = ''] =
    /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)(n|u|m|k|[MGTPE]i?|Ki|)$/.exec(String(value ?? '')) ?? []
  return number === undefined ? 0 : Number(number) * SCALES[scale]! || 0
}
