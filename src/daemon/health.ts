// Keeps the health of accounts in step with Postgres: what we learn is stored, what others learn or clear is heard.
import type { Logger } from 'pino'
import { setAccountStatus } from '../core/record/account.ts'
import { clearHealth, listHealth, saveHealth } from '../core/record/health.ts'
import type { Database } from '../db/connect.ts'
import { type Ears, HEALTH } from '../db/listen.ts'
import { besideHealth } from '../gateway/choose/beside.ts'
import { createHealth, type Health } from '../gateway/choose/health.ts'
import type { VerdictClass } from '../platform/verdict.ts'

export interface HealthKeeper {
  health: Health
  /** of routes beside the road: of this process alone, and in no table */
  beside: Health
  /** ejections by this process, by class of what the upstream said; `dead` is an account put in error */
  ejections: ReadonlyMap<VerdictClass | 'dead', number>
  /** The wall clock was set back by so much. */
  setBack(byMs: number): void
  close(): Promise<void>
}

/** `changed` is called whenever an account may have become choosable or stopped being so. */
export async function keepHealth(
  { db }: Pick<Database, 'db'>,
  ears: Ears,
  log: Logger,
  changed: () => void,
  now: () => number = Date.now,
): Promise<HealthKeeper> {
  // One write after the other: of two changes of one account the later must stand.
  let writing: Promise<unknown> = Promise.resolve()
  let changes = 0
  const write = (what: string, work: () => Promise<unknown>): Promise<void> => {
    changes++
    const done = writing.then(work).then(
      () => {},
      // Traffic goes on by what this process knows; it will be stored with the next change.
      (error: Error) => log.warn(`could not store ${what}: ${error.message}`),
    )
    writing = done
    return done
  }
  const ejections = new Map<VerdictClass | 'dead', number>()
  const count = (cls: VerdictClass | 'dead') => void ejections.set(cls, (ejections.get(cls) ?? 0) + 1)
  const dead = (account: number, reason: string) => {
    count('dead')
    log.error({ account_id: account, reason }, 'account put in error; gw account clear brings it back')
    void write('an account in error', () => setAccountStatus(db, account, 'error', reason))
  }
  const health = createHealth({
    random: Math.random,
    changed: a => {
      count(a.class)
      log.warn(
        {
          account_id: a.account,
          ...(a.model ? { model: a.model } : {}),
          class: a.class,
          reason: a.reason,
          until: new Date(a.until).toISOString(),
        },
        'account ejected',
      )
      changed()
      return write('an ejection', () =>
        saveHealth(db, {
          account_id: a.account,
          model: a.model,
          class: a.class,
          reason: a.reason,
          evidence: a.evidence,
          strikes: a.strikes,
          since: new Date(a.since),
          until: new Date(a.until),
          updated_at: new Date(a.at),
        }),
      )
    },
    cured: (account, model) => {
      log.info({ account_id: account, ...(model ? { model } : {}) }, 'account is well again')
      changed()
      void write('a recovery', () => clearHealth(db, account, model))
    },
    dead,
  })
  const own = createHealth({
    random: Math.random,
    changed: async a =>
      log.warn({ account_id: a.account, class: a.class, reason: a.reason }, 'account left alone for counting'),
    cured() {},
    dead,
  })
  const load = async () => {
    try {
      await writing
      const before = changes
      const rows = await listHealth(db, new Date(now()))
      // What was learnt meanwhile is not in what was read and must not be taken for cured; its own notification brings us back.
      if (before === changes) health.load(rows)
      changed()
    } catch (error) {
      log.warn(`could not read the health of accounts: ${(error as Error).message}`)
    }
  }
  let loading: Promise<void> = Promise.resolve()
  const loadNext = () => (loading = loading.then(load))
  await ears.hear(HEALTH, () => void loadNext())
  await loadNext()
  return {
    health,
    beside: besideHealth(own, health),
    ejections,
    setBack(byMs) {
      health.setBack(byMs)
      own.setBack(byMs)
      changed()
    },
    async close() {
      await writing
    },
  }
}
