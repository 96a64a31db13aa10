// The mover: lines go to Postgres in a thread of its own, which is started when it is needed and again when it ends.
import { getCompileCacheDir } from 'node:module'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { portable } from '../../db/server.ts'
import type { Booked } from './book.ts'
import type { Moved } from './move.ts'
import type { Stretch } from './segment.ts'
import type { Order, Report, WorkerSettings } from './worker.ts'

export interface Mover {
  /** Makes ready what the first order will need; without it that takes longer. */
  start(): void
  /**
   * Books all lines of the stretches, in their order; `told` hears of every batch.
   * @throws what keeps the rest, for now; what was told is behind us all the same
   */
  move(stretches: Stretch[], told: (moved: Moved) => void): Promise<void>
  /** Books lines that no disk has. @throws as `move`, or as `isBadRow` knows it when a line is at fault */
  book(lines: readonly string[]): Promise<Booked>
  /** Ends after the batch under way, or after so many ms (default 5 s): then nobody knows what became of it, and it is sent again. */
  close(withinMs?: number): Promise<void>
}

const CLOSE_MS = 5_000

interface Call {
  told: (moved: Moved) => void
  done: (booked: Booked | undefined) => void
  failed: (error: Error) => void
  /** fires when nothing was heard for too long */
  late: NodeJS.Timeout
}

/** @param patienceMs without an answer in that time a batch is sent again, which is safe */
export function openMover({ connection, ...rest }: WorkerSettings, patienceMs = 30_000): Mover {
  // How values are read is a function, which no thread can be given.
  const settings: WorkerSettings = { connection: portable(connection), ...rest }
  // Named as this file is: .ts as it stands, .js when it was built.
  const script = new URL(import.meta.url.replace(/mover(\.\w+)$/, 'worker$1'))
  const calls = new Map<number, Call>()
  let worker: Worker | undefined
  let calledSoFar = 0
  let closed = false

  function start(): Worker {
    if (worker) return worker
    // Batches are read and forgotten: more room for them would only take longer to be used up.
    const resourceLimits = { maxYoungGenerationSizeMb: 16 }
    const fresh = new Worker(script, {
      workerData: settings,
      name: 'gw books',
      execArgv: [],
      env: environment(),
      resourceLimits,
    })
    worker = fresh
    let why = 'the thread that books has ended'
    fresh.on('message', hear)
    fresh.on('error', error => {
      why = `the thread that books has ended: ${(error as Error).message}`
    })
    fresh.once('exit', () => {
      if (worker === fresh) lose(new Error(why))
    })
    return fresh
  }

  function hear(report: Report): void {
    const call = calls.get(report.id)
    if (!call) return
    call.late.refresh()
    if ('moved' in report) {
      call.told(report.moved)
      return
    }
    calls.delete(report.id)
    clearTimeout(call.late)
    if ('done' in report) call.done(report.booked)
    else {
      const { failed, code, constraint } = report
      call.failed(Object.assign(new Error(failed), { code, constraint }))
    }
  }

  /** What it had under way is sent again, to another one. */
  function lose(error: Error): void {
    worker = undefined
    for (const { failed, late } of calls.values()) {
      clearTimeout(late)
      failed(error)
    }
    calls.clear()
  }

  function call(order: { move: Stretch[] } | { book: string[] }, told: Call['told']): Promise<Booked | undefined> {
    if (closed) return Promise.reject(new Error('the books are closed'))
    const busy = start()
    const id = ++calledSoFar
    return new Promise((done, failed) => {
      const late = setTimeout(() => {
        lose(new Error(`no answer within ${patienceMs} ms`))
        void busy.terminate()
      }, patienceMs).unref()
      calls.set(id, { told, done, failed, late })
      busy.postMessage({ id, ...order } satisfies Order)
    })
  }

  return {
    start: () => void (closed || start()),
    async move(stretches, told) {
      await call({ move: stretches }, told)
    },
    book: async lines => (await call({ book: [...lines] }, () => {}))!,
    async close(withinMs = CLOSE_MS) {
      closed = true
      const last = worker
      if (!last) return
      const ended = new Promise(resolve => last.once('exit', resolve))
      last.postMessage({ close: true } satisfies Order)
      const late = setTimeout(() => void last.terminate(), withinMs)
      await ended
      clearTimeout(late)
    },
  }
}

/**
 * Without the options of this process, which would have it load what it does not need; and with the cache of compiled modules,
 * which a thread does not inherit: without, it takes three times as long to start, and 50 MB more.
 */
function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...env } = process.env
  const cache = getCompileCacheDir()
  if (cache !== undefined) env['NODE_COMPILE_CACHE'] = path.dirname(cache)
  return env
}
