{{/* The name of an object: pcc.name (list . "pcc-receiver"). In the release "eu" it is eu-pcc-receiver, in the release
"pcc-reconciler" pcc-receiver, and with fullnameOverride "fleet" fleet-receiver. */}}
{{- define "pcc.name" -}}
{{- $root := index . 0 -}}
{{- $wanted := index . 1 -}}
{{- $own := $root.Values.fullnameOverride -}}
{{- if not $own -}}
{{- $own = $root.Release.Name -}}
{{- if not (regexMatch "pcc-(reconciler|receiver)" $own) -}}
{{- $own = printf "%s-pcc-reconciler" $own -}}
{{- end -}}
{{- end -}}
{{- $own = trunc 36 $own | trimSuffix "-" -}}
{{- if regexMatch "pcc-(reconciler|receiver)" $own -}}
{{- regexReplaceAll "pcc-(reconciler|receiver)" $own $wanted -}}
{{- else if eq $wanted "pcc-reconciler" -}}
{{- $own -}}
{{- else -}}
{{- printf "%s-%s" $own (trimPrefix "pcc-" $wanted) -}}
{{- end -}}
{{- end -}}

{{- define "pcc.daemon" -}}{{ include "pcc.name" (list . "pcc-reconciler") }}{{- end -}}
{{- define "pcc.receiver" -}}{{ include "pcc.name" (list . "pcc-receiver") }}{{- end -}}

{{/* What selects the pods of a part: pcc.selector (list . "pcc-receiver"). It never changes, as Kubernetes allows no change.
The receivers are an instance of their own, because Prometheus makes the job of it, and they need another job than the daemon. */}}
{{- define "pcc.selector" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ ternary (include "pcc.receiver" (index . 0)) (index . 0).Release.Name (eq (index . 1) "pcc-receiver") }}
{{- end -}}

