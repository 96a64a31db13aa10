// What the rooms of the corridor share: everything a request meets that outlives it.
import type { Logger } from 'pino'
import type { Config } from '../config/schema.ts'
import type { Books } from '../core/books/books.ts'
import type { AccountFacts, Snapshot } from '../core/snapshot.ts'
import type { Tracing } from '../core/trace.ts'
import type { Crowd } from '../lib/crowd.ts'
import type { Guard } from '../lib/guard/guard.ts'
import type { Secret } from '../lib/secret.ts'
import type { Store } from '../store/store.ts'
import type { Leases } from './admit/leases.ts'
import type { Places } from './admit/places.ts'
import type { FairQueue } from './admit/queue.ts'
import type { Wallet } from './admit/wallet.ts'
import type { Downstream } from './answer/downstream.ts'
import type { Outcomes } from './answer/outcomes.ts'
import type { Engine } from './ask/engine/engine.ts'
import type { Silence } from './ask/engine/silence.ts'
import type { Binding } from './choose/binding.ts'
import type { Egress } from './choose/egress.ts'
import type { Health } from './choose/health.ts'
import type { Occupied } from './choose/occupied.ts'
import type { Pools } from './choose/pool.ts'
import type { Brake } from './enter/brake.ts'

/** New tokens for OAuth accounts. */
export interface Tokens {
  /**
   * The account's token was refused, or is over: a new one is made, once for all who ask. `refreshed`: the snapshot has another
   * one now. `not-needed`: it is none that could be refreshed. `failed`: the operator was told. Never rejects.
   */
  refreshNow(account: AccountFacts): Promise<'refreshed' | 'failed' | 'not-needed'>
}

/** How media that clients name by URL are fetched. */
export interface Fetching {
  guard: Guard
  /** PEM certificates trusted instead of the usual ones */
  ca?: string | undefined
  /** ms for all that a request names; default 10 s */
  withinMs?: number
}

export interface Gateway {
  /** replaced whole on reload */
  config: Config
  /** replaced whole when Postgres says so */
  snapshot: Snapshot
  readonly secret: Secret
  readonly store: Store
  readonly leases: Leases
  readonly places: Places
  readonly health: Health
  /** the same beside the road (choose/beside.ts) */
  readonly beside: Health
  readonly tokens: Tokens
  /** what was met at egress proxies, by this process */
  readonly egress: Egress
  /** who waits for a place at an account, of any group */
  readonly accountQueue: FairQueue<Occupied>
  /** sessions as this process bound them lately, oldest first */
  readonly bindings: Map<string, Binding>
  /** how many wait at accounts, by pool */
  readonly waitingAtPool: Map<string, number>
  readonly engine: Engine
  readonly silence: Silence
  readonly fetching: Fetching
  readonly wallet: Wallet
  readonly books: Books
  readonly outcomes: Outcomes
  /** undefined: OpenTelemetry is off */
  readonly tracing: Tracing | undefined
  /** who came with too many unknown keys */
  readonly brake: Brake
  readonly log: Logger
  /** Unix ms */
  readonly now: () => number
  /** every response under way; what a drain waits for */
  readonly live: Crowd<Downstream>
  /** who was chosen when, and who of many is next */
  readonly pools: Pools
  /** the process is ending: who comes on an open connection is answered for the last time */
  draining: boolean
  /** nobody new is let in: by an operator, until that is undone (`gw drain`), or since what is left is being ended */
  drained: boolean
}
