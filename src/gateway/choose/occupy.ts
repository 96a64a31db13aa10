// Occupy: a place at the best account there is, or a wait for any of them, in fair order between users.
import type { Outcome, VetoRecord } from '../../core/outcome.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { Failure } from '../../lib/failure.ts'
import { accountOfSlot, accountSlot, poolOfGroup } from '../admit/places.ts'
import type { Downstream } from '../answer/downstream.ts'
import { accountsOf, type Caller } from '../enter/authenticate.ts'
import type { Call } from '../enter/receive.ts'
import type { Gateway } from '../gateway.ts'
import { unhealthy } from './available.ts'
import { healthFor, isBeside, noPlace } from './beside.ts'
import type { Occupied } from './occupied.ts'
import { allOut, type Out } from './out.ts'
import { FEW, findAccount } from './pool.ts'
import { type Candidate, reasons, type SelectFacts, type Selection, select } from './select.ts'

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
  exhausted: (out: Out | undefined) => Failure | undefined
  /** what was seen of the caller's accounts a moment ago */
  seen?: Glance | undefined
}

/** Accounts to choose from, and the requests under way at each. */
export interface Glance {
  /** all that the caller may use: what was seen is true of these */
  of: readonly AccountFacts[]
  accounts: readonly AccountFacts[]
  held: readonly number[]
  /** none of the others could serve now, but one may at any moment */
  waitable: boolean
  /** of the others, the first that were out */
  passed?: VetoRecord[] | undefined
}

/**
 * Chooses and takes. Waiting is on the whole candidate set: whatever comes free first, and is fairly this request's, serves it.
 * @throws Failure NO_UPSTREAM, what `allOut` says, MODEL_NOT_FOUND, QUEUE_FULL, ACCOUNT_TIMEOUT, or what `exhausted` says
 */
export async function occupy(options: OccupyOptions): Promise<Occupied> {
  const { gw, caller, down, outcome } = options
  if (isBeside(options.call)) return pick(options)
  // Who waits is looking again, since a limit was raised, say: whoever comes now stands behind.
  const { looking } = gw.accountQueue
  const first = looking ? undefined : await look(options, options.seen)
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
      const account = findAccount(accountsOf(gw, caller), accountOfSlot(key))
      return account?.models(model) !== undefined
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
  if (looking) void looking.then(() => waiting.look())
  else waiting.look()
  try {
    return await waiting.result
  } finally {
    clearTimeout(timer)
    down.watcher = undefined
    outcome.waited('account', gw.now())
    const left = gw.waitingAtPool.get(pool)! - 1
    if (left === 0) gw.waitingAtPool.delete(pool)
    else gw.waitingAtPool.set(pool, left)
  }
}

/** The accounts that a caller competes for, as a key. */
export const poolOf = (caller: Caller): string => poolOfGroup(poolKey(caller))

/** A group's id, the platform of those in none, or both where a route asks for one platform of a group that has several. */
function poolKey({ group, platform }: Caller): number | string {
  if (!group) return platform
  return group.platform === platform ? group.id : `${group.id}/${platform}`
}

function capacity(accounts: readonly AccountFacts[]): number {
  return accounts.reduce((sum, account) => sum + Math.max(0, account.concurrency), 0)
}

/**
 * All accounts of the caller or, where they are many, those that look best from here: what other processes hold is asked of
 * the store for these only. @returns who they are and what is held at them
 */
export async function glance(gw: Gateway, call: Call, caller: Caller, excluded: ReadonlySet<number>): Promise<Glance> {
  const of = accountsOf(gw, caller)
  if (of.length <= FEW) return { of, accounts: of, held: await heldAt(gw, of), waitable: false }
  const asked = { model: call.peek.model, now: gw.now(), veto: healthFor(gw, call).veto, egress: gw.egress }
  const { accounts, waitable, passed } = gw.pools.shortlist(poolKey(caller), of, asked, excluded)
  return { of, accounts, held: accounts.length === 0 ? [] : await heldAt(gw, accounts), waitable, passed }
}

const heldAt = (gw: Gateway, accounts: readonly AccountFacts[]) => gw.store.held(accounts.map(a => accountSlot(a.id)))

async function look(options: OccupyOptions, seen?: Glance): Promise<Occupied | undefined> {
  const { gw, call, caller, excluded } = options
  const now = accountsOf(gw, caller)
  const glanced = seen?.of === now ? seen : await glance(gw, call, caller, excluded)
  const { of, accounts, held } = glanced
  if (accounts === of) return choose(options, accounts, held)
  const taken = await chooseShort(options, glanced)
  if (taken) return taken
  // Nobody here or elsewhere can do better with those that are full from here alone.
  if (accounts.length === 0 && glanced.waitable) return undefined
  return choose(options, of, await heldAt(gw, of))
}

