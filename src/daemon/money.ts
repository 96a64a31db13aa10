// Keeps what this process knows of money in step with Postgres: loaded at start, and again for whom a command changed it.
import type { Logger } from 'pino'
import { loadFacts } from '../core/books/facts.ts'
import type { Database } from '../db/connect.ts'
import { type Ears, MONEY } from '../db/listen.ts'
import { Wallet } from '../gateway/admit/wallet.ts'
import type { Store } from '../store/store.ts'

export interface MoneyKeeper {
  wallet: Wallet
  close(): Promise<void>
}

export async function keepMoney(options: {
  database: Pick<Database, 'db'>
  ears: Ears
  store: Store
  spoolId: string
  log: Logger
}): Promise<MoneyKeeper> {
  const { database, ears, store, spoolId, log } = options
  const wallet = new Wallet({
    store,
    spoolId,
    load: users => loadFacts(database.db, users),
    log: line => log.warn(line),
  })
  const failed = (error: Error) => log.warn(`could not read balances: ${error.message}`)
  // Of all of them, one reading after the other; what is heard during one may have been missed by it.
  let reading = false
  let again = false
  const readAll = async () => {
    again = reading
    if (reading) return
    reading = true
    await wallet.refresh().catch(failed)
    reading = false
    if (again) void readAll()
  }
  await ears.hear(MONEY, payload => {
    if (payload !== undefined && /^\d+$/.test(payload)) void wallet.refresh(Number(payload)).catch(failed)
    else void readAll()
  })
  await wallet.refresh()
  return {
    wallet,
    async close() {
      wallet.close()
    },
  }
}
