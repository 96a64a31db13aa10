// Keeps what this process knows of money in step with Postgres: loaded at start, and again for whom a command changed it.
import type { Logger } from 'pino'
import { loadFacts } from '../core/books/facts.ts'
import type { Database } from '../db/connect.ts'
import { listen, MONEY } from '../db/listen.ts'
import { Wallet } from '../gateway/admit/wallet.ts'
import type { Store } from '../store/store.ts'

export interface MoneyKeeper {
  wallet: Wallet
  close(): Promise<void>
}

export async function keepMoney(options: {
  database: Database
  store: Store
  spoolId: string
  log: Logger
}): Promise<MoneyKeeper> {
  const { database, store, spoolId, log } = options
  const wallet = new Wallet({
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
      wallet.refresh(user).catch((error: Error) => log.warn(`could not read balances: ${error.message}`))
    },
    (level, line) => log[level](line),
  )
  await wallet.refresh()
  return {
    wallet,
    async close() {
      wallet.close()
      await ears.close()
    },
  }
}
