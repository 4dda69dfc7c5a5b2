/** Where kube-prometheus-stack serves Prometheus' API: in the cluster, so that it is reached through the API server. */
export const PROMETHEUS =
  '/api/v1/namespaces/oas/services/http:kube-prometheus-stack-prometheus:9090/proxy/api/v1'