{{/* The labels of a pod: pcc.podLabels (list . "pcc-receiver" "check"). No version, so a new chart alone restarts nothing. */}}
{{- define "pcc.podLabels" -}}
{{ include "pcc.selector" . }}
{{- with index . 2 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: pcc-reconciler
{{- end -}}

{{/* Name, namespace, labels and annotations of an object: pcc.metadata (dict "root" . "name" … "of" "pcc-receiver"
"component" "check" "labels" … "annotations" …). */}}
{{- define "pcc.metadata" -}}
{{- $root := .root -}}
name: {{ .name }}
namespace: {{ $root.Release.Namespace }}
labels:
{{- $labels := include "pcc.podLabels" (list $root .of .component) | fromYaml }}
{{- $ours := dict "helm.sh/chart" (printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_")) "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- toYaml (mustMergeOverwrite (dict) $root.Values.commonLabels (.labels | default dict) $ours $labels) | nindent 2 }}
{{- with mustMergeOverwrite (dict) $root.Values.commonAnnotations (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "pcc.daemonMetadata" -}}
{{- $given := dict "root" (index . 0) "name" (index . 1) "of" "pcc-reconciler" "component" "daemon" -}}
{{- include "pcc.metadata" (mustMergeOverwrite $given (index . 2)) -}}
{{- end -}}

{{- define "pcc.receiverMetadata" -}}
{{- $given := dict "root" (index . 0) "name" (index . 1) "of" "pcc-receiver" "component" "receiver" -}}
{{- include "pcc.metadata" (mustMergeOverwrite $given (index . 2)) -}}
{{- end -}}

{{- define "pcc.image" -}}
{{- $image := .Values.image -}}
{{- $tag := $image.tag | default .Chart.AppVersion -}}
{{- if $image.digest -}}
{{- printf "%s:%s@%s" $image.repository $tag $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "pcc.serviceAccount" -}}{{ .Values.serviceAccount.name | default (include "pcc.daemon" .) }}{{- end -}}
{{- define "pcc.receiverAccount" -}}{{ .Values.receiver.serviceAccount.name | default (include "pcc.receiver" .) }}{{- end -}}
{{- define "pcc.receiverSecret" -}}{{ .Values.receiver.secret | default (include "pcc.receiver" .) }}{{- end -}}

{{/* The ConfigMap with the desired state. */}}
{{- define "pcc.desiredState" -}}
{{- if eq .Values.source.from "configMap" -}}
{{- .Values.source.configMap -}}
{{- else -}}
{{- include "pcc.daemon" . }}-desired-state
{{- end -}}
{{- end -}}

{{/* "true" where git speaks ssh. */}}
{{- define "pcc.ssh" -}}
{{- if and (eq .Values.source.from "git") (not (hasPrefix "https://" .Values.source.git.url)) -}}true{{- end -}}
{{- end -}}

{{/* Settings as text. Helm reads every number as a float, and 1000000 must not become 1e+06. */}}
{{- define "pcc.settings" -}}
{{- range $name, $value := . }}
{{- if kindIs "float64" $value }}
{{- if eq $value (floor $value) }}
{{- $value = int64 $value }}
{{- end }}
{{- end }}
{{ $name }}: {{ toString $value | quote }}
{{- end }}
{{- end -}}

{{/* What the chart itself says to the daemon; settings of the values go before. */}}
{{- define "pcc.daemonSettings" -}}
{{- $service := "/etc/pcc-reconciler/service" }}
{{- $own := dict
  "PCC_MODE" "observe"
  "PCC_LISTEN" ":8080"
  "PCC_LISTEN_TOKEN_FILE" (printf "%s/listen_token" $service)
  "PCC_READ_TOKEN_FILE" (printf "%s/read_token" $service)
  "PCC_SERVICE_ID_FILE" (printf "%s/service_id" $service)
  "PCC_SERVICE_KEY_FILE" (printf "%s/service_key" $service)
  "PCC_CLIENT_ID_FILE" (printf "%s/client_id" $service)
  "PCC_CREDENTIALS_DIR" "/etc/pcc-reconciler/accounts"
  "PCC_STATE_DIR" "/var/lib/pcc-reconciler"
  "PCC_SHUTDOWN_GRACE" "25s"
  "PCC_LOG_FORMAT" "json"
}}
{{- if eq .Values.source.from "git" }}
{{- $_ := set $own "PCC_GIT_URL" .Values.source.git.url }}
{{- $_ := set $own "PCC_GIT_REF" .Values.source.git.ref }}
{{- $_ := set $own "PCC_DESIRED_STATE" .Values.source.git.path }}
{{- else }}
{{- $_ := set $own "PCC_DESIRED_STATE" "/etc/pcc-reconciler/desired-state" }}
{{- end }}
{{- if .Values.postgres.enabled }}
{{- $_ := set $own "PCC_STATE_URL_FILE" "/etc/pcc-reconciler/state/url" }}
{{- $_ := set $own "PCC_LEASE" .Values.postgres.lease }}
{{- end }}
{{- if .Values.webhook.enabled }}
{{- $_ := set $own "PCC_WEBHOOK_SECRET_FILE" (printf "%s/webhook_secret" $service) }}
{{- end }}
{{- if .Values.metrics.port }}
{{- $_ := set $own "PCC_METRICS_LISTEN" (printf ":%d" (int .Values.metrics.port)) }}
{{- end }}
{{- if .Values.events.enabled }}
{{- $_ := set $own "PCC_EVENTS_FROM" (include "pcc.eventsFrom" .) }}
{{- $_ := set $own "PCC_EVENTS_TOKEN_FILE" "/etc/pcc-reconciler/events/events_token" }}
{{- end }}
{{- include "pcc.settings" (mustMergeOverwrite $own .Values.settings) }}
{{- end -}}

{{/* Who reads events has to ask each receiver by its own name. */}}
{{- define "pcc.eventsFrom" -}}
{{- $addresses := .Values.events.from -}}
{{- if not $addresses -}}
{{- $receiver := include "pcc.receiver" . -}}
{{- $pods := include "pcc.name" (list . "events-receiver-pods") -}}
{{- range $number := until (int .Values.receiver.replicas) -}}
{{- $addresses = append $addresses (printf "http://%s-%d.%s:8081" $receiver $number $pods) -}}
{{- end -}}
{{- end -}}
{{- join "," $addresses -}}
{{- end -}}

{{- define "pcc.receiverSettings" -}}
{{- $secrets := "/etc/pcc-reconciler/receiver" }}
{{- $own := dict
  "PCC_RECEIVE_LISTEN" ":8081"
  "PCC_RECEIVE_BASIC_FILE" (printf "%s/receive_basic" $secrets)
  "PCC_EVENTS_TOKEN_FILE" (printf "%s/events_token" $secrets)
  "PCC_EVENTS_CONFIG" "/etc/pcc-reconciler/events/events.toml"
  "PCC_EVENTS_DIR" "/var/lib/pcc-reconciler/events"
  "PCC_SPOOL_LIMIT" "1GiB"
  "PCC_SHUTDOWN_GRACE" "25s"
  "PCC_LOG_FORMAT" "json"
  "PCC_DESIRED_STATE" "/etc/pcc-reconciler/desired-state"
}}
{{- if .Values.receiver.metrics.port }}
{{- $_ := set $own "PCC_RECEIVE_METRICS_LISTEN" (printf ":%d" (int .Values.receiver.metrics.port)) }}
{{- end }}
{{- include "pcc.settings" (mustMergeOverwrite $own .Values.receiver.settings) }}
{{- end -}}

{{/* The security of a pod. OpenShift gives each namespace numbers of its own: pcc.podSecurity (list . true). */}}
{{- define "pcc.podSecurity" -}}
runAsNonRoot: true
{{- if not (index . 0).Values.openshift }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
{{- end }}
{{- if index . 1 }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "pcc.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "pcc.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* What starts the program: pcc.program (list . "run"). */}}
{{- define "pcc.program" -}}
image: {{ include "pcc.image" . }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
# A setting that is refused is the last line of the log, and `kubectl describe pod` shows it.
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* The environment of the daemon's image: the settings, git's command, and what is given. */}}
{{- define "pcc.daemonEnvironment" -}}
envFrom:
  - configMapRef:
      name: {{ include "pcc.daemon" . }}-settings
{{- if or (include "pcc.ssh" .) .Values.extraEnv }}
env:
{{- if include "pcc.ssh" . }}
  - name: GIT_SSH_COMMAND
    value: >-
      ssh -i /etc/pcc-reconciler/source/git/key -o IdentitiesOnly=yes
      -o UserKnownHostsFile=/etc/pcc-reconciler/source/git/known_hosts -o StrictHostKeyChecking=yes
{{- end }}
{{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "pcc.daemonMounts" -}}
- { name: state, mountPath: /var/lib/pcc-reconciler }
- { name: tmp, mountPath: /tmp }
# Whole folders: a file mounted with subPath would never change.
- { name: service, mountPath: /etc/pcc-reconciler/service, readOnly: true }
- { name: accounts, mountPath: /etc/pcc-reconciler/accounts, readOnly: true }
{{- if ne .Values.source.from "git" }}
- { name: desired-state, mountPath: /etc/pcc-reconciler/desired-state, readOnly: true }
{{- else if include "pcc.ssh" . }}
- { name: git, mountPath: /etc/pcc-reconciler/source/git, readOnly: true }
{{- end }}
{{- if .Values.postgres.enabled }}
- { name: state-url, mountPath: /etc/pcc-reconciler/state, readOnly: true }
{{- end }}
{{- if .Values.events.enabled }}
- { name: events, mountPath: /etc/pcc-reconciler/events, readOnly: true }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pcc.daemonVolumes" -}}
{{- $name := include "pcc.daemon" . -}}
- name: state
{{- if .Values.postgres.enabled }}
  # Only the clone of the repository is here; a new pod makes it anew.
  emptyDir:
    sizeLimit: 2Gi
{{- else if .Values.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ .Values.persistence.existingClaim | default (printf "%s-state" $name) }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .Values.persistence.size }}
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
- name: service
  secret:
    secretName: {{ .Values.secrets.service | default (printf "%s-service" $name) }}
    defaultMode: 0440
- name: accounts
  secret:
    secretName: {{ .Values.secrets.accounts | default (printf "%s-accounts" $name) }}
    defaultMode: 0440
{{- if ne .Values.source.from "git" }}
- name: desired-state
  configMap:
    name: {{ include "pcc.desiredState" . }}
{{- else if include "pcc.ssh" . }}
- name: git
  secret:
    secretName: {{ .Values.source.git.secret | default (printf "%s-git" $name) }}
    defaultMode: 0440
{{- end }}
{{- if .Values.postgres.enabled }}
- name: state-url
  secret:
    secretName: {{ .Values.postgres.secret | default (printf "%s-state" $name) }}
    defaultMode: 0440
{{- end }}
{{- if .Values.events.enabled }}
# Only what reads events, not what LG sends.
- name: events
  secret:
    secretName: {{ .Values.events.secret | default (include "pcc.receiverSecret" .) }}
    defaultMode: 0440
    items:
      - { key: events_token, path: events_token }
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* How names are asked for: the cluster's DNS, and the cache on the node where there is one. */}}
{{- define "pcc.dnsRule" -}}
{{- if .Values.openshift -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: openshift-dns
  ports:
    - { port: 5353, protocol: UDP }
    - { port: 5353, protocol: TCP }
{{- else -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchExpressions:
          - { key: k8s-app, operator: In, values: [kube-dns] }
    {{- range .Values.networkPolicy.dnsAddresses }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end -}}
{{- end -}}

{{/* The internet, and nothing of the cluster, the company or the cloud's metadata: pcc.internetRule (list 443 22). */}}
{{- define "pcc.internetRule" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
    - ipBlock:
        cidr: "::/0"
        except: ["::1/128", "fc00::/7", "fe80::/10"]
  ports:
    {{- range . }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end -}}

{{/* Where the daemon may go; the pod of `helm test` goes there, too. */}}
{{- define "pcc.daemonEgress" -}}
{{ include "pcc.dnsRule" . }}
{{ include "pcc.internetRule" (ternary (list 443 22) (list 443) (eq (include "pcc.ssh" .) "true")) }}
{{- if .Values.postgres.enabled }}
- to:
    - namespaceSelector:
        matchExpressions:
          - { key: kubernetes.io/metadata.name, operator: In, values: {{ toJson .Values.postgres.namespaces }} }
  ports:
    - { port: {{ .Values.postgres.port }}, protocol: TCP }
{{- end }}
{{- if .Values.events.enabled }}
- to:
    - podSelector:
        matchExpressions:
          - { key: app.kubernetes.io/name, operator: In, values: [pcc-receiver] }
          - { key: app.kubernetes.io/component, operator: In, values: [receiver] }
  ports:
    - { port: 8081, protocol: TCP }
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The ports that other namespaces reach: pcc.openPorts .Values.metrics.port. */}}
{{- define "pcc.openPorts" -}}
- { port: http, protocol: TCP }
{{- if . }}
- { port: metrics, protocol: TCP }
{{- end }}
{{- end -}}

{{/* The class of a volume: none for the cluster's own, "-" for no class. */}}
{{- define "pcc.storageClass" -}}
{{- if eq . "-" -}}
storageClassName: ""
{{- else if . -}}
storageClassName: {{ . }}
{{- end -}}
{{- end -}}

{{/* What cannot be right is refused here, in words. */}}
{{- define "pcc.checked" -}}
{{- $values := .Values -}}
{{- if or (not $values.image.repository) (has "OWNER" (splitList "/" $values.image.repository)) -}}
{{- fail "\n\nimage.repository is not set: name the registry that you pushed the image to, such as registry.example.com/pcc-reconciler" -}}
{{- end -}}
{{- if not (or $values.daemon.enabled $values.receiver.enabled) -}}
{{- fail "\n\ndaemon.enabled and receiver.enabled are both false: nothing is left to install" -}}
{{- end -}}
{{- if and $values.daemon.enabled $values.receiver.enabled (eq (include "pcc.receiver" .) .Release.Name) -}}
{{- fail "\n\na release with this name is for the receiver alone: choose another name, or set daemon.enabled=false" -}}
{{- end -}}
{{- if $values.daemon.enabled -}}
{{- if and (gt (int $values.replicas) 1) (not $values.postgres.enabled) -}}
{{- fail "\n\nreplicas is more than 1: several daemons need their state in a PostgreSQL (postgres.enabled); see docs/replicas.md" -}}
{{- end -}}
{{- if and (eq $values.source.from "configMap") (not $values.source.configMap) -}}
{{- fail "\n\nsource.configMap is not set: name the ConfigMap with the desired-state files" -}}
{{- end -}}
{{- if and (eq $values.source.from "git") (not $values.source.git.url) -}}
{{- fail "\n\nsource.git.url is not set: name the repository with the desired state" -}}
{{- end -}}
{{- if and (eq $values.source.from "inline") (not $values.source.inline) -}}
{{- fail "\n\nsource.inline is empty: give the desired-state file with --set-file source.inline=desired-state.toml" -}}
{{- end -}}
{{- if and $values.webhook.enabled (not (or $values.webhook.ingress.enabled $values.webhook.httpRoute.enabled)) -}}
{{- fail "\n\nwebhook.enabled is true, and nothing leads to it: enable webhook.ingress or webhook.httpRoute" -}}
{{- end -}}
{{- end -}}
{{- end -}}
