// Reads providers' lists of models, of accounts that have no mapping of their own: now and then, and soon after one was added or changed.
import { dueCatalogues, hastenCatalogues } from '../core/record/catalogue.ts'
import type { Snapshot } from '../core/snapshot.ts'
import { listing, RETRY_MS, type ReadingWorld, refreshCatalogue } from '../platform/catalogue.ts'
import type { OwnJob } from './jobs.ts'

/** How soon an account is found that was added or got another credential. */
const LOOK_MS = 5_000
/** Asked at once. */
const PARALLEL = 5

/**
 * The job. Each account is asked by one of all nodes: who asks has a lease of its row, as with tokens, so that no connection to
 * Postgres waits for a provider.
 */
export function keepCatalogues(
  world: Omit<ReadingWorld, 'leaving'> & { log: (level: 'info' | 'warn', line: string) => void },
  options: { snapshot: () => Snapshot; everyMs: () => number },
): OwnJob {
  const { db, log } = world
  let followed: number | undefined
  return {
    name: 'model lists',
    everyMs: LOOK_MS,
    atStart: true,
    async run(leaving) {
      const everyMs = options.everyMs()
      if (everyMs === 0) return
      if (everyMs !== followed) {
        await hastenCatalogues(db, { everyMs, retryMs: RETRY_MS })
        followed = everyMs
      }
      const due = await dueCatalogues(db, listing)
      const next = due[Symbol.iterator]()
      const worker = async () => {
        for (const id of next) {
          if (leaving.aborted) return
          const read = await refreshCatalogue({ ...world, leaving }, id, { everyMs })
          const name = options.snapshot().accounts.get(id)?.name ?? `number ${id}`
          if (read.result === 'changed') log('info', `account ${name}: its provider lists ${read.models} models`)
          // Once a spell, not at every try.
          if (read.result === 'failed' && read.first)
            log('warn', `account ${name}: its provider's list of models cannot be read: ${read.problem}`)
        }
      }
      await Promise.all(Array.from({ length: Math.min(PARALLEL, due.length) }, worker))
    },
  }
}
