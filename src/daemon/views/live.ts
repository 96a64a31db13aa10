// The live view: users, accounts and groups as rows, and all together with rates and processes as `gw top --once` shows it.
import { setImmediate } from 'node:timers/promises'
import type { AccountView, GroupView, LiveView, UserView } from '../../control/view.ts'
import type { AccountFacts } from '../../core/snapshot.ts'
import { accountSlot, poolOfGroup, userSlot } from '../../gateway/admit/places.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import { accountState } from '../../platform/state.ts'
import type { Live } from '../live.ts'
import { errorRate, firstTokens, largest, type Pulse, type WaitingBy, waitingFor } from '../pulse.ts'
import { waiters, waitingNow } from './waiters.ts'

/** With many accounts and many who wait this is long work: so much of it at a time, ms, then streams may go on. */
const SLICE_MS = 5

export async function liveView(gw: Gateway, pulses: readonly Pulse[]): Promise<LiveView> {
  const [users, accounts] = await Promise.all([all(userRows(gw, pulses)), all(accountRows(gw, pulses))])
  const sum = (field: (pulse: Pulse) => number) => pulses.reduce((total, pulse) => total + field(pulse), 0)
  return {
    at: new Date(gw.now()).toISOString(),
    requests_per_s: sum(pulse => pulse.per_second.requests),
    tokens_per_s: sum(pulse => pulse.per_second.tokens),
    in_flight: sum(pulse => pulse.node.in_flight),
    waiting: sum(pulse => pulse.waiting),
    error_rate: (errorRate(pulses.map(pulse => pulse.all)) ?? 0) / 100,
    ttft_ms: firstTokens(pulses) ?? { p50: 0, p95: 0, p99: 0 },
    users,
    accounts,
    groups: groupRows(gw, pulses, new Map(accounts.map(account => [account.name, account]))),
    nodes: pulses.map(pulse => pulse.node),
  }
}

/** How many wait in this process: at accounts each waiter at one of those that it would take. */
export function waitingBy(gw: Gateway, live: Live): WaitingBy {
  if (waitingNow(gw) === 0) return { users: {}, accounts: {}, groups: {} }
  const { accounts, groups, users } = gw.snapshot
  const atAccounts = gw.accountQueue.spread([...accounts.keys()].map(accountSlot))
  const byUser = Map.groupBy(waiters(gw, live), waiter => waiter.user)
  return {
    users: largest([...users.values()].map(u => [u.id, byUser.get(u.name)?.length ?? 0] as const).filter(some)),
    accounts: largest([...accounts.keys()].map(id => [id, atAccounts.get(accountSlot(id)) ?? 0] as const).filter(some)),
    groups: largest(
      [...groups.keys()].map(id => [id, gw.waitingAtPool.get(poolOfGroup(id)) ?? 0] as const).filter(some),
    ),
  }
}
const some = ([, count]: readonly [number, number]) => count > 0

/** Of all accounts, or of those with these names that there are. */
export async function* accountRows(
  gw: Gateway,
  pulses: readonly Pulse[],
  names?: ReadonlySet<string>,
): AsyncGenerator<AccountView[]> {
  const { snapshot } = gw
  const accounts = [...snapshot.accounts.values()].filter(account => names?.has(account.name) ?? true)
  const used = await gw.store.held(accounts.map(a => accountSlot(a.id)))
  yield* sliced(accounts, (a, i) => ({
    name: a.name,
    platform: a.platform,
    groups: snapshot.groupsOf(a.id),
    slots: { used: used[i]!, limit: Math.max(0, a.concurrency) },
    waiting: waitingFor(pulses, 'accounts', a.id),
    ...stateOf(gw, a, used[i]!),
  }))
}

export async function* userRows(gw: Gateway, pulses: readonly Pulse[]): AsyncGenerator<UserView[]> {
  const users = [...gw.snapshot.users.values()]
  const used = await gw.store.held(users.map(u => userSlot(u.id)))
  yield* sliced(users, (u, i) => ({
    name: u.name,
    slots: { used: used[i]!, limit: Math.max(0, u.concurrency) },
    waiting: waitingFor(pulses, 'users', u.id),
  }))
}

export function groupRows(
  gw: Gateway,
  pulses: readonly Pulse[],
  accounts: ReadonlyMap<string, AccountView>,
): GroupView[] {
  return [...gw.snapshot.groups.values()].map(g => {
    // One that was added meanwhile has no row yet.
    const members = gw.snapshot.pool(g.id).flatMap(a => accounts.get(a.name) ?? [])
    const limits = members.map(m => m.slots.limit)
    return {
      name: g.name,
      platform: g.platform,
      slots: {
        used: members.reduce((sum, m) => sum + m.slots.used, 0),
        limit: limits.includes(0) ? 0 : limits.reduce((sum, limit) => sum + limit, 0),
      },
      waiting: waitingFor(pulses, 'groups', g.id),
      available: members.filter(m => m.state === 'available').length,
      accounts: members.length,
    }
  })
}

async function* sliced<A, B>(list: readonly A[], work: (one: A, i: number) => B): AsyncGenerator<B[]> {
  let since = performance.now()
  let part: B[] = []
  for (const [i, one] of list.entries()) {
    part.push(work(one, i))
    if (performance.now() - since < SLICE_MS) continue
    yield part
    part = []
    await setImmediate()
    since = performance.now()
  }
  yield part
}

export async function all<T>(parts: AsyncIterable<T[]>): Promise<T[]> {
  const list: T[] = []
  for await (const part of parts) list.push(...part)
  return list
}

function stateOf(gw: Gateway, account: AccountFacts, used: number): Pick<AccountView, 'state' | 'until' | 'reason'> {
  const told = accountState(account, gw.health.ailments(account.id), gw.now())
  const way = told.state === 'available' ? gw.egress.veto(account.proxy, gw.now()) : undefined
  const { state, until, reason } = way
    ? { state: 'ejected' as const, until: way.until, reason: way.reason.replace(/^proxy out: /, '') }
    : told
  const full = state === 'available' && account.concurrency > 0 && used >= account.concurrency
  return { state: full ? 'full' : state, until: until === null ? null : new Date(until).toISOString(), reason }
}
