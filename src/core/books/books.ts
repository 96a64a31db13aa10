// Books: what a request used goes line → spool → till → book → wallet; this is the one face of that way.
import type pg from 'pg'
import type { Booked } from './book.ts'
import type { UsageLine } from './line.ts'
import { openMover } from './mover.ts'
import { refusedCount } from './refused.ts'
import { openSpool, type SpoolOptions } from './spool.ts'
import { openTill, type TillOptions } from './till.ts'

export interface Books {
  /**
   * Takes the line of a request. When it returns the line survives the death of this process, unless `closed()` says why not.
   * It is in Postgres soon, once. Never throws.
   */
  settle(line: string): void
  /** Why no request should be begun now, in words; undefined when all is well. */
  closed(): string | undefined
  state(): BooksState
  /** Books again what is still on disk, after Postgres went back; what it has is left as it is. @returns how many lines */
  rewind(): Promise<number>
  /** Moves all there is; resolves when nothing waits or `deadlineMs` has passed. */
  drain(deadlineMs: number): Promise<void>
  /** Stops after the batch under way, or after so many ms (default 5 s); what is left stays on disk for the next start. */
  close(withinMs?: number): Promise<void>
}

export interface BooksState {
  /** lines not yet in Postgres */
  waiting: number
  /** when the oldest of them came, Unix ms, to a second; undefined: there are none */
  oldest: number | undefined
  /** what keeps them from it */
  error: string | undefined
  /** what is wrong with the disk, whatever the policy says */
  trouble: string | undefined
  /** lines that were set aside and wait for an operator */
  refused: number
}

/** Who has put aside what is not booked yet. */
export interface Payers {
  /** A line that an earlier run left is not booked either; told before anything is. */
  inherit(line: UsageLine): void
  /** A batch is in Postgres; told once of each line. */
  heard(booked: Booked): void
  /** A line is not booked by itself any more. */
  forget(line: UsageLine): void
}

export interface BooksOptions {
  /** of the spool; it belongs to one process at a time */
  folder: string
  /** where lines are set aside that cannot be read, or that Postgres will never take */
  refusedFile: string
  /** to Postgres; the books have their own, in a thread of its own */
  connection: pg.ClientConfig
  /** of subscription windows */
  timezone: string
  /** rows a batch at most */
  batch: number
  /** as in `SpoolOptions` */
  kept?: SpoolOptions['kept']
  /** how long rows may wait for company, ms */
  intervalMs: number
  /** live settings */
  policy: TillOptions['policy']
  payers: Payers
  log: (level: 'info' | 'warn' | 'error', line: string) => void
}

const CLOSE_MS = 5_000

export function openBooks({ folder, kept, payers, policy, intervalMs, log, ...rest }: BooksOptions): Books {
  const mover = openMover(rest)
  const refusedNow = refusedCount(rest.refusedFile)
  const refused = (line: UsageLine) => payers.forget(line)
  const spool = openSpool({
    folder,
    kept,
    intervalMs,
    mover,
    booked: booked => payers.heard(booked),
    inherited: line => payers.inherit(line),
    refused,
    log,
  })
  const book = async (lines: readonly string[]) => payers.heard(await mover.book(lines))
  const till = openTill({ spool, folder, refusedFile: rest.refusedFile, policy, book, refused, log })
  return {
    settle: till.take,
    closed: till.closed,
    state: () => ({ ...spool.state(), trouble: till.trouble(), refused: refusedNow() }),
    rewind: spool.rewind,
    drain: spool.drain,
    async close(withinMs = CLOSE_MS) {
      const begun = performance.now()
      await till.close(withinMs / 2)
      await spool.close(Math.max(0, withinMs - (performance.now() - begun)))
    },
  }
}
