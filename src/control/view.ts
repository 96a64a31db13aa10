// What the live view shows: the shape that `gw top` sees and `gw top --once --json` prints (spec/cli.md §3).

export interface Slots {
  used: number
  /** 0: no limit */
  limit: number
}

export interface UserView {
  name: string
  slots: Slots
  waiting: number
}

export type AccountState =
  | 'available'
  | 'full'
  | 'rate_limited'
  | 'overloaded'
  | 'paused'
  | 'ejected'
  | 'error'
  | 'expired'

export interface AccountView {
  name: string
  platform: string
  groups: readonly string[]
  slots: Slots
  waiting: number
  state: AccountState
  /** ISO time when the state ends by itself, if it does */
  until: string | null
  reason: string | null
}

export interface GroupView {
  name: string
  platform: string
  /** of its accounts */
  slots: Slots
  waiting: number
  available: number
  accounts: number
}

export interface NodeView {
  name: string
  pid: number
  uptime_s: number
  in_flight: number
  rss_bytes: number
}

export interface LiveView {
  at: string
  requests_per_s: number
  tokens_per_s: number
  in_flight: number
  waiting: number
  /** share of the last minute's requests that ended with status 500 or more, 0..1 */
  error_rate: number
  ttft_ms: { p50: number; p95: number; p99: number }
  users: UserView[]
  accounts: AccountView[]
  groups: GroupView[]
  nodes: NodeView[]
}

export interface StatusView {
  version: string
  pid: number
  started_at: string
  uptime_ms: number
  phase: string
  listen: string
  ops_listen: string
  database: string
  in_flight: number
  accounts: number
  users: number
  keys: number
  degraded: string[]
}
