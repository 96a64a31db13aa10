// The tables of what gw sees of itself, as TypeScript sees them; the truth is in migrations/019 to 021 and 026.
import type { ColumnType, Generated } from 'kysely'

type Stamp = ColumnType<Date, Date | undefined, Date>
type Json<T> = ColumnType<T, string, string>

/** What is counted of requests, the same in every table of counts. */
export interface WatchCounts {
  requests: number
  success: number
  /** of a provider or of gw: what counts against the SLA */
  errors: number
  /** of the client, and what its own limits refused */
  client_errors: number
  errors_4xx: number
  errors_5xx: number
  errors_timeout: number
  /** attempts that no answer came of */
  network_errors: number
  attempts: number
  /** attempts that a provider failed */
  attempt_errors: number
  input_tokens: bigint
  output_tokens: bigint
  /** nano-USD */
  cost: bigint
  /** core/watch/sketch.ts */
  duration: Buffer
  first_token: Buffer
}

/** What is asked of a process at the end of an interval. */
export interface WatchGauges {
  queue_depth: number | null
  in_flight: number | null
  streams: number | null
  loop_lag_p99_ms: number | null
  handles: number | null
  cpu_percent: number | null
  memory_used_mb: number | null
  memory_total_mb: number | null
  memory_percent: number | null
  rss_mb: number | null
  heap_mb: number | null
  gc_pause_ms: number | null
  db_active: number | null
  db_idle: number | null
  db_waiting: number | null
  db_ms: number | null
  redis_ms: number | null
  disk_used_mb: bigint | null
  disk_total_mb: bigint | null
  spool_lines: number | null
  active_alerts: number | null
  active_subscriptions: number | null
}

export interface WatchMetricsTable extends WatchCounts, WatchGauges {
  at: Date
  process: string
  node: string
  interval_ms: number
  upstream: Buffer
  queued: Buffer
}

export interface WatchCellsTable extends WatchCounts {
  at: Date
  process: string
  platform: string
  group_id: number
  account_id: number
  model: string
}

export type WatchDimension = 'total' | 'account' | 'model' | 'user' | 'key' | 'platform' | 'group' | 'path'

export interface WatchRollupTable extends WatchCounts {
  at: Date
  dimension: WatchDimension
  value: string
  process: Generated<string>
}

export interface WatchSummedTable extends WatchRollupTable {
  /** the most that a minute of it had, over all processes; null where it was summed before this was kept */
  peak_requests: number | null
  peak_tokens: bigint | null
}

export interface WatchRolledTable {
  name: 'watch_hour' | 'watch_day'
  until: Date
}

export interface WatchLateTable {
  name: WatchRolledTable['name']
  at: Date
}

export interface JobsTable {
  name: string
  process: Generated<string>
  node: string
  every_ms: bigint
  last_run_at: Date
  last_success_at: Date | null
  last_error_at: Date | null
  last_error: string | null
  last_duration_ms: number | null
}

export interface RetentionTable {
  name: string
  keep_ms: bigint | null
  /** by Postgres's clock */
  last_run_at: Date | null
  /** the clock leapt: nothing is dropped before */
  hold_until: Date | null
  last_dropped: Generated<string[]>
  last_dropped_at: Date | null
  last_error: string | null
}

export type Severity = 'P0' | 'P1' | 'P2' | 'P3'
export const severities: readonly Severity[] = ['P0', 'P1', 'P2', 'P3']
export const phases = [
  'request',
  'auth',
  'billing',
  'concurrency',
  'routing',
  'upstream',
  'network',
  'internal',
] as const
export type ErrorPhase = (typeof phases)[number]
export const owners = ['client', 'provider', 'platform'] as const
export type ErrorOwner = (typeof owners)[number]
export type ErrorSource = 'client_request' | 'upstream_http' | 'gateway'

/** One try at an account, as the error log keeps it. */
export interface LoggedAttempt {
  at: string
  platform: string
  account: string
  account_id: number
  status: number
  /** `network`, `overload` … (platform/verdict.ts), '' when it answered */
  kind: string
  request_id: string
  message: string
  ms: number
}

