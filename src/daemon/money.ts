// Keeps what this process knows of money in step with Postgres: loaded at start, and again for whom a command changed it.
import type { Logger } from 'pino'
import { loadFacts } from '../core/books/facts.ts'
import type { Database } from '../db/connect.ts'
import { type Ears, MONEY } from '../db/listen.ts'
import { Wallet } from '../gateway/admit/wallet.ts'
import type { Store } from '../store/store.ts'

/** How soon a store that was silent is told again. */
const LATE_MS = 2_000
/** Of more users than these it is cheaper to ask of all. */
const MANY = 10

export interface MoneyKeeper {
  wallet: Wallet
  /** Reads everything again after Postgres went back, as `Wallet.renew`; a store that is silent now hears of it later. */
  renew(): Promise<number>
  close(): Promise<void>
}

export async function keepMoney(options: {
  database: Pick<Database, 'db'>
  ears: Ears
  store: Store
  spoolId: string
  log: Logger
  /** told when Postgres says something older than it had said before */
  wentBack: (why: string) => void
}): Promise<MoneyKeeper> {
  const { database, ears, store, spoolId, log, wentBack } = options
  const wallet = new Wallet({
    store,
    spoolId,
    load: users => loadFacts(database.db, users),
    log: line => log.warn(line),
    wentBack,
  })
  const failed = (error: Error) => log.warn(`could not read balances: ${error.message}`)
  // One reading after the other; what is heard during one may have been missed by it. A statement may have changed many at once.
  const changed = new Set<number>()
  let anybody = false
  let reading = false
  const read = async () => {
    if (reading) return
    reading = true
    while (anybody || changed.size > 0) {
      const users = anybody || changed.size > MANY ? [undefined] : [...changed]
      anybody = false
      changed.clear()
      await Promise.all(users.map(user => wallet.refresh(user))).catch(failed)
    }
    reading = false
  }
  await ears.hear(MONEY, payload => {
    if (payload !== undefined && /^\d+$/.test(payload)) changed.add(Number(payload))
    else anybody = true
    void read()
  })
  await wallet.refresh()
  let late: NodeJS.Timeout | undefined
  async function renew(): Promise<number> {
    clearTimeout(late)
    const older = await wallet.renew()
    // A shared store that is silent has not heard, and would go by versions that are no more.
    if (store.trouble() !== undefined) late = setTimeout(renewLate, LATE_MS).unref()
    return older
  }
  function renewLate(): void {
    renew().catch(error => {
      failed(error)
      late = setTimeout(renewLate, LATE_MS).unref()
    })
  }
  return {
    wallet,
    renew,
    async close() {
      clearTimeout(late)
      wallet.close()
    },
  }
}
