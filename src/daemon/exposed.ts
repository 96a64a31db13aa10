// What /metrics tells beside the fold over Outcomes: the state of this process, asked when somebody scrapes.
import { setImmediate } from 'node:timers/promises'
import { alertTally } from '../core/alert/tally.ts'
import type { Books } from '../core/books/books.ts'
import type { ErrorLog } from '../core/errors/log.ts'
import type { Db } from '../db/connect.ts'
import type { WatchGauges } from '../db/schema-watch.ts'
import type { Gateway } from '../gateway/gateway.ts'
import type { Log } from '../lib/log.ts'
import { version } from '../lib/version.ts'
import { within } from '../lib/within.ts'
import { most } from '../ops/metrics.ts'
import { Asked, byLabel, type Family, OTHER, type Sample } from '../ops/series.ts'
import { accountState } from '../platform/state.ts'
import type { Collector } from './collector.ts'
import type { Explanations } from './explain.ts'
import type { Live } from './live.ts'
import type { Reloads } from './reload.ts'
import type { LiveStream } from './stream.ts'

export interface Exposed {
  gateway: Gateway
  live: Live
  books: Books
  reloads: Pick<Reloads, 'state'>
  /** by class of what the upstream said */
  ejections: ReadonlyMap<string, number>
  /** trouble of our own, by error code */
  ownTrouble: { counts: ReadonlyMap<string, number> }
  /** refreshes of OAuth tokens, by result */
  tokens: { counts: ReadonlyMap<string, number> }
  errorLog: Pick<ErrorLog, 'counts'>
  explanations: Pick<Explanations, 'recorder'>
  stream: Pick<LiveStream, 'size'>
  unread: Log['unread']
  db: Db
  /** what was measured at the end of the last interval */
  collector: Pick<Collector, 'latest'>
  /** what works less well than it should, in words */
  degraded: () => readonly string[]
}