export interface ErrorLogTable {
  at: Date
  request_id: string
  process: string
  ip: string | null
  user_id: number | null
  key_id: number | null
  group_id: number | null
  account_id: number | null
  phase: ErrorPhase
  type: string
  code: string
  severity: Severity
  owner: ErrorOwner
  source: ErrorSource
  limited: boolean
  recovered: boolean
  status: number
  platform: string
  model: string
  dialect: string
  method: string
  path: string
  stream: boolean
  message: string
  upstream_status: number | null
  upstream_type: string | null
  upstream_code: string | null
  upstream_excerpt: string | null
  upstream_request_id: string | null
  retryable: boolean
  user_actionable: boolean
  retries: number
  completion: 'none' | 'partial' | 'complete'
  cause: string
  duration_ms: number
  first_token_ms: number | null
  attempts: Json<LoggedAttempt[]>
}

export type ChannelType = 'webhook' | 'email' | 'slack' | 'telegram' | 'feishu' | 'dingtalk' | 'wecom'

export interface AlertChannelsTable {
  id: Generated<number>
  name: string
  type: ChannelType
  url: Buffer | null
  recipients: Generated<string[]>
  secret: Buffer | null
  min_severity: Generated<Severity>
  enabled: Generated<boolean>
  created_at: Stamp
  updated_at: Stamp
}

export interface AlertRulesTable {
  id: Generated<number>
  name: string
  description: Generated<string>
  source: Generated<'operator' | 'shipped' | 'file'>
  enabled: Generated<boolean>
  metric: string
  op: string
  threshold: number
  window_minutes: Generated<number>
  sustained: Generated<number>
  cooldown_ms: Generated<bigint>
  severity: Generated<Severity>
  filters: ColumnType<Record<string, string>, string | undefined, string>
  notify: Generated<string[]>
  fallback: string | null
  overridden: Generated<string[]>
  last_triggered_at: Date | null
  created_at: Stamp
  updated_at: Stamp
}

export interface AlertStatesTable {
  rule_id: number
  dimension: Generated<string>
  boundary: Date
  breaches: Generated<number>
  value: number | null
  idle_since: Date | null
  fired_at: Date | null
  missed: Generated<number>
  missed_at: Date | null
}

export interface AlertEventsTable {
  id: Generated<number>
  rule_id: number | null
  rule: string
  dimension: Generated<string>
  severity: Severity
  status: Generated<'firing' | 'resolved' | 'manual_resolved'>
  title: string
  description: string
  metric: string
  op: string
  value: number
  last_value: number | null
  threshold: number
  window_minutes: number
  silenced: Generated<boolean>
  fired_at: Stamp
  resolved_at: Date | null
  acked_at: Date | null
  acked_by: string | null
  note: string | null
}

export interface AlertSilencesTable {
  id: Generated<number>
  rule_id: number | null
  severity: Severity | null
  until: Date
  created_by: string | null
  note: string | null
  created_at: Stamp
}

/** What a notifier tells; formats of channels are made of it. */
export interface AlertMessage {
  kind: 'firing' | 'resolved' | 'digest' | 'test'
  rule_id: number | null
  rule: string
  severity: Severity
  /** 'platform=openai,account=a7', '' for all */
  dimension: string
  title: string
  description: string
  metric: string
  op: string
  value: number | null
  threshold: number | null
  window_minutes: number | null
  fired_at: string | null
  resolved_at: string | null
  /** of a digest: what was held back */
  lines?: string[]
  /** why it is told here: another channel did not take it */
  instead?: string
}

export interface AlertDeliveriesTable {
  id: Generated<bigint>
  event_id: number | null
  channel_id: number
  kind: AlertMessage['kind']
  key: Generated<string>
  fallback: string | null
  state: Generated<'pending' | 'sent' | 'failed' | 'held' | 'digested'>
  attempts: Generated<number>
  due_at: Stamp
  lease: string | null
  lease_until: Date | null
  error: string | null
  message: Json<AlertMessage>
  created_at: Stamp
  sent_at: Date | null
}

export interface WatchTables {
  watch_metrics: WatchMetricsTable
  watch_cells: WatchCellsTable
  watch_minute: WatchRollupTable
  watch_hour: WatchSummedTable
  watch_day: WatchSummedTable
  watch_rolled: WatchRolledTable
  watch_late: WatchLateTable
  jobs: JobsTable
  retention: RetentionTable
  error_log: ErrorLogTable
  alert_channels: AlertChannelsTable
  alert_rules: AlertRulesTable
  alert_states: AlertStatesTable
  alert_events: AlertEventsTable
  alert_silences: AlertSilencesTable
  alert_deliveries: AlertDeliveriesTable
}
