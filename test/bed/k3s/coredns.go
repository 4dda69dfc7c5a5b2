package main

import "strings"

// coreDNS is what k3s keeps in server/manifests/coredns.yaml: the same objects and Corefile, in our words.
func coreDNS(net network, node node) string {
	return strings.NewReplacer("CLUSTER_DOMAIN", net.ClusterDomain, "CLUSTER_DNS", net.ClusterDNS,
		"NODE_HOST", node.ip+" "+node.name).Replace(coreDNSManifest)
}

const coreDNSManifest = `apiVersion: v1
kind: ServiceAccount
metadata: { name: coredns, namespace: kube-system }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: system:coredns
  labels: { kubernetes.io/bootstrapping: rbac-defaults }
rules:
  - { apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch] }
  - { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: system:coredns
  labels: { kubernetes.io/bootstrapping: rbac-defaults }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns }
subjects:
  - { kind: ServiceAccount, name: coredns, namespace: kube-system }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: coredns, namespace: kube-system }
data:
  Corefile: |
    .:53 {
        errors
        health
        ready
        kubernetes CLUSTER_DOMAIN in-addr.arpa ip6.arpa {
          pods insecure
          fallthrough in-addr.arpa ip6.arpa
        }
        hosts /etc/coredns/NodeHosts {
          ttl 60
          reload 15s
          fallthrough
        }
        prometheus :9153
        cache 30
        loop
        reload
        loadbalance
        import /etc/coredns/custom/*.override
        forward . /etc/resolv.conf
    }
    import /etc/coredns/custom/*.server
  NodeHosts: |
    NODE_HOST
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: coredns
  namespace: kube-system
  labels: { k8s-app: kube-dns, kubernetes.io/name: CoreDNS }
spec:
  revisionHistoryLimit: 0
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxUnavailable: 1 }
  selector:
    matchLabels: { k8s-app: kube-dns }
  template:
    metadata:
      labels: { k8s-app: kube-dns }
    spec:
      priorityClassName: system-cluster-critical
      serviceAccountName: coredns
      tolerations:
        - { key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule }
      nodeSelector: { kubernetes.io/os: linux }
      dnsPolicy: Default
      containers:
        - name: coredns
          image: rancher/mirrored-coredns-coredns:1.14.3
          imagePullPolicy: IfNotPresent
          args: [-conf, /etc/coredns/Corefile]
          resources:
            limits: { memory: 170Mi }
            requests: { cpu: 100m, memory: 70Mi }
          ports:
            - { name: dns, protocol: UDP, containerPort: 53 }
            - { name: dns-tcp, protocol: TCP, containerPort: 53 }
            - { name: metrics, protocol: TCP, containerPort: 9153 }
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { add: [NET_BIND_SERVICE], drop: [all] }
          livenessProbe:
            httpGet: { path: /health, port: 8080, scheme: HTTP }
            initialDelaySeconds: 60
            periodSeconds: 10
          readinessProbe:
            httpGet: { path: /ready, port: 8181, scheme: HTTP }
            periodSeconds: 2
          volumeMounts:
            - { name: config-volume, mountPath: /etc/coredns, readOnly: true }
            - { name: custom-config-volume, mountPath: /etc/coredns/custom, readOnly: true }
      volumes:
        - name: config-volume
          configMap:
            name: coredns
            items:
              - { key: Corefile, path: Corefile }
              - { key: NodeHosts, path: NodeHosts }
        - name: custom-config-volume
          configMap: { name: coredns-custom, optional: true }
---
apiVersion: v1
kind: Service
metadata:
  name: kube-dns
  namespace: kube-system
  labels: { k8s-app: kube-dns, kubernetes.io/cluster-service: "true", kubernetes.io/name: CoreDNS }
spec:
  selector: { k8s-app: kube-dns }
  clusterIP: CLUSTER_DNS
  ports:
    - { name: dns, port: 53, protocol: UDP }
    - { name: dns-tcp, port: 53, protocol: TCP }
    - { name: metrics, port: 9153, protocol: TCP }
`
