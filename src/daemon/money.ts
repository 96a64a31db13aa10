// Keeps what this process knows of money in step with Postgres: loaded at start, and again for whom a command changed it.
import type { Logger } from 'pino'
import { loadFacts } from '../core/books/purse.ts'
import type { Database } from '../db/connect.ts'
import { listen, MONEY } from '../db/listen.ts'
import { createPurses, type Purses } from '../gateway/admit/wallet.ts'
import type { Store } from '../store/store.ts'

export interface MoneyKeeper {
  purses: Purses
  close(): Promise<void>
}

export async function keepMoney(options: {
  database: Database
  store: Store
  spoolId: string
  log: Logger
}): Promise<MoneyKeeper> {
  const { database, store, spoolId, log } = options
  const purses = createPurses({
    store,
    spoolId,
    load: users => loadFacts(database.db, users),
    log: line => log.warn(line),
  })
  const ears = await listen(
    database.connection,
    MONEY,
    payload => {
      const user = /^\d+$/.test(payload) ? Number(payload) : undefined
      purses.refresh(user).catch((error: Error) => log.warn(`could not read balances: ${error.message}`))
    },
    (level, line) => log[level](line),
  )
  await purses.refresh()
  return {
    purses,
    async close() {
      purses.close()
      await ears.close()
    },
  }
}
