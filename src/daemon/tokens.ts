// Keeps the tokens of OAuth accounts fresh: ahead of their end, and at once when an upstream says that one is over.
import { setTimeout as sleep } from 'node:timers/promises'
import { readOauth, refreshable } from '../core/oauth/credential.ts'
import { createRefresh, type Refreshed, type RefreshWorld } from '../core/oauth/refresh.ts'
import { dueTokens, noteUnknown } from '../core/record/token.ts'
import { type AccountFacts, credentialOf, type Snapshot } from '../core/snapshot.ts'
import type { Tokens } from '../gateway/gateway.ts'
import type { OwnJob } from './jobs.ts'

/** Refreshed at once. */
const PARALLEL = 5
// How long after a refresh the snapshot is waited for: it comes with Postgres' notification.
const IN_FORCE_MS = 5_000

export interface TokenKeeper extends Tokens {
  /** how refreshes of this process ended, since it began */
  readonly counts: ReadonlyMap<string, number>
  readonly job: OwnJob
  /** Waits for what is under way: a refresh token that was shown must not be lost. */
  close(): Promise<void>
}

export function keepTokens(
  world: RefreshWorld,
  options: { snapshot: () => Snapshot; everyMs: number; beforeMs: () => number },
): TokenKeeper {
  const { db, log } = world
  const counts = new Map<string, number>()
  const told = new Map<number, string>()
  const refreshing = createRefresh({ ...world, ended })
  const under = new Set<Promise<unknown>>()
  const refresh: typeof refreshing = (id, how) => {
    const one = refreshing(id, how)
    under.add(one)
    void one.finally(() => under.delete(one))
    return one
  }

  function ended(id: number, how: Refreshed): void {
    const name = options.snapshot().accounts.get(id)?.name ?? `number ${id}`
    if (how.result !== 'failed') told.delete(id)
    if (how.by === 'others') return
    const result = how.result !== 'failed' ? how.result : how.definite ? 'expired' : 'failed'
    counts.set(result, (counts.get(result) ?? 0) + 1)
    if (how.result !== 'failed') log('info', `account ${name}: its token is refreshed`)
    else {
      // Once for each reason, not at every try.
      if (told.get(id) !== how.reason) log('warn', `account ${name}: ${how.reason}`)
      told.set(id, how.reason)
    }
  }

  return {
    counts,
    async close() {
      await Promise.all(under)
    },
    async refreshNow(account) {
      const stale = accessOf(account)
      // Without all that a refresh takes the upstream's word stands as it is.
      if (stale === undefined || !canRefresh(account)) return 'not-needed'
      const { result } = await refresh(account.id, { stale })
      if (result !== 'refreshed') return result
      for (const until = performance.now() + IN_FORCE_MS; performance.now() < until; await sleep(5)) {
        const now = options.snapshot().accounts.get(account.id)
        if (!now) return 'failed'
        if (accessOf(now) !== stale) return 'refreshed'
      }
      return 'failed'
    },
    job: {
      name: 'token refresh',
      everyMs: options.everyMs,
      atStart: true,
      async run(leaving) {
        const due = await dueTokens(db, options.beforeMs())
        const next = due[Symbol.iterator]()
        const worker = async () => {
          for (const { id, noted } of next) {
            if (leaving.aborted) return
            await (noted ? refresh(id) : noteUnknown(db, world.secret, id))
          }
        }
        await Promise.all(Array.from({ length: Math.min(PARALLEL, due.length) }, worker))
      },
    },
  }
}

function canRefresh(account: AccountFacts): boolean {
  const credential = readOauth(credentialOf(account).reveal())
  return typeof credential !== 'string' && refreshable(credential)
}

/** The access token that an account has, '' when it has none yet; undefined when it is none that can be refreshed. */
function accessOf(account: AccountFacts): string | undefined {
  if (account.type !== 'oauth') return undefined
  const credential = readOauth(credentialOf(account).reveal())
  return typeof credential === 'string' ? undefined : credential.access
}
