{{/*
A database server as groundhog2k's charts set it up: (list $ SPEC) writes StatefulSet,
Service, ConfigMaps and Secret. SPEC: port and portName, mountPath, password (the key of
`settings` that holds the administrator's password), env: the variables of the image that
take the administrator's name and password (user, password) and the database made at first
start (database, databaseUser, databasePassword). Where they differ from the others:
replicas, selector, headless (the name of a headless Service in the place of the usual
one), ready (the command that says whether a real server is), and secret (one that is
mounted as a volume).
*/}}
{{- define "standin.database" -}}
{{- $ := index . 0 }}
{{- $name := include "standin.fullname" $ }}
{{ include "standin.workload" (list $ (include "standin.databaseWorkload" . | fromYaml)) }}
{{- $spec := index . 1 }}
{{- $service := dict "name" ($spec.headless | default $name) "selector" $spec.selector "ports" (dict $spec.portName $.Values.service.port) }}
{{- if $spec.headless }}
{{- $_ := set $service "spec" (dict "clusterIP" "None" "publishNotReadyAddresses" true) }}
{{- end }}
{{ include "standin.service" (list $ $service) }}
{{ include "standin.configMap" (list $ (dict "name" (print $name "-scripts") "data" (dict "init.sh" "exit 0\n"))) }}
{{- with $.Values.customScripts }}
{{ include "standin.configMap" (list $ (dict "name" (print $name "-customscripts") "data" .)) }}
{{- end }}
{{- with include "standin.databaseSecret" . | fromYaml }}
{{ include "standin.secret" (list $ (dict "name" $name "data" .)) }}
{{- end }}
{{- end }}

{{- define "standin.databaseWorkload" }}
{{- $ := index . 0 }}
{{- $spec := index . 1 }}
{{- $name := include "standin.fullname" $ }}
{{- with $.Values }}
kind: StatefulSet
name: {{ $name }}
replicas: {{ $spec.replicas | default 1 }}
serviceName: {{ $spec.headless | default $name }}
selector: {{ toJson $spec.selector }}
podAnnotations: {{ toJson .podAnnotations }}
podLabels: {{ toJson .podLabels }}
pod:
  initContainers:
    - name: {{ $.Chart.Name }}-init
      image: {{ include "standin.image" (list $ .image) }}
      command: [sh, -c, exit 0]
      resources: {{ toJson .initResources }}
  containers:
    - name: {{ $.Chart.Name }}
      image: {{ include "standin.image" (list $ .image) }}
      args: {{ .settings.arguments | default .args | toJson }}
      ports:
        - name: {{ $spec.portName }}
          containerPort: {{ $spec.port }}
      env:
        {{- with .settings }}
        {{- $secret := .existingSecret | default $name }}
        {{- if .superuser }}
        {{- include "standin.secretEnv" (list $spec.env.user $secret (.superuser.secretKey | default $spec.env.user)) | nindent 8 }}
        {{- end }}
        {{- $password := get . $spec.password | default dict }}
        {{- if or .existingSecret $password.value }}
        {{- include "standin.secretEnv" (list $spec.env.password $secret ($password.secretKey | default $spec.env.password)) | nindent 8 }}
        {{- end }}
        {{- end }}
        {{- with .userDatabase }}
        {{- $secret := .existingSecret | default $name }}
        {{- include "standin.secretEnv" (list $spec.env.database $secret (.name.secretKey | default $spec.env.database)) | nindent 8 }}
        {{- include "standin.secretEnv" (list $spec.env.databaseUser $secret (.user.secretKey | default $spec.env.databaseUser)) | nindent 8 }}
        {{- include "standin.secretEnv" (list $spec.env.databasePassword $secret (.password.secretKey | default $spec.env.databasePassword)) | nindent 8 }}
        {{- end }}
        {{- with .env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .extraEnvSecrets }}
      envFrom:
        {{- range . }}
        - secretRef:
            name: {{ . }}
        {{- end }}
      {{- end }}
      {{- with $spec.ready }}
      readinessProbe:
        exec:
          # An image without this program is a stand-in.
          command: {{ concat (list "sh" "-c" "command -v \"$0\" >/dev/null || exit 0; exec \"$0\" \"$@\"") . | toJson }}
        periodSeconds: 5
        timeoutSeconds: 10
      {{- end }}
      {{- with .customLivenessProbe }}
      livenessProbe: {{ toJson . }}
      {{- end }}
      resources: {{ toJson .resources }}
      volumeMounts:
        - name: {{ .storage.volumeName }}
          mountPath: {{ $spec.mountPath }}
  volumes:
    - name: scripts
      configMap:
        name: {{ $name }}-scripts
    {{- with $spec.secret }}
    - name: {{ . }}
      secret:
        secretName: {{ . }}
    {{- end }}
    {{- if .customScripts }}
    - name: customscripts-volume
      configMap:
        name: {{ $name }}-customscripts
    {{- end }}
    {{- if not .storage.requestedSize }}
    - name: {{ .storage.volumeName }}
      emptyDir: {}
    {{- end }}
{{- with .storage }}
{{- if .requestedSize }}
claims:
  - name: {{ .volumeName }}
    size: {{ .requestedSize }}
    className: {{ .className | quote }}
    accessModes: {{ toJson .accessModes }}
    annotations: {{ toJson .annotations }}
    labels: {{ toJson .labels }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What the values give in clear, the upstream charts keep in a Secret of their own. */}}
{{- define "standin.databaseSecret" }}
{{- $ := index . 0 }}
{{- $spec := index . 1 }}
{{- with $.Values.settings }}
{{- $password := get . $spec.password | default dict }}
{{- if and (not .existingSecret) $password.value }}
{{ $spec.env.password }}: {{ $password.value | quote }}
{{- with (.superuser | default dict).value }}
{{ $spec.env.user }}: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with $.Values.userDatabase }}
{{- if not .existingSecret }}
{{ $spec.env.database }}: {{ .name.value | quote }}
{{ $spec.env.databaseUser }}: {{ .user.value | quote }}
{{ $spec.env.databasePassword }}: {{ .password.value | quote }}
{{- end }}
{{- end }}
{{- end }}
