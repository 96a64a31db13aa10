// What the rooms of the corridor share: everything a request meets that outlives it.
import type { Logger } from 'pino'
import type { Config } from '../config/schema.ts'
import type { Snapshot } from '../core/snapshot.ts'
import type { Spool } from '../core/spool.ts'
import type { Secret } from '../lib/secret.ts'
import type { Store } from '../store/store.ts'
import type { Downstream } from './downstream.ts'
import type { Engine } from './forward.ts'
import type { Outcomes } from './outcomes.ts'

export interface Gateway {
  /** replaced whole on reload */
  config: Config
  /** replaced whole when Postgres says so */
  snapshot: Snapshot
  readonly secret: Secret
  readonly store: Store
  readonly engine: Engine
  readonly spool: Spool
  readonly outcomes: Outcomes
  readonly log: Logger
  /** Unix ms */
  readonly now: () => number
  /** every response under way; what a drain waits for */
  readonly live: Set<Downstream>
  /** when each account was last chosen, as a growing number: breaks ties */
  readonly chosen: Map<number, number>
  draining: boolean
}