export function exposed(options: Exposed): Family[] {
  const { gateway, live, books, reloads, ejections, ownTrouble, tokens, degraded, collector, db } = options
  const { errorLog, explanations, stream, unread } = options
  const gauge = (name: string, help: string, now: ConstructorParameters<typeof Asked>[3]) =>
    new Asked('gauge', name, help, now)
  const counter = (name: string, help: string, now: ConstructorParameters<typeof Asked>[3]) =>
    new Asked('counter', name, help, now)
  // As it was at the end of the last interval; what could not be measured then is not there now.
  const measured = (name: string, help: string, pick: (found: WatchGauges) => number | bigint | null, factor = 1) =>
    gauge(name, help, () => {
      const gauges = collector.latest()
      const value = gauges && pick(gauges)
      return value === null || value === undefined ? undefined : Number(value) * factor
    })
  const survey = shared(() => surveyOf(gateway))
  // Postgres may be away: then there is nothing to tell, and the scrape has waited for a moment only.
  const alerts = shared(() => within(PATIENCE_MS, alertTally(db)).catch(() => undefined))
  const surveyed = (name: string, help: string, pick: (found: Survey) => Sample[]) =>
    gauge(name, help, async () => pick(await survey()))

  return [
    counter(
      'gw_node_trouble_total',
      'Requests that this node could send to nobody for trouble of its own, by error code.',
      () => byLabel('code', ownTrouble.counts),
    ),
    counter(
      'gw_oauth_refreshes_total',
      'Refreshes of OAuth tokens by this node: refreshed, failed (tried again), expired (refused for good).',
      () => byLabel('result', tokens.counts),
    ),
    counter('gw_ejections_total', 'Accounts that this node put out of service, by class of what was said.', () =>
      byLabel('class', ejections),
    ),
    gauge('gw_requests_in_flight', 'Requests under way.', live.inFlight),
    gauge('gw_requests_waiting', 'Requests that wait for a place of their user or key, or of an account.', () => [
      { labels: { for: 'user' }, value: gateway.places.total() },
      { labels: { for: 'account' }, value: gateway.accountQueue.length },
    ]),
    surveyed('gw_accounts', 'Accounts by platform and state.', ({ states }) => states),
    surveyed(
      'gw_platform_slots_used',
      'Places at accounts that this process holds, by platform.',
      s => s.platforms.used,
    ),
    surveyed('gw_platform_slots_limit', 'Places at accounts with a limit, by platform.', s => s.platforms.limit),
    surveyed('gw_group_slots_used', 'Places at accounts of a group that this process holds.', s => s.groups.used),
    surveyed('gw_group_slots_limit', 'Places at accounts of a group with a limit.', s => s.groups.limit),
    surveyed('gw_account_slots_used', 'Places at an account that this process holds.', s => s.accounts.used),
    surveyed('gw_account_slots_limit', 'Places at an account; none where it has no limit.', s => s.accounts.limit),
    gauge('gw_spool_lines', 'Usage lines not yet in Postgres.', () => books.state().waiting),
    gauge('gw_spool_oldest_seconds', 'Age of the oldest usage line not yet in Postgres, 0 when there is none.', () => {
      const { oldest } = books.state()
      return oldest === undefined ? 0 : Math.max(0, gateway.now() - oldest) / 1000
    }),
    counter(
      'gw_error_log_rows_total',
      'Errors that were stored, or dropped since more came than the log takes.',
      () => {
        const { written, dropped } = errorLog.counts()
        return byLabel('result', Object.entries({ written, dropped }))
      },
    ),
    gauge('gw_error_log_waiting', 'Errors not yet in Postgres.', () => errorLog.counts().waiting),
    gauge('gw_refused_lines', 'Usage lines that were refused and wait for an operator.', () => books.state().refused),
    gauge(
      'gw_degraded',
      'How many things work less well than they should; /readyz names them.',
      () => degraded().length,
    ),
    measured('gw_db_latency_seconds', 'A round trip to Postgres.', g => g.db_ms, MS),
    measured('gw_store_latency_seconds', 'A round trip to Redis; none without it.', g => g.redis_ms, MS),
    gauge('gw_db_connections', 'Connections of the pool to Postgres, and who waits for one.', () => {
      const g = collector.latest()
      const counts = { active: g?.db_active, idle: g?.db_idle, waiting: g?.db_waiting }
      return byLabel(
        'state',
        Object.entries(counts).filter((pair): pair is [string, number] => pair[1] != null),
      )
    }),
    measured('gw_cpu_ratio', 'CPU used of what the cgroup allows, else of the host.', g => g.cpu_percent, PERCENT),
    measured('gw_memory_used_bytes', 'Memory used of the cgroup, else of the host.', g => g.memory_used_mb, MB),
    measured('gw_memory_limit_bytes', 'What it may become.', g => g.memory_total_mb, MB),
    measured('gw_disk_used_bytes', 'Of the disk with the data dir.', g => g.disk_used_mb, MB),
    measured('gw_disk_size_bytes', 'Size of the disk with the data dir.', g => g.disk_total_mb, MB),
    measured('gw_event_loop_lag_seconds', 'p99 of the lag in the last interval.', g => g.loop_lag_p99_ms, MS),
    gauge('gw_alerts_firing', 'Alerts that fire, in the whole cluster, by severity.', async () =>
      byLabel('severity', (await alerts())?.firing ?? []),
    ),
    gauge(
      'gw_alert_deliveries',
      'Messages about alerts that are kept, in the whole cluster, by what became of them.',
      async () => byLabel('state', (await alerts())?.deliveries ?? []),
    ),
    counter(
      'gw_explain_dropped_total',
      'Requests of which gw explain knows nothing, since they could not be recorded.',
      () => explanations.recorder.state().dropped,
    ),
    gauge('gw_explain_bytes', 'What is kept for gw explain.', () => explanations.recorder.state().bytes),
    gauge(
      'gw_log_lines_waiting',
      'Log lines that whoever reads them has not taken yet.',
      () => unread?.().waiting ?? 0,
    ),
    counter(
      'gw_log_dropped_total',
      'Log lines that were dropped, since whoever reads them stood still or has left.',
      () => unread?.().dropped ?? 0,
    ),
    gauge('gw_ws_connections', 'Who watches the live stream.', () => stream.size()),
    measured('gw_subscriptions_active', 'Subscriptions in force, in the whole cluster.', g => g.active_subscriptions),
    gauge('gw_resident_memory_bytes', 'Resident memory of this process.', () => process.memoryUsage.rss()),
    gauge(
      'gw_config_last_success_timestamp_seconds',
      'When the configuration in force was read.',
      () => reloads.state().readAt / 1000,
    ),
    gauge('gw_config_last_reload_successful', 'Whether the last reload was applied; 1 before there was one.', () =>
      Number(reloads.state().refused === undefined),
    ),
    gauge(
      'gw_config_needs_restart',
      'How many settings were changed that take a restart.',
      () => reloads.state().restart.length,
    ),
    gauge('gw_build_info', 'Which gw this is; always 1.', () => [
      { labels: { version, node: process.version }, value: 1 },
    ]),
  ]
}

