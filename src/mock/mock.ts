// What the scripted provider does for whoever holds it.
import type { Stats } from './stats.ts'
import type { Step } from './step.ts'

export interface MockOptions {
  /** Default 127.0.0.1. */
  host?: string
  /** Default 0: any free one. */
  port?: number
  /** Path of a unix socket to listen on, instead of host and port. */
  socket?: string
  /** Milliseconds; gives the times in the stats. Default `Date.now`. Delays always run on the real clock. */
  now?: () => number
  /** Whether requests are recorded one by one, with digests. Default true; sums are kept either way. */
  record?: boolean
  /** How many records stay, per credential and in total. Default 100. */
  keep?: number
}

export interface Mock {
  /** Like http://127.0.0.1:PORT; `unix:PATH` on a unix socket. */
  url: string
  /** 0 on a unix socket. */
  port: number
  /**
   * Sets what the credential does: steps are used one after the other, the last repeats for ever. `'*'` is every
   * credential without a script of its own; they share its steps.
   * @throws TypeError when a step is not right, naming the field.
   */
  script(credential: string, steps: Step | Step[]): void
  /** Totals, or those of one credential. */
  stats(credential?: string): Stats
  /**
   * Resolves when the predicate holds, which is asked at every change.
   * @throws Error after `timeoutMs` (30 000) or when the mock closes, telling the sums it saw last.
   */
  until(predicate: (stats: Stats) => boolean, credential?: string, timeoutMs?: number): Promise<Stats>
  /** Lets go of the requests that wait at a `hold` point now. */
  release(credential?: string): void
  /** Switches recording on or off. */
  record(on: boolean): void
  /** Forgets scripts and stats; lets go of the requests that wait. */
  reset(): void
  /** Stops listening and breaks the connections that are open. */
  close(): Promise<void>
}
