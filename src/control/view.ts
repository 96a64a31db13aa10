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

/** What `POST /accounts` takes; without names it is about all. */
export interface AccountsAsked {
  names?: string[]
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
  /** share of the last minute's requests that a provider or gw spoiled, 0..1; what clients did wrong is not counted at all */
  error_rate: number
  ttft_ms: { p50: number; p95: number; p99: number }
  users: UserView[]
  accounts: AccountView[]
  groups: GroupView[]
  nodes: NodeView[]
}

/** What the live stream says of all requests, or of those of one platform. */
export interface FrameRates {
  /** requests that began, a second */
  qps: number
  /** tokens of prompts and answers, as they pass, a second; guessed by length until the provider tells its count */
  tps: number
  in_flight: number
  /** percent of the last minute's that a provider or gw spoiled (clients' own mistakes are not counted); null when there were none */
  error_rate: number | null
}

/** The live stream's message of each second, over all processes (docs/live.md). */
export interface LiveFrame extends FrameRates {
  type: 'frame'
  /** ISO time at which the second ended */
  at: string
  /** of the process that serves the stream: ready or draining */
  phase: string
  /** what was counted since the frame before, exactly: all frames together are all requests and tokens */
  requests: number
  tokens: number
  waiting: number
  /** of the last minute; null when there was none */
  ttft_ms: { p50: number; p95: number; p99: number } | null
  platforms: Record<string, FrameRates>
  /** how many there are, how many of them cannot serve now, and in which states they are */
  accounts: { total: number; out: number; states: Partial<Record<AccountState, number>> }
  nodes: NodeView[]
}

/** The kinds of rows of the live stream. */
export interface RowKinds {
  accounts: AccountView
  users: UserView
  groups: GroupView
}
export type RowKind = keyof RowKinds

/** The live stream's rows: first all, then those that changed; known by their names. */
export interface LiveRows<K extends RowKind = RowKind> {
  type: 'rows'
  of: K
  /** what was told before is forgotten: these are the first of all there are */
  reset: boolean
  rows: RowKinds[K][]
  /** names of those that are there no more */
  gone: string[]
}

export type LiveMessage = LiveFrame | LiveRows

/** The states in which an account serves nobody; one that is full does, as soon as a place comes free. */
export const isOut = (state: AccountState): boolean => state !== 'available' && state !== 'full'

/** A place held, as `gw slots list` shows it. */
export interface SlotView {
  kind: 'user' | 'account' | 'key'
  name: string
  /** which process holds it */
  process: string
  request_id: string
  /** until the lease ends unless it is renewed */
  left_ms: number
  /** of the request, where it is under way in the process that was asked */
  model: string | null
  phase: string | null
  age_ms: number | null
}

/** Somebody waiting, as `gw queue list` shows it. */
export interface WaiterView {
  request_id: string
  /** for a place among the user's requests, or at an account */
  for: 'user' | 'account'
  user: string
  key: string
  group: string | null
  model: string
  stream: boolean
  waited_ms: number
}

/** What `POST /slots/clear` takes; without kind and name it is about all places. */
export interface SlotsToClear {
  kind?: SlotView['kind']
  /** or number */
  name?: string
  /** only count */
  dry_run?: boolean
}

/** What `POST /sticky/clear` takes; without a group it is about all. */
export interface BindingsToClear {
  /** name or number */
  group?: string
  dry_run?: boolean
}

/** What the clearing routes answer. */
export interface Cleared {
  /** how many; of bindings those that this process knows */
  cleared: number
}

/** A session and its account, as `gw sticky show` shows it. */
export interface BindingView {
  session: string
  model: string
  key: string
  group: string | null
  account: string
  /** its last turn */
  at: string
}

/** A daemon on this Postgres, as `gw status` shows it. */
export interface NodeStanding {
  /** its host */
  name: string
  pid: number
  version: string
  /** what limits are shared through: `redis`, `silent` while that does not answer, `nothing` */
  shares: 'nothing' | 'redis' | 'silent'
  /** the daemon that says so */
  this: boolean
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
  waiting: number
  accounts: number
  users: number
  keys: number
  /** all that live on this Postgres, the one that answers first */
  nodes: NodeStanding[]
  /** null: there is none */
  config_file: string | null
  /** when what is in force was read */
  config_read_at: string
  /** settings that were changed and take a restart */
  needs_restart: readonly string[]
  degraded: string[]
}

/** A setting that says something else than before, as both may be printed. */
export interface SettingChange {
  key: string
  from: string
  to: string
}

/** What `POST /reload` takes. */
export interface ReloadAsked {
  /** only what it would do */
  dry_run?: boolean
}

/** What became of a reload, as `gw reload` shows it. */
export interface ReloadView {
  /** the file that was read; null: there is none */
  file: string | null
  applied: readonly SettingChange[]
  /** in force only after a restart */
  restart: readonly SettingChange[]
  /** what came of files that settings name, in sentences */
  told: readonly string[]
  /** what could not be applied as yet, and why */
  failed: readonly string[]
}

/** What `POST /stop` takes. `now`: requests under way are ended with an error. */
export interface StopAsked {
  now?: boolean
}

/** What it answers, before anything ends. */
export interface Stopping {
  pid: number
  in_flight: number
  /** what requests under way have to finish; 0: they are ended now */
  drain_ms: number
  /** and everything else after that */
  end_ms: number
}

/** What `POST /drain` takes. */
export interface DrainAsked {
  undo?: boolean
}

export interface Drained {
  /** nobody new is let in */
  drained: boolean
  in_flight: number
}

/** What `gw logs` asks for: lines from a number on, which the last answer told, and not before an instant (Unix ms). */
export interface LogsAsked {
  from: number
  since: number
}

/** The oldest first; `next` is where to go on. */
export interface LogsView {
  lines: { at: number; text: string }[]
  next: number
  /** there are more of them now */
  more: boolean
}