const MS = 1e-3
const PERCENT = 1e-2
const MB = 1024 * 1024

interface Survey {
  states: Sample[]
  platforms: Slots
  groups: Slots
  accounts: Slots
}

interface Slots {
  used: Sample[]
  limit: Sample[]
}

/** ms of looking at accounts at a time, then streams may go on */
const SLICE_MS = 2
/** Families of one scrape are told of one survey. */
const FRESH_MS = 500
const PATIENCE_MS = 1_000

/** Found out once for all who ask in a moment. */
function shared<T>(find: () => Promise<T>): () => Promise<T> {
  let at = -Infinity
  let last: Promise<T> | undefined
  return () => {
    const now = performance.now()
    if (last && now - at < FRESH_MS) return last
    at = now
    return (last = find())
  }
}

async function surveyOf({ snapshot, health, pools, now }: Gateway): Promise<Survey> {
  const states = new Map<string, Map<string, number>>()
  const platforms = new Places('platform', Infinity)
  const groups = new Places('group', most.groups)
  const accounts = new Places('account', most.accounts)
  let since = performance.now()
  for (const account of snapshot.accounts.values()) {
    const { state } = accountState(account, health.ailments(account.id), now())
    const of = states.get(account.platform) ?? new Map<string, number>()
    states.set(account.platform, of.set(state, (of.get(state) ?? 0) + 1))
    const used = pools.held(account.id)
    const limit = Math.max(0, account.concurrency)
    platforms.add(account.platform, used, limit)
    accounts.add(account.name, used, limit)
    for (const group of snapshot.groupsOf(account.id)) groups.add(group, used, limit)
    if (performance.now() - since < SLICE_MS) continue
    await setImmediate()
    since = performance.now()
  }
  return {
    states: [...states].flatMap(([platform, of]) =>
      [...of].map(([state, value]) => ({ labels: { platform, state }, value })),
    ),
    platforms: platforms.samples(),
    groups: groups.samples(),
    accounts: accounts.samples(),
  }
}

/** Sums by name, of so many names at most; the rest together. */
class Places {
  readonly #label: string
  readonly #most: number
  readonly #sums = new Map<string, { used: number; limit: number }>()

  constructor(label: string, most: number) {
    this.#label = label
    this.#most = most
  }

  add(of: string, used: number, limit: number): void {
    const name = this.#sums.has(of) || this.#sums.size < this.#most ? of : OTHER
    const sum = this.#sums.get(name)
    if (sum) {
      sum.used += used
      sum.limit += limit
    } else this.#sums.set(name, { used, limit })
  }

  samples(): Slots {
    const of = (name: string, value: number): Sample => ({ labels: { [this.#label]: name }, value })
    const sums = [...this.#sums]
    return {
      used: sums.map(([name, { used }]) => of(name, used)),
      limit: sums.filter(([, { limit }]) => limit > 0).map(([name, { limit }]) => of(name, limit)),
    }
  }
}
