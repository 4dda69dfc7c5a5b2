{{/*
Objects that most stand-ins need. Each takes (list $ SPEC) and writes one document.
SPEC is a dict; the parts that Kubernetes itself defines (a pod, a Service's ports)
are written in Kubernetes' own words, so that there is nothing to learn here but
which metadata is added.
*/}}

{{/* The name rule of `helm create`, which every upstream chart here follows. */}}
{{- define "standin.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* SPEC.selector, or the two labels by which `helm create` selects pods. */}}
{{- define "standin.selector" -}}
{{- $ := index . 0 -}}
{{- $spec := index . 1 -}}
{{- $spec.selector | default (dict
  "app.kubernetes.io/name" ($.Values.nameOverride | default $.Chart.Name)
  "app.kubernetes.io/instance" $.Release.Name) | toYaml -}}
{{- end }}

{{/* metadata of an object: SPEC.name, SPEC.annotations, SPEC.labels, and the usual labels. */}}
{{- define "standin.metadata" -}}
{{- $ := index . 0 -}}
{{- $spec := index . 1 -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_")
  "app.kubernetes.io/managed-by" $.Release.Service -}}
name: {{ $spec.name }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- merge $labels (include "standin.selector" . | fromYaml) ($spec.labels | default dict) | toYaml | nindent 2 }}
{{- with $spec.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
SPEC: name, kind (Deployment if not said), replicas, strategy, serviceName, pod (a pod spec),
podAnnotations, podLabels, claims (of a StatefulSet: dicts as for standin.claim).
*/}}
{{- define "standin.workload" -}}
{{- $ := index . 0 -}}
{{- $spec := index . 1 -}}
{{- /* fromYaml reports a slip in a chart's template as a key, not as a failure. */ -}}
{{- with $spec.Error }}{{ fail . }}{{ end -}}
{{- $kind := $spec.kind | default "Deployment" -}}
---
apiVersion: apps/v1
kind: {{ $kind }}
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
spec:
  {{- if ne $kind "DaemonSet" }}
  replicas: {{ hasKey $spec "replicas" | ternary $spec.replicas 1 }}
  {{- end }}
  {{- if eq $kind "StatefulSet" }}
  serviceName: {{ $spec.serviceName | default $spec.name }}
  {{- end }}
  {{- with $spec.strategy }}
  strategy:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "standin.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- merge (include "standin.selector" . | fromYaml) ($spec.podLabels | default dict) | toYaml | nindent 8 }}
      annotations:
        {{- /* As upstream, a change of values restarts the pods. */}}
        checksum/values: {{ toJson $.Values | sha256sum }}
        {{- with $spec.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- with $.Values.priorityClassName | default ($.Values.global | default dict).priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- toYaml $spec.pod | nindent 6 }}
  {{- with $spec.claims }}
  volumeClaimTemplates:
    {{- range . }}
    - metadata:
        name: {{ .name }}
        {{- with .labels }}
        labels:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .annotations }}
        annotations:
          {{- toYaml . | nindent 10 }}
        {{- end }}
      spec:
        {{- include "standin.claimSpec" . | nindent 8 }}
    {{- end }}
  {{- end }}
{{ end }}

{{/* SPEC: name, schedule, pod (a pod spec). */}}
{{- define "standin.cronJob" -}}
{{- $spec := index . 1 -}}
{{- with $spec.Error }}{{ fail . }}{{ end -}}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
spec:
  schedule: {{ $spec.schedule | quote }}
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          {{- toYaml $spec.pod | nindent 10 }}
{{ end }}

{{/* A claim's spec: size, className, accessModes. */}}
{{- define "standin.claimSpec" -}}
accessModes: {{ .accessModes | default (list "ReadWriteOnce") | toJson }}
{{- with .className }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ required "a volume has a size" .size }}
{{- end }}

{{/* SPEC: name, size, className, accessModes, annotations. */}}
{{- define "standin.claim" -}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
spec:
  {{- include "standin.claimSpec" (index . 1) | nindent 2 }}
{{ end }}

{{/*
SPEC: name, ports (name → number; the target is the container's port of that name), and
spec: what else a Service's spec should hold.
*/}}
{{- define "standin.service" -}}
{{- $spec := index . 1 -}}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
spec:
  {{- with $spec.spec }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  selector:
    {{- include "standin.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := $spec.ports }}
    - name: {{ $name }}
      port: {{ $port }}
      targetPort: {{ $name }}
    {{- end }}
{{ end }}

{{/*
SPEC: name, className, annotations, tls, service, port (its number), hosts (dicts of host
and paths, as most charts have them; without paths, "/").
*/}}
{{- define "standin.ingress" -}}
{{- $spec := index . 1 -}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
spec:
  {{- with $spec.className }}
  ingressClassName: {{ . }}
  {{- end }}
  rules:
    {{- range $spec.hosts }}
    - host: {{ required "an ingress has a host" .host | quote }}
      http:
        paths:
          {{- range .paths | default (list (dict "path" "/")) }}
          - path: {{ .path }}
            pathType: {{ .pathType | default "Prefix" }}
            backend:
              service:
                name: {{ $spec.service }}
                port:
                  number: {{ $spec.port }}
          {{- end }}
    {{- end }}
  {{- with $spec.tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{ end }}

{{/* SPEC: name. */}}
{{- define "standin.serviceAccount" -}}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
{{ end }}

{{/*
The rights of a service account in the whole cluster. On a real node the stand-ins of operators set the status of
their resources. SPEC: name, rules.
*/}}
{{- define "standin.rights" -}}
{{- $ := index . 0 -}}
{{- $spec := index . 1 -}}
{{- with $spec.Error }}{{ fail . }}{{ end -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
rules:
  {{- toYaml $spec.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $spec.name }}
subjects:
  - kind: ServiceAccount
    name: {{ $spec.name }}
    namespace: {{ $.Release.Namespace }}
{{ end }}

{{/* The rules of an operator: (list GROUP RESOURCE…). */}}
{{- define "standin.operatorRules" -}}
{{- $resources := list }}
{{- range rest . }}
{{- $resources = concat $resources (list . (print . "/status")) }}
{{- end }}
rules:
  - apiGroups: [{{ first . }}]
    resources: {{ toJson $resources }}
    verbs: [get, list, watch, patch]
{{- end }}

{{/* SPEC: name, data (name → text). */}}
{{- define "standin.configMap" -}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
data:
  {{- toYaml (index . 1).data | nindent 2 }}
{{ end }}

{{/* SPEC: name, data (name → text in clear; the API server encodes it). */}}
{{- define "standin.secret" -}}
---
apiVersion: v1
kind: Secret
metadata:
  {{- include "standin.metadata" . | nindent 2 }}
stringData:
  {{- toYaml (index . 1).data | nindent 2 }}
{{ end }}

{{/* One entry of a container's env that a Secret fills: (list NAME SECRET KEY). */}}
{{- define "standin.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 | quote }}
      key: {{ index . 2 | quote }}
{{- end }}

{{/* An image that values give as registry, repository and tag; the tag is the chart's appVersion if not said. A digest is left out: the bed's images have their own. */}}
{{- define "standin.image" -}}
{{- $ := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}:{{ $image.tag | default $.Chart.AppVersion | toString | splitList "@" | first }}
{{- end }}