// The session's account comes first, however it looks from here: whether it is full is for the store to say when it is tried.
function chooseShort(options: OccupyOptions, glanced: Glance): Promise<Occupied | undefined> {
  const { gw, sticky } = options
  const { of, accounts, held } = glanced
  const home = sticky === undefined || findAccount(accounts, sticky) ? undefined : findAccount(of, sticky)
  return home
    ? choose(options, [home, ...accounts], [gw.pools.held(home.id), ...held], glanced)
    : choose(options, accounts, held, glanced)
}

/**
 * Takes the best of these, which are all or those of `short`.
 * @returns undefined when waiting makes sense, or, where these are not all, looking at the others
 */
async function choose(
  options: OccupyOptions,
  accounts: readonly AccountFacts[],
  held: readonly number[],
  short?: Glance,
): Promise<Occupied | undefined> {
  const { outcome } = options
  const facts = factsOf(options, accounts, held)
  const selection = select(facts)
  if (outcome.waitingSince !== 0) selection.how = 'waiting'
  if (short) {
    // The session's own account may be among both.
    const passed = short.passed?.filter(({ account }) => accounts[0] !== account) ?? []
    if (passed.length > 0) selection.vetoes = [...(selection.vetoes ?? []), ...passed]
    selection.others = short.of.length - accounts.length - passed.length
  }
  outcome.chose(selection)
  for (const candidate of selection.ranked) {
    const occupied = await take(options, candidate, selection)
    if (occupied) return occupied
    // Somebody was faster.
    selection.full.push(candidate.account.id)
  }
  // Ranked, but taken before we could: as good as full.
  if (short || selection.waitable || selection.ranked.length > 0) return undefined
  throw nobody(options, facts, selection)
}

function nobody(options: OccupyOptions, facts: SelectFacts, { out }: Selection): Failure {
  const failure = options.exhausted(out)
  if (failure) return failure
  if (out === undefined) return new Failure('NO_UPSTREAM', [reasons(facts)])
  if (facts.accounts.every(account => unhealthy(account, facts)?.class === 'absent'))
    return new Failure('MODEL_NOT_FOUND', [facts.model])
  return allOut(out, reasons(facts), facts.now)
}

/** Beside the road: the account that would come first if all were idle. All of a large group are looked at, which is rare enough. */
function pick(options: OccupyOptions): Occupied {
  const { gw, caller, outcome } = options
  const accounts = accountsOf(gw, caller)
  const facts = factsOf(options, accounts, new Array<number>(accounts.length).fill(0))
  const selection = select(facts)
  selection.how = 'beside'
  outcome.chose(selection)
  const [candidate] = selection.ranked
  if (!candidate) throw nobody(options, facts, selection)
  selection.taken = candidate.account.id
  return { candidate, lease: noPlace, selection, since: facts.now, undo() {} }
}

function factsOf(
  { gw, call, excluded, sticky }: OccupyOptions,
  accounts: readonly AccountFacts[],
  held: readonly number[],
): SelectFacts {
  return {
    accounts,
    model: call.peek.model,
    now: gw.now(),
    excluded,
    held,
    chosen: gw.pools.chosen,
    sticky,
    veto: healthFor(gw, call).veto,
    egress: gw.egress,
  }
}

/** The place that just came free, without asking about the others: synchronous up to the store. */
async function takeFreed(options: OccupyOptions, key: string): Promise<Occupied | undefined> {
  const accounts = accountsOf(options.gw, options.caller)
  const account = findAccount(accounts, accountOfSlot(key))
  if (!account) return undefined
  // The account of its session is no choice here, but whether it is well decides if this is only a spill-over.
  const { sticky } = options
  const home = sticky === undefined || sticky === account.id ? undefined : findAccount(accounts, sticky)
  const selection = select(
    factsOf(options, home ? [account, home] : [account], home ? [0, Number.POSITIVE_INFINITY] : [0]),
  )
  const candidate = selection.ranked.find(c => c.account === account)
  if (!candidate) return undefined
  selection.how = 'freed'
  selection.others = accounts.length - 1
  const occupied = await take(options, candidate, selection)
  if (occupied) options.outcome.chose(selection)
  return occupied
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
  const now = gw.now()
  if (gw.health.veto(account.id, model, now) || gw.egress.veto(account.proxy, now) || down.interrupted) {
    lease.release()
    return undefined
  }
  const since = gw.now()
  gw.health.chosen(account.id, model, since)
  const place = gw.pools.choose(account.id, lease)
  selection.taken = account.id
  const undo = () => {
    gw.health.unclear(account.id, model, since)
    selection.taken = 0
    place.release()
  }
  return { candidate, lease: place, selection, since, undo }
}
