{{- define "spork.name" -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}-spork{{- end }}
{{- define "spork.labels" -}}
app.kubernetes.io/name: spork
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
{{- define "spork.selector" -}}
app.kubernetes.io/name: spork
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "spork.configMap" -}}{{ .Values.existingConfigMap | default (include "spork.name" .) }}{{- end }}
{{- define "spork.kind" -}}{{ if regexMatch "^(postgres|\\$\\{)" .Values.records }}Deployment{{ else }}StatefulSet{{ end }}{{- end }}
{{- define "spork.period" -}}
{{- $least := add .Values.drainDelay .Values.grace 5 -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if and $given (lt (int $given) (int $least)) -}}
{{- fail (printf "terminationGracePeriodSeconds %d would kill pods that drain: drainDelay + grace + 5 is %d" (int $given) (int $least)) -}}
{{- end -}}
{{- $given | default (add .Values.drainDelay .Values.grace 10) -}}
{{- end }}
