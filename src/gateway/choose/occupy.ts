// Occupy: a place at the best account there is, or a wait for any of them, in fair order between users.
import type { Outcome } from '../../core/outcome.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { Failure } from '../../lib/failure.ts'
import type { Lease } from '../admit/leases.ts'
import { accountOfSlot, accountSlot, poolOfGroup } from '../admit/places.ts'
import type { Downstream } from '../answer/downstream.ts'
import { accountsOf, type Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import { type Candidate, reasons, type Selection, select } from './select.ts'

/** An account with a place held at it. */
export interface Occupied {
  candidate: Candidate
  lease: Lease
  selection: Selection
  /** Unix ms when it was chosen */
  since: number
  /** gives it back unused */
  undo(): void
}

export interface OccupyOptions {
  gw: Gateway
  call: Call
  caller: Caller
  down: Downstream
  outcome: Outcome
  /** accounts this request has tried */
  excluded: ReadonlySet<number>
  sticky: number | undefined
  /** what to say when no account is left; undefined before the first was tried */
  exhausted: (soonest: number | undefined) => Failure | undefined
  /** requests under way at the caller's accounts, when that is known already */
  held?: number[] | undefined
}

let choices = 0

/**
 * Chooses and takes. Waiting is on the whole candidate set: whatever comes free first, and is fairly this request's, serves it.
 * @throws Failure NO_UPSTREAM, ALL_RATE_LIMITED, QUEUE_FULL, ACCOUNT_TIMEOUT, or what `exhausted` says
 */
export async function occupy(options: OccupyOptions): Promise<Occupied> {
  const { gw, caller, down, outcome } = options
  const first = await look(options, options.held)
  if (first) return first

  const { config } = gw
  const pool = poolOf(caller)
  const seats = config['queue.account_seats'] * Math.max(1, accountsOf(gw, caller).length)
  const ahead = gw.waitingAtPool.get(pool) ?? 0
  const expect = () => gw.places.expect(pool, capacity(accountsOf(gw, caller)), ahead)
  // Each user has seats of its own: a hog that fills them all must not keep the others out.
  if (gw.accountQueue.count(caller.user.id) >= seats)
    throw new Failure('QUEUE_FULL', [seats], { retryAfterMs: expect() })

  const { model } = options.call.peek
  outcome.phase = 'queueing'
  outcome.waitingSince = gw.now()
  const waiting = gw.accountQueue.join({
    flow: caller.user.id,
    pool: `${pool}:${model}`,
    wants: key => {
      const id = accountOfSlot(key)
      return (
        id !== undefined &&
        accountsOf(gw, caller)
          .find(a => a.id === id)
          ?.models(model) !== undefined
      )
    },
    skips: key => options.excluded.size > 0 && options.excluded.has(accountOfSlot(key)!),
    attempt(key) {
      if (key !== undefined) return takeFreed(options, key)
      // Before the look: what another process gives back after it is told to this one.
      gw.store.want(accountsOf(gw, caller).map(a => accountSlot(a.id)))
      return look(options)
    },
  })
  gw.waitingAtPool.set(pool, ahead + 1)
  const timer = setTimeout(
    () => waiting.leave(new Failure('ACCOUNT_TIMEOUT', [], { retryAfterMs: expect() })),
    config['queue.wait'],
  )
  down.watcher = { interrupted: why => waiting.leave(why) }
  if (down.interrupted) waiting.leave(down.interrupted)
  waiting.look()
  try {
    return await waiting.result
  } finally {
    clearTimeout(timer)
    down.watcher = undefined
    outcome.waitedMs += gw.now() - outcome.waitingSince
    outcome.waitingSince = 0
    const left = gw.waitingAtPool.get(pool)! - 1
    if (left === 0) gw.waitingAtPool.delete(pool)
    else gw.waitingAtPool.set(pool, left)
  }
}

/** The accounts that a caller competes for, as a key. */
export const poolOf = (caller: Caller): string => poolOfGroup(caller.group?.id ?? caller.platform)

function capacity(accounts: readonly AccountFacts[]): number {
  return accounts.reduce((sum, account) => sum + Math.max(0, account.concurrency), 0)
}

async function look(options: OccupyOptions, known?: number[]): Promise<Occupied | undefined> {
  const { gw, call, caller, outcome, excluded, sticky } = options
  const accounts = accountsOf(gw, caller)
  const held = known ?? (await gw.store.held(accounts.map(a => accountSlot(a.id))))
  const selection = select({
    accounts,
    model: call.peek.model,
    now: gw.now(),
    excluded,
    held,
    chosen: gw.chosen,
    sticky,
    veto: gw.health.veto,
  })
  outcome.selection = selection.record
  const full = new Set(selection.full)
  for (const candidate of selection.ranked) {
    const occupied = await take(options, candidate, { ...selection, full })
    if (occupied) return occupied
    // Somebody was faster.
    full.add(candidate.account.id)
  }
  // Ranked, but taken before we could: as good as full.
  if (selection.waitable || selection.ranked.length > 0) return undefined
  const failure = options.exhausted(selection.soonest)
  if (failure) throw failure
  if (selection.soonest !== undefined)
    throw new Failure('ALL_RATE_LIMITED', [], { retryAfterMs: selection.soonest - gw.now() })
  throw new Failure('NO_UPSTREAM', [reasons(selection.record)])
}

/** The place that just came free, without asking about the others: synchronous up to the store. */
async function takeFreed(options: OccupyOptions, key: string): Promise<Occupied | undefined> {
  const { gw, call, caller, excluded, sticky } = options
  const { model } = call.peek
  const id = accountOfSlot(key)
  const account = accountsOf(gw, caller).find(a => a.id === id)
  if (!account) return undefined
  // The account of its session is no choice here, but whether it is well decides if this is only a spill-over.
  const home = accountsOf(gw, caller).find(a => a.id === sticky && a !== account)
  const selection = select({
    accounts: home ? [account, home] : [account],
    model,
    now: gw.now(),
    excluded,
    held: [0, Number.POSITIVE_INFINITY],
    chosen: gw.chosen,
    sticky,
    veto: gw.health.veto,
  })
  const candidate = selection.ranked.find(c => c.account === account)
  return candidate && take(options, candidate, selection)
}

async function take(
  { gw, call, down, outcome }: OccupyOptions,
  candidate: Candidate,
  selection: Selection,
): Promise<Occupied | undefined> {
  const { account } = candidate
  const { model } = call.peek
  const lease = await gw.leases.take(accountSlot(account.id), outcome.id, account.concurrency, down)
  if (!lease) return undefined
  // It may have been refused while we took the place; a waiter woken by its release must not follow into it.
  if (gw.health.veto(account.id, model, gw.now()) || down.interrupted) {
    lease.release()
    return undefined
  }
  const since = gw.now()
  gw.health.chosen(account.id, model, since)
  gw.chosen.set(account.id, ++choices)
  const undo = () => {
    gw.health.unclear(account.id, model, since)
    lease.release()
  }
  return { candidate, lease, selection, since, undo }
}
