// The book: follows every request from its head to its end, and keeps the sums.
import { createHash, type Hash, hash } from 'node:crypto'
import type { Head } from './call.ts'
import type { Made } from './script.ts'
import {
  type Counted,
  emptySums,
  noCounts,
  type Outcome,
  type Row,
  type Stats,
  type Sums,
  statsOf,
  viewOf,
} from './stats.ts'
import type { Counts, Usage } from './step.ts'

export interface BookOptions {
  now: () => number
  /** Whether requests are recorded one by one. Sums are kept always. */
  record: boolean
  /** How many records stay, per credential and in total. */
  keep: number
}

/** The page of one request. Once it has ended, nothing more is written on it. */
export interface Page {
  body(bytes: Buffer, model: string, stream: boolean): void
  /** The response head is out. */
  head(status: number): void
  /** A part of the response body is out. */
  sent(bytes: Buffer): void
  /** An event is out in full. */
  event(): void
  /** Everything is out: short for `head`, `sent`, `event` and `end`. */
  whole(made: Made): void
  holds(): void
  goesOn(): void
  unexpected(): void
  counts(what: Counted): void
  end(outcome: Exclude<Outcome, 'open'>, usage: Usage | null): void
}

export interface Book {
  record: boolean
  begin(head: Head, id: string, connection: number): Page
  stats(credential?: string): Stats
  until(predicate: (stats: Stats) => boolean, credential?: string, timeoutMs?: number): Promise<Stats>
  reset(): void
  /** Rejects everybody who still waits. */
  close(): void
}

export function createBook(options: BookOptions): Book {
  let total = emptySums()
  let byCredential = new Map<string, Sums>()
  const sumsOf = (credential?: string) =>
    credential === undefined ? total : (byCredential.get(credential) ?? emptySums())
  const waiters = new Set<Waiter>()
  const changed = () => {
    for (const waiter of waiters) waiter.check()
  }

  const book: Book = {
    record: options.record,
    stats(credential) {
      return statsOf(sumsOf(credential))
    },
    begin(head, id, connection) {
      const own = byCredential.get(head.credential) ?? emptySums()
      byCredential.set(head.credential, own)
      const row = book.record ? firstSight(head, id, connection, options.now()) : null
      return openPage([total, own], row, options, changed)
    },
    until(predicate, credential, timeoutMs = 30_000) {
      return new Promise((resolve, reject) => {
        const settle = (then: () => void) => {
          clearTimeout(timer)
          waiters.delete(waiter)
          then()
        }
        const waiter: Waiter = {
          check() {
            try {
              if (predicate(viewOf(sumsOf(credential)))) settle(() => resolve(book.stats(credential)))
            } catch (error) {
              settle(() => reject(error))
            }
          },
          giveUp(why) {
            const { bodies: _, ...sums } = book.stats(credential)
            const error = new Error(`mock: ${why}: ${predicate} does not hold for ${JSON.stringify(sums)}`)
            settle(() => reject(error))
          },
        }
        const timer = setTimeout(() => waiter.giveUp(`waited ${timeoutMs} ms in vain`), timeoutMs)
        waiters.add(waiter)
        waiter.check()
      })
    },
    reset() {
      // Requests that are still open go on writing to the old sums, so they cannot push the new ones below zero.
      total = emptySums()
      byCredential = new Map()
      changed()
    },
    close() {
      for (const waiter of waiters) waiter.giveUp('closed while waiting')
    },
  }
  return book
}

interface Waiter {
  check(): void
  giveUp(why: string): void
}

const bodyKeptBytes = 65_536
const noBody = Buffer.alloc(0)

function firstSight(
  { credential, method, path, query, headers }: Head,
  id: string,
  connection: number,
  at: number,
): Row {
  const asked = { id, credential, method, path, query, headers, connection, at, model: '', stream: false }
  const body = { bytes: 0, sha256: '' }
  const answered = { status: null, events: 0, outcome: 'open' as const, closedAt: null }
  return { seen: { ...asked, ...body, ...answered, responseBytes: 0, responseSha256: '', usage: null }, raw: noBody }
}

function openPage(sums: Sums[], row: Row | null, { now, keep }: BookOptions, changed: () => void): Page {
  let open = true
  let digest: Hash | null = null
  const seen = row?.seen
  for (const sum of sums) {
    sum.requests++
    sum.maxConcurrency = Math.max(sum.maxConcurrency, ++sum.inFlight)
    if (row && sum.rows.push(row) > keep) sum.rows.shift()
  }
  changed()

  const count = (field: 'holding' | 'unexpected' | Counted, by: 1 | -1) => {
    for (const sum of sums) sum[field] += by
    changed()
  }
  const page: Page = {
    body(bytes, model, stream) {
      if (!row || !seen) return
      row.raw = bytes.length > bodyKeptBytes ? null : bytes
      seen.model = model
      seen.stream = stream
      seen.bytes = bytes.length
      seen.sha256 = hash('sha256', bytes)
    },
    head(status) {
      if (seen) seen.status = status
      for (const sum of sums) sum.statuses[status] = (sum.statuses[status] ?? 0) + 1
      changed()
    },
    sent(bytes) {
      if (!seen || !open) return
      digest ??= createHash('sha256')
      digest.update(bytes)
      seen.responseBytes += bytes.length
    },
    event() {
      if (!seen || !open) return
      seen.events++
      changed()
    },
    whole(made) {
      for (const sum of sums) sum.statuses[made.reply.status] = (sum.statuses[made.reply.status] ?? 0) + 1
      if (seen) {
        // Remembered with the reply: the same bytes go out again and again.
        made.sha256 ??= hash('sha256', made.bytes)
        seen.status = made.reply.status
        seen.events = made.reply.pieces.length
        seen.responseBytes = made.bytes.length
        seen.responseSha256 = made.sha256
      }
      page.end('completed', made.reply.usage)
    },
    holds: () => count('holding', 1),
    goesOn: () => count('holding', -1),
    unexpected: () => count('unexpected', 1),
    counts: what => count(what, 1),
    end(outcome, usage) {
      if (!open) return
      open = false
      const at = now()
      for (const sum of sums) {
        sum.inFlight--
        sum[outcome]++
        sum.closedAt = at
        if (outcome === 'aborted') sum.lastAbortAt = at
        if (usage) add(sum.billed, usage)
      }
      if (seen) {
        seen.outcome = outcome
        seen.usage = usage
        seen.closedAt = at
        if (digest) seen.responseSha256 = digest.digest('hex')
      }
      changed()
    },
  }
  return page
}

function add(billed: Stats['billed'], usage: Usage): void {
  billed.requests++
  for (const field of Object.keys(noCounts) as (keyof Counts)[]) billed[field] += usage[field]
}
